"""Rows of `runs`: jobs that an operator started, with their progress and their results.

The remaining work is never read from here: an interrupted job is started again, and finds the remaining work itself.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import orjson

import ids
from database.connections import Row
from directory import audit, errors
from directory.client_info import NO_CLIENT, ClientInfo
from directory.database import Reader, Writer

State = Literal["running", "done", "failed", "cancelled"]
START: Final = 2**63 - 1
"""The cursor before the newest job."""
RUNNING_MAX: Final = 4
"""Jobs that run at the same time: they share the disk with all messages. Beyond it 409."""


@dataclass(frozen=True, slots=True)
class Run:
    """A job; times in milliseconds UTC. `done_count` of `total_count` is in units of its own; `result` is set when it
    is done, `error` when it failed. The cursor of the next page is its id."""

    id: int
    kind: str
    state: State
    room_id: ids.RoomId | None
    started_by: ids.UserId | None
    total_count: int
    done_count: int
    result: dict[str, Any] | None
    error: str | None
    started_at: int
    updated_at: int
    finished_at: int | None


_COLUMNS: Final = (
    "id, kind, state, room_id, started_by, total_count, done_count, result, error, started_at, updated_at, finished_at"
)


def _from_row(row: Row) -> Run:
    run = Run(*row)
    return run if run.result is None else replace(run, result=orjson.loads(row[7]))


async def start(
    writer: Writer,
    kind: str,
    room_id: ids.RoomId,
    *,
    by: ids.UserId | None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> Run:
    """Start a job on a room, with a line in the audit log.

    Raises RunningAlreadyError when the room has one of the kind, and TooManyRunsError.
    """
    running = await writer.fetch_all("SELECT kind, room_id FROM runs WHERE state = 'running' ORDER BY id", ())
    if (kind, room_id) in [(row[0], row[1]) for row in running]:
        raise errors.RunningAlreadyError(kind)
    if len(running) >= RUNNING_MAX:
        raise errors.TooManyRunsError(RUNNING_MAX)
    run_id = await writer.next_id(now_ms)
    await writer.execute(
        "INSERT INTO runs (id, kind, room_id, started_by, started_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        (run_id, kind, room_id, by, now_ms),
    )
    about = {"kind": kind, "job_id": str(run_id)}
    where = ("room", room_id)
    await audit.append(
        writer, audit.Action.JOB_STARTED, by=by, resource=where, metadata=about, client=client, now_ms=now_ms
    )
    return await find(writer, run_id)


async def find(reader: Reader, run_id: int) -> Run:
    """Return a job; raises RunNotFoundError."""
    row = await reader.fetch_one(f"SELECT {_COLUMNS} FROM runs WHERE id = ?", (run_id,))  # noqa: S608
    if row is None:
        raise errors.RunNotFoundError(run_id)
    return _from_row(row)


async def list_page(reader: Reader, *, before: int = START, limit: int) -> list[Run]:
    """Return jobs, the newest first, before an id."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM runs WHERE id < ? ORDER BY id DESC LIMIT ?",  # noqa: S608
        (before, limit),
    )
    return [_from_row(row) for row in rows]


async def note_progress(writer: Writer, run_id: int, done: int, total: int, *, now_ms: int) -> None:
    """Store the progress of a running job."""
    await writer.execute(
        "UPDATE runs SET done_count = ?, total_count = ?, updated_at = ? WHERE id = ? AND state = 'running'",
        (done, total, now_ms, run_id),
    )


async def finish(
    writer: Writer,
    run_id: int,
    state: Literal["done", "failed", "cancelled"],
    *,
    result: dict[str, Any] | None = None,
    error: str | None = None,
    now_ms: int,
) -> None:
    """Store the end of a running job; one that ended already stays as it is."""
    await writer.execute(
        "UPDATE runs SET state = ?1, result = ?2, error = ?3, updated_at = ?4, finished_at = ?4 "
        "WHERE id = ?5 AND state = 'running'",
        (state, None if result is None else orjson.dumps(result).decode(), error and error[:4000], now_ms, run_id),
    )


async def abandon(writer: Writer, *, now_ms: int) -> int:
    """End the jobs of a server that ended, and return their number."""
    rows = await writer.fetch_all(
        "UPDATE runs SET state = 'failed', error = 'the server ended', updated_at = ?1, finished_at = ?1 "
        "WHERE state = 'running' RETURNING id",
        (now_ms,),
    )
    return len(rows)

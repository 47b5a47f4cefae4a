"""Jobs go on by themselves, tell how far they are, end when they are cancelled, and never stay half-told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from directory import runs
from directory.errors import RunningAlreadyError, RunNotFoundError, TooManyRunsError
from directory.runs import RUNNING_MAX, Run
from ids import RoomId
from monitor import jobs
from monitor.jobs import Jobs, Progress
from shard.errors import ShardBusyError
from tests.monitor.fleets import Fleet, fleet_in


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet_in(tmp_path) as made:
        yield made


async def wait(_room_id: RoomId, progress: Progress) -> dict[str, Any]:
    await progress(1, 4)
    await asyncio.sleep(3_600)
    return {}


async def succeed(_room_id: RoomId, _progress: Progress) -> dict[str, Any]:
    return {"sum": 5}


async def refuse(_room_id: RoomId, _progress: Progress) -> dict[str, Any]:
    raise ShardBusyError("locked")


async def stumble(_room_id: RoomId, _progress: Progress) -> dict[str, Any]:
    raise RuntimeError("secret words")


def jobs_of(fleet: Fleet) -> Jobs:
    works = {"wait": wait, "succeed": succeed, "refuse": refuse, "stumble": stumble}
    return Jobs(fleet.stores.directory, works, fleet.clock)


async def found(fleet: Fleet, run: Run) -> Run:
    async with fleet.stores.directory.database.read() as reader:
        return await runs.find(reader, run.id)


async def ended(fleet: Fleet, run: Run) -> Run:
    async with asyncio.timeout(5):
        while (seen := await found(fleet, run)).state == "running":  # noqa: ASYNC110 - another task writes it
            await asyncio.sleep(0.01)
    return seen


@pytest.mark.parametrize(
    ("kind", "state", "result", "error"),
    [
        ("succeed", "done", {"sum": 5}, None),
        ("refuse", "failed", None, "locked"),
        ("stumble", "failed", None, "unexpected: RuntimeError"),
    ],
)
async def test_a_job_says_how_it_ended(fleet: Fleet, kind: str, state: str, result: Any, error: str | None) -> None:
    """A job that ends by itself has a result or an error, and a mistake of ours does not tell its words."""
    run = await jobs_of(fleet).start(kind, await fleet.found("den"), by=fleet.owner_id)
    seen = await ended(fleet, run)
    assert (seen.state, seen.result, seen.error) == (state, result, error)
    assert seen.finished_at == fleet.clock.now_ms


async def test_a_job_is_watched_and_cancelled(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A running job tells how far it is; cancelled it ends at once, and cancelling again changes nothing."""
    monkeypatch.setattr(jobs, "PROGRESS_SECONDS", 0.0)
    made = jobs_of(fleet)
    run = await made.start("wait", await fleet.found("den"), by=None)
    async with asyncio.timeout(5):
        while not (await found(fleet, run)).total_count:  # noqa: ASYNC110 - another task writes it
            await asyncio.sleep(0.01)
    seen = await found(fleet, run)
    assert (seen.state, seen.done_count, seen.total_count) == ("running", 1, 4)
    cancelled = await made.cancel(run.id)
    assert cancelled.state == "cancelled"
    assert await made.cancel(run.id) == cancelled
    with pytest.raises(RunNotFoundError):
        await made.cancel(1)


async def test_a_job_that_is_cancelled_before_it_began_is_cancelled(fleet: Fleet) -> None:
    """Cancelled before its first step a job is not left as running."""
    made = jobs_of(fleet)
    room_id = await fleet.found("den")
    run = await made.start("wait", room_id, by=None)
    assert (await made.cancel(run.id)).state == "cancelled"
    await made.start("wait", room_id, by=None)
    await made.close()


async def test_jobs_are_bounded(fleet: Fleet) -> None:
    """One job of a kind runs upon a room, and a few in all; when one ends the next may begin."""
    made = jobs_of(fleet)
    rooms = [await fleet.found(f"room-{number}") for number in range(RUNNING_MAX + 1)]
    begun = [await made.start("wait", room_id, by=None) for room_id in rooms[:RUNNING_MAX]]
    with pytest.raises(RunningAlreadyError):
        await made.start("wait", rooms[0], by=None)
    with pytest.raises(TooManyRunsError):
        await made.start("wait", rooms[-1], by=None)
    await made.cancel(begun[0].id)
    await made.start("wait", rooms[-1], by=None)
    await made.close()
    assert {(await found(fleet, run)).state for run in begun} == {"cancelled"}


async def test_a_server_ends_the_jobs_of_the_one_before(fleet: Fleet) -> None:
    """Jobs of a server that was killed are failed when the next one starts, and can be begun again."""
    room_id = await fleet.found("den")
    async with fleet.stores.directory.database.write() as writer:
        run = await runs.start(writer, "succeed", room_id, by=None, now_ms=1)
    made = jobs_of(fleet)
    await made.abandon_unfinished()
    seen = await found(fleet, run)
    assert (seen.state, seen.error) == ("failed", "the server ended")
    assert (await ended(fleet, await made.start("succeed", room_id, by=None))).state == "done"

"""Jobs that an operator starts over HTTP: they outlive the request, report progress, and can be cancelled between any
two of their steps. The state of a job is in the directory; its work is a task of this process.

Periodic work that nobody starts is a row of rookery/server/periodic.py.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from database.errors import DatabaseError
from directory import runs
from directory.client_info import NO_CLIENT, ClientInfo
from directory.directory import Directory
from directory.errors import DirectoryError
from directory.runs import Run
from ids import RoomId, UserId
from objects.errors import ObjectError
from shard.errors import ShardError

log = logging.getLogger(__name__)

PROGRESS_SECONDS: Final = 1.0
"""Time between two updates of a job's progress in the directory."""

Progress = Callable[[int, int], Awaitable[None]]
"""Receives the work done so far, and the total."""
Work = Callable[[RoomId, Progress], Awaitable[dict[str, Any]]]
"""Does a job for a room and returns its result; raises ShardError, DatabaseError, DirectoryError,
ObjectError and JobFailedError, and can be cancelled."""


class JobFailedError(Exception):
    """A job was not done, for a reason that an operator can fix."""


class Jobs:
    """The running jobs, each of one of the kinds in `works`; `close` cancels them."""

    def __init__(self, directory: Directory, works: Mapping[str, Work], clock: Callable[[], int]) -> None:
        self._directory = directory
        self._works = works
        self._clock = clock
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @property
    def kinds(self) -> Collection[str]:
        """The kinds of jobs that can be started."""
        return self._works.keys()

    async def abandon_unfinished(self) -> None:
        """Mark the jobs that an earlier server did not finish as ended."""
        async with self._directory.database.write() as writer:
            if count := await runs.abandon(writer, now_ms=self._clock()):
                log.warning("jobs were cut short by the end of the server", extra={"count": count})

    async def start(self, kind: str, room_id: RoomId, *, by: UserId | None, client: ClientInfo = NO_CLIENT) -> Run:
        """Start a job of one of the kinds; raises RunningAlreadyError and TooManyRunsError."""
        assert kind in self._works, "endpoints accept known kinds only"
        async with self._directory.database.write() as writer:
            run = await runs.start(writer, kind, room_id, by=by, client=client, now_ms=self._clock())
        self._tasks[run.id] = asyncio.create_task(self._do(run, room_id))
        return run

    async def cancel(self, run_id: int) -> Run:
        """Cancel a job before its next step, and return its state then; one that has ended is not changed.

        Raises RunNotFoundError.
        """
        task = self._tasks.get(run_id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            # A task cancelled before its first step has run no code that could record it.
            if self._tasks.pop(run_id, None) is not None:
                async with self._directory.database.write() as writer:
                    await runs.finish(writer, run_id, "cancelled", now_ms=self._clock())
        async with self._directory.database.read() as reader:
            return await runs.find(reader, run_id)

    async def close(self) -> None:
        """Cancel every job."""
        for run_id in list(self._tasks):
            await self.cancel(run_id)

    async def _do(self, run: Run, room_id: RoomId) -> None:
        reported_at = 0.0

        async def report(done: int, total: int) -> None:
            nonlocal reported_at
            if time.monotonic() - reported_at >= PROGRESS_SECONDS:
                reported_at = time.monotonic()
                async with self._directory.database.write() as writer:
                    await runs.note_progress(writer, run.id, done, total, now_ms=self._clock())

        try:
            result = await self._works[run.kind](room_id, report)
            await self._end(run, "done", result=result)
        except asyncio.CancelledError:
            await self._end(run, "cancelled")
        except (ShardError, DatabaseError, DirectoryError, ObjectError, JobFailedError) as error:
            await self._end(run, "failed", error=str(error))
        except Exception as error:  # the job failed by a mistake of ours; the server continues
            log.exception("a job failed", extra={"kind": run.kind, "room_id": room_id})
            await self._end(run, "failed", error=f"unexpected: {type(error).__name__}")
        finally:
            self._tasks.pop(run.id, None)

    async def _end(self, run: Run, state: Any, **more: Any) -> None:
        async with self._directory.database.write() as writer:
            await runs.finish(writer, run.id, state, now_ms=self._clock(), **more)

"""Jobs that an operator begins over HTTP: they go on when the request is answered, tell how far they are, and can be
cancelled between any two of their steps. How a job stands is in the directory; the work itself is a task here."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from directory import runs
from directory.directory import Directory
from directory.errors import DirectoryError
from directory.origins import NOWHERE, Origin
from directory.runs import Run
from ids import RoomId, UserId
from objects.errors import ObjectError
from shard.errors import ShardError

log = logging.getLogger(__name__)

TELL_SECONDS: Final = 1.0
"""How often a job writes down how far it is."""

Progress = Callable[[int, int], Awaitable[None]]
"""Told how much is done, of how much."""
Work = Callable[[RoomId, Progress], Awaitable[dict[str, Any]]]
"""Does a job upon a room and returns what came of it; raises ShardError, DirectoryError, ObjectError and
JobFailedError, and can be cancelled."""


class JobFailedError(Exception):
    """A job was not done, for a reason that an operator can do something about."""


class Jobs:
    """Begins and cancels jobs of the kinds that there are; `close` cancels what still runs."""

    def __init__(self, directory: Directory, works: Mapping[str, Work], clock: Callable[[], int]) -> None:
        self._directory = directory
        self._works = works
        self._clock = clock
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @property
    def kinds(self) -> Collection[str]:
        """The kinds of jobs that there are."""
        return self._works.keys()

    async def mend(self) -> None:
        """End the jobs of the server before this one."""
        async with self._directory.database.write() as writer:
            if count := await runs.abandon(writer, now_ms=self._clock()):
                log.warning("jobs were cut short by the end of the server", extra={"count": count})

    async def start(self, kind: str, room_id: RoomId, *, by: UserId | None, origin: Origin = NOWHERE) -> Run:
        """Begin a job of one of the kinds; raises RunningAlreadyError and TooManyRunsError."""
        assert kind in self._works, "only kinds that there are can be begun"
        async with self._directory.database.write() as writer:
            run = await runs.start(writer, kind, room_id, by=by, origin=origin, now_ms=self._clock())
        self._tasks[run.id] = asyncio.create_task(self._do(run, room_id))
        return run

    async def cancel(self, run_id: int) -> Run:
        """Have a job end before its next step, and return it as it is then; one that ended already stays as it is.

        Raises RunNotFoundError.
        """
        task = self._tasks.get(run_id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            # One that was cancelled before its first step never knew of it.
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
        told_at = 0.0

        async def tell(done: int, total: int) -> None:
            nonlocal told_at
            if time.monotonic() - told_at >= TELL_SECONDS:
                told_at = time.monotonic()
                async with self._directory.database.write() as writer:
                    await runs.note_progress(writer, run.id, done, total, now_ms=self._clock())

        try:
            result = await self._works[run.kind](room_id, tell)
            await self._end(run, "done", result=result)
        except asyncio.CancelledError:
            await self._end(run, "cancelled")
        except (ShardError, DirectoryError, ObjectError, JobFailedError) as error:
            await self._end(run, "failed", error=str(error))
        except Exception as error:  # the job failed by a mistake of ours; the server goes on
            log.exception("a job failed", extra={"kind": run.kind, "room_id": room_id})
            await self._end(run, "failed", error=f"unexpected: {type(error).__name__}")
        finally:
            self._tasks.pop(run.id, None)

    async def _end(self, run: Run, state: Any, **more: Any) -> None:
        async with self._directory.database.write() as writer:
            await runs.finish(writer, run.id, state, now_ms=self._clock(), **more)

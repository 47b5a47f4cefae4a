"""The check of the directory, once a day: pages, references, planner statistics; damage is an alert."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from database import inspections
from directory import alerts, sizes
from directory.alerts import Change, Sink
from directory.database import Writer
from directory.directory import Directory
from directory.shards import Level

log = logging.getLogger(__name__)

EVERY_MS: Final = 86_400_000
"""Time between two checks of one process; the first is after its first round."""


class DirectoryCheck:
    """The check, over an open directory; it changes nothing but the planner's statistics."""

    def __init__(
        self, directory: Directory, size_limit_bytes: int, sinks: Sequence[Sink], clock: Callable[[], int]
    ) -> None:
        self._directory = directory
        self._size_limit_bytes = size_limit_bytes
        self._sinks = tuple(sinks)
        self._clock = clock
        self._checked_at: int | None = None

    async def run(self) -> tuple[str, ...] | None:
        """Check the directory, and return its problems; None when it is not due. Raises DatabaseError."""
        now_ms = self._clock()
        # A clock that went back delays nothing.
        if self._checked_at is not None and 0 <= now_ms - self._checked_at < EVERY_MS:
            return None
        async with self._directory.database.read() as reader:
            problems = await inspections.problems(reader)
        async with self._directory.database.write() as writer:
            await inspections.optimize(writer)
            await self._tell(writer, "; ".join(problems), now_ms)
        self._checked_at = now_ms
        return tuple(problems)

    async def _tell(self, writer: Writer, problem: str, now_ms: int) -> None:
        before = await alerts.latest(writer, None, "damage")
        was_damaged = before is not None and before.level != "ok"
        if was_damaged == bool(problem):
            return
        levels: tuple[Level, Level] = ("critical", "ok") if problem else ("ok", "critical")
        used_bytes = await sizes.of_directory(writer)
        change = Change(None, "damage", *levels, used_bytes, self._size_limit_bytes, problem or None)
        await alerts.raise_all(writer, [change], self._sinks, now_ms=now_ms)
        if problem:
            log.error("the directory is damaged", extra={"reason": problem})

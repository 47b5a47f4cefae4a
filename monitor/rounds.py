"""A monitor's round: measure what changed, judge the directory itself, tell who is to be told.

Rounds begin when the settings' cron expressions say so. A round that fails is told in the log; the next one does what
it left, because what is to be done is read from what is there.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from config import crons
from config.settings import Database
from directory import alerts, shards, sizes
from directory.alerts import Change, Sink
from directory.directory import Directory
from directory.shards import Level, Summary
from monitor import turns
from monitor.levels import Thresholds, judge
from monitor.sizes import SizeWalk, Tally
from monitor.telling import Telling
from monitor.tending import Tended, Tending

log = logging.getLogger(__name__)
T = TypeVar("T")

MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Round:
    """What a round did, and how the fleet is after it; `seconds` is how long it took."""

    began_at: int
    seconds: float
    tally: Tally
    told: int
    summary: Summary


@dataclass(slots=True)
class Standing:
    """What is known of the rounds of this process, for metrics; None before the first."""

    last: Round | None = None
    failed: int = 0
    skipped: int = 0
    open_alerts: int = 0
    summary: Summary = field(default_factory=Summary)


class Rounds:
    """Goes round when asked, or when it is time; `lock` is the file that one monitor at a time holds."""

    def __init__(
        self,
        directory: Directory,
        binding: Database,
        walk: SizeWalk,
        telling: Telling,
        tending: Tending,
        lock: Path,
        clock: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._binding = binding
        self._walk = walk
        self._telling = telling
        self._tending = tending
        self._lock = lock
        self._clock = clock
        self.standing = Standing()

    async def go(self) -> Round | None:
        """Go round once, and return what was done; None when another monitor is going round.

        Raises DirectoryError and OSError, as the walk does.
        """
        with turns.taken(self._lock) as is_mine:
            if not is_mine:
                self.standing.skipped += 1
                return None
            began_at, began = self._clock(), time.perf_counter()
            tally = await self._walk.run()
            tally.alerts += await judge_directory(self._directory, self._binding, self._telling.sinks, self._clock())
            told = await self._telling.run()
            async with self._directory.database.read() as reader:
                summary = await shards.summarize(reader)
                self.standing.open_alerts = await alerts.count_open(reader)
            self.standing.summary = summary
            self.standing.last = Round(began_at, time.perf_counter() - began, tally, told, summary)
            return self.standing.last

    async def tend(self, tally: Tally) -> Tended | None:
        """Look shards through and tidy them up after a round, and tell what came of it; None when another monitor does.

        Raises DirectoryError.
        """
        done = await self._tending.go(tally)
        # Whoever goes round at this moment tells it, or the next round does.
        with turns.taken(self._lock) as is_mine:
            if is_mine:
                await self._telling.run()
        return done

    async def run(self, expressions: Iterable[str], done: Callable[[Round | None], None] = lambda _round: None) -> None:
        """Go round whenever one of the expressions fires, until cancelled; `done` hears of each round.

        What takes its time goes on beside the next rounds, once at a time.
        """
        expressions = tuple(expressions)
        last = self._clock() // MINUTE_MS
        tending: asyncio.Task[object] | None = None
        try:
            while True:
                # Never longer than a minute, whatever the clock does meanwhile.
                await asyncio.sleep((MINUTE_MS - self._clock() % MINUTE_MS) / 1_000 + 0.05)
                minute = self._clock() // MINUTE_MS
                if minute != last and crons.fires(expressions, minute):
                    gone = await self._safely(self.go())
                    done(gone)
                    if gone is not None and (tending is None or tending.done()):
                        tending = asyncio.create_task(self._safely(self.tend(gone.tally)))
                last = minute
        finally:
            if tending is not None:
                tending.cancel()
                await asyncio.wait([tending])

    async def _safely(self, doing: Awaitable[T]) -> T | None:
        try:
            return await doing
        except Exception:  # the next round does what this one left
            self.standing.failed += 1
            log.exception("a round of the monitor failed")
            return None


async def judge_directory(directory: Directory, binding: Database, sinks: Sequence[Sink], now_ms: int) -> int:
    """Alert when the size of the directory itself reaches another level, and return whether it did."""
    thresholds = Thresholds(binding.size_limit_bytes, binding.warn_percent, binding.critical_percent)
    async with directory.database.write() as writer:
        used_bytes = await sizes.of_directory(writer)
        before = await alerts.latest(writer, None, "size")
        previous: Level = "ok" if before is None else before.level
        level = judge(used_bytes, thresholds, previous)
        if level == previous:
            return 0
        change = Change(None, "size", level, previous, used_bytes, thresholds.limit_bytes)
        await alerts.raise_all(writer, [change], sinks, now_ms=now_ms)
        return 1

"""The rounds of the monitor: measure the shards that changed, judge the directory's own size, deliver alerts.

Rounds begin when the settings' cron expressions say so. A round that fails is logged; the next one does the work that
is left, because each reads it from the stores.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from config import crons
from config.settings import Database
from directory import alerts, failures, shards, sizes
from directory.alerts import Change, Sink
from directory.directory import Directory
from directory.shards import Level, Summary
from monitor.alert_delivery import AlertDelivery
from monitor.directory_check import DirectoryCheck
from monitor.levels import Thresholds, judge
from monitor.lock import Lock
from monitor.maintenance import Maintained, Maintenance
from monitor.sizes import SizeWalk, Tally

log = logging.getLogger(__name__)
T = TypeVar("T")

MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Round:
    """Result of a round, and the state of the fleet after it; `delivered` counts alerts that channels accepted."""

    began_at: int
    seconds: float
    tally: Tally
    delivered: int
    summary: Summary


@dataclass(slots=True)
class RoundStats:
    """Figures of the rounds of this process, for metrics; `last` is None before the first."""

    last: Round | None = None
    failed: int = 0
    skipped: int = 0
    open_alerts: int = 0
    set_aside: int = 0
    directory_bytes: int = 0
    summary: Summary = field(default_factory=Summary)


class Rounds:
    """Rounds on demand and by schedule; one monitor at a time has the lock."""

    def __init__(
        self,
        directory: Directory,
        binding: Database,
        walk: SizeWalk,
        delivery: AlertDelivery,
        maintenance: Maintenance,
        directory_check: DirectoryCheck,
        lock: Lock,
        clock: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._binding = binding
        self._walk = walk
        self._delivery = delivery
        self._maintenance = maintenance
        self._directory_check = directory_check
        self._lock = lock
        self._clock = clock
        self.stats = RoundStats()

    async def run_round(self) -> Round | None:
        """Run one round, and return its result; None while another monitor runs one.

        Raises DatabaseError and OSError, as `SizeWalk.run` does.
        """
        with self._lock.acquire() as is_mine:
            if not is_mine:
                self.stats.skipped += 1
                return None
            began_at, began = self._clock(), time.perf_counter()
            try:
                tally = await self._walk.run()
            except Exception:
                # Alerts wait for no walk: why it fails may be among them.
                await self._safely(self._delivery.run())
                raise
            tally.alerts += await judge_directory(self._directory, self._binding, self._delivery.sinks, self._clock())
            delivered = await self._delivery.run()
            async with self._directory.database.read() as reader:
                summary = await shards.summarize(reader)
                self.stats.open_alerts = await alerts.count_open(reader)
                self.stats.set_aside = await failures.count(reader)
                self.stats.directory_bytes = await sizes.of_directory(reader)
            self.stats.summary = summary
            self.stats.last = Round(began_at, time.perf_counter() - began, tally, delivered, summary)
            return self.stats.last

    async def maintain(self, tally: Tally) -> Maintained | None:
        """Check and optimize shards after a round, and deliver the resulting alerts; None while another monitor does.

        Raises DatabaseError.
        """
        try:
            done = await self._maintenance.run(tally)
            await self._directory_check.run()
        finally:
            await self.deliver()
        return done

    async def deliver(self) -> None:
        """Deliver the alerts that are due, outside of a round."""
        # A round that runs at this moment delivers them, or the next one does.
        with self._lock.acquire() as is_mine:
            if is_mine:
                await self._delivery.run()

    async def run(self, expressions: Iterable[str], done: Callable[[Round | None], None] = lambda _round: None) -> None:
        """Run a round whenever one of the expressions fires, until cancelled; `done` is called with each result.

        Maintenance runs beside the next rounds, one run at a time.
        """
        expressions = tuple(expressions)
        last = self._clock() // MINUTE_MS
        maintaining: asyncio.Task[object] | None = None
        try:
            while True:
                # Never longer than a minute, even if the clock is set meanwhile.
                await asyncio.sleep((MINUTE_MS - self._clock() % MINUTE_MS) / 1_000 + 0.05)
                minute = self._clock() // MINUTE_MS
                if minute != last and crons.fires(expressions, minute):
                    result = await self._safely(self.run_round())
                    done(result)
                    if result is not None and (maintaining is None or maintaining.done()):
                        maintaining = asyncio.create_task(self._safely(self.maintain(result.tally)))
                last = minute
        finally:
            if maintaining is not None:
                maintaining.cancel()
                await asyncio.wait([maintaining])

    async def _safely(self, work: Awaitable[T]) -> T | None:
        try:
            return await work
        except Exception:  # the next round does the work that this one left
            self.stats.failed += 1
            log.exception("a round of the monitor failed")
            return None


async def judge_directory(directory: Directory, binding: Database, sinks: Sequence[Sink], now_ms: int) -> int:
    """Raise an alert when the directory's own size reaches another level; return the count of alerts, 0 or 1."""
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

"""How serious a shard's size is, and when it will be full: pure functions, which the monitor asks about each shard.

What counts is what a shard uses: pages that it has freed are taken for the next messages before its file grows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from directory.shards import LEVELS, Level

HYSTERESIS_PERCENT: Final = 2
"""How far below its threshold a shard must fall before it leaves a level: what stays near it alerts nobody twice."""
DAY_MS: Final = 86_400_000
SPAN_MS_MIN: Final = 6 * 3_600_000
"""A shorter history says nothing about days: an import looks like a room that is full tomorrow."""
HORIZON_MS: Final = 3_650 * DAY_MS
"""What lies ten years ahead is no forecast."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where levels begin, in percent of `limit_bytes`; `full` begins at the limit itself."""

    limit_bytes: int
    warn_percent: int = 80
    critical_percent: int = 95

    def begins_at(self, level: Level) -> int:
        """Return the percentage at which a level begins."""
        return {"ok": 0, "warn": self.warn_percent, "critical": self.critical_percent, "full": 100}[level]


def judge(size_bytes: int, thresholds: Thresholds, previous: Level = "ok") -> Level:
    """Return how serious a size is for a shard that was at the level `previous`.

    It rises as soon as a threshold is reached, and falls when it is HYSTERESIS_PERCENT below.
    """
    reached = _highest(size_bytes, thresholds, 0)
    if LEVELS.index(reached) >= LEVELS.index(previous):
        return reached
    kept = _highest(size_bytes, thresholds, HYSTERESIS_PERCENT)
    return min(kept, previous, key=LEVELS.index)


def _highest(size_bytes: int, thresholds: Thresholds, less_percent: int) -> Level:
    def is_reached(level: Level) -> bool:
        return size_bytes * 100 >= thresholds.limit_bytes * (thresholds.begins_at(level) - less_percent)

    return next(level for level in reversed(LEVELS) if level == "ok" or is_reached(level))


def full_on(history: Sequence[tuple[int, int]], limit_bytes: int, *, now_ms: int) -> int | None:
    """Return when a shard reaches its limit, by the straight line that fits its history of (measured_at, size_bytes)
    best; None where it does not grow, where that is too far away, or where there is too little to go by.

    What was measured later than now, before the clock went back, is left out.
    """
    points = [(at, size) for at, size in history if at <= now_ms]
    if not points or max(at for at, _ in points) - min(at for at, _ in points) < SPAN_MS_MIN:
        return None
    middle_at = sum(at for at, _ in points) / len(points)
    middle_size = sum(size for _, size in points) / len(points)
    spread = sum((at - middle_at) ** 2 for at, _ in points)
    slope = sum((at - middle_at) * (size - middle_size) for at, size in points) / spread
    latest = max(points)[1]
    if latest >= limit_bytes:
        return now_ms
    if slope <= 0 or (limit_bytes - latest) / slope > HORIZON_MS:
        return None
    return now_ms + int((limit_bytes - latest) / slope)

"""Levels of a shard's size, and a forecast of the day on which it is full: pure functions.

The size that counts is what a shard uses: free pages take the next messages before its file grows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from directory.shards import LEVELS, Level

HYSTERESIS_PERCENT: Final = 2
"""Distance below its threshold at which a shard leaves a level, so that a size near it raises no second alert."""
DAY_MS: Final = 86_400_000
SPAN_MS_MIN: Final = 6 * 3_600_000
"""Shortest history for a forecast: in a shorter one, an import looks like a room that is full tomorrow."""
HORIZON_MS: Final = 3_650 * DAY_MS
"""Farthest day of a forecast: ten years."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds of the levels, in percent of `limit_bytes`; `full` begins at the limit itself."""

    limit_bytes: int
    warn_percent: int = 80
    critical_percent: int = 95

    def begins_at(self, level: Level) -> int:
        """Return the percentage at which a level begins."""
        return {"ok": 0, "warn": self.warn_percent, "critical": self.critical_percent, "full": 100}[level]


def judge(size_bytes: int, thresholds: Thresholds, previous: Level = "ok") -> Level:
    """Return the level of a size, for a shard that was at the level `previous`.

    It rises as soon as a threshold is reached, and falls when it is HYSTERESIS_PERCENT below.
    """
    reached = _highest(size_bytes, thresholds, 0)
    if LEVELS.index(reached) >= LEVELS.index(previous):
        return reached
    kept = _highest(size_bytes, thresholds, HYSTERESIS_PERCENT)
    return min(kept, previous, key=LEVELS.index)


def opens_below(limit_bytes: int) -> int:
    """Return the size below which a full shard takes messages again."""
    return limit_bytes * (100 - HYSTERESIS_PERCENT) // 100


def _highest(size_bytes: int, thresholds: Thresholds, less_percent: int) -> Level:
    def is_reached(level: Level) -> bool:
        return size_bytes * 100 >= thresholds.limit_bytes * (thresholds.begins_at(level) - less_percent)

    return next(level for level in reversed(LEVELS) if level == "ok" or is_reached(level))


def full_on(history: Sequence[tuple[int, int]], limit_bytes: int, *, now_ms: int) -> int | None:
    """Return the time at which a shard reaches its limit, in milliseconds UTC, by the least-squares line through its
    history of (measured_at, size_bytes). None where it does not grow, for a too distant day, or a too short history.

    Measurements later than now, from before the clock was set back, are left out.
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

"""How serious a size is, and when a shard will be full."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.shards import LEVELS, Level
from monitor import levels
from monitor.levels import DAY_MS, HYSTERESIS_PERCENT, Thresholds, full_on, judge

THRESHOLDS = Thresholds(2_000_000, 80, 95)
NOW_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    ("size_bytes", "level"),
    [
        (0, "ok"),
        (1_599_999, "ok"),
        (1_600_000, "warn"),
        (1_899_999, "warn"),
        (1_900_000, "critical"),
        (1_999_999, "critical"),
        (2_000_000, "full"),
        (9_000_000, "full"),
    ],
)
def test_a_level_begins_at_its_percentage(size_bytes: int, level: Level) -> None:
    """A size that rises has the highest level whose percentage of the limit it reaches."""
    assert judge(size_bytes, THRESHOLDS) == level


@pytest.mark.parametrize(
    ("size_bytes", "previous", "level"),
    [
        (1_599_999, "warn", "warn"),
        (1_560_000, "warn", "warn"),
        (1_559_999, "warn", "ok"),
        (1_999_999, "full", "full"),
        (1_960_000, "full", "full"),
        (1_959_999, "full", "critical"),
        (1_860_000, "full", "critical"),
        (1_859_999, "full", "warn"),
        (1_570_000, "full", "warn"),
        (0, "full", "ok"),
        (1_900_000, "warn", "critical"),
        (1_599_999, "ok", "ok"),
    ],
)
def test_a_level_is_left_below_its_percentage(size_bytes: int, previous: Level, level: Level) -> None:
    """A size that falls leaves a level only two percent of the limit below where it began, whatever the step."""
    assert judge(size_bytes, THRESHOLDS, previous) == level


@given(
    sizes=st.lists(st.integers(0, 2_500_000), min_size=1, max_size=30),
    start=st.sampled_from(LEVELS),
)
def test_a_level_is_never_below_what_is_reached_nor_far_above(sizes: list[int], start: Level) -> None:
    """Along any course of sizes the level is what the size reaches, or kept from before within the hysteresis, and the
    same size again changes nothing."""
    level = start
    for size in sizes:
        after = judge(size, THRESHOLDS, level)
        assert LEVELS.index(after) >= LEVELS.index(judge(size, THRESHOLDS))
        if LEVELS.index(after) > LEVELS.index(judge(size, THRESHOLDS)):
            assert LEVELS.index(after) <= LEVELS.index(level)
            floor = THRESHOLDS.begins_at(after) - HYSTERESIS_PERCENT
            assert size * 100 >= THRESHOLDS.limit_bytes * floor
        assert judge(size, THRESHOLDS, after) == after
        level = after


def test_a_size_that_wavers_changes_its_level_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Round a threshold the level changes once, and without hysteresis this test would see it change each time."""

    def changes() -> int:
        level: Level = "ok"
        count = 0
        for number in range(20):
            after = judge(1_600_000 - number % 2 * 2_048, THRESHOLDS, level)
            count, level = count + (after != level), after
        return count

    assert changes() == 1
    monkeypatch.setattr(levels, "HYSTERESIS_PERCENT", 0)
    assert changes() == 20


def test_the_forecast_follows_the_growth() -> None:
    """A shard that grew by 10 a day, and has 100 left, is full in ten days."""
    history = [(NOW_MS - day * DAY_MS, 900 - 10 * day) for day in range(8)]
    assert full_on(history, 1_000, now_ms=NOW_MS) == pytest.approx(NOW_MS + 10 * DAY_MS, abs=1_000)


@pytest.mark.parametrize(
    "history",
    [
        [],
        [(NOW_MS, 900)],
        [(NOW_MS - 3_600_000, 100), (NOW_MS, 900)],
        [(NOW_MS - day * DAY_MS, 900) for day in range(5)],
        [(NOW_MS - day * DAY_MS, 900 + day) for day in range(5)],
        [(NOW_MS - 30 * DAY_MS, 100), (NOW_MS, 101)],
        [(NOW_MS - 10 * DAY_MS, 500), (NOW_MS, 500), (NOW_MS + DAY_MS, 999)],
    ],
    ids=["nothing", "one", "one hour", "no growth", "shrinks", "too far", "measured before the clock went back"],
)
def test_there_is_no_forecast_without_growth(history: list[tuple[int, int]]) -> None:
    """Too short a history, none that grows, or a day ten years away give no forecast."""
    assert full_on(history, 1_000, now_ms=NOW_MS) is None


def test_what_is_full_is_full_now() -> None:
    """A shard at its limit is forecast for now."""
    history = [(NOW_MS - DAY_MS, 900), (NOW_MS, 1_000)]
    assert full_on(history, 1_000, now_ms=NOW_MS) == NOW_MS

"""When the cron expressions of the settings fire."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import crons


def minute(text: str) -> int:
    """Return a minute since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) // 60


@pytest.mark.parametrize(
    ("cron", "yes", "no"),
    [
        ("* * * * *", ["2026-11-29 00:00", "2026-02-28 23:59"], []),
        ("*/5 * * * *", ["2026-11-29 00:00", "2026-11-29 00:55"], ["2026-11-29 00:01"]),
        ("7-20/6 * * * *", ["2026-11-29 00:07", "2026-11-29 00:19"], ["2026-11-29 00:06", "2026-11-29 00:20"]),
        ("0 3,15 * * *", ["2026-11-29 03:00", "2026-11-29 15:00"], ["2026-11-29 03:01", "2026-11-29 04:00"]),
        ("0 0 1 */3 *", ["2026-01-01 00:00", "2026-04-01 00:00"], ["2026-02-01 00:00", "2026-01-02 00:00"]),
        ("30 4 * * 0", ["2026-11-29 04:30"], ["2026-11-30 04:30"]),
        ("30 4 13 * 5", ["2026-11-13 04:30", "2026-11-27 04:30", "2026-12-13 04:30"], ["2026-11-26 04:30"]),
        ("30 4 1-7/2 * */2", ["2026-11-01 04:30", "2026-11-03 04:30"], ["2026-11-02 04:30", "2026-11-08 04:30"]),
        ("0 0 * feb,NOV mon-Fri", ["2026-11-30 00:00", "2026-02-02 00:00"], ["2026-11-29 00:00", "2026-12-01 00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00"], ["2027-02-28 00:00", "2027-03-01 00:00"]),
        ("30 4 13 * *", ["2026-11-13 04:30"], ["2026-11-27 04:30"]),
    ],
)
def test_an_expression_fires_in_its_minutes(cron: str, yes: list[str], no: list[str]) -> None:
    """An expression fires in each minute that all its fields have, with days of the month or of the week."""
    assert [text for text in yes if not crons.fires([cron], minute(text))] == []
    assert [text for text in no if crons.fires([cron], minute(text))] == []


def test_expressions_are_alternatives() -> None:
    """Of several expressions one is enough, and of none nothing fires."""
    assert crons.fires(["0 1 * * *", "0 2 * * *"], minute("2026-11-29 02:00"))
    assert not crons.fires([], minute("2026-11-29 02:00"))


@pytest.mark.parametrize(
    ("expressions", "after", "expected"),
    [
        (["*/5 * * * *"], "2026-11-29 00:00", "2026-11-29 00:05"),
        (["0 4 * * *", "30 3 * * SUN"], "2026-11-29 00:00", "2026-11-29 03:30"),
        (["0 0 29 2 *"], "2026-11-29 00:00", "2028-02-29 00:00"),
        (["0 0 29 2 */7"], "2097-01-01 00:00", "2128-02-29 00:00"),
    ],
)
def test_the_next_minute_is_computed(expressions: list[str], after: str, expected: str) -> None:
    """The next minute is that of whichever expression fires first, however many years away."""
    assert crons.next_after(expressions, minute(after)) == minute(expected)


def test_nothing_is_next_of_nothing() -> None:
    """Without expressions there is no next minute."""
    assert crons.next_after([], minute("2026-11-29 00:00")) is None


@given(
    cron=st.from_regex(r"(\*/[1-9]|[1-5]?[0-9]) (\*|[0-9]|1?[0-9]-2[0-3]) (\*|[1-9]) \* (\*|[0-6])", fullmatch=True),
    at=st.integers(0, 10_000_000),
)
def test_nothing_fires_before_the_next_minute(cron: str, at: int) -> None:
    """An expression fires in the minute that is told to be next, and in none of those shortly before it."""
    following = crons.next_after([cron], at)
    assert following is not None
    assert following > at
    assert crons.fires([cron], following)
    assert not any(crons.fires([cron], minute) for minute in range(max(at + 1, following - 50), following))

"""When the cron expressions of the settings fire."""

from datetime import UTC, datetime

import pytest

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

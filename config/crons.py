"""When a cron expression fires: asked minute by minute, so that a clock that jumps can neither delay nor double it."""

from collections.abc import Iterable
from datetime import UTC, datetime


def fires(crons: Iterable[str], minute: int) -> bool:
    """Tell whether one of these expressions, as the settings have them, fires in a minute since 1970, UTC.

    As in POSIX crontab, a day counts when it is one of the month's or one of the week's, where both are given.
    """
    moment = datetime.fromtimestamp(minute * 60, UTC)
    return any(_fires(cron, moment) for cron in crons)


def _fires(cron: str, moment: datetime) -> bool:
    minute, hour, day, month, weekday = cron.split()
    is_day = _has(day, moment.day, 1)
    is_weekday = _has(weekday, moment.isoweekday() % 7, 0)
    is_either = is_day or is_weekday if "*" not in (day[0], weekday[0]) else is_day and is_weekday
    return _has(minute, moment.minute, 0) and _has(hour, moment.hour, 0) and _has(month, moment.month, 1) and is_either


def _has(field: str, value: int, lowest: int) -> bool:
    return any(_part_has(part, value, lowest) for part in field.split(","))


def _part_has(part: str, value: int, lowest: int) -> bool:
    span, _, step = part.partition("/")
    first, _, last = span.partition("-")
    low = lowest if span == "*" else int(first)
    high = value if span == "*" else int(last or first)
    return low <= value <= high and (value - low) % int(step or 1) == 0

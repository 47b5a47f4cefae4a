"""Cron expressions of the settings, in UTC, read by cronsim.

As in Debian's cron, a day counts when it is one of the month's or one of the week's, where neither field begins with *.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from cronsim import CronSim, CronSimError

FIELDS: Final = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 6))
"""Names and bounds as POSIX crontab has them (day 0 is Sunday)."""

_VALUE: Final = "(?:[0-9]{1,3}|[A-Za-z]{3})"
_PART: Final = rf"(?:(?:\*|{_VALUE}-{_VALUE})(?:/[0-9]{{1,3}})?|{_VALUE})"
_FIELD: Final = re.compile(rf"{_PART}(?:,{_PART})*")
"""The syntax that the settings page promises; cronsim reads more (seconds, L, #), of which crons differ."""

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def is_field(text: str, at: int) -> bool:
    """Return whether a text can be the field at a position in FIELDS."""
    if not _FIELD.fullmatch(text) or any(int(number) > FIELDS[at][2] for number in re.findall("[0-9]+", text)):
        return False
    return is_possible(" ".join(["*"] * at + [text] + ["*"] * (len(FIELDS) - at - 1)))


def is_possible(cron: str) -> bool:
    """Return whether an expression names times that exist: 31 February never comes."""
    try:
        CronSim(cron, _EPOCH)
    except CronSimError:
        return False
    return True


def next_after(crons: Iterable[str], minute: int) -> int | None:
    """Return the first minute after another, both since 1970, in which one of these expressions fires.

    None when none does within 50 years.
    """
    moment = datetime.fromtimestamp(minute * 60, UTC)
    found = (next(CronSim(cron, moment), None) for cron in crons)
    return min((int(each.timestamp()) // 60 for each in found if each is not None), default=None)


def fires(crons: Iterable[str], minute: int) -> bool:
    """Return whether one of these expressions, as the settings have them, fires in a minute since 1970."""
    return next_after(crons, minute - 1) == minute

"""Rows of `failures`: work on single rooms and objects that failed unexpectedly, and when it is tried again.

A row is written by each failed try and removed by the first that succeeds, so the table is what does not work now.
"""

from dataclasses import dataclass
from typing import Final

import ids
from directory.database import Reader, Writer

FIRST_RETRY_MS: Final = 300_000
"""The pause after the first failure; each further one doubles it."""
RETRY_MS_MAX: Final = 86_400_000
"""The longest pause: a day."""
LISTED_MAX: Final = 1_000
"""Rows that are read at once: where more fails, it is not single items that are at fault."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Work that failed: on which room or object, after how many tries; times in milliseconds UTC."""

    work: str
    item: str
    room_id: ids.RoomId | None
    tries: int
    reason: str
    failed_at: int
    next_try_at: int


def retry_ms(tries: int) -> int:
    """Return the pause after so many failures in a row."""
    return min(RETRY_MS_MAX, FIRST_RETRY_MS << min(tries - 1, 20))


async def note(
    writer: Writer, work: str, item: str, room_id: ids.RoomId | None, reason: str, *, tries: int, now_ms: int
) -> Failure:
    """Write down a failed try, the `tries`th in a row, and return its row."""
    found = Failure(work, item[:600], room_id, tries, reason[:1000], now_ms, now_ms + retry_ms(tries))
    await writer.execute(
        "INSERT INTO failures (work, item, room_id, tries, reason, failed_at, next_try_at) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) "
        "ON CONFLICT (work, item) DO UPDATE SET tries = ?4, reason = ?5, next_try_at = ?7",
        (found.work, found.item, room_id, tries, found.reason, now_ms, found.next_try_at),
    )
    return found


async def forget(writer: Writer, work: str, item: str) -> None:
    """Forget a failure, after a try that succeeded."""
    await writer.execute("DELETE FROM failures WHERE work = ? AND item = ?", (work, item[:600]))


async def list_all(reader: Reader) -> list[Failure]:
    """Return what does not work now, LISTED_MAX at most, by work and item."""
    rows = await reader.fetch_all(
        "SELECT work, item, room_id, tries, reason, failed_at, next_try_at FROM failures ORDER BY work, item LIMIT ?",
        (LISTED_MAX,),
    )
    return [Failure(*row) for row in rows]


async def count(reader: Reader) -> int:
    """Return how many rooms and objects are set aside now."""
    row = await reader.fetch_one("SELECT count(*) FROM failures")
    assert row is not None
    return int(row[0])

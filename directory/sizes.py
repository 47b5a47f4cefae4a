"""Measurements of shards: the newest in `shards`, one for each hour in `shard_sizes`, for the forecast.

Shards are measured in batches, and each batch is one transaction with all that follows from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import ids
from directory.database import Reader, Writer
from directory.shards import Level

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
HOURLY_MS: Final = 7 * DAY_MS
"""Time that every hour of a shard's history is kept; of older days only the last hour is."""
KEPT_MS: Final = 400 * DAY_MS
"""Time that a day of it is kept: a day can be compared with the same day of the year before."""
FORGOTTEN_AT_ONCE: Final = 5_000
"""Rows of the history that one call removes, about 20 ms; the next call continues."""
HISTORY_MAX: Final = 1_000
"""Rows of one shard's history that are read at once: more than there are."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measurement of a shard at `measured_at`, in milliseconds UTC, with the level that follows from it.

    `seen_as` is the state of its files before, None if a later write may have left that state looking the same.
    """

    room_id: ids.RoomId
    schema_version: int
    size_bytes: int
    wal_bytes: int
    freelist_bytes: int
    message_count: int
    last_seq: int
    measured_at: int
    level: Level = "ok"
    full_at: int | None = None
    seen_as: str | None = None

    @property
    def used_bytes(self) -> int:
        """The bytes of the file in use."""
        return self.size_bytes - self.freelist_bytes


async def record(writer: Writer, seen: Sequence[Measurement]) -> None:
    """Store measurements in the index and in the history; rooms deleted meanwhile are skipped.

    This clears a problem that kept the shard from being measured before.
    """
    await writer.execute_many(
        "UPDATE shards SET schema_version = ?, size_bytes = ?, wal_bytes = ?, freelist_bytes = ?, message_count = ?, "
        "last_seq = ?, level = ?, checked_at = ?, full_at = ?, seen_as = ?, "
        "problem = iif(quarantined_at IS NULL, NULL, problem) WHERE room_id = ? AND ordinal = 0",
        [
            (
                each.schema_version,
                each.size_bytes,
                each.wal_bytes,
                each.freelist_bytes,
                each.message_count,
                each.last_seq,
                each.level,
                each.measured_at,
                each.full_at,
                each.seen_as,
                each.room_id,
            )
            for each in seen
        ],
    )
    await writer.execute_many(
        "INSERT INTO shard_sizes (room_id, ordinal, measured_at, size_bytes) "
        "SELECT room_id, 0, ?2, ?3 FROM shards WHERE room_id = ?1 AND ordinal = 0 "
        "ON CONFLICT DO UPDATE SET size_bytes = excluded.size_bytes",
        [(each.room_id, each.measured_at - each.measured_at % HOUR_MS, each.used_bytes) for each in seen],
    )
    await writer.execute_many(
        "UPDATE rooms SET message_count = ? WHERE id = ?", [(each.message_count, each.room_id) for each in seen]
    )


async def history(
    reader: Reader, room_id: ids.RoomId, *, since_ms: int, limit: int = HISTORY_MAX
) -> list[tuple[int, int]]:
    """Return pairs of (measured_at, used bytes) since a time, newest first; measured_at is the hour's beginning."""
    rows = await reader.fetch_all(
        "SELECT measured_at, size_bytes FROM shard_sizes WHERE room_id = ? AND ordinal = 0 AND measured_at >= ? "
        "ORDER BY measured_at DESC LIMIT ?",
        (room_id, since_ms, limit),
    )
    return [(row[0], row[1]) for row in rows]


async def thin(writer: Writer, *, now_ms: int) -> int:
    """Remove a bounded number of rows that are too old from the history, and return their number."""
    row = await writer.fetch_one("SELECT min(measured_at) FROM shard_sizes")
    if row is None or row[0] is None or row[0] >= now_ms - HOURLY_MS:
        return 0
    # Two days at a time: after a monitor did not run for longer, later runs remove the remaining hours.
    old = await writer.fetch_all(
        "SELECT room_id, measured_at FROM shard_sizes WHERE measured_at < ?1 LIMIT ?2",
        (now_ms - KEPT_MS, FORGOTTEN_AT_ONCE),
    )
    old += await writer.fetch_all(
        "SELECT s.room_id, s.measured_at FROM shard_sizes s WHERE s.measured_at >= ?1 AND s.measured_at < ?2 "
        "AND EXISTS (SELECT 1 FROM shard_sizes later WHERE later.room_id = s.room_id AND later.ordinal = s.ordinal "
        "AND later.measured_at > s.measured_at AND later.measured_at < s.measured_at - s.measured_at % ?3 + ?3) "
        "LIMIT ?4",
        (now_ms - HOURLY_MS - 2 * DAY_MS, now_ms - HOURLY_MS, DAY_MS, FORGOTTEN_AT_ONCE),
    )
    await writer.execute_many("DELETE FROM shard_sizes WHERE room_id = ? AND ordinal = 0 AND measured_at = ?", old)
    return len(old)


async def of_directory(reader: Reader) -> int:
    """Return the bytes of the directory's own file in use, without free pages."""
    row = await reader.fetch_one(
        "SELECT (p.page_count - f.freelist_count) * s.page_size "
        "FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s"
    )
    assert row is not None
    return int(row[0])

"""Rows of `shards` and `shard_sizes`: what each shard last said of itself. The shard is the truth, this an index."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import ids
from directory import errors
from directory.database import Reader, Writer

Level = Literal["ok", "warn", "critical", "full"]


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of one room; times in milliseconds UTC."""

    room_id: ids.RoomId
    ordinal: int
    database_id: str
    schema_version: int
    size_bytes: int
    wal_bytes: int
    freelist_bytes: int
    message_count: int
    last_seq: int
    level: Level
    checked_at: int | None
    hibernated_at: int | None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was seen of a shard at `measured_at`, in milliseconds UTC."""

    schema_version: int
    size_bytes: int
    wal_bytes: int
    freelist_bytes: int
    message_count: int
    last_seq: int
    measured_at: int


async def find(reader: Reader, room_id: ids.RoomId, ordinal: int = 0) -> Shard:
    """Return a shard's row; raises RoomNotFoundError."""
    row = await reader.fetch_one(
        "SELECT room_id, ordinal, database_id, schema_version, size_bytes, wal_bytes, freelist_bytes, message_count, "
        "last_seq, level, checked_at, hibernated_at FROM shards WHERE room_id = ? AND ordinal = ?",
        (room_id, ordinal),
    )
    if row is None:
        raise errors.RoomNotFoundError(room_id)
    return Shard(*row)


async def record(
    writer: Writer, room_id: ids.RoomId, seen: Measurement, *, level: Level = "ok", ordinal: int = 0
) -> None:
    """Keep a measurement, in the index and in the history of sizes; raises RoomNotFoundError."""
    row = await writer.fetch_one(
        "UPDATE shards SET schema_version = ?, size_bytes = ?, wal_bytes = ?, freelist_bytes = ?, message_count = ?, "
        "last_seq = ?, level = ?, checked_at = ? WHERE room_id = ? AND ordinal = ? RETURNING room_id",
        (
            seen.schema_version,
            seen.size_bytes,
            seen.wal_bytes,
            seen.freelist_bytes,
            seen.message_count,
            seen.last_seq,
            level,
            seen.measured_at,
            room_id,
            ordinal,
        ),
    )
    if row is None:
        raise errors.RoomNotFoundError(room_id)
    await writer.execute(
        "INSERT INTO shard_sizes (room_id, ordinal, measured_at, size_bytes) VALUES (?1, ?2, ?3, ?4) "
        "ON CONFLICT DO UPDATE SET size_bytes = ?4",
        (room_id, ordinal, seen.measured_at, seen.size_bytes),
    )
    await writer.execute(
        "UPDATE rooms SET message_count = (SELECT sum(message_count) FROM shards WHERE room_id = ?1) WHERE id = ?1",
        (room_id,),
    )


async def sizes(
    reader: Reader, room_id: ids.RoomId, *, since_ms: int, ordinal: int = 0, limit: int = 1_000
) -> list[tuple[int, int]]:
    """Return the newest pairs of (measured_at, size_bytes) since a time, newest first."""
    rows = await reader.fetch_all(
        "SELECT measured_at, size_bytes FROM shard_sizes WHERE room_id = ? AND ordinal = ? AND measured_at >= ? "
        "ORDER BY measured_at DESC LIMIT ?",
        (room_id, ordinal, since_ms, limit),
    )
    return [(row[0], row[1]) for row in rows]


async def note_seqs(writer: Writer, last_seqs: Mapping[ids.RoomId, int]) -> None:
    """Keep how far the logs of some rooms go; a number never goes back."""
    await writer.execute_many(
        "UPDATE shards SET last_seq = max(last_seq, ?2) WHERE room_id = ?1 AND ordinal = 0", list(last_seqs.items())
    )

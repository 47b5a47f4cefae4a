"""Scrubs of objects, in rows of `shards`: when those of each room were last compared, and what of them is lost."""

from typing import Final

import ids
from directory.database import Reader, Writer

_LIVING: Final = (
    "ordinal = 0 AND EXISTS "
    "(SELECT 1 FROM rooms r WHERE r.id = shards.room_id AND r.state IN ('active', 'readonly', 'hibernated'))"
)


async def due(reader: Reader, *, before_ms: int, limit: int) -> list[ids.RoomId]:
    """Return the rooms whose objects were compared before a time, the longest ago first, those never compared before
    all."""
    rows = await reader.fetch_all(
        f"SELECT room_id FROM shards WHERE scrubbed_at < ? AND {_LIVING} "  # noqa: S608
        "ORDER BY scrubbed_at LIMIT ?",
        (before_ms, limit),
    )
    return [ids.RoomId(row[0]) for row in rows]


async def note(writer: Writer, room_id: ids.RoomId, lost: str | None, *, now_ms: int) -> str | None:
    """Store that a room's objects were compared, and what is lost, None for nothing; return what was known before."""
    row = await writer.fetch_one("SELECT lost FROM shards WHERE room_id = ? AND ordinal = 0", (room_id,))
    await writer.execute(
        "UPDATE shards SET scrubbed_at = ?, lost = ? WHERE room_id = ? AND ordinal = 0",
        (now_ms, lost and lost[:1000], room_id),
    )
    return None if row is None else row[0]


async def note_visited(writer: Writer, room_id: ids.RoomId, *, now_ms: int) -> None:
    """Store that a room had its turn, without a result."""
    await writer.execute("UPDATE shards SET scrubbed_at = ? WHERE room_id = ? AND ordinal = 0", (now_ms, room_id))


async def state(reader: Reader) -> tuple[int, int]:
    """Return when the longest uncompared room was compared (0: never), and how many rooms have lost something."""
    row = await reader.fetch_one(
        f"SELECT min(scrubbed_at), count(lost) FROM shards WHERE {_LIVING}"  # noqa: S608
    )
    return (0, 0) if row is None else (row[0] or 0, row[1])

"""Rows of `hibernations`: the objects of hibernated rooms. At any moment they tell the valid copy of a room.

A row begins as `storing`, before its object is put; one transaction makes it `asleep` and the room hibernated, another
makes it `awake` and the room active. An object is removed only when its row says that it is unused, then its row.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import orjson

import ids
from directory.changes import RoomChanged
from directory.database import Reader, Writer

PAGE_MAX: Final = 500
"""Hibernated rooms of one page."""
USED_EVERY_MS: Final = 3_600_000
"""Precision of the time when a room was last used: a finer one would be a write for every room and minute."""
PUT_OFF_MS: Final = 86_400_000
"""Delay until a room that cannot hibernate, because something is under way in it, is tried again."""
LEFT_MS: Final = 86_400_000
"""Time that an unused object is kept: a put whose answer was lost may still be under way, and a backup whose copy of
the directory is from before the room woke may not have reached it yet."""

State = Literal["storing", "asleep", "awake"]


@dataclass(frozen=True, slots=True)
class Hibernation:
    """One room as one object; hashes are SHA-256 in hexadecimal, `file_bytes` is the size of the unpacked file."""

    id: int
    room_id: ids.RoomId
    state: State
    object_key: str
    size_bytes: int
    sha256: str
    file_bytes: int
    file_sha256: str


_COLUMNS: Final = "id, room_id, state, object_key, size_bytes, sha256, file_bytes, file_sha256"


async def begin(
    writer: Writer,
    room_id: ids.RoomId,
    *,
    size_bytes: int,
    sha256: str,
    file_bytes: int,
    file_sha256: str,
    now_ms: int,
) -> Hibernation:
    """Insert the row of an object that is about to be put.

    Its key is never used again, even for the same bytes, so that removing an old object cannot remove a newer one.
    """
    number = await writer.next_id(now_ms)
    key = f"shards/{room_id}/{number}-{sha256}"
    await writer.execute(
        "INSERT INTO hibernations (id, room_id, object_key, size_bytes, sha256, file_bytes, file_sha256, changed_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (number, room_id, key, size_bytes, sha256, file_bytes, file_sha256, now_ms),
    )
    return Hibernation(number, room_id, "storing", key, size_bytes, sha256, file_bytes, file_sha256)


async def fall_asleep(writer: Writer, hibernation: Hibernation, *, last_seq: int, now_ms: int) -> bool:
    """Hibernate a room: its object becomes the valid copy. False when the room is not active any more."""
    room_id = hibernation.room_id
    row = await writer.fetch_one(
        "UPDATE rooms SET state = 'hibernated' WHERE id = ? AND state = 'active' RETURNING id", (room_id,)
    )
    if row is None:
        return False
    await writer.execute(
        "UPDATE shards SET hibernated_at = ?, last_seq = ?, wal_bytes = 0 WHERE room_id = ? AND ordinal = 0",
        (now_ms, last_seq, room_id),
    )
    await writer.execute(
        "UPDATE hibernations SET state = 'asleep', changed_at = ? WHERE id = ?", (now_ms, hibernation.id)
    )
    writer.tell(RoomChanged(room_id))
    return True


async def wake(writer: Writer, hibernation: Hibernation, *, now_ms: int) -> None:
    """Activate a hibernated room: its shard's file becomes the valid copy, and its object may be removed."""
    room_id = hibernation.room_id
    await writer.execute("UPDATE rooms SET state = 'active' WHERE id = ? AND state = 'hibernated'", (room_id,))
    await writer.execute(
        "UPDATE shards SET hibernated_at = NULL, used_at = ? WHERE room_id = ? AND ordinal = 0", (now_ms, room_id)
    )
    await writer.execute(
        "UPDATE hibernations SET state = 'awake', changed_at = ? WHERE id = ?", (now_ms, hibernation.id)
    )
    writer.tell(RoomChanged(room_id))


async def find_asleep(reader: Reader, room_id: ids.RoomId) -> Hibernation | None:
    """Return the object of a hibernated room; None for a room that is in its file."""
    row = await reader.fetch_one(
        f"SELECT {_COLUMNS} FROM hibernations WHERE room_id = ? AND state = 'asleep'",  # noqa: S608
        (room_id,),
    )
    return None if row is None else Hibernation(*row)


async def asleep(reader: Reader, *, after: int = 0) -> list[Hibernation]:
    """Return the objects of hibernated rooms, by room id, after a room id: at most PAGE_MAX."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM hibernations WHERE state = 'asleep' AND room_id > ? ORDER BY room_id LIMIT ?",  # noqa: S608
        (after, PAGE_MAX),
    )
    return [Hibernation(*row) for row in rows]


async def left(reader: Reader, *, now_ms: int) -> list[Hibernation]:
    """Return objects that have been unused for LEFT_MS, the longest unused first."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM hibernations WHERE state <> 'asleep' AND changed_at <= ? "  # noqa: S608
        "ORDER BY changed_at LIMIT ?",
        (now_ms - LEFT_MS, PAGE_MAX),
    )
    return [Hibernation(*row) for row in rows]


async def forget(writer: Writer, hibernation: Hibernation) -> None:
    """Delete the row of an object that was removed."""
    await writer.execute("DELETE FROM hibernations WHERE id = ? AND state <> 'asleep'", (hibernation.id,))


async def note_used(writer: Writer, room_ids: Iterable[ids.RoomId], *, now_ms: int) -> None:
    """Store that rooms were used; a stored time in the future came from a wrong clock, and is replaced."""
    await writer.execute(
        "UPDATE shards SET used_at = ?1 WHERE ordinal = 0 AND room_id IN (SELECT value FROM json_each(?2)) "
        "AND used_at NOT BETWEEN ?1 - ?3 AND ?1",
        (now_ms, orjson.dumps(list(room_ids)).decode(), USED_EVERY_MS),
    )


async def idle(reader: Reader, *, before_ms: int, limit: int) -> list[ids.RoomId]:
    """Return active rooms that were not used since a time, the longest unused first."""
    rows = await reader.fetch_all(
        "SELECT s.room_id FROM shards s CROSS JOIN rooms r ON r.id = s.room_id WHERE s.hibernated_at IS NULL "
        "AND s.used_at < ? AND s.ordinal = 0 AND s.quarantined_at IS NULL AND r.state = 'active' "
        "ORDER BY s.used_at LIMIT ?",
        (before_ms, limit),
    )
    return [row[0] for row in rows]


async def put_off(writer: Writer, room_id: ids.RoomId, *, before_ms: int) -> None:
    """Postpone by PUT_OFF_MS when `idle` returns a room again."""
    await writer.execute(
        "UPDATE shards SET used_at = ? WHERE room_id = ? AND ordinal = 0", (before_ms + PUT_OFF_MS, room_id)
    )

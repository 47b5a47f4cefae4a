"""Rows of `storage` and `file_rooms`: the bytes of files that each user stores, and the rooms due for a file check.

The shards are authoritative (`file_usage` in each); uploads are admitted by these rows, because no shard knows the
others. Space is reserved before a shard receives an upload, so that concurrent uploads cannot exceed the quota
together; the file check of the room corrects what a crash left too high or too low.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

import ids
from directory import errors
from directory.database import Reader, Writer

SETTLES_AFTER_MS: Final = 60_000
"""Time after a reservation in which the shard may not know of the upload yet; its writes give up much earlier."""
LOOK_EVERY_MS: Final = 24 * 3_600_000
"""Interval of the file check of a room; an upload without a message is kept so long."""


@dataclass(frozen=True, slots=True)
class FileRoom:
    """A room whose file check is due, from the key `place` on; `is_deleted` when the room is."""

    room_id: ids.RoomId
    place: str
    is_deleted: bool


async def used(reader: Reader, user_id: ids.UserId) -> int:
    """Return the number of bytes that a user stores, pending uploads included."""
    row = await reader.fetch_one("SELECT coalesce(sum(size_bytes), 0) FROM storage WHERE user_id = ?", (user_id,))
    return 0 if row is None else int(row[0])


async def reserve(
    writer: Writer, user_id: ids.UserId, room_id: ids.RoomId, size_bytes: int, *, user_bytes_max: int, now_ms: int
) -> int:
    """Reserve space for an upload, and return the bytes that the user then stores; raises QuotaExceededError.

    The file check of the room will be due when the upload is a day old.
    """
    row = await writer.fetch_one(
        "INSERT INTO storage (user_id, room_id, size_bytes, asked_at) SELECT ?1, ?2, ?3, ?5 "
        "WHERE ?3 + (SELECT coalesce(sum(size_bytes), 0) FROM storage WHERE user_id = ?1) <= ?4 "
        "ON CONFLICT (user_id, room_id) DO UPDATE SET size_bytes = size_bytes + excluded.size_bytes, "
        "asked_at = excluded.asked_at RETURNING user_id",
        (user_id, room_id, size_bytes, user_bytes_max, now_ms),
    )
    if row is None:
        raise errors.QuotaExceededError(await used(writer, user_id), size_bytes, user_bytes_max)
    await writer.execute(
        "INSERT INTO file_rooms (room_id, due_at) VALUES (?1, ?2) "
        "ON CONFLICT (room_id) DO UPDATE SET due_at = min(due_at, ?2)",
        (room_id, now_ms + LOOK_EVERY_MS),
    )
    return await used(writer, user_id)


async def release(writer: Writer, room_id: ids.RoomId, less: Mapping[ids.UserId, int]) -> None:
    """Subtract bytes from the usage of each of some users in a room."""
    await writer.execute_many(
        "UPDATE storage SET size_bytes = max(size_bytes - ?, 0) WHERE user_id = ? AND room_id = ?",
        [(size_bytes, user_id, room_id) for user_id, size_bytes in less.items()],
    )


async def has_files(reader: Reader, room_id: ids.RoomId) -> bool:
    """Return whether a room may have files."""
    return await reader.fetch_one("SELECT 1 FROM file_rooms WHERE room_id = ?", (room_id,)) is not None


async def take_due(writer: Writer, *, limit: int, now_ms: int) -> Sequence[FileRoom]:
    """Return rooms whose file check is due, the longest overdue first, and postpone each by a day, so that a check cut
    short by a crash is repeated then. A hibernated room has nothing to remove, and stays due until it wakes."""
    rows = await writer.fetch_all(
        "SELECT f.room_id, f.place, r.state = 'deleted' FROM file_rooms f JOIN rooms r ON r.id = f.room_id "
        "WHERE f.due_at <= ? AND r.state <> 'hibernated' ORDER BY f.due_at LIMIT ?",
        (now_ms, limit),
    )
    await writer.execute(
        "UPDATE file_rooms SET due_at = ? WHERE room_id IN (SELECT value FROM json_each(?))",
        (now_ms + LOOK_EVERY_MS, orjson.dumps([row[0] for row in rows]).decode()),
    )
    return [FileRoom(row[0], row[1], bool(row[2])) for row in rows]


async def go_on(writer: Writer, room_id: ids.RoomId, *, place: str, due_at: int) -> None:
    """Schedule the rest of a room's unfinished file check at a time (milliseconds UTC), from a key on."""
    await writer.execute("UPDATE file_rooms SET place = ?, due_at = ? WHERE room_id = ?", (place, due_at, room_id))


async def recount(writer: Writer, room_id: ids.RoomId, usage: Mapping[ids.UserId, int], *, now_ms: int) -> None:
    """Replace a room's rows by the usage that its shard has.

    Users who reserved space within SETTLES_AFTER_MS are skipped: the shard may not know of it yet. A room without
    stored files at this and the last count is not checked any more: until then bytes of abandoned uploads may still
    arrive.
    """
    if not usage:
        await writer.execute(
            "DELETE FROM file_rooms WHERE room_id = ?1 AND NOT EXISTS (SELECT 1 FROM storage WHERE room_id = ?1)",
            (room_id,),
        )
    packed = orjson.dumps(list(usage.items())).decode()
    settled = (room_id, now_ms - SETTLES_AFTER_MS)
    await writer.execute("DELETE FROM storage WHERE room_id = ? AND asked_at <= ?", settled)
    await writer.execute(
        "INSERT INTO storage (user_id, room_id, size_bytes, asked_at) "
        "SELECT o.value ->> 0, ?, o.value ->> 1, 0 FROM json_each(?) o "
        "WHERE EXISTS (SELECT 1 FROM users WHERE id = o.value ->> 0) ON CONFLICT DO NOTHING",
        (room_id, packed),
    )

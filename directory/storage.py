"""Rows of `storage` and `file_rooms`: how much everyone stores in files, and which rooms are to be looked through.

The shards are the truth (`file_usage` in each); these rows are what uploads are admitted against, because no shard
knows the others. Room is reserved before a shard hears of an upload, so that uploads asked for side by side cannot
exceed the quota together; what a crash leaves too much or too little is put right when the room is looked through.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

import ids
from directory import errors
from directory.database import Reader, Writer

SETTLES_AFTER_MS: Final = 60_000
"""How long after room was reserved the shard may not know of the upload yet; its writes give up much earlier."""
LOOK_EVERY_MS: Final = 24 * 3_600_000
"""How often a room with files is looked through: it is how long an upload without a message is kept."""


@dataclass(frozen=True, slots=True)
class FileRoom:
    """A room that is due, from the key `place` on; `is_deleted` when nobody can get in any more."""

    room_id: ids.RoomId
    place: str
    is_deleted: bool


async def used(reader: Reader, user_id: ids.UserId) -> int:
    """Return how many bytes somebody stores, uploads that are still to come included."""
    row = await reader.fetch_one("SELECT coalesce(sum(size_bytes), 0) FROM storage WHERE user_id = ?", (user_id,))
    return 0 if row is None else int(row[0])


async def reserve(
    writer: Writer, user_id: ids.UserId, room_id: ids.RoomId, size_bytes: int, *, user_bytes_max: int, now_ms: int
) -> int:
    """Reserve room for an upload, and return how many bytes the person then stores; raises QuotaExceededError.

    The room will be looked through when the upload is a day old.
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
    """Count so many bytes less in a room for each of some people."""
    await writer.execute_many(
        "UPDATE storage SET size_bytes = max(size_bytes - ?, 0) WHERE user_id = ? AND room_id = ?",
        [(size_bytes, user_id, room_id) for user_id, size_bytes in less.items()],
    )


async def has_files(reader: Reader, room_id: ids.RoomId) -> bool:
    """Tell whether a room may have files."""
    return await reader.fetch_one("SELECT 1 FROM file_rooms WHERE room_id = ?", (room_id,)) is not None


async def take_due(writer: Writer, *, limit: int, now_ms: int) -> Sequence[FileRoom]:
    """Return rooms that are due, the longest overdue first, and put each off by a day: whoever dies while looking
    through one comes back to it then. A room that is hibernated has nothing to remove, and stays due until it wakes."""
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
    """Have a room that is not through looked at again at a time (milliseconds UTC), from a key on."""
    await writer.execute("UPDATE file_rooms SET place = ?, due_at = ? WHERE room_id = ?", (place, due_at, room_id))


async def recount(writer: Writer, room_id: ids.RoomId, usage: Mapping[ids.UserId, int], *, now_ms: int) -> None:
    """Make a room's rows what its shard says.

    Whoever reserved room within SETTLES_AFTER_MS is left alone: the shard may not have said so yet. A room in which
    nobody stored anything at the last count either is looked through no more: until then bytes may still come for
    uploads that were given up.
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

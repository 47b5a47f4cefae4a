"""Rows of `hibernations`: which object holds a room that is away. They say where the truth of a room is, at any moment.

A row begins as `storing`, before its object is put; one transaction makes it `asleep` and the room hibernated, another
makes it `awake` and the room active. An object goes only when its row says that nobody needs it, and its row after it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import orjson

import ids
from directory.changes import RoomChanged
from directory.database import Reader, Writer

PAGE_MAX: Final = 500
"""Rows of one page."""
USED_EVERY_MS: Final = 3_600_000
"""How exactly it is known when a room was last used: more would be a write for every room and minute."""
PUT_OFF_MS: Final = 86_400_000
"""When a room is tried again that cannot hibernate because something is under way in it."""
LEFT_MS: Final = 86_400_000
"""How long an object that nobody needs is left: a put whose answer was lost may still be under way, and a backup whose
copy of the directory is from before the room woke may not have come to it yet."""

State = Literal["storing", "asleep", "awake"]


@dataclass(frozen=True, slots=True)
class Hibernation:
    """One room as one object; hashes are SHA-256 in hexadecimal, `file_bytes` is what comes out of it."""

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
    """Write down an object that is about to be put.

    Its key is never used again, also where the same bytes come again: an object on its way out takes no other along.
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
    """Make the object the room, unless the room is not active any more; return whether it is."""
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
    """Make the shard's file the room again; the object is to be removed then."""
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
    """Return the object that is a room now; None for a room that is in its file."""
    row = await reader.fetch_one(
        f"SELECT {_COLUMNS} FROM hibernations WHERE room_id = ? AND state = 'asleep'",  # noqa: S608
        (room_id,),
    )
    return None if row is None else Hibernation(*row)


async def asleep(reader: Reader, *, after: int = 0) -> list[Hibernation]:
    """Return the objects that are rooms now, by the ids of these, after one of them: at most PAGE_MAX."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM hibernations WHERE state = 'asleep' AND room_id > ? ORDER BY room_id LIMIT ?",  # noqa: S608
        (after, PAGE_MAX),
    )
    return [Hibernation(*row) for row in rows]


async def left(reader: Reader, *, now_ms: int) -> list[Hibernation]:
    """Return objects that nobody needs, those longest unneeded first, once they were left for LEFT_MS."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM hibernations WHERE state <> 'asleep' AND changed_at <= ? "  # noqa: S608
        "ORDER BY changed_at LIMIT ?",
        (now_ms - LEFT_MS, PAGE_MAX),
    )
    return [Hibernation(*row) for row in rows]


async def forget(writer: Writer, hibernation: Hibernation) -> None:
    """Forget an object that was removed."""
    await writer.execute("DELETE FROM hibernations WHERE id = ? AND state <> 'asleep'", (hibernation.id,))


async def note_used(writer: Writer, room_ids: Iterable[ids.RoomId], *, now_ms: int) -> None:
    """Keep that rooms are used; a time that is yet to come was told by a clock that was wrong."""
    await writer.execute(
        "UPDATE shards SET used_at = ?1 WHERE ordinal = 0 AND room_id IN (SELECT value FROM json_each(?2)) "
        "AND used_at NOT BETWEEN ?1 - ?3 AND ?1",
        (now_ms, orjson.dumps(list(room_ids)).decode(), USED_EVERY_MS),
    )


async def idle(reader: Reader, *, before_ms: int, limit: int) -> list[ids.RoomId]:
    """Return active rooms that nobody has used since a time, those longest unused first."""
    rows = await reader.fetch_all(
        "SELECT s.room_id FROM shards s CROSS JOIN rooms r ON r.id = s.room_id WHERE s.hibernated_at IS NULL "
        "AND s.used_at < ? AND s.ordinal = 0 AND s.quarantined_at IS NULL AND r.state = 'active' "
        "ORDER BY s.used_at LIMIT ?",
        (before_ms, limit),
    )
    return [row[0] for row in rows]


async def put_off(writer: Writer, room_id: ids.RoomId, *, before_ms: int) -> None:
    """Have `idle` return a room again PUT_OFF_MS after it would have."""
    await writer.execute(
        "UPDATE shards SET used_at = ? WHERE room_id = ? AND ordinal = 0", (before_ms + PUT_OFF_MS, room_id)
    )


async def count_asleep(reader: Reader) -> int:
    """Return how many rooms are hibernated."""
    row = await reader.fetch_one("SELECT count(*) FROM hibernations WHERE state = 'asleep'")
    return 0 if row is None else int(row[0])

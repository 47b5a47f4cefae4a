"""Rows of `room_members`: a user's index of rooms. Access is decided by the shard; this index is repaired from it.

The schema's triggers keep `rooms.member_count` right in the same transaction.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, TypedDict

import ids
from directory import errors, name_search
from directory.changes import MembersChanged
from directory.database import Reader, Writer

NotificationLevel = Literal["all", "mentions", "none"]

PAGE_MAX: Final = 200
"""Rows of one page of members."""
EXAMINED_MAX: Final = 5_000
"""Members whose names one search examines: 5 to 20 ms here for a name that none has, the longer the more names are
beyond ASCII; the next page examines the next ones."""


@dataclass(frozen=True, slots=True)
class Member:
    """One user in one room; times in milliseconds UTC."""

    room_id: ids.RoomId
    user_id: ids.UserId
    nickname: str | None
    joined_at: int
    last_read_at: int | None
    notification_level: NotificationLevel


class MemberFields(TypedDict, total=False):
    """The fields of a membership that may change; missing means unchanged."""

    nickname: str | None
    last_read_at: int | None
    notification_level: NotificationLevel


async def add(writer: Writer, room_id: ids.RoomId, user_id: ids.UserId, *, joined_at: int) -> bool:
    """Add a user to a room's index; False when it was there already. Raises ConstraintError for unknown ones."""
    row = await writer.fetch_one(
        "INSERT INTO room_members (room_id, user_id, joined_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING "
        "RETURNING user_id",
        (room_id, user_id, joined_at),
    )
    writer.tell(MembersChanged(room_id, (user_id,), are_in=True))
    return row is not None


async def add_many(writer: Writer, room_id: ids.RoomId, user_ids: Collection[ids.UserId], *, joined_at: int) -> None:
    """Add many users to a room's index; those that were there already stay as they are."""
    await writer.execute_many(
        "INSERT INTO room_members (room_id, user_id, joined_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [(room_id, user_id, joined_at) for user_id in user_ids],
    )
    writer.tell(MembersChanged(room_id, tuple(user_ids), are_in=True))


async def put(
    writer: Writer, room_id: ids.RoomId, user_id: ids.UserId, *, joined_at: int, nickname: str | None
) -> bool:
    """Add a user to a room's index with their nickname, or change it; False when both were there already."""
    row = await writer.fetch_one(
        "INSERT INTO room_members (room_id, user_id, joined_at, nickname) VALUES (?1, ?2, ?3, ?4) "
        "ON CONFLICT DO UPDATE SET nickname = ?4 WHERE nickname IS NOT ?4 RETURNING user_id",
        (room_id, user_id, joined_at, nickname),
    )
    writer.tell(MembersChanged(room_id, (user_id,), are_in=True))
    return row is not None


async def remove(writer: Writer, room_id: ids.RoomId, user_id: ids.UserId) -> bool:
    """Remove a user from a room's index; False when they were not in it."""
    row = await writer.fetch_one(
        "DELETE FROM room_members WHERE room_id = ? AND user_id = ? RETURNING user_id", (room_id, user_id)
    )
    writer.tell(MembersChanged(room_id, (user_id,), are_in=False))
    return row is not None


async def find(reader: Reader, room_id: ids.RoomId, user_id: ids.UserId) -> Member | None:
    """Return a user's row for a room, or None."""
    row = await reader.fetch_one(
        "SELECT room_id, user_id, nickname, joined_at, last_read_at, notification_level FROM room_members "
        "WHERE room_id = ? AND user_id = ?",
        (room_id, user_id),
    )
    return None if row is None else Member(*row)


async def search(
    reader: Reader, room_id: ids.RoomId, words: str, *, after: int = 0, limit: int = PAGE_MAX
) -> tuple[list[ids.UserId], int | None]:
    """Return members in whose nickname, username and display name each of the words begins a word, by id.

    Also returns the id that the next page begins after, None when all were examined; a page may be short or empty.
    """
    limit = min(limit, PAGE_MAX)
    # Looked up first: a LIMIT on members inside of the other query would keep it from being answered in order.
    last = await reader.fetch_one(
        "SELECT user_id FROM room_members WHERE room_id = ? AND user_id > ? ORDER BY user_id LIMIT 1 OFFSET ?",
        (room_id, after, EXAMINED_MAX - 1),
    )
    rows = await reader.fetch_all(
        "SELECT m.user_id FROM room_members m CROSS JOIN users u ON u.id = m.user_id "
        "WHERE m.room_id = ?1 AND m.user_id > ?2 AND m.user_id <= ?3 AND u.status <> 'deleted' "
        "AND have_beginnings(?4, u.username, u.display_name, m.nickname) "
        "ORDER BY m.user_id LIMIT ?5",
        (room_id, after, ids.ID_MAX if last is None else last[0], name_search.words_of(words), limit + 1),
    )
    found = [row[0] for row in rows[:limit]]
    if len(rows) > limit:
        return found, found[-1]
    return found, None if last is None else last[0]


async def update(writer: Writer, room_id: ids.RoomId, user_id: ids.UserId, fields: MemberFields) -> Member:
    """Change what is named in `fields`; raises RoomNotFoundError for someone who is not in the room."""
    member = await find(writer, room_id, user_id)
    if member is None:
        raise errors.RoomNotFoundError(room_id)
    await writer.execute(
        "UPDATE room_members SET nickname = ?, last_read_at = ?, notification_level = ? "
        "WHERE room_id = ? AND user_id = ?",
        (
            fields.get("nickname", member.nickname),
            fields.get("last_read_at", member.last_read_at),
            fields.get("notification_level", member.notification_level),
            room_id,
            user_id,
        ),
    )
    return Member(
        room_id,
        user_id,
        fields.get("nickname", member.nickname),
        member.joined_at,
        fields.get("last_read_at", member.last_read_at),
        fields.get("notification_level", member.notification_level),
    )

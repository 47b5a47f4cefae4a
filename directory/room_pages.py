"""Pages of rooms: the public directory, the rooms of one user, and the operator's list with sizes."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import ids
import word_forms
from database.connections import Row, with_flags
from directory.database import Reader
from directory.members import NotificationLevel
from directory.rooms import PAGE_MAX, Kind, State

START: Final = (2**63 - 1, 2**63 - 1)
"""The cursor before the first row of a page in descending order."""
EXAMINED_MAX: Final = 2_000
"""Communities that one search examines, the largest first: 5 to 25 ms here for a word that none has, the longer the
more texts are beyond ASCII; the next page examines the next ones."""


@dataclass(frozen=True, slots=True)
class PublicRoom:
    """The public facts of a public community. The cursor of the next page is its (member_count, id)."""

    id: ids.RoomId
    name: str
    display_name: str
    description: str | None
    icon_url: str | None
    banner_url: str | None
    is_verified: bool
    member_count: int
    message_count: int
    created_at: int


@dataclass(frozen=True, slots=True)
class OwnRoom:
    """A room that a user is in, with the user's facts in it. The cursor of the next page is its (joined_at, id)."""

    id: ids.RoomId
    kind: Kind
    name: str | None
    display_name: str | None
    icon_url: str | None
    owner_id: ids.UserId | None
    state: State
    member_count: int
    nickname: str | None
    joined_at: int
    last_read_at: int | None
    notification_level: NotificationLevel


@dataclass(frozen=True, slots=True)
class ListedRoom:
    """A room as its operator sees it, with the last measurement of its first shard."""

    id: ids.RoomId
    kind: Kind
    name: str | None
    display_name: str | None
    owner_id: ids.UserId | None
    state: State
    member_count: int
    message_count: int
    created_at: int
    database_id: str
    schema_version: int
    size_bytes: int
    wal_bytes: int
    freelist_bytes: int
    level: str
    checked_at: int | None
    quarantined_at: int | None


def _public_from_row(row: Row) -> PublicRoom:
    return PublicRoom(*with_flags(row, 6))


async def public(
    reader: Reader, words: Collection[str] = (), *, after: tuple[int, int] = START, limit: int = PAGE_MAX
) -> tuple[list[PublicRoom], tuple[int, int] | None]:
    """Return public communities, the largest first, after a cursor of (member_count, id): those that have all the words
    in their name, display name and description.

    Also returns the cursor of the next page, None when all were examined; a page may be short or empty.
    """
    limit = min(limit, PAGE_MAX)
    # Looked up first: a LIMIT on rooms inside of the other query would keep it from being answered in order.
    last = await reader.fetch_one(
        "SELECT member_count, id FROM rooms WHERE is_public = 1 AND (member_count, id) < (?, ?) "
        "ORDER BY member_count DESC, id DESC LIMIT 1 OFFSET ?",
        (*after, EXAMINED_MAX - 1),
    )
    rows = await reader.fetch_all(
        "SELECT id, name, display_name, description, icon_url, banner_url, is_verified, member_count, message_count, "
        "created_at FROM rooms WHERE is_public = 1 AND state IN ('active', 'readonly', 'hibernated') "
        "AND (member_count, id) < (?1, ?2) AND (member_count, id) >= (?3, ?4) "
        "AND have_all(?5, name, display_name, description) ORDER BY member_count DESC, id DESC LIMIT ?6",
        (*after, *(last or (0, 0)), word_forms.spelled(" ".join(words)), limit + 1),
    )
    found = [_public_from_row(row) for row in rows[:limit]]
    if len(rows) > limit:
        return found, (found[-1].member_count, found[-1].id)
    return found, None if last is None else (last[0], last[1])


async def of_user(
    reader: Reader, user_id: ids.UserId, *, after: tuple[int, int] = START, limit: int = PAGE_MAX
) -> list[OwnRoom]:
    """Return the rooms of a user, the one joined last first, after a cursor of (joined_at, id)."""
    rows = await reader.fetch_all(
        "SELECT r.id, r.kind, r.name, r.display_name, r.icon_url, r.owner_id, r.state, r.member_count, m.nickname, "
        "m.joined_at, m.last_read_at, m.notification_level FROM room_members m JOIN rooms r ON r.id = m.room_id "
        "WHERE m.user_id = ? AND (m.joined_at, m.room_id) < (?, ?) AND r.state NOT IN ('creating', 'deleted') "
        "ORDER BY m.joined_at DESC, m.room_id DESC LIMIT ?",
        (user_id, *after, min(limit, PAGE_MAX)),
    )
    return [OwnRoom(*row) for row in rows]


async def all_rooms(reader: Reader, *, after: int = 0, limit: int = PAGE_MAX) -> list[ListedRoom]:
    """Return rooms in every state, the oldest first, after an id."""
    rows = await reader.fetch_all(
        "SELECT r.id, r.kind, r.name, r.display_name, r.owner_id, r.state, r.member_count, r.message_count, "
        "r.created_at, s.database_id, s.schema_version, s.size_bytes, s.wal_bytes, s.freelist_bytes, s.level, "
        "s.checked_at, s.quarantined_at FROM rooms r JOIN shards s ON s.room_id = r.id AND s.ordinal = 0 "
        "WHERE r.id > ? "
        "ORDER BY r.id LIMIT ?",
        (after, min(limit, PAGE_MAX)),
    )
    return [ListedRoom(*row) for row in rows]

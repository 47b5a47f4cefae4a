"""The only door: who may do what, asked in the same transaction that does it.

`open_room` is the only maker of a Membership, `open_channel` of a Channel (`open_for_webhook` where a token was asked
for), `open_category` of a Category, `open_channels` of a Sight and `open_member` of a Target; functions that read or
change a room take one of these instead of an id, so none can be called without the question having been asked. "Not
there" and "not yours to see" are the same NotFoundError. Roles and overwrites come packed
(migrations/shard/0004_permissions.sql), and what a text of them means is remembered by the text itself, so nothing that
is remembered can be out of date.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import orjson

from ids import CategoryId, ChannelId, RoomId, UserId
from shard import permissions
from shard.connections import Reader
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.permissions import Overwrite

OWNER_RANK: Final = 2**31
"""The owner stands above every role."""
WEBHOOK: Final = (
    permissions.VIEW_CHANNEL | permissions.SEND_MESSAGES | permissions.SEND_IN_THREADS | permissions.MANAGE_MESSAGES
)
"""What an incoming webhook may in its channel; the last is what announcement channels ask of a writer."""
REMEMBERED_MAX: Final = 2_048
"""Packed texts whose meaning is remembered; one is a few hundred bytes, ten thousand where a room has 250 roles."""


@dataclass(frozen=True, slots=True)
class Membership:
    """A member inside a room, with what they may do there.

    `rank` is the position of their highest role, 0 without one. In a time-out `permissions` has what is left.
    """

    user_id: UserId
    permissions: int
    rank: int
    is_owner: bool
    kind: str

    def may(self, need: int) -> bool:
        return self.permissions & need == need


class Channel(NamedTuple):
    """A channel that `user_id` sees, with what they may do in it."""

    id: ChannelId
    user_id: UserId
    permissions: int
    type: str
    is_archived: bool
    thread_mode: str
    slow_mode_seconds: int
    auto_archive_hours: int

    def may(self, need: int) -> bool:
        return self.permissions & need == need


class Category(NamedTuple):
    """A category, with what `user_id` may do in a channel that has its settings."""

    id: CategoryId
    user_id: UserId
    permissions: int
    is_private: bool


@dataclass(frozen=True, slots=True)
class Sight:
    """All that a member sees of a room: each visible channel with what they may do in it."""

    member: Membership
    channels: Mapping[ChannelId, int]

    def where(self, need: int) -> list[ChannelId]:
        """Return the channels in which the member may do what `need` says."""
        return [channel_id for channel_id, granted in self.channels.items() if granted & need == need]

    def require(self, channel_id: ChannelId, need: int) -> None:
        """Raise NotFoundError for a channel that is not seen, ForbiddenError for one where `need` is not granted."""
        if channel_id not in self.channels:
            raise NotFoundError("channel")
        require(self.channels[channel_id], need)


@dataclass(frozen=True, slots=True)
class Target:
    """A member whom somebody of a higher rank acts upon."""

    user_id: UserId
    rank: int


def open_room(reader: Reader, user_id: UserId, need: int, *, now_ms: int) -> Membership:
    """Return what a member may do in the room.

    Raises NotFoundError for whoever is not a member, ForbiddenError when `need` is not granted.
    """
    row = reader.one(_MEMBER, (user_id,))
    if row is None:
        raise NotFoundError("room")
    member = _member(reader.room_id, user_id, *row, now_ms=now_ms)
    require(member.permissions, need)
    return member


def open_community(reader: Reader, user_id: UserId, need: int, *, now_ms: int) -> Membership:
    """Do as `open_room`; raises ConflictError in direct and group chats, where there is nothing to shape."""
    member = open_room(reader, user_id, need, now_ms=now_ms)
    if member.kind != "community":
        raise ConflictError("Only communities have roles, categories and channels to shape.")
    return member


def _member(
    room_id: RoomId,
    user_id: UserId,
    kind: str,
    timed_out_until: int | None,
    owner_id: UserId | None,
    roles: str,
    own_roles: str,
    *,
    now_ms: int,
) -> Membership:
    is_owner = owner_id == user_id
    granted = in_room(room_id, user_id, owner_id, roles, own_roles)
    rank = OWNER_RANK if is_owner else _standing(room_id, roles, own_roles).rank
    return Membership(user_id, _now(granted, timed_out_until, now_ms), rank, is_owner, kind)


def in_room(room_id: RoomId, user_id: UserId, owner_id: UserId | None, roles: str, own_roles: str) -> int:
    """Return what a member may do in the room, when they are not in a time-out; packed as `in_place` takes it."""
    standing = _standing(room_id, roles, own_roles)
    return permissions.in_room(is_owner=owner_id == user_id, everyone=standing.everyone, roles=(standing.own,))


def open_channel(reader: Reader, user_id: UserId, channel_id: ChannelId, need: int, *, now_ms: int) -> Channel:
    """Return a channel for a member who sees it.

    Raises NotFoundError for whoever does not see it (strangers to the room included), ForbiddenError when they see
    it but `need` is not granted.
    """
    row = reader.one(_CHANNEL, (user_id, channel_id))
    if row is None:
        open_room(reader, user_id, 0, now_ms=now_ms)  # to a stranger the room itself is not there
        raise NotFoundError("channel")
    kind, is_archived, thread_mode, slow_mode_seconds, auto_archive_hours, timed_out_until, *place = row
    granted = _now(in_place(reader.room_id, user_id, *place), timed_out_until, now_ms)
    if not granted & permissions.VIEW_CHANNEL:
        raise NotFoundError("channel")
    require(granted, need)
    return Channel(
        channel_id, user_id, granted, kind, bool(is_archived), thread_mode, slow_mode_seconds, auto_archive_hours
    )


def open_for_webhook(reader: Reader, author_id: UserId, channel_id: ChannelId) -> Channel:
    """Return the channel of an incoming webhook whose token was asked for (`webhooks.opened_with`), to write in.

    It may what whoever put it there had to be able to: write, in announcement channels too, and in threads; it calls
    neither everyone nor roles that are not to be mentioned. Raises NotFoundError for a channel that is gone.
    """
    row = reader.one(_OF_WEBHOOK, (channel_id,))
    if row is None:
        raise NotFoundError("webhook")
    kind, is_archived, thread_mode, slow_mode_seconds, auto_archive_hours = row
    return Channel(
        channel_id, author_id, WEBHOOK, kind, bool(is_archived), thread_mode, slow_mode_seconds, auto_archive_hours
    )


def open_category(reader: Reader, user_id: UserId, category_id: CategoryId, need: int, *, now_ms: int) -> Category:
    """Return a category for a member who would see a channel with its settings; raises as `open_channel` does."""
    row = reader.one(_CATEGORY, (user_id, category_id))
    if row is None:
        open_room(reader, user_id, 0, now_ms=now_ms)
        raise NotFoundError("category")
    timed_out_until, *place = row
    granted = _now(in_place(reader.room_id, user_id, *place), timed_out_until, now_ms)
    if not granted & permissions.VIEW_CHANNEL:
        raise NotFoundError("category")
    require(granted, need)
    return Category(category_id, user_id, granted, bool(place[1]))


def open_channels(reader: Reader, user_id: UserId, *, now_ms: int) -> Sight:
    """Return every channel that a member sees, with what they may do in each, in the room's order.

    Raises NotFoundError for whoever is not a member.
    """
    row = reader.one(_SIGHT, (user_id,))
    if row is None:
        raise NotFoundError("room")
    channels, kind, timed_out_until, *standing = row
    member = _member(reader.room_id, user_id, kind, timed_out_until, *standing, now_ms=now_ms)
    seen: dict[ChannelId, int] = {}
    for channel_id, is_private, overwrites in orjson.loads(channels):
        granted = in_place(reader.room_id, user_id, overwrites, is_private, *standing)
        if granted & permissions.VIEW_CHANNEL:
            seen[channel_id] = _now(granted, timed_out_until, now_ms)
    return Sight(member, seen)


def see_categories(reader: Reader, user_id: UserId, *, now_ms: int) -> dict[CategoryId, int]:
    """Return every category, in the room's order, with what a member may do in it: without VIEW_CHANNEL they see it
    only where they see one of its channels. Raises NotFoundError for whoever is not a member.
    """
    row = reader.one(_CATEGORIES, (user_id,))
    if row is None:
        raise NotFoundError("room")
    categories, timed_out_until, *standing = row
    return {
        category_id: _now(in_place(reader.room_id, user_id, overwrites, is_private, *standing), timed_out_until, now_ms)
        for category_id, is_private, overwrites in orjson.loads(categories)
    }


def open_member(reader: Reader, actor: Membership, user_id: UserId) -> Target:
    """Return a member who stands below `actor`, for an act upon them.

    Raises NotFoundError for whoever is not in the room, ForbiddenError for oneself and for whoever stands as high as
    the actor, or higher: nobody moderates their equals.
    """
    row = reader.one(_RANK, (user_id,))
    if row is None:
        raise NotFoundError("member")
    owner_id, roles, own_roles = row
    rank = OWNER_RANK if owner_id == user_id else _standing(reader.room_id, roles, own_roles).rank
    require_above(actor, rank, "Only somebody whose highest role is above this member's may do this.")
    return Target(user_id, rank)


def require_above(actor: Membership, rank: int, refusal: str) -> None:
    """Raise ForbiddenError with `refusal` unless the actor stands above a rank."""
    if actor.rank <= rank:
        raise ForbiddenError(refusal, need="a higher role")


def require(granted: int, need: int) -> None:
    """Raise ForbiddenError with the names of what is needed and not granted."""
    if need & ~granted:
        named = ", ".join(permissions.names(need & ~granted))
        raise ForbiddenError(f"This needs the permission {named}.", need=named)


class _Standing(NamedTuple):
    """What the roles of a member come to: what everyone may, what all their own allow, the highest one's position."""

    everyone: int
    own: int
    rank: int


@lru_cache(REMEMBERED_MAX)
def _standing(room_id: RoomId, roles: str, own_roles: str) -> _Standing:
    everyone = own = rank = 0
    held = frozenset(_numbers(own_roles))
    numbers = _numbers(roles)
    for role_id, granted, position in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        if role_id == room_id:
            everyone = granted
        elif role_id in held:
            own |= granted
            rank = max(rank, position)
    return _Standing(everyone, own, rank)


class _Overwrites(NamedTuple):
    """A channel's overwrites by whom they are for."""

    of_roles: dict[int, Overwrite]
    of_members: dict[int, Overwrite]


@lru_cache(REMEMBERED_MAX)
def _overwrites(packed: str) -> _Overwrites:
    found = _Overwrites({}, {})
    numbers = _numbers(packed)
    for is_members, target_id, allow, deny in zip(*(numbers[at::4] for at in range(4)), strict=True):
        (found.of_members if is_members else found.of_roles)[target_id] = Overwrite(allow, deny)
    return found


def _numbers(packed: str) -> list[int]:
    numbers: list[int] = orjson.loads(f"[{packed}]")
    return numbers


def in_place(
    room_id: RoomId,
    user_id: UserId,
    overwrites: str,
    is_private: int,
    owner_id: UserId | None,
    roles: str,
    own_roles: str,
) -> int:
    """Return what a member may do where these overwrites hold, when they are not in a time-out.

    The texts are packed as `open_channel` reads them; asked by the door itself and by `audiences`, for many at once.
    """
    # Members without an overwrite of their own share what is remembered of their roles.
    named = user_id if user_id in _overwrites(overwrites).of_members else None
    return _granted(room_id, named, overwrites, is_private, owner_id == user_id, roles, own_roles)


@lru_cache(REMEMBERED_MAX)
def _granted(
    room_id: RoomId,
    user_id: UserId | None,
    overwrites: str,
    is_private: int,
    is_owner: bool,
    roles: str,
    own_roles: str,
) -> int:
    standing, of_roles = _standing(room_id, roles, own_roles), _overwrites(overwrites).of_roles
    return permissions.in_channel(
        permissions.in_room(is_owner=is_owner, everyone=standing.everyone, roles=(standing.own,)),
        everyone=of_roles.get(room_id, permissions.NONE),
        roles=permissions.united(of_roles[role_id] for role_id in _numbers(own_roles) if role_id in of_roles),
        member=permissions.NONE if user_id is None else _overwrites(overwrites).of_members[user_id],
        is_private=bool(is_private),
    )


def _now(granted: int, timed_out_until: int | None, now_ms: int) -> int:
    if timed_out_until is None or timed_out_until <= now_ms:
        return granted
    return permissions.while_timed_out(granted)


_STANDING: Final = "r.owner_id, r.roles_packed, m.roles_packed"
_PRESENT: Final = "m.user_id = ? AND m.left_at IS NULL"
_MEMBER: Final = f"SELECT r.kind, m.timed_out_until, {_STANDING} FROM members m, room r WHERE {_PRESENT}"  # noqa: S608
_CHANNEL: Final = f"""
    SELECT c.type, c.is_archived, c.thread_mode, c.slow_mode_seconds, c.auto_archive_hours, m.timed_out_until,
           c.overwrites_packed, c.is_private, {_STANDING}
    FROM members m, room r, channels c WHERE {_PRESENT} AND c.id = ? AND c.deleted_at IS NULL
"""  # noqa: S608
_OF_WEBHOOK: Final = (
    "SELECT type, is_archived, thread_mode, slow_mode_seconds, auto_archive_hours FROM channels "
    "WHERE id = ? AND deleted_at IS NULL"
)
_CATEGORY: Final = f"""
    SELECT m.timed_out_until, c.overwrites_packed, c.is_private, {_STANDING}
    FROM members m, room r, categories c WHERE {_PRESENT} AND c.id = ?
"""  # noqa: S608
# All in one row, because apsw lets go of the interpreter's lock at every row.
_SIGHT: Final = f"""
    SELECT (SELECT json_group_array(json_array(c.id, c.is_private, c.overwrites_packed) ORDER BY c.position, c.id)
            FROM channels c WHERE c.deleted_at IS NULL),
           r.kind, m.timed_out_until, {_STANDING}
    FROM members m, room r WHERE {_PRESENT}
"""  # noqa: S608
_CATEGORIES: Final = f"""
    SELECT (SELECT json_group_array(json_array(c.id, c.is_private, c.overwrites_packed) ORDER BY c.position, c.id)
            FROM categories c),
           m.timed_out_until, {_STANDING}
    FROM members m, room r WHERE {_PRESENT}
"""  # noqa: S608
_RANK: Final = f"SELECT {_STANDING} FROM members m, room r WHERE {_PRESENT}"  # noqa: S608

"""Access checks: the permissions of a person in a room, checked in the transaction that uses them.

`open_room` is the only maker of a Membership, `open_channel` of a Channel (`open_for_webhook` after a token was
checked, `open_for_history` where an operator loads a history), `open_category` of a Category, `open_channels` of a
Sight and `open_member` of a Target; functions that read or change a room take one of these instead of an id, so none
can be called without the check. A thing that does not exist and a thing that the person may not see raise the same
NotFoundError. Roles and overwrites are stored packed (migrations/shard/0004_permissions.sql). The cache of their
meanings has the packed text as its key, so that no entry can be out of date.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import orjson

from ids import CategoryId, ChannelId, RoomId, UserId
from shard import permissions
from shard.engine.connections import Reader
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.permissions import Overwrite

OWNER_RANK: Final = 2**31
"""Rank of the owner, above every role."""
WEBHOOK: Final = (
    permissions.VIEW_CHANNEL | permissions.SEND_MESSAGES | permissions.SEND_IN_THREADS | permissions.MANAGE_MESSAGES
)
"""Permissions of an incoming webhook in its channel; the last one is needed to write in announcement channels."""
HISTORY: Final = (
    permissions.VIEW_CHANNEL
    | permissions.SEND_MESSAGES
    | permissions.SEND_IN_THREADS
    | (permissions.MANAGE_MESSAGES | permissions.CREATE_THREADS)
)
"""Permissions of an import in its channels, for all authors of its messages."""
REMEMBERED_MAX: Final = 2_048
"""Packed texts whose meaning is cached; one is a few hundred bytes, ten thousand where a room has 250 roles."""


@dataclass(frozen=True, slots=True)
class Membership:
    """A member of a room, with their permissions there.

    `rank` is the position of their highest role, 0 without one. In a time-out `permissions` has those that are left.
    """

    user_id: UserId
    permissions: int
    rank: int
    is_owner: bool
    kind: str

    def may(self, need: int) -> bool:
        return self.permissions & need == need


class Channel(NamedTuple):
    """A channel that `user_id` sees, with their permissions in it."""

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
    """A category, with the permissions of `user_id` in a channel that has its settings."""

    id: CategoryId
    user_id: UserId
    permissions: int
    is_private: bool


@dataclass(frozen=True, slots=True)
class Sight:
    """The visible part of a room for one member: each channel that they see, with their permissions in it."""

    member: Membership
    channels: Mapping[ChannelId, int]

    def where(self, need: int) -> list[ChannelId]:
        """Return the channels in which the member has the permissions in `need`."""
        return [channel_id for channel_id, granted in self.channels.items() if granted & need == need]

    def require(self, channel_id: ChannelId, need: int) -> None:
        """Raise NotFoundError for a channel that is not seen, ForbiddenError for one where `need` is not granted."""
        if channel_id not in self.channels:
            raise NotFoundError("channel")
        require(self.channels[channel_id], need)


@dataclass(frozen=True, slots=True)
class Target:
    """A member on whom somebody of a higher rank acts."""

    user_id: UserId
    rank: int


def open_room(reader: Reader, user_id: UserId, need: int, *, now_ms: int) -> Membership:
    """Return a member with their permissions in the room.

    Raises NotFoundError for anybody who is not a member, ForbiddenError when `need` is not granted.
    """
    row = reader.one(_MEMBER, (user_id,))
    if row is None:
        raise NotFoundError("room")
    member = _member(reader.room_id, user_id, *row, now_ms=now_ms)
    require(member.permissions, need)
    return member


def open_community(reader: Reader, user_id: UserId, need: int, *, now_ms: int) -> Membership:
    """Return a member as `open_room` does; raises ConflictError in direct and group chats."""
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
    """Return the permissions of a member in the room, without a time-out; the texts are packed as for `in_place`."""
    standing = _standing(room_id, roles, own_roles)
    return permissions.in_room(is_owner=owner_id == user_id, everyone=standing.everyone, roles=(standing.own,))


def open_channel(reader: Reader, user_id: UserId, channel_id: ChannelId, need: int, *, now_ms: int) -> Channel:
    """Return a channel for a member who sees it.

    Raises NotFoundError for anybody who does not see it (people outside the room included), ForbiddenError for a
    member who sees it but is not granted `need`.
    """
    row = reader.one(_CHANNEL, (user_id, channel_id))
    if row is None:
        open_room(reader, user_id, 0, now_ms=now_ms)  # people outside get NotFoundError for the room
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
    """Return the channel of an incoming webhook, to write in, after its token was checked (`webhooks.opened_with`).

    The webhook has the permissions that its maker needed to have: to write, in announcement channels too, and in
    threads; it mentions neither everyone nor roles that are not mentionable. Raises NotFoundError for a channel that
    was deleted.
    """
    channel = _standing_channel(reader, author_id, channel_id, WEBHOOK)
    if channel is None:
        raise NotFoundError("webhook")
    return channel


def open_for_history(reader: Reader, author_id: UserId, channel_id: ChannelId) -> Channel:
    """Return a channel for what an author wrote elsewhere in the past, loaded by the operator.

    The author need not be a member, and does not become one: also what the banned wrote stands in a history. Raises
    NotFoundError for a channel that is gone.
    """
    channel = _standing_channel(reader, author_id, channel_id, HISTORY)
    if channel is None:
        raise NotFoundError("channel")
    return channel


def _standing_channel(reader: Reader, author_id: UserId, channel_id: ChannelId, granted: int) -> Channel | None:
    row = reader.one(_UNASKED_CHANNEL, (channel_id,))
    if row is None:
        return None
    kind, is_archived, thread_mode, slow_mode_seconds, auto_archive_hours = row
    return Channel(
        channel_id, author_id, granted, kind, bool(is_archived), thread_mode, slow_mode_seconds, auto_archive_hours
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
    """Return every channel that a member sees, with their permissions in each, in the room's order.

    Raises NotFoundError for anybody who is not a member.
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
    """Return every category, in the room's order, with the permissions of a member in it.

    Without VIEW_CHANNEL they see a category only when they see one of its channels. Raises NotFoundError for anybody
    who is not a member.
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
    """Return a member who ranks below `actor`, to act on them.

    Raises NotFoundError for anybody who is not in the room, ForbiddenError for the actor themselves and for a member
    whose rank is as high as the actor's, or higher: nobody moderates their equals.
    """
    row = reader.one(_RANK, (user_id,))
    if row is None:
        raise NotFoundError("member")
    owner_id, roles, own_roles = row
    rank = OWNER_RANK if owner_id == user_id else _standing(reader.room_id, roles, own_roles).rank
    require_above(actor, rank, "Only somebody whose highest role is above this member's may do this.")
    return Target(user_id, rank)


def require_above(actor: Membership, rank: int, refusal: str) -> None:
    """Raise ForbiddenError with the message `refusal` unless the actor is above a rank."""
    if actor.rank <= rank:
        raise ForbiddenError(refusal, need="a higher role")


def require(granted: int, need: int) -> None:
    """Raise ForbiddenError with the names of the permissions in `need` that are not `granted`."""
    if need & ~granted:
        named = ", ".join(permissions.names(need & ~granted))
        raise ForbiddenError(f"This needs the permission {named}.", need=named)


class _Standing(NamedTuple):
    """The sum of a member's roles: everyone's permissions, those of all their own roles, and the highest position."""

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
    """The overwrites of a channel, by role and by member."""

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
    """Return the permissions of a member in a place with these overwrites, without a time-out.

    The texts are packed as `open_channel` reads them; `visibility.of` calls this for many members at once.
    """
    # Members without an overwrite of their own share the cached result of their roles.
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
_UNASKED_CHANNEL: Final = (
    "SELECT type, is_archived, thread_mode, slow_mode_seconds, auto_archive_hours FROM channels "
    "WHERE id = ? AND deleted_at IS NULL"
)
_CATEGORY: Final = f"""
    SELECT m.timed_out_until, c.overwrites_packed, c.is_private, {_STANDING}
    FROM members m, room r, categories c WHERE {_PRESENT} AND c.id = ?
"""  # noqa: S608
# One row with everything, because apsw releases the interpreter's lock at every row.
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

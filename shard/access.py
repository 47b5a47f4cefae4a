"""The only door: who may do what, asked in the same transaction that does it.

`open_room` is the only maker of a Membership, `open_channel` of a Channel, `open_channels` of a Sight and `open_member`
of a Target; functions that read or change a room take one of these instead of an id, so none can be called without the
question having been asked. "Not there" and "not yours to see" are the same NotFoundError.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from ids import ChannelId, UserId
from shard import permissions
from shard.connections import Reader
from shard.errors import ForbiddenError, NotFoundError
from shard.permissions import Overwrite

OWNER_RANK = 2**31
"""The owner stands above every role."""


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

    def may(self, need: int) -> bool:
        return self.permissions & need == need


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
        _require(self.channels[channel_id], need)


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
    kind, owner_id, everyone, timed_out_until, packed = row
    roles = orjson.loads(f"[{packed}]") if packed else ()
    is_owner = owner_id == user_id
    granted = permissions.in_room(is_owner=is_owner, everyone=everyone, roles=roles[::2])
    if timed_out_until is not None and timed_out_until > now_ms:
        granted = permissions.while_timed_out(granted)
    _require(granted, need)
    rank = OWNER_RANK if is_owner else max(roles[1::2], default=0)
    return Membership(user_id, granted, rank, is_owner, kind)


def open_channel(reader: Reader, user_id: UserId, channel_id: ChannelId, need: int, *, now_ms: int) -> Channel:
    """Return a channel for a member who sees it.

    Raises NotFoundError for whoever does not see it (strangers to the room included), ForbiddenError when they see
    it but `need` is not granted.
    """
    row = reader.one(_CHANNEL, (user_id, channel_id))
    if row is None:
        open_room(reader, user_id, 0, now_ms=now_ms)  # to a stranger the room itself is not there
        raise NotFoundError("channel")
    kind, is_private, is_archived, thread_mode, slow_mode_seconds, owner_id, everyone, timed_out_until = row[:8]
    roles = orjson.loads(f"[{row[8]}]") if row[8] else ()
    granted = permissions.in_room(is_owner=owner_id == user_id, everyone=everyone, roles=roles[::3])
    granted = permissions.in_channel(
        granted,
        everyone=Overwrite(row[9] or 0, row[10] or 0),
        roles=map(Overwrite, roles[1::3], roles[2::3]),
        member=Overwrite(row[11] or 0, row[12] or 0),
        is_private=bool(is_private),
    )
    if timed_out_until is not None and timed_out_until > now_ms:
        granted = permissions.while_timed_out(granted)
    if not granted & permissions.VIEW_CHANNEL:
        raise NotFoundError("channel")
    _require(granted, need)
    return Channel(channel_id, user_id, granted, kind, bool(is_archived), thread_mode, slow_mode_seconds)


def open_channels(reader: Reader, user_id: UserId, *, now_ms: int) -> Sight:
    """Return every channel that a member sees, with what they may do in each, in the room's order.

    Raises NotFoundError for whoever is not a member.
    """
    row = reader.one(_SIGHT, (user_id,))
    member = open_room(reader, user_id, 0, now_ms=now_ms)
    assert row is not None
    is_timed_out = row[0] is not None and row[0] > now_ms
    granted = permissions.in_room(
        is_owner=member.is_owner, everyone=row[1], roles=orjson.loads(f"[{row[2]}]") if row[2] else ()
    )
    overwrites = _overwrites(orjson.loads(f"[{row[3]}]") if row[3] else [])
    numbers = orjson.loads(f"[{row[4]}]") if row[4] else []
    seen: dict[ChannelId, int] = {}
    for channel_id, is_private in zip(numbers[::2], numbers[1::2], strict=True):
        everyone, roles, own = overwrites.get(channel_id, _NO_OVERWRITES)
        bits = permissions.in_channel(granted, everyone=everyone, roles=roles, member=own, is_private=bool(is_private))
        if is_timed_out:
            bits = permissions.while_timed_out(bits)
        if bits & permissions.VIEW_CHANNEL:
            seen[channel_id] = bits
    return Sight(member, seen)


_Overwrites = tuple[Overwrite, list[Overwrite], Overwrite]
_NO_OVERWRITES: _Overwrites = (permissions.NONE, [], permissions.NONE)
_FOR_EVERYONE, _FOR_ROLE, _FOR_MEMBER = range(3)


def _overwrites(numbers: list[int]) -> dict[ChannelId, _Overwrites]:
    found: dict[ChannelId, _Overwrites] = {}
    for channel_id, target, allow, deny in zip(*(numbers[at::4] for at in range(4)), strict=True):
        everyone, roles, own = found.get(ChannelId(channel_id), (permissions.NONE, [], permissions.NONE))
        overwrite = Overwrite(allow, deny)
        if target == _FOR_EVERYONE:
            everyone = overwrite
        elif target == _FOR_ROLE:
            roles.append(overwrite)
        else:
            own = overwrite
        found[ChannelId(channel_id)] = (everyone, roles, own)
    return found


def open_member(reader: Reader, actor: Membership, user_id: UserId) -> Target:
    """Return a member who stands below `actor`, for an act upon them.

    Raises NotFoundError for whoever is not in the room, ForbiddenError for oneself and for whoever stands as high as
    the actor, or higher: nobody moderates their equals.
    """
    row = reader.one(_RANK, (user_id,))
    if row is None:
        raise NotFoundError("member")
    rank = OWNER_RANK if row[0] == user_id else int(row[1] or 0)
    require_above(actor, rank, "Only somebody whose highest role is above this member's may do this.")
    return Target(user_id, rank)


def require_above(actor: Membership, rank: int, refusal: str) -> None:
    """Raise ForbiddenError with `refusal` unless the actor stands above a rank."""
    if actor.rank <= rank:
        raise ForbiddenError(refusal, need="a higher role")


def _require(granted: int, need: int) -> None:
    missing = need & ~granted
    if missing:
        named = ", ".join(permissions.names(missing))
        raise ForbiddenError(f"This needs the permission {named}.", need=named)


# The role with the room's own id is everyone's. Numbers of many rows come packed into one text, because apsw lets go
# of the interpreter's lock at every row.
_MEMBER = """
    SELECT r.kind, r.owner_id, e.permissions, m.timed_out_until,
           (SELECT group_concat(o.permissions || ',' || o.position)
            FROM member_roles mr CROSS JOIN roles o ON o.id = mr.role_id WHERE mr.user_id = m.user_id)
    FROM members m, room r JOIN roles e ON e.id = r.room_id
    WHERE m.user_id = ? AND m.left_at IS NULL
"""
_CHANNEL = """
    SELECT c.type, c.is_private, c.is_archived, c.thread_mode, c.slow_mode_seconds,
           r.owner_id, e.permissions, m.timed_out_until,
           (SELECT group_concat(o.permissions || ',' || coalesce(w.allow, 0) || ',' || coalesce(w.deny, 0))
            FROM member_roles mr CROSS JOIN roles o ON o.id = mr.role_id
            LEFT JOIN channel_overwrites w
                   ON w.channel_id = c.id AND w.target_type = 'role' AND w.target_id = mr.role_id
            WHERE mr.user_id = m.user_id),
           eo.allow, eo.deny, mo.allow, mo.deny
    FROM members m, room r JOIN roles e ON e.id = r.room_id, channels c
    LEFT JOIN channel_overwrites eo
           ON eo.channel_id = c.id AND eo.target_type = 'role' AND eo.target_id = r.room_id
    LEFT JOIN channel_overwrites mo
           ON mo.channel_id = c.id AND mo.target_type = 'member' AND mo.target_id = m.user_id
    WHERE m.user_id = ? AND m.left_at IS NULL AND c.id = ?
"""
_SIGHT = """
    SELECT m.timed_out_until, e.permissions,
           (SELECT group_concat(o.permissions)
            FROM member_roles mr CROSS JOIN roles o ON o.id = mr.role_id WHERE mr.user_id = m.user_id),
           (SELECT group_concat(w.channel_id || ',' || CASE WHEN w.target_type = 'member' THEN 2
                                WHEN w.target_id = r.room_id THEN 0 ELSE 1 END || ',' || w.allow || ',' || w.deny)
            FROM channel_overwrites w
            WHERE (w.target_type = 'member' AND w.target_id = m.user_id)
               OR (w.target_type = 'role' AND (w.target_id = r.room_id OR w.target_id IN
                   (SELECT mr.role_id FROM member_roles mr WHERE mr.user_id = m.user_id)))),
           (SELECT group_concat(c.id || ',' || c.is_private ORDER BY c.position, c.id) FROM channels c)
    FROM members m, room r JOIN roles e ON e.id = r.room_id
    WHERE m.user_id = ? AND m.left_at IS NULL
"""
_RANK = """
    SELECT r.owner_id,
           (SELECT max(o.position) FROM member_roles mr JOIN roles o ON o.id = mr.role_id WHERE mr.user_id = m.user_id)
    FROM members m, room r WHERE m.user_id = ? AND m.left_at IS NULL
"""

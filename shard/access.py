"""The only door: who may do what, asked in the same transaction that does it.

`open_room` is the only maker of a Membership and `open_channel` of a Channel; functions that read or change a room
take one of these instead of an id, so none can be called without the question having been asked. "Not there" and
"not yours to see" are the same NotFoundError.
"""

from dataclasses import dataclass
from typing import NamedTuple

from ids import ChannelId, UserId
from shard import permissions
from shard.connections import Reader
from shard.errors import ForbiddenError, NotFoundError


@dataclass(frozen=True, slots=True)
class Membership:
    """A member inside a room, with what they may do there."""

    user_id: UserId
    permissions: int

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


def open_room(reader: Reader, user_id: UserId, need: int, *, now_ms: int) -> Membership:
    """Return what a member may do in the room.

    Raises NotFoundError for whoever is not a member, ForbiddenError when `need` is not granted.
    """
    row = reader.one(_MEMBER, (user_id,))
    if row is None:
        raise NotFoundError("room")
    granted = _granted(user_id, *row, now_ms=now_ms)
    _require(granted, need)
    return Membership(user_id, granted)


def open_channel(reader: Reader, user_id: UserId, channel_id: ChannelId, need: int, *, now_ms: int) -> Channel:
    """Return a channel for a member who sees it.

    Raises NotFoundError for whoever does not see it (strangers to the room included), ForbiddenError when they see
    it but `need` is not granted.
    """
    row = reader.one(_CHANNEL, (user_id, channel_id))
    if row is None:
        open_room(reader, user_id, 0, now_ms=now_ms)  # to a stranger the room itself is not there
        raise NotFoundError("channel")
    kind, is_private, is_archived, thread_mode, slow_mode_seconds, *member = row
    granted = _granted(user_id, *member, now_ms=now_ms)
    if is_private and not granted & permissions.ADMINISTRATOR:
        raise NotFoundError("channel")
    if not granted & permissions.VIEW_CHANNEL:
        raise NotFoundError("channel")
    _require(granted, need)
    return Channel(channel_id, user_id, granted, kind, bool(is_archived), thread_mode, slow_mode_seconds)


def _granted(user_id: UserId, owner_id: int | None, everyone: int, timed_out_until: int | None, *, now_ms: int) -> int:
    return permissions.compute(
        is_owner=owner_id == user_id,
        everyone=everyone,
        is_timed_out=timed_out_until is not None and timed_out_until > now_ms,
    )


def _require(granted: int, need: int) -> None:
    missing = need & ~granted
    if missing:
        named = ", ".join(permissions.names(missing))
        raise ForbiddenError(f"This needs the permission {named}.", need=named)


# The role with the room's own id is everyone's.
_MEMBER = """
    SELECT r.owner_id, e.permissions, m.timed_out_until
    FROM members m, room r JOIN roles e ON e.id = r.room_id
    WHERE m.user_id = ? AND m.left_at IS NULL
"""
_CHANNEL = """
    SELECT c.type, c.is_private, c.is_archived, c.thread_mode, c.slow_mode_seconds,
           r.owner_id, e.permissions, m.timed_out_until
    FROM members m, room r JOIN roles e ON e.id = r.room_id, channels c
    WHERE m.user_id = ? AND m.left_at IS NULL AND c.id = ?
"""

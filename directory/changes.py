"""Changes of the directory that make caches stale: noted with each change of rows, published after the commit."""

from dataclasses import dataclass

import ids
from database.database import EverythingChanged


@dataclass(frozen=True, slots=True)
class UserChanged:
    """A change of a user's profile, status, capabilities or bans: all cached facts about this user are stale."""

    user_id: ids.UserId


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """The extension or the end of one session."""

    token_hash: bytes


@dataclass(frozen=True, slots=True)
class RoomChanged:
    """A change of a room's registry row or of its shard's place; with `is_deleted` its end, and that of all
    memberships in it."""

    room_id: ids.RoomId
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """Users added to a room's index of members (`are_in`), or removed from it."""

    room_id: ids.RoomId
    user_ids: tuple[ids.UserId, ...]
    are_in: bool


@dataclass(frozen=True, slots=True)
class BlockChanged:
    """A block of `other_id` by a user, added (`is_blocked`) or removed. UserChanged of the user goes with it."""

    user_id: ids.UserId
    other_id: ids.UserId
    is_blocked: bool


Change = UserChanged | SessionChanged | RoomChanged | MembersChanged | BlockChanged | EverythingChanged

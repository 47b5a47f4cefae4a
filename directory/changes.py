"""What a commit made stale: told by the functions that change rows, delivered only if the commit stands."""

from dataclasses import dataclass

import ids


@dataclass(frozen=True, slots=True)
class UserChanged:
    """A user's profile, status, capabilities or bans: whatever is known of this user is stale."""

    user_id: ids.UserId


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """One session slid or ended."""

    token_hash: bytes


@dataclass(frozen=True, slots=True)
class RoomChanged:
    """A room's registry row or its shard's place."""

    room_id: ids.RoomId


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """Users came into a room's index of members (`are_in`) or left it."""

    room_id: ids.RoomId
    user_ids: tuple[ids.UserId, ...]
    are_in: bool


@dataclass(frozen=True, slots=True)
class EverythingChanged:
    """Someone else wrote, or a commit's outcome is unknown."""


Change = UserChanged | SessionChanged | RoomChanged | MembersChanged | EverythingChanged

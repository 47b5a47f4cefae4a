"""Roles, and what people may by them."""

from collections.abc import Sequence
from datetime import datetime

from typing_extensions import TypedDict

from ids import RoomId
from router.views.people import UserView
from router.views.values import moment
from shard import permissions
from shard.access import Sight
from shard.roles import Holder, Role


class RoleView(TypedDict):
    """A role; position 0 is everyone's, and nobody acts upon a role that is not below their own highest one."""

    id: str
    room_id: str
    name: str
    color: str | None
    permissions: list[str]
    position: int
    is_mentionable: bool
    is_everyones: bool
    created_at: datetime


class RoleListView(TypedDict):
    """A room's roles, the highest first."""

    roles: list[RoleView]


class HolderView(TypedDict):
    """Someone who has a role."""

    user_id: str
    granted_by: str
    granted_at: datetime


class HolderPageView(TypedDict):
    """Who has a role, by id; `next_cursor` is null on the last page."""

    members: list[HolderView]
    users: list[UserView]
    next_cursor: str | None


class ChannelPermissionsView(TypedDict):
    """What the caller may do in a channel."""

    channel_id: str
    permissions: list[str]


class PermissionsView(TypedDict):
    """What the caller may do: in the room, and in each channel that they see, which counts there instead.

    `rank` is the position of their highest role, null for the owner, who stands above all.
    """

    permissions: list[str]
    rank: int | None
    channels: list[ChannelPermissionsView]


def role(room_id: RoomId, row: Role) -> RoleView:
    """Render a role."""
    return {
        "id": str(row.id),
        "room_id": str(room_id),
        "name": row.name,
        "color": row.color,
        "permissions": permissions.names(row.permissions),
        "position": row.position,
        "is_mentionable": bool(row.is_mentionable),
        "is_everyones": str(row.id) == str(room_id),
        "created_at": moment(row.created_at),
    }


def roles(room_id: RoomId, rows: Sequence[Role]) -> RoleListView:
    """Render a room's roles."""
    return {"roles": [role(room_id, row) for row in rows]}


def holder(row: Holder) -> HolderView:
    """Render who has a role."""
    return {"user_id": str(row.user_id), "granted_by": str(row.granted_by), "granted_at": moment(row.granted_at)}


def sight(seen: Sight) -> PermissionsView:
    """Render what someone may do."""
    return {
        "permissions": permissions.names(seen.member.permissions),
        "rank": None if seen.member.is_owner else seen.member.rank,
        "channels": [
            {"channel_id": str(channel_id), "permissions": permissions.names(granted)}
            for channel_id, granted in seen.channels.items()
        ],
    }

"""Schemas of roles, their holders and their permissions."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, cast

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema
from typing_extensions import TypedDict

from ids import RoomId
from router.schemas.fields import Id, Reason, Title, Wire, moment
from router.schemas.people import UserView
from shard import permissions
from shard.access import Sight
from shard.actions.roles import RoleChanges, RoleDraft
from shard.tables import roles as role_rows
from shard.tables.roles import Holder, Role


def _known(names: list[str]) -> Callable[[str], str]:
    def known(name: str) -> str:
        if name not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return name

    return known


def _schema(names: list[str]) -> dict[str, Any]:
    return {"type": "string", "enum": names}


_ALL: Final = permissions.names(permissions.ALL)
_IN_CHANNELS: Final = permissions.names(permissions.IN_CHANNELS)

PermissionName = Annotated[str, AfterValidator(_known(_ALL)), WithJsonSchema(_schema(_ALL))]

ChannelPermissionName = Annotated[str, AfterValidator(_known(_IN_CHANNELS)), WithJsonSchema(_schema(_IN_CHANNELS))]
"""Permission that can be allowed and denied in a channel; all others apply to the whole room."""

PermissionList = Annotated[list[PermissionName], Field(max_length=len(_ALL))]

ChannelPermissionList = Annotated[list[ChannelPermissionName], Field(max_length=len(_IN_CHANNELS))]

Color = Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$", to_lower=True)]


class CreateRole(Wire):
    """Role to create below all others; without `permissions` it adds none to those that everyone has."""

    name: Title
    color: Color | None = None
    permissions: PermissionList = Field(default_factory=list)
    is_mentionable: bool = False
    reason: Reason | None = None

    def draft(self) -> RoleDraft:
        return RoleDraft(self.name, self.color, permissions.bits(self.permissions), self.is_mentionable)


class UpdateRole(Wire):
    """Changes to a role. Fields that are left out do not change. `permissions` replaces the whole list."""

    # Every role has these but a color: they can be changed but not emptied. The defaults are never read.
    name: Title = Field(default_factory=str)
    color: Color | None = None
    permissions: PermissionList = Field(default_factory=list)
    is_mentionable: bool = Field(default_factory=bool)
    reason: Reason | None = None

    def changes(self) -> RoleChanges:
        sent = self.model_dump(include=self.model_fields_set - {"reason"})
        if "permissions" in sent:
            sent["permissions"] = permissions.bits(self.permissions)
        return cast(RoleChanges, sent)


class OrderRoles(Wire):
    """Every role below the caller's highest, highest first, without the role that everyone has."""

    role_ids: Annotated[list[Id], Field(max_length=role_rows.PER_ROOM_MAX)]
    reason: Reason | None = None


class RoleView(TypedDict):
    """Role; position 0 is the role that everyone has. Nobody can change or grant a role that is not below their own
    highest one."""

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
    """Roles of a room, the highest first."""

    roles: list[RoleView]


class HolderView(TypedDict):
    """Member who has a role."""

    user_id: str
    granted_by: str
    granted_at: datetime


class HolderPageView(TypedDict):
    """Members who have a role, by id. `next_cursor` is null on the last page."""

    members: list[HolderView]
    users: list[UserView]
    next_cursor: str | None


class ChannelPermissionsView(TypedDict):
    """The caller's permissions in a channel."""

    channel_id: str
    permissions: list[str]


class PermissionsView(TypedDict):
    """The caller's permissions in the room, and in each channel that they can see, where those of the channel apply
    instead.

    `rank` is the position of the caller's highest role, null for the owner, who stands above all roles.
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
    """Render a member who has a role."""
    return {"user_id": str(row.user_id), "granted_by": str(row.granted_by), "granted_at": moment(row.granted_at)}


def member_permissions(seen: Sight) -> PermissionsView:
    """Render a member's permissions."""
    return {
        "permissions": permissions.names(seen.member.permissions),
        "rank": None if seen.member.is_owner else seen.member.rank,
        "channels": [
            {"channel_id": str(channel_id), "permissions": permissions.names(granted)}
            for channel_id, granted in seen.channels.items()
        ],
    }

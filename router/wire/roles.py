"""Roles, and permissions by name."""

from collections.abc import Callable
from typing import Annotated, Any, Final, cast

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

from router.wire.fields import Id, Reason, Title, Wire
from shard import permissions, roles
from shard.acts.ranking import RoleChanges, RoleDraft


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
"""What can be allowed and denied in a channel; everything else is decided for the whole room."""

PermissionList = Annotated[list[PermissionName], Field(max_length=len(_ALL))]

ChannelPermissionList = Annotated[list[ChannelPermissionName], Field(max_length=len(_IN_CHANNELS))]

Color = Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$", to_lower=True)]


class CreateRole(Wire):
    """A role below all others; without `permissions` it allows nothing beyond what everyone may."""

    name: Title
    color: Color | None = None
    permissions: PermissionList = Field(default_factory=list)
    is_mentionable: bool = False
    reason: Reason | None = None

    def draft(self) -> RoleDraft:
        return RoleDraft(self.name, self.color, permissions.bits(self.permissions), self.is_mentionable)


class UpdateRole(Wire):
    """What to change of a role; fields that are left out stay. `permissions` are all that it shall allow."""

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
    """Every role below one's own highest, highest first; everyone's is not among them."""

    role_ids: Annotated[list[Id], Field(max_length=roles.PER_ROOM_MAX)]
    reason: Reason | None = None

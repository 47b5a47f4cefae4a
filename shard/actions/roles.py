"""Roles: creation, changes, order, grants, and the members who have them.

Nobody acts on a role or a member that does not rank below their own highest role, and nobody grants or revokes a
permission that they lack themselves: so no sequence of these actions gives anybody more than some actor had.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from ids import RoleId, UserId
from shard import access, permissions
from shard.access import Membership, Sight
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError, ForbiddenError
from shard.event_types import EventType
from shard.tables import audit, diffs, members, roles
from shard.tables.roles import Holder, Role


@dataclass(frozen=True, slots=True)
class RoleDraft:
    """A role to create; `permissions` as bits, `color` as #rrggbb."""

    name: str
    color: str | None = None
    permissions: int = 0
    is_mentionable: bool = False


class RoleChanges(TypedDict, total=False):
    """Changes to a role; missing fields stay as they are."""

    name: str
    color: str | None
    permissions: int
    is_mentionable: bool


def list_roles(reader: Reader, user_id: UserId, *, now_ms: int) -> list[Role]:
    """Return the room's roles, the highest first."""
    return roles.listed(reader, access.open_room(reader, user_id, 0, now_ms=now_ms))


def my_permissions(reader: Reader, user_id: UserId, *, now_ms: int) -> Sight:
    """Return the permissions of a member in the room and in each channel that they see."""
    return access.open_channels(reader, user_id, now_ms=now_ms)


def list_holders(
    reader: Reader, user_id: UserId, role_id: RoleId, *, after: UserId | None, limit: int, now_ms: int
) -> list[Holder]:
    """Return the members who have a role, by id; raises ConflictError for everyone's."""
    member = access.open_room(reader, user_id, 0, now_ms=now_ms)
    role = roles.one(reader, member, role_id)
    _refuse_everyones(reader, role, "Everybody has this role: list the room's members.")
    return roles.holders(reader, role, after=after, limit=limit)


def create_role(writer: Writer, user_id: UserId, draft: RoleDraft, *, reason: str | None = None, now_ms: int) -> Role:
    """Add a role below all others, with no permission that the actor lacks."""
    actor = access.open_community(writer, user_id, permissions.MANAGE_ROLES, now_ms=now_ms)
    access.require_above(actor, 0, "Only somebody with a role may make one below it.")
    _require_held(actor, draft.permissions)
    role = roles.insert(
        writer,
        actor,
        draft.name,
        color=draft.color,
        granted=draft.permissions,
        is_mentionable=draft.is_mentionable,
        now_ms=now_ms,
    )
    audit.append(
        writer, EventType.ROLE_CREATED, actor_id=user_id, target=("role", role.id), after=roles.facts(role),
        reason=reason, now_ms=now_ms,
    )  # fmt: skip
    return role


def edit_role(
    writer: Writer,
    user_id: UserId,
    role_id: RoleId,
    wanted: RoleChanges,
    *,
    reason: str | None = None,
    now_ms: int,
) -> Role:
    """Edit a role; without a difference nothing is written. Everyone's role can only change its permissions."""
    actor, before = _open_role(writer, user_id, role_id, now_ms=now_ms)
    if set(wanted) - {"permissions"}:
        _refuse_everyones(writer, before, "Of everyone's role only the permissions can be changed.")
    role = replace(before, **wanted)
    _require_held(actor, role.permissions ^ before.permissions)
    was, now = diffs.between(roles.facts(before), roles.facts(role))
    if now:
        roles.update(writer, actor, before, role, now_ms=now_ms)
        audit.append(
            writer, EventType.ROLE_EDITED, actor_id=user_id, target=("role", role_id), before=was, after=now,
            reason=reason, now_ms=now_ms,
        )  # fmt: skip
    return role


def delete_role(writer: Writer, user_id: UserId, role_id: RoleId, *, reason: str | None = None, now_ms: int) -> None:
    """Delete a role with all its grants and overwrites."""
    actor, role = _open_role(writer, user_id, role_id, now_ms=now_ms)
    _refuse_everyones(writer, role, "Everyone's role cannot be deleted.")
    roles.delete(writer, actor, role, now_ms=now_ms)
    audit.append(
        writer, EventType.ROLE_DELETED, actor_id=user_id, target=("role", role_id), before=roles.facts(role),
        reason=reason, now_ms=now_ms,
    )  # fmt: skip


def order_roles(
    writer: Writer, user_id: UserId, role_ids: Sequence[RoleId], *, reason: str | None = None, now_ms: int
) -> list[Role]:
    """Reorder all roles below the actor's own highest one, highest first; return all roles of the room."""
    actor = access.open_community(writer, user_id, permissions.MANAGE_ROLES, now_ms=now_ms)
    before = [role.id for role in roles.listed(writer, actor) if 0 < role.position < actor.rank]
    if sorted(role_ids) != sorted(before):
        raise ConflictError("Name every role below your own highest one once. They may have changed: list them again.")
    if list(role_ids) != before:
        roles.arrange(writer, actor, before, role_ids, now_ms=now_ms)
        was, now = ({"role_ids": [str(role_id) for role_id in order]} for order in (before, role_ids))
        audit.append(
            writer, EventType.ROLE_REORDERED, actor_id=user_id, target=("room", writer.room_id), before=was, after=now,
            reason=reason, now_ms=now_ms,
        )  # fmt: skip
    return roles.listed(writer, actor)


def grant_role(
    writer: Writer, user_id: UserId, member_id: UserId, role_id: RoleId, *, reason: str | None = None, now_ms: int
) -> None:
    """Give a member a role with no permission that the actor lacks; nothing changes for one who has it."""
    actor, role = _open_grant(writer, user_id, member_id, role_id, now_ms=now_ms)
    _require_held(actor, role.permissions)
    if not roles.has(writer, member_id, role_id):
        members.grant(writer, member_id, role_id, by=user_id, now_ms=now_ms)
        _note_grant(writer, EventType.ROLE_GRANTED, user_id, member_id, role, reason, now_ms)


def revoke_role(
    writer: Writer, user_id: UserId, member_id: UserId, role_id: RoleId, *, reason: str | None = None, now_ms: int
) -> None:
    """Take a role from a member; nothing changes for one who does not have it."""
    _, role = _open_grant(writer, user_id, member_id, role_id, now_ms=now_ms)
    if roles.has(writer, member_id, role_id):
        roles.revoke(writer, member_id, role_id, by=user_id, now_ms=now_ms)
        _note_grant(writer, EventType.ROLE_REVOKED, user_id, member_id, role, reason, now_ms)


def _note_grant(
    writer: Writer, action: EventType, user_id: UserId, member_id: UserId, role: Role, reason: str | None, now_ms: int
) -> None:
    facts = {"role_id": str(role.id), "name": role.name}
    before, after = (None, facts) if action is EventType.ROLE_GRANTED else (facts, None)
    audit.append(
        writer, action, actor_id=user_id, target=("member", member_id), before=before, after=after, reason=reason,
        now_ms=now_ms,
    )  # fmt: skip


def _open_role(reader: Reader, user_id: UserId, role_id: RoleId, *, now_ms: int) -> tuple[Membership, Role]:
    actor = access.open_community(reader, user_id, permissions.MANAGE_ROLES, now_ms=now_ms)
    role = roles.one(reader, actor, role_id)
    access.require_above(actor, role.position, "Only somebody whose highest role is above this one may do this.")
    return actor, role


def _open_grant(
    reader: Reader, user_id: UserId, member_id: UserId, role_id: RoleId, *, now_ms: int
) -> tuple[Membership, Role]:
    actor, role = _open_role(reader, user_id, role_id, now_ms=now_ms)
    _refuse_everyones(reader, role, "Everybody has this role.")
    access.open_member(reader, actor, member_id)
    return actor, role


def _refuse_everyones(reader: Reader, role: Role, refusal: str) -> None:
    if role.id == RoleId(reader.room_id):
        raise ConflictError(refusal)


def _require_held(actor: Membership, granted: int) -> None:
    missing = granted & ~actor.permissions
    if missing:
        named = ", ".join(permissions.names(missing))
        raise ForbiddenError(
            f"You can only give and take permissions that you have yourself; you lack {named}.", need=named
        )

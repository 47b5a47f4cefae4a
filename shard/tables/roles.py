"""Roles of a room: their permissions, and their order by rank.

Positions are dense: everyone's role, which has the room's own id, is 0, the lowest other one 1. Nobody acts on a role
that is not below their own highest one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ids import RoleId, UserId
from shard import permissions
from shard.access import Membership
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError, NotFoundError
from shard.event_types import EventType
from shard.tables import diffs, events, overwrites

PER_ROOM_MAX = 250
"""Roles of a room beside everyone's, as at Discord: each change of one packs them all again. Beyond it 409."""


@dataclass(frozen=True, slots=True)
class Role:
    """One role; `permissions` as bits, `color` as #rrggbb, `created_at` in milliseconds UTC."""

    id: RoleId
    name: str
    color: str | None
    permissions: int
    position: int
    is_mentionable: int
    created_at: int


@dataclass(frozen=True, slots=True)
class Holder:
    """A member who has a role; `granted_at` in milliseconds UTC."""

    user_id: UserId
    granted_by: UserId
    granted_at: int


_COLUMNS = "id, name, color, permissions, position, is_mentionable, created_at"


def listed(reader: Reader, member: Membership) -> list[Role]:
    """Return the room's roles, the highest first and everyone's last; `member` is the reader, who may be any member."""
    assert member.permissions >= 0
    rows = reader.all(
        f"SELECT {_COLUMNS} FROM roles ORDER BY position DESC, id LIMIT ?",  # noqa: S608
        (PER_ROOM_MAX + 1,),
    )
    return [Role(*row) for row in rows]


def one(reader: Reader, member: Membership, role_id: RoleId) -> Role:
    """Return a role; raises NotFoundError. `member` is the reader."""
    assert member.permissions >= 0
    row = reader.one(f"SELECT {_COLUMNS} FROM roles WHERE id = ?", (role_id,))  # noqa: S608
    if row is None:
        raise NotFoundError("role")
    return Role(*row)


def facts(role: Role) -> dict[str, Any]:
    """Return the editable fields of a role, as on the wire."""
    return {
        "name": role.name,
        "color": role.color,
        "permissions": permissions.names(role.permissions),
        "is_mentionable": bool(role.is_mentionable),
    }


def insert(
    writer: Writer,
    actor: Membership,
    name: str,
    *,
    color: str | None,
    granted: int,
    is_mentionable: bool,
    now_ms: int,
) -> Role:
    """Add a role below all others except everyone's; raises ConflictError when the room has PER_ROOM_MAX."""
    row = writer.one("SELECT count(*) FROM roles")
    assert row is not None
    if row[0] > PER_ROOM_MAX:
        raise ConflictError(f"A room has at most {PER_ROOM_MAX} roles; delete one first.")
    role_id = RoleId(writer.ids.next(now_ms))
    writer.run("UPDATE roles SET position = position + 1 WHERE id <> ?", (writer.room_id,))
    writer.run(
        f"INSERT INTO roles ({_COLUMNS}) VALUES (?, ?, ?, ?, 1, ?, ?)",  # noqa: S608
        (role_id, name, color, granted, int(is_mentionable), now_ms),
    )
    role = one(writer, actor, role_id)
    payload = {"id": str(role_id), **facts(role)}
    events.append(writer, EventType.ROLE_CREATED, actor_id=actor.user_id, payload=payload, now_ms=now_ms)
    return role


def update(writer: Writer, actor: Membership, before: Role, role: Role, *, now_ms: int) -> None:
    """Update all fields of a role except its position."""
    writer.run(
        "UPDATE roles SET name = ?, color = ?, permissions = ?, is_mentionable = ? WHERE id = ?",
        (role.name, role.color, role.permissions, role.is_mentionable, role.id),
    )
    replaced, now = diffs.between(facts(before), facts(role))
    payload = {"id": str(role.id), **now}
    events.append(
        writer, EventType.ROLE_EDITED, actor_id=actor.user_id, payload=payload, replaced=replaced, now_ms=now_ms
    )


def delete(writer: Writer, actor: Membership, role: Role, *, now_ms: int) -> None:
    """Delete a role with its grants and its overwrites, and close the gap in the positions."""
    overwrites.forget(writer, ("role", role.id))
    writer.run("DELETE FROM roles WHERE id = ?", (role.id,))
    writer.run("UPDATE roles SET position = position - 1 WHERE position > ?", (role.position,))
    replaced = {**facts(role), "position": role.position}
    payload = {"id": str(role.id)}
    events.append(
        writer, EventType.ROLE_DELETED, actor_id=actor.user_id, payload=payload, replaced=replaced, now_ms=now_ms
    )


def arrange(
    writer: Writer, actor: Membership, before: Sequence[RoleId], role_ids: Sequence[RoleId], *, now_ms: int
) -> None:
    """Reorder the lowest roles; `before` and `role_ids` have the same roles, highest first."""
    writer.run(
        "UPDATE roles SET position = o.key + 1 FROM json_each(?) o WHERE roles.id = o.value AND position <> o.key + 1",
        (json.dumps(role_ids[::-1]),),
    )
    payload, replaced = ({"role_ids": [str(role_id) for role_id in order]} for order in (role_ids, before))
    events.append(
        writer, EventType.ROLE_REORDERED, actor_id=actor.user_id, payload=payload, replaced=replaced, now_ms=now_ms
    )


def has(reader: Reader, user_id: UserId, role_id: RoleId) -> bool:
    """Return whether a member has a role."""
    return reader.one("SELECT 1 FROM member_roles WHERE user_id = ? AND role_id = ?", (user_id, role_id)) is not None


def revoke(writer: Writer, user_id: UserId, role_id: RoleId, *, by: UserId, now_ms: int) -> None:
    """Take a role from a member who has it."""
    writer.run("DELETE FROM member_roles WHERE user_id = ? AND role_id = ?", (user_id, role_id))
    payload = {"user_id": str(user_id), "role_id": str(role_id)}
    events.append(writer, EventType.ROLE_REVOKED, actor_id=by, payload=payload, now_ms=now_ms)


def holders(reader: Reader, role: Role, *, after: UserId | None = None, limit: int = 50) -> list[Holder]:
    """Return the members who have a role, by id."""
    rows = reader.all(
        "SELECT user_id, granted_by, granted_at FROM member_roles "
        "WHERE role_id = ? AND user_id > ? ORDER BY user_id LIMIT ?",
        (role.id, after or 0, limit),
    )
    return [Holder(*row) for row in rows]

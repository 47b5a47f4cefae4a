"""Owner and moderators of a group: one role in addition to everyone's, and the members who have it."""

import json
from collections.abc import Collection

from ids import RoleId, UserId
from shard.engine.connections import Reader, Writer


def allow_everyone(writer: Writer, bits: int) -> None:
    """Set the permissions of everyone's role."""
    writer.run("UPDATE roles SET permissions = ? WHERE id = ?", (bits, writer.room_id))


def add_moderators(writer: Writer, bits: int, *, now_ms: int) -> None:
    """Add the role of the moderators with its permissions."""
    writer.run(
        "INSERT INTO roles (id, name, permissions, position, created_at) VALUES (?, 'moderators', ?, 1, ?)",
        (writer.ids.next(now_ms), bits, now_ms),
    )


def moderators(reader: Reader) -> RoleId:
    """Return the role of the moderators."""
    row = reader.one("SELECT id FROM roles WHERE position = 1")
    assert row is not None
    return RoleId(row[0])


def promote(writer: Writer, user_id: UserId, role_id: RoleId, *, by: UserId, now_ms: int) -> bool:
    """Give a member the moderators' role and return whether they did not have it before."""
    writer.run(
        "INSERT INTO member_roles (user_id, role_id, granted_by, granted_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (user_id, role_id, by, now_ms),
    )
    return writer.changed() > 0


def demote(writer: Writer, user_id: UserId, role_id: RoleId) -> bool:
    """Take the moderators' role from a member and return whether they had it."""
    writer.run("DELETE FROM member_roles WHERE user_id = ? AND role_id = ?", (user_id, role_id))
    return writer.changed() > 0


def heir(reader: Reader, owner_id: UserId | None, able: Collection[UserId] = ()) -> UserId | None:
    """Return the next owner: of those who are able to act, else of all, the moderator who joined first, else the member
    who did; None for an empty group."""
    row = reader.one(
        "SELECT m.user_id FROM members m LEFT JOIN member_roles mr ON mr.user_id = m.user_id "
        "WHERE m.left_at IS NULL AND m.user_id <> ? ORDER BY m.user_id NOT IN (SELECT value FROM json_each(?)), "
        "mr.user_id IS NULL, m.joined_at, m.user_id LIMIT 1",
        (owner_id, json.dumps(list(able))),
    )
    return None if row is None else UserId(row[0])

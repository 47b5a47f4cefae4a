"""Rows of `permissions`: capabilities of users on the whole platform, beside the permissions in rooms."""

from enum import StrEnum

import ids
from directory import errors
from directory.changes import UserChanged
from directory.database import Reader, Writer


class Capability(StrEnum):
    """ADMIN operates the platform, MODERATOR suspends and bans."""

    ADMIN = "admin"
    MODERATOR = "moderator"


async def grant(
    writer: Writer, user_id: ids.UserId, capability: Capability, *, by: ids.UserId | None, now_ms: int
) -> bool:
    """Grant a capability; False when the user had it. Raises ConstraintError for an unknown user."""
    row = await writer.fetch_one(
        "INSERT INTO permissions (user_id, capability, granted_by, granted_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING RETURNING user_id",
        (user_id, capability.value, by, now_ms),
    )
    writer.tell(UserChanged(user_id))
    return row is not None


async def revoke(writer: Writer, user_id: ids.UserId, capability: Capability) -> bool:
    """Revoke a capability; False when the user did not have it. Raises LastAdminError for the last administrator."""
    if capability is Capability.ADMIN and await holders(writer, capability) == [user_id]:
        raise errors.LastAdminError
    row = await writer.fetch_one(
        "DELETE FROM permissions WHERE user_id = ? AND capability = ? RETURNING user_id", (user_id, capability.value)
    )
    writer.tell(UserChanged(user_id))
    return row is not None


async def of_user(reader: Reader, user_id: ids.UserId) -> frozenset[str]:
    """Return a user's capabilities."""
    rows = await reader.fetch_all("SELECT capability FROM permissions WHERE user_id = ?", (user_id,))
    return frozenset(row[0] for row in rows)


async def is_held_beside(reader: Reader, user_id: ids.UserId, capability: Capability, *, now_ms: int) -> bool:
    """Return whether another user, neither suspended nor banned, has a capability."""
    row = await reader.fetch_one(
        "SELECT 1 FROM permissions p JOIN users u ON u.id = p.user_id WHERE p.capability = ? AND p.user_id <> ? "
        "AND u.status = 'active' AND NOT EXISTS (SELECT 1 FROM global_bans b WHERE b.user_id = p.user_id "
        "AND (b.expires_at IS NULL OR b.expires_at > ?)) LIMIT 1",
        (capability.value, user_id, now_ms),
    )
    return row is not None


async def holders(reader: Reader, capability: Capability) -> list[ids.UserId]:
    """Return the users who have a capability; a handful of people."""
    rows = await reader.fetch_all(
        "SELECT user_id FROM permissions WHERE capability = ? ORDER BY user_id", (capability.value,)
    )
    return [row[0] for row in rows]

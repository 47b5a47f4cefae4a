"""Rows of `permissions`: what a user may do on the whole platform, beside what rooms allow."""

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
    """Give a capability; False when the user had it. Raises RefusedValueError for an unknown user."""
    row = await writer.fetch_one(
        "INSERT INTO permissions (user_id, capability, granted_by, granted_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING RETURNING user_id",
        (user_id, capability.value, by, now_ms),
    )
    writer.tell(UserChanged(user_id))
    return row is not None


async def revoke(writer: Writer, user_id: ids.UserId, capability: Capability) -> bool:
    """Take a capability; False when the user had it not. Raises LastAdminError for the last administrator."""
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
    """Tell whether somebody else has a capability who can use it now: neither suspended nor banned."""
    row = await reader.fetch_one(
        "SELECT 1 FROM permissions p JOIN users u ON u.id = p.user_id WHERE p.capability = ? AND p.user_id <> ? "
        "AND u.status = 'active' AND NOT EXISTS (SELECT 1 FROM global_bans b WHERE b.user_id = p.user_id "
        "AND (b.expires_at IS NULL OR b.expires_at > ?)) LIMIT 1",
        (capability.value, user_id, now_ms),
    )
    return row is not None


async def holders(reader: Reader, capability: Capability) -> list[ids.UserId]:
    """Return who has a capability; a handful of people."""
    rows = await reader.fetch_all(
        "SELECT user_id FROM permissions WHERE capability = ? ORDER BY user_id", (capability.value,)
    )
    return [row[0] for row in rows]

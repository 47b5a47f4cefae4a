"""Rows of `global_bans`: users who may not use this platform at all, for a time or for good."""

from dataclasses import dataclass
from typing import Final

import ids
from directory.changes import UserChanged
from directory.database import Reader, Writer

PAGE_MAX: Final = 200
"""Rows of one page of bans."""


@dataclass(frozen=True, slots=True)
class GlobalBan:
    """One ban; times in milliseconds UTC, `expires_at` None means for good."""

    user_id: ids.UserId
    reason: str
    banned_by: ids.UserId | None
    banned_at: int
    expires_at: int | None


async def add(
    writer: Writer,
    user_id: ids.UserId,
    *,
    reason: str,
    by: ids.UserId | None,
    expires_at: int | None = None,
    now_ms: int,
) -> None:
    """Ban a user, or replace the user's ban; raises ConstraintError. `accounts.ban` also ends the sessions."""
    await writer.execute(
        "INSERT INTO global_bans (user_id, reason, banned_by, banned_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5) "
        "ON CONFLICT (user_id) DO UPDATE SET reason = ?2, banned_by = ?3, banned_at = ?4, expires_at = ?5",
        (user_id, reason, by, now_ms, expires_at),
    )
    writer.tell(UserChanged(user_id))


async def lift(writer: Writer, user_id: ids.UserId) -> bool:
    """End a ban; False when there was none."""
    row = await writer.fetch_one("DELETE FROM global_bans WHERE user_id = ? RETURNING user_id", (user_id,))
    writer.tell(UserChanged(user_id))
    return row is not None


async def find(reader: Reader, user_id: ids.UserId, *, now_ms: int) -> GlobalBan | None:
    """Return the ban in force now, or None."""
    row = await reader.fetch_one(
        "SELECT user_id, reason, banned_by, banned_at, expires_at FROM global_bans "
        "WHERE user_id = ? AND (expires_at IS NULL OR expires_at > ?)",
        (user_id, now_ms),
    )
    return None if row is None else GlobalBan(*row)


async def list_page(reader: Reader, *, after: int = 0, limit: int = PAGE_MAX, now_ms: int) -> list[GlobalBan]:
    """Return the bans in force now, by the id of the banned, after an id."""
    rows = await reader.fetch_all(
        "SELECT user_id, reason, banned_by, banned_at, expires_at FROM global_bans "
        "WHERE user_id > ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY user_id LIMIT ?",
        (after, now_ms, min(limit, PAGE_MAX)),
    )
    return [GlobalBan(*row) for row in rows]

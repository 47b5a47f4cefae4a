"""Rows of `hooks`: the room of each webhook. Its permissions and its existence are decided by the room's shard.

A row is written before the webhook's own in the shard, and may outlive it; then it has no effect.
"""

import secrets
from typing import Final

import ids
from directory import users
from directory.database import Reader, Writer

ROOMS_PAGE: Final = 500
"""Rooms in one page of those with outgoing webhooks."""


async def register_incoming(writer: Writer, room_id: ids.RoomId, name: str, *, now_ms: int) -> int:
    """Make an incoming webhook's id, which is that of the author of its messages: a user shown as a bot, without any
    way to sign in."""
    username = f"hook_{secrets.token_hex(12)}"
    user = await users.create(
        writer, username=username, display_name=name, is_bot=True, is_named_by_system=True, now_ms=now_ms
    )
    await _insert(writer, user.id, room_id, "incoming", now_ms)
    return user.id


async def register_outgoing(writer: Writer, room_id: ids.RoomId, *, now_ms: int) -> int:
    """Make an outgoing webhook's id."""
    webhook_id = await writer.next_id(now_ms)
    await _insert(writer, webhook_id, room_id, "outgoing", now_ms)
    return webhook_id


async def _insert(writer: Writer, webhook_id: int, room_id: ids.RoomId, direction: str, now_ms: int) -> None:
    await writer.execute(
        "INSERT INTO hooks (id, room_id, direction, created_at) VALUES (?, ?, ?, ?)",
        (webhook_id, room_id, direction, now_ms),
    )


async def rename(writer: Writer, webhook_id: int, name: str, *, now_ms: int) -> None:
    """Rename the author of an incoming webhook's messages, on all of them."""
    await users.update_profile(writer, ids.UserId(webhook_id), {"display_name": name}, now_ms=now_ms)


async def forget(writer: Writer, webhook_id: int) -> None:
    """Delete the row of a webhook; its messages keep their author."""
    await writer.execute("DELETE FROM hooks WHERE id = ?", (webhook_id,))


async def find_room(reader: Reader, webhook_id: int) -> ids.RoomId | None:
    """Return the room of an incoming webhook, or None."""
    row = await reader.fetch_one("SELECT room_id FROM hooks WHERE id = ? AND direction = 'incoming'", (webhook_id,))
    return None if row is None else row[0]


async def telling_rooms(reader: Reader, *, after: int = 0) -> list[ids.RoomId]:
    """Return rooms with outgoing webhooks, by id, after an id: at most ROOMS_PAGE."""
    rows = await reader.fetch_all(
        "SELECT DISTINCT h.room_id FROM hooks h CROSS JOIN rooms r ON r.id = h.room_id "
        "WHERE h.direction = 'outgoing' AND h.room_id > ? AND r.state IN ('active', 'readonly') "
        "ORDER BY h.room_id LIMIT ?",
        (after, ROOMS_PAGE),
    )
    return [row[0] for row in rows]


async def may_keep(reader: Reader, user_id: ids.UserId, *, now_ms: int) -> bool:
    """Return whether a user's webhooks may deliver: not while the user, or the owner if it is a bot, is suspended,
    deleted or banned from the whole server."""
    row = await reader.fetch_one(
        "SELECT 1 FROM users u LEFT JOIN bots b ON b.user_id = u.id LEFT JOIN users o ON o.id = b.owner_id "
        "WHERE u.id = ? AND u.status = 'active' AND coalesce(o.status, 'active') = 'active' AND NOT EXISTS "
        "(SELECT 1 FROM global_bans g WHERE g.user_id IN (u.id, o.id) AND (g.expires_at IS NULL OR g.expires_at > ?))",
        (user_id, now_ms),
    )
    return row is not None

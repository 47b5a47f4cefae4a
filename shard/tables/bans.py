"""Bans of the room, for a time or for good. An expired ban does not hold, though its row may stay."""

from dataclasses import dataclass

from ids import UserId
from shard.access import Membership
from shard.engine.connections import Reader, Writer
from shard.event_types import EventType
from shard.tables import events


@dataclass(frozen=True, slots=True)
class Ban:
    """One ban; times in milliseconds UTC, `expires_at` None means for good."""

    user_id: UserId
    reason: str | None
    banned_by: UserId
    banned_at: int
    expires_at: int | None


def holding(reader: Reader, user_id: UserId, *, now_ms: int) -> Ban | None:
    """Return the ban of a user that holds now, or None."""
    row = reader.one(
        "SELECT user_id, reason, banned_by, banned_at, expires_at FROM bans "
        "WHERE user_id = ? AND (expires_at IS NULL OR expires_at > ?)",
        (user_id, now_ms),
    )
    return None if row is None else Ban(*row)


def put(writer: Writer, ban: Ban) -> None:
    """Insert a ban, or replace the user's ban."""
    writer.use_reserve()
    writer.run(
        "INSERT INTO bans (user_id, reason, banned_by, banned_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5) "
        "ON CONFLICT (user_id) DO UPDATE SET reason = ?2, banned_by = ?3, banned_at = ?4, expires_at = ?5",
        (ban.user_id, ban.reason, ban.banned_by, ban.banned_at, ban.expires_at),
    )
    payload = {"user_id": str(ban.user_id), "expires_at": ban.expires_at}
    events.append(writer, EventType.MEMBER_BANNED, actor_id=ban.banned_by, payload=payload, now_ms=ban.banned_at)


def lift(writer: Writer, ban: Ban, *, by: UserId, now_ms: int) -> None:
    """End a ban."""
    writer.run("DELETE FROM bans WHERE user_id = ?", (ban.user_id,))
    payload = {"user_id": str(ban.user_id)}
    events.append(writer, EventType.MEMBER_UNBANNED, actor_id=by, payload=payload, now_ms=now_ms)


def page(reader: Reader, member: Membership, *, after: UserId | None, limit: int, now_ms: int) -> list[Ban]:
    """Return the bans that hold now, by the banned user's id; `member` is a reader with BAN_MEMBERS."""
    assert member.permissions >= 0
    rows = reader.all(
        "SELECT user_id, reason, banned_by, banned_at, expires_at FROM bans "
        "WHERE user_id > ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY user_id LIMIT ?",
        (after or 0, now_ms, limit),
    )
    return [Ban(*row) for row in rows]

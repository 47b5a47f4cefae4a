"""Who is in the room. These rows decide access; the directory's `room_members` is an index of them."""

from dataclasses import dataclass

from ids import UserId
from shard import events
from shard.access import Membership
from shard.connections import Reader, Writer
from shard.errors import ForbiddenError


@dataclass(frozen=True, slots=True)
class Member:
    """A present member; times in milliseconds UTC."""

    user_id: UserId
    nickname: str | None
    joined_at: int
    timed_out_until: int | None


def add(writer: Writer, user_id: UserId, *, now_ms: int) -> bool:
    """Let someone in and return whether they were out; raises ForbiddenError for the banned."""
    ban = writer.one("SELECT expires_at FROM bans WHERE user_id = ?", (user_id,))
    if ban is not None and (ban[0] is None or ban[0] > now_ms):
        raise ForbiddenError("You are banned from this room.", need="membership")
    writer.run(
        "INSERT INTO members (user_id, joined_at) VALUES (?, ?) ON CONFLICT (user_id) DO UPDATE "
        "SET joined_at = excluded.joined_at, left_at = NULL WHERE left_at IS NOT NULL",
        (user_id, now_ms),
    )
    is_new = writer.changed() > 0
    if is_new:
        events.append(writer, "member.joined", actor_id=user_id, now_ms=now_ms)
    return is_new


def remove(writer: Writer, user_id: UserId, *, now_ms: int) -> bool:
    """Mark someone as gone and return whether they were in."""
    writer.run("UPDATE members SET left_at = ? WHERE user_id = ? AND left_at IS NULL", (now_ms, user_id))
    was_in = writer.changed() > 0
    if was_in:
        events.append(writer, "member.left", actor_id=user_id, now_ms=now_ms)
    return was_in


def page(reader: Reader, member: Membership, *, after: UserId | None = None, limit: int = 50) -> list[Member]:
    """Return present members by id; `member` is whoever asks, and anyone inside may."""
    assert member.permissions >= 0
    rows = reader.all(
        "SELECT user_id, nickname, joined_at, timed_out_until FROM members "
        "WHERE left_at IS NULL AND user_id > ? ORDER BY user_id LIMIT ?",
        (after or 0, limit),
    )
    return [Member(*row) for row in rows]


def is_present(reader: Reader, user_id: UserId) -> bool:
    """Tell whether someone is in."""
    return reader.one("SELECT 1 FROM members WHERE user_id = ? AND left_at IS NULL", (user_id,)) is not None


def present_ids(reader: Reader) -> list[UserId]:
    """Return everyone who is in, for the repair of the directory's index."""
    return [row[0] for row in reader.all("SELECT user_id FROM members WHERE left_at IS NULL")]

"""Reactions: emoji of members on messages, counted in a table so that a page need not count.

`reaction_counts` and the message's bit in `extras` change with the rows of `reactions`, in their transaction.
"""

import orjson

from ids import MessageId, ThreadId, UserId
from shard import permissions
from shard.access import Channel
from shard.engine.connections import Reader, Writer
from shard.event_types import EventType
from shard.rows import HAS_REACTIONS, Stretch
from shard.tables import events

PER_MESSAGE_MAX = 20
"""Different emoji under one message, as at Discord: a client shows them all.

Beyond it 409, but one of them can still be added to.
"""


def emoji_of(reader: Reader, message_id: MessageId) -> list[str]:
    """Return the emoji that a message has, first used first."""
    rows = reader.all(
        "SELECT emoji FROM reaction_counts WHERE message_id = ? ORDER BY created_at, emoji LIMIT ?",
        (message_id, PER_MESSAGE_MAX),
    )
    return [row[0] for row in rows]


def add(writer: Writer, channel: Channel, message_id: MessageId, emoji: str, *, now_ms: int) -> bool:
    """Add a reaction of `channel.user_id` and return whether it is new."""
    writer.run(
        "INSERT INTO reactions (message_id, emoji, user_id, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (message_id, emoji, channel.user_id, now_ms),
    )
    if not writer.changed():
        return False
    counted = writer.one(
        "INSERT INTO reaction_counts (message_id, emoji, count, created_at) VALUES (?, ?, 1, ?) "
        "ON CONFLICT (message_id, emoji) DO UPDATE SET count = count + 1 RETURNING count",
        (message_id, emoji, now_ms),
    )
    assert counted is not None
    writer.run(
        f"UPDATE messages SET extras = extras | {HAS_REACTIONS} WHERE id = ? AND extras & {HAS_REACTIONS} = 0",  # noqa: S608
        (message_id,),
    )
    _log(writer, channel, EventType.REACTION_ADDED, message_id, {"emoji": emoji, "count": counted[0]}, now_ms)
    return True


def remove(
    writer: Writer, channel: Channel, message_id: MessageId, emoji: str, user_id: UserId, *, now_ms: int
) -> bool:
    """Remove a user's reaction and return whether there was one."""
    writer.run("DELETE FROM reactions WHERE message_id = ? AND emoji = ? AND user_id = ?", (message_id, emoji, user_id))
    if not writer.changed():
        return False
    writer.run("DELETE FROM reaction_counts WHERE message_id = ? AND emoji = ? AND count = 1", (message_id, emoji))
    left = writer.one(
        "UPDATE reaction_counts SET count = count - 1 WHERE message_id = ? AND emoji = ? RETURNING count",
        (message_id, emoji),
    )
    _clear_bit(writer, message_id)
    facts = {"emoji": emoji, "user_id": str(user_id), "count": 0 if left is None else left[0]}
    _log(writer, channel, EventType.REACTION_REMOVED, message_id, facts, now_ms)
    return True


def clear(writer: Writer, channel: Channel, message_id: MessageId, emoji: str | None, *, now_ms: int) -> dict[str, int]:
    """Remove all reactions with one emoji, or all of a message, and return the number of each."""
    rows = writer.all(
        "SELECT emoji, count FROM reaction_counts WHERE message_id = ?1 AND (?2 IS NULL OR emoji = ?2) LIMIT ?3",
        (message_id, emoji, PER_MESSAGE_MAX),
    )
    gone: dict[str, int] = dict(rows)
    for known in gone:
        writer.run("DELETE FROM reactions WHERE message_id = ? AND emoji = ?", (message_id, known))
        writer.run("DELETE FROM reaction_counts WHERE message_id = ? AND emoji = ?", (message_id, known))
    if gone:
        _clear_bit(writer, message_id)
        _log(writer, channel, EventType.REACTION_CLEARED, message_id, {"emoji": list(gone)}, now_ms)
    return gone


def _clear_bit(writer: Writer, message_id: MessageId) -> None:
    writer.run(
        f"UPDATE messages SET extras = extras & ~{HAS_REACTIONS} WHERE id = ?1 "  # noqa: S608
        "AND NOT EXISTS (SELECT 1 FROM reaction_counts WHERE message_id = ?1)",
        (message_id,),
    )


def _log(
    writer: Writer, channel: Channel, type_: EventType, message_id: MessageId, facts: dict[str, object], now_ms: int
) -> None:
    events.append(
        writer,
        type_,
        actor_id=channel.user_id,
        channel_id=channel.id,
        message_id=message_id,
        payload=facts,
        now_ms=now_ms,
    )


def who(reader: Reader, message_id: MessageId, emoji: str, *, after: UserId | None, limit: int) -> list[UserId]:
    """Return the users who reacted with an emoji, by id; the caller has checked that the message is in its channel."""
    rows = reader.all(
        "SELECT user_id FROM reactions WHERE message_id = ? AND emoji = ? AND user_id > ? ORDER BY user_id LIMIT ?",
        (message_id, emoji, after or 0, limit),
    )
    return [row[0] for row in rows]


def is_timed_out(reader: Reader, channel: Channel, *, now_ms: int) -> bool:
    """Return whether `channel.user_id` is in a time-out; their permissions do not show it, since most reactions need
    none."""
    row = reader.one("SELECT timed_out_until FROM members WHERE user_id = ?", (channel.user_id,))
    silenced = row is not None and row[0] is not None and row[0] > now_ms
    return silenced and not channel.may(permissions.ADMINISTRATOR)


def own(reader: Reader, channel: Channel, thread_id: ThreadId | None, stretch: Stretch) -> dict[MessageId, list[str]]:
    """Return the reactions of `channel.user_id`, by message, in a stretch of the channel or of one of its threads."""
    row = reader.one(_OWN, (channel.user_id, stretch.oldest_id, stretch.newest_id, channel.id, thread_id))
    found: dict[MessageId, list[str]] = {}
    for message_id, emoji in orjson.loads(row[0]) if row else ():
        found.setdefault(message_id, []).append(emoji)
    return found


_OWN = """
    SELECT json_group_array(json_array(r.message_id, r.emoji))
    FROM reactions r CROSS JOIN messages m ON m.id = r.message_id
    WHERE r.user_id = ?1 AND r.message_id BETWEEN ?2 AND ?3 AND m.channel_id = ?4 AND (?5 IS NULL OR m.thread_id = ?5)
"""

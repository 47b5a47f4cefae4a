"""Pages of messages across all channels that a member may read: those that mention them, and all of them.

Each channel, and each target of a mention, gives its next few messages, and the first of all these are the page: so no
message is read that the member may not see, not even to skip it.
"""

import orjson

import ids
from ids import ChannelId, MessageId, UserId
from shard.engine.connections import Reader
from shard.rows import Message
from shard.tables.messages import MESSAGE_COLUMNS
from shard.tables.read_markers import CALLS


def calling(
    reader: Reader, user_id: UserId, channels: list[ChannelId], *, before: MessageId | None, limit: int
) -> list[Message]:
    """Return messages of others in these channels that mention a member, one of their roles or everyone.

    Newest first, and none from before they joined.
    """
    place = MessageId(ids.ID_MAX) if before is None else before
    rows = reader.all(_CALLING, (user_id, orjson.dumps(channels).decode(), place, limit))
    return [Message._make(row) for row in rows]


def callers(reader: Reader, user_id: UserId) -> tuple[list[tuple[str, int]], int]:
    """Return the targets that mention a member, as (type, id), and the time when they joined."""
    rows = reader.all(f"SELECT type, id FROM ({CALLS})", (user_id,))  # noqa: S608
    joined = reader.one("SELECT joined_at FROM members WHERE user_id = ?", (user_id,))
    return [(row[0], row[1]) for row in rows], joined[0] if joined else 0


def archived_calling(
    reader: Reader, user_id: UserId, targets: list[tuple[str, int]], *, joined_at: int, before: int, limit: int
) -> list[Message]:
    """Return the newest messages of a segment that mention a member; `targets` is the result of `callers`."""
    packed = orjson.dumps(targets).decode()
    return [Message._make(row) for row in reader.all(_ARCHIVED_CALLING, (user_id, packed, before, joined_at, limit))]


def every(reader: Reader, channels: list[ChannelId], *, after: MessageId, limit: int) -> list[Message]:
    """Return the messages of these channels above an id, oldest first."""
    rows = reader.all(_EVERY, (orjson.dumps(channels).decode(), after, limit))
    return [Message._make(row) for row in rows]


_CALLING = f"""
    SELECT {MESSAGE_COLUMNS} FROM messages WHERE id IN (
        SELECT p.value FROM ({CALLS}) t CROSS JOIN json_each((
            SELECT json_group_array(message_id) FROM (
                SELECT o.message_id FROM message_mentions o CROSS JOIN messages m ON m.id = o.message_id
                WHERE o.target_type = t.type AND o.target_id = t.id AND o.message_id < ?3
                  AND m.channel_id IN (SELECT value FROM json_each(?2)) AND m.user_id <> ?1
                  AND m.created_at >= (SELECT joined_at FROM members WHERE user_id = ?1)
                ORDER BY o.message_id DESC LIMIT ?4))) p)
    ORDER BY id DESC LIMIT ?4
"""  # noqa: S608
_ARCHIVED_CALLING = f"""
    SELECT {MESSAGE_COLUMNS} FROM messages WHERE id IN (
        SELECT o.message_id FROM json_each(?2) t
        CROSS JOIN message_mentions o ON o.target_type = t.value ->> 0 AND o.target_id = t.value ->> 1
        WHERE o.message_id < ?3)
      AND user_id <> ?1 AND created_at >= ?4
    ORDER BY id DESC LIMIT ?5
"""  # noqa: S608
_EVERY = f"""
    SELECT {MESSAGE_COLUMNS} FROM messages WHERE id IN (
        SELECT p.value FROM json_each(?1) c CROSS JOIN json_each((
            SELECT json_group_array(id) FROM (
                SELECT id FROM messages WHERE channel_id = c.value AND id > ?2 AND is_deleted = 0
                ORDER BY id LIMIT ?3))) p)
    ORDER BY id LIMIT ?3
"""  # noqa: S608

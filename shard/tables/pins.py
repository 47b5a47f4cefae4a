"""Pins: messages of a channel that its members keep in a short list."""

from ids import MessageId
from shard.access import Channel
from shard.engine.connections import Reader, Writer
from shard.event_types import EventType
from shard.rows import Message
from shard.tables import events
from shard.tables.messages import MESSAGE_COLUMNS

PER_CHANNEL_MAX = 250
"""Pins of a channel, as at Discord: what is always at hand must be few. Beyond it 409."""


def count(reader: Reader, channel: Channel) -> int:
    """Return the number of pinned messages of a channel."""
    row = reader.one("SELECT count(*) FROM messages WHERE channel_id = ? AND is_pinned = 1", (channel.id,))
    assert row is not None
    return int(row[0])


def turn(writer: Writer, channel: Channel, message: Message, *, is_pinned: bool, now_ms: int) -> None:
    """Pin or unpin a message of this channel."""
    writer.run("UPDATE messages SET is_pinned = ? WHERE id = ?", (is_pinned, message.id))
    events.append(
        writer,
        EventType.MESSAGE_PINNED if is_pinned else EventType.MESSAGE_UNPINNED,
        actor_id=channel.user_id,
        channel_id=channel.id,
        message_id=message.id,
        now_ms=now_ms,
    )


def page(reader: Reader, channel: Channel, *, before: MessageId, limit: int) -> list[Message]:
    """Return pinned messages of a channel, newest first."""
    rows = reader.all(_PAGE, (channel.id, before, limit))
    return [Message._make(row) for row in rows]


_PAGE = (
    f"SELECT {MESSAGE_COLUMNS} FROM messages "  # noqa: S608
    "WHERE channel_id = ? AND is_pinned = 1 AND id < ? AND is_deleted = 0 ORDER BY id DESC LIMIT ?"
)

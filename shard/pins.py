"""Pins: messages that a channel keeps at hand."""

from ids import MessageId
from shard import events
from shard.access import Channel
from shard.connections import Reader, Writer
from shard.messages import MESSAGE_COLUMNS
from shard.rows import Message

PER_CHANNEL_MAX = 250
"""Pins of a channel, as at Discord: what is always at hand must be few."""


def count(reader: Reader, channel: Channel) -> int:
    """Return how many messages of a channel are pinned."""
    row = reader.one("SELECT count(*) FROM messages WHERE channel_id = ? AND is_pinned = 1", (channel.id,))
    assert row is not None
    return int(row[0])


def turn(writer: Writer, channel: Channel, message: Message, *, is_pinned: bool, now_ms: int) -> None:
    """Pin a message of this channel, or take its pin out."""
    writer.run("UPDATE messages SET is_pinned = ? WHERE id = ?", (is_pinned, message.id))
    events.append(
        writer,
        "message.pinned" if is_pinned else "message.unpinned",
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

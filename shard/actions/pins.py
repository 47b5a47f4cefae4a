"""Pins of messages in their channel."""

import ids
from ids import ChannelId, MessageId, UserId
from shard import access, permissions
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError
from shard.event_types import EventType
from shard.rows import Message
from shard.tables import audit, messages, pins


def pin_message(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    message_id: MessageId,
    *,
    reason: str | None = None,
    now_ms: int,
) -> None:
    """Pin a message and post a message of the server about it; a pinned one stays pinned.

    Raises ConflictError in an archived channel, for a message of the server, and for one pin too many.
    """
    need = permissions.PIN_MESSAGES | permissions.READ_HISTORY
    channel = access.open_channel(writer, user_id, channel_id, need, now_ms=now_ms)
    message = messages.one(writer, channel, message_id)
    if message.is_pinned:
        return
    if channel.is_archived:
        raise ConflictError("This channel is archived.")
    if message.content_type == "system":
        raise ConflictError("A message of the server cannot be pinned.")
    if pins.count(writer, channel) >= pins.PER_CHANNEL_MAX:
        raise ConflictError(f"A channel has at most {pins.PER_CHANNEL_MAX} pins; take one out first.")
    pins.turn(writer, channel, message, is_pinned=True, now_ms=now_ms)
    facts = {"message_id": str(message_id)}
    messages.insert_system(writer, channel_id, "message_pinned", facts, user_id, now_ms, thread_id=message.thread_id)
    _audit(writer, EventType.MESSAGE_PINNED, user_id, message, reason, now_ms)


def unpin_message(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    message_id: MessageId,
    *,
    reason: str | None = None,
    now_ms: int,
) -> None:
    """Unpin a message, if it is pinned."""
    need = permissions.PIN_MESSAGES | permissions.READ_HISTORY
    channel = access.open_channel(writer, user_id, channel_id, need, now_ms=now_ms)
    message = messages.one(writer, channel, message_id)
    if not message.is_pinned:
        return
    pins.turn(writer, channel, message, is_pinned=False, now_ms=now_ms)
    _audit(writer, EventType.MESSAGE_UNPINNED, user_id, message, reason, now_ms)


def _audit(
    writer: Writer, action: EventType, user_id: UserId, message: Message, reason: str | None, now_ms: int
) -> None:
    audit.append(
        writer,
        action,
        actor_id=user_id,
        target=("message", message.id),
        after={"channel_id": str(message.channel_id)},
        reason=reason,
        now_ms=now_ms,
    )


def list_pins(
    reader: Reader,
    user_id: UserId,
    channel_id: ChannelId,
    *,
    before: MessageId | None,
    limit: int,
    now_ms: int,
) -> list[Message]:
    """Return a channel's pinned messages, newest first."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    return pins.page(reader, channel, before=MessageId(ids.ID_MAX) if before is None else before, limit=limit)

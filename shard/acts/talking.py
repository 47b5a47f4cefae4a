"""Talking: messages and the threads they are in."""

from typing import NamedTuple

from ids import ChannelId, ThreadId, UserId
from shard import access, events, messages, permissions, threads
from shard.connections import Reader, Writer
from shard.errors import ConflictError, ForbiddenError
from shard.messages import Draft
from shard.rows import Message
from shard.threads import Thread


class Sent(NamedTuple):
    """A stored message; `is_new` is False when its nonce had been sent before."""

    message: Message
    is_new: bool


def open_thread(writer: Writer, user_id: UserId, channel_id: ChannelId, title: str, *, now_ms: int) -> Thread:
    """Start a thread in a channel."""
    channel = access.open_channel(writer, user_id, channel_id, permissions.CREATE_THREADS, now_ms=now_ms)
    if channel.thread_mode == "disabled":
        raise ConflictError("This channel has no threads.")
    _require_writable(channel)
    return threads.insert(writer, channel, title, now_ms=now_ms)


def send_message(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    draft: Draft,
    *,
    now_ms: int,
    sent_at: int | None = None,
) -> Sent:
    """Store a message once: a nonce that this person has used returns the message it made.

    `sent_at` is the original time of an imported message. Raises NotFoundError for a channel, thread or replied-to
    message that the sender does not see there, ForbiddenError without permission, ConflictError where the channel or
    thread takes no messages.
    """
    need = permissions.SEND_MESSAGES if draft.thread_id is None else permissions.SEND_IN_THREADS
    channel = access.open_channel(writer, user_id, channel_id, need, now_ms=now_ms)
    _require_writable(channel)
    if draft.thread_id is not None:
        if threads.is_locked(writer, channel, draft.thread_id) and not channel.may(permissions.MANAGE_THREADS):
            raise ConflictError("This thread is locked.")
    elif channel.thread_mode == "required":
        raise ConflictError("Messages of this channel belong into a thread: name one, or open one first.")
    if draft.reply_to_id is not None:
        messages.one(writer, channel, draft.reply_to_id)
    message = messages.insert(writer, channel, draft, now_ms=now_ms, sent_at=sent_at)
    if message is None:
        return Sent(_sent_before(writer, channel, draft), is_new=False)
    events.append_created(writer, message, now_ms=now_ms)
    return Sent(message, is_new=True)


def _require_writable(channel: access.Channel) -> None:
    if channel.is_archived:
        raise ConflictError("This channel is archived.")
    if channel.type == "voice":
        raise ConflictError("A voice channel takes no messages.")
    if channel.type == "announcement" and not channel.may(permissions.MANAGE_MESSAGES):
        raise ForbiddenError("Only those who manage messages write in an announcement channel.", need="manage_messages")


def _sent_before(writer: Writer, channel: access.Channel, draft: Draft) -> Message:
    assert draft.nonce is not None
    message = messages.sent_with(writer, channel.user_id, draft.nonce)
    if message is None or message.channel_id != channel.id:
        raise ConflictError("This nonce was already used for another message; make a new one for every message.")
    return message


def list_threads(
    reader: Reader,
    user_id: UserId,
    channel_id: ChannelId,
    *,
    before: tuple[int, ThreadId] | None,
    limit: int,
    now_ms: int,
) -> list[Thread]:
    """Return a channel's threads, last active first."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    return threads.recent(reader, channel, before=before, limit=limit)

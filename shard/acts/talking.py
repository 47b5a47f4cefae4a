"""Talking: messages are sent once, where they may be and as often as they may."""

from typing import NamedTuple

import ids
from ids import ChannelId, UserId
from shard import access, attachments, events, mentions, messages, permissions, threads
from shard.access import Channel
from shard.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError, RejectedError, SlowModeError
from shard.messages import Draft
from shard.rows import Message

NEVER_SLOW = (permissions.BYPASS_SLOW_MODE, permissions.MANAGE_MESSAGES, permissions.MANAGE_CHANNELS)
"""Whoever has one of these is not held up by slow mode, as at Discord."""


class Sent(NamedTuple):
    """A stored message; `is_new` is False when its nonce had been sent before."""

    message: Message
    is_new: bool


def send_message(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    draft: Draft,
    *,
    reply_is_archived: bool = False,
    now_ms: int,
    sent_at: int | None = None,
) -> Sent:
    """Store a message once: a nonce that this person has used returns the message it made, even where they may send
    no more, as long as they see the channel.

    `sent_at` is the original time of an imported message, which calls nobody; `reply_is_archived` says that the
    replied-to message was found in a segment. Raises NotFoundError for a channel,
    thread, replied-to message or upload that the sender does not have there, ForbiddenError without permission,
    ConflictError where the channel or thread takes no messages and for an upload that cannot be sent, SlowModeError too
    soon after the one before.
    """
    try:
        channel = _open_for(writer, user_id, channel_id, draft, now_ms=now_ms, is_live=sent_at is None)
        if draft.reply_to_id is not None and not reply_is_archived:
            messages.one(writer, channel, draft.reply_to_id)
        claimed = attachments.claim(writer, channel, draft.attachment_ids) if draft.attachment_ids else ()
    except RejectedError:
        known = _stored(writer, user_id, channel_id, draft, now_ms=now_ms)
        if known is None:
            raise
        return Sent(known, is_new=False)
    called = mentions.of(writer, channel, draft.content, now_ms=now_ms) if sent_at is None else None
    files = attachments.attached(claimed)
    message = messages.insert(writer, channel, draft, called=called, attached=files, now_ms=now_ms, sent_at=sent_at)
    if message is None:
        known = _stored(writer, user_id, channel_id, draft, now_ms=now_ms)
        if known is None:
            raise ConflictError(
                "This nonce was already used for another message, or for one that was deleted; make a new one for "
                "every message."
            )
        return Sent(known, is_new=False)
    attachments.attach(writer, message.id, claimed)
    events.append_created(writer, message, now_ms=now_ms)
    if draft.thread_id is not None and sent_at is None:
        threads.wake(writer, channel, draft.thread_id, now_ms=now_ms)
    return Sent(message, is_new=True)


def _open_for(
    writer: Writer, user_id: UserId, channel_id: ChannelId, draft: Draft, *, now_ms: int, is_live: bool
) -> Channel:
    need = permissions.SEND_MESSAGES if draft.thread_id is None else permissions.SEND_IN_THREADS
    if draft.attachment_ids:
        need |= permissions.ATTACH_FILES
    channel = access.open_channel(writer, user_id, channel_id, need, now_ms=now_ms)
    require_writable(channel)
    if draft.thread_id is not None:
        if threads.is_locked(writer, channel, draft.thread_id) and not channel.may(permissions.MANAGE_THREADS):
            raise ConflictError("This thread is locked.")
    elif channel.thread_mode == "required":
        raise ConflictError("Messages of this channel belong into a thread: name one, or open one first.")
    if channel.slow_mode_seconds and is_live:
        _require_slow(writer, channel, now_ms)
    return channel


def require_writable(channel: Channel) -> None:
    """Raise ConflictError for a channel that takes no messages, ForbiddenError for one that takes only others'."""
    if channel.is_archived:
        raise ConflictError("This channel is archived.")
    if channel.type == "voice":
        raise ConflictError("A voice channel takes no messages.")
    if channel.type == "announcement" and not channel.may(permissions.MANAGE_MESSAGES):
        raise ForbiddenError("Only those who manage messages write in an announcement channel.", need="manage_messages")


def _require_slow(writer: Writer, channel: Channel, now_ms: int) -> None:
    """Raise SlowModeError until the channel's slow mode has passed since the sender's last message in it, in whichever
    thread, and deleted since or not."""
    if any(map(channel.may, NEVER_SLOW)):
        return
    pause_ms = channel.slow_mode_seconds * 1_000
    last_at = messages.last_sent_at(writer, channel, since=ids.at(now_ms - pause_ms))
    if last_at is not None and last_at + pause_ms > now_ms:
        # A clock that was set back makes nobody wait for longer than the pause.
        left_ms = min(last_at + pause_ms - now_ms, pause_ms)
        raise SlowModeError(-(-left_ms // 1_000))


def _stored(writer: Writer, user_id: UserId, channel_id: ChannelId, draft: Draft, *, now_ms: int) -> Message | None:
    """Return the message of this channel that the draft's nonce made, if the sender sees the channel."""
    if draft.nonce is None:
        return None
    try:
        channel = access.open_channel(writer, user_id, channel_id, 0, now_ms=now_ms)
    except NotFoundError:
        return None
    message = messages.sent_with(writer, user_id, draft.nonce)
    return message if message is not None and message.channel_id == channel.id else None

"""Messages: sending, editing, deleting and moving, with access checks, slow mode and nonces.

The types of messages and their columns are in `shard/tables/messages.py`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import ids
from ids import ChannelId, MessageId, ThreadId, UserId
from shard import access, permissions
from shard.access import Channel
from shard.actions import archive, nonces
from shard.archive.manifest import NONCE_USED, Segment
from shard.archive.segment_files import Edges
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError, RejectedError, SlowModeError
from shard.event_types import AuditAction, EventType
from shard.rows import Message
from shard.tables import attachments, audit, events, mentions, messages, moved_reads, threads
from shard.tables.messages import Draft, Version
from shard.text.mention_marks import Called

NEVER_SLOW = (permissions.BYPASS_SLOW_MODE, permissions.MANAGE_MESSAGES, permissions.MANAGE_CHANNELS)
"""Permissions that exempt a member from slow mode, as at Discord."""


class Sent(NamedTuple):
    """A stored message; `is_new` is False if its nonce was sent before."""

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
    """Store a message once: a nonce that this person has used returns the message that it made.

    The nonce works even after the person has lost the permission to send, as long as they see the channel. `sent_at` is
    the original time of an imported message, which mentions nobody and needs no permission or membership of its author;
    `reply_is_archived` says that the replied-to message was found in a segment. Raises NotFoundError for a channel,
    thread, replied-to message or upload that the sender does not have there, ForbiddenError without permission,
    ConflictError for a channel or thread that takes no messages and for an upload that cannot be sent, SlowModeError
    too soon after the message before, and MaybeSentError when the nonce's message may be in a segment.
    """
    try:
        channel = _open_for(writer, user_id, channel_id, draft, now_ms=now_ms, is_live=sent_at is None)
        if draft.reply_to_id is not None and not reply_is_archived:
            messages.one(writer, channel, draft.reply_to_id)
        claimed = attachments.claim(writer, channel, draft.attachment_ids) if draft.attachment_ids else ()
    except RejectedError:
        known = nonces.find(writer, user_id, channel_id, draft.nonce, now_ms=now_ms)
        if known is None:
            raise
        return Sent(known, is_new=False)
    called = mentions.of(writer, channel, draft.content, draft.named, now_ms=now_ms) if sent_at is None else None
    files = attachments.attached(claimed)
    message = messages.insert(writer, channel, draft, called=called, attached=files, now_ms=now_ms, sent_at=sent_at)
    if message is None:
        known = nonces.find(writer, user_id, channel_id, draft.nonce, now_ms=now_ms)
        if known is None:
            raise ConflictError(NONCE_USED)
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
    if is_live:
        channel = access.open_channel(writer, user_id, channel_id, need, now_ms=now_ms)
    else:
        channel = access.open_for_history(writer, user_id, channel_id)
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
    """Raise ConflictError for a channel that takes no messages, ForbiddenError without the permission that it needs."""
    if channel.is_archived:
        raise ConflictError("This channel is archived.")
    if channel.type == "voice":
        raise ConflictError("A voice channel takes no messages.")
    if channel.type == "announcement" and not channel.may(permissions.MANAGE_MESSAGES):
        raise ForbiddenError("Only those who manage messages write in an announcement channel.", need="manage_messages")


def _require_slow(writer: Writer, channel: Channel, now_ms: int) -> None:
    """Raise SlowModeError until the slow mode's pause has passed since the sender's last message in the channel.

    Messages in all threads count, and deleted ones too.
    """
    if any(map(channel.may, NEVER_SLOW)):
        return
    pause_ms = channel.slow_mode_seconds * 1_000
    last_at = messages.last_sent_at(writer, channel, since=ids.at(now_ms - pause_ms))
    if last_at is not None and last_at + pause_ms > now_ms:
        # A clock that was set back makes nobody wait longer than the pause.
        left_ms = min(last_at + pause_ms - now_ms, pause_ms)
        raise SlowModeError(-(-left_ms // 1_000))


AT_ONCE_MAX = 100
"""Messages that one request deletes or moves: a page of them. Beyond it 422."""


def edit_message(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    message_id: MessageId,
    content: str,
    named: Called | None = None,
    *,
    now_ms: int,
) -> Message:
    """Replace the text of the user's own message, and return the message.

    Its mentions are decided anew, from the targets that the text names. Raises NotFoundError for a message that the
    user does not see, ForbiddenError for another person's and for a user who may no longer send there, ConflictError
    for messages of the server and for a channel or thread that takes no messages.
    """
    channel = access.open_channel(writer, user_id, channel_id, 0, now_ms=now_ms)
    message = _seen(writer, channel, message_id)
    if message.content_type == "system":
        raise ConflictError("A message of the server cannot be edited.")
    if message.user_id != user_id:
        raise ForbiddenError("Only its author edits a message.", need="authorship")
    need = permissions.SEND_MESSAGES if message.thread_id is None else permissions.SEND_IN_THREADS
    channel = access.open_channel(writer, user_id, channel_id, need, now_ms=now_ms)
    require_writable(channel)
    _require_unlocked(writer, channel, message.thread_id)
    if message.content == content:
        return message
    called = mentions.of(writer, channel, content, named, now_ms=now_ms)
    return messages.edit(writer, message, content, called, now_ms=now_ms)


def list_versions(
    reader: Reader,
    user_id: UserId,
    channel_id: ChannelId,
    message_id: MessageId,
    *,
    after: int,
    limit: int,
    now_ms: int,
) -> tuple[list[Version], int | None]:
    """Return a page of a message's texts, oldest first and the present one last, and the cursor of the next page."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    message = messages.one(reader, channel, message_id)
    return versions_of(reader, message, after=after, limit=limit)


def versions_of(reader: Reader, message: Message, *, after: int, limit: int) -> tuple[list[Version], int | None]:
    """Return a page of the texts of a message that the caller has checked, and the cursor of the next page."""
    replaced = messages.versions(reader, message, after=after, limit=limit)
    versions = [version for _, version in replaced]
    if len(replaced) == limit:
        return versions, replaced[-1][0]
    now = Version(message.content, message.created_at if message.edited_at is None else message.edited_at)
    return [*versions, now], None


def delete_message(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    message_id: MessageId,
    *,
    reason: str | None = None,
    now_ms: int,
) -> None:
    """Delete the user's own message if they still see it, or with MANAGE_MESSAGES anyone's.

    Raises NotFoundError for a message that the user does not see, ForbiddenError without permission. Nobody owns a
    message of the server.
    """
    channel = access.open_channel(writer, user_id, channel_id, 0, now_ms=now_ms)
    message = _seen(writer, channel, message_id)
    is_own = _require_deletable(channel, message)
    messages.erase(writer, [message], actor_id=user_id, now_ms=now_ms)
    if not is_own:
        _audit_deleted(writer, user_id, message, reason, now_ms)


def _audit_deleted(writer: Writer, user_id: UserId, message: Message, reason: str | None, now_ms: int) -> None:
    # Its text is in the log, where it can be erased; the audit log is permanent.
    before = {"channel_id": str(message.channel_id), "user_id": str(message.user_id)}
    audit.append(
        writer, EventType.MESSAGE_DELETED, actor_id=user_id, target=("message", message.id), before=before,
        reason=reason, now_ms=now_ms,
    )  # fmt: skip


def _require_deletable(channel: Channel, message: Message) -> bool:
    """Return whether a message is one of `channel.user_id`.

    Raises NotFoundError or ForbiddenError unless they may delete it.
    """
    if message.user_id != channel.user_id and not channel.may(permissions.READ_HISTORY):
        raise NotFoundError("message")
    is_own = message.user_id == channel.user_id and message.content_type != "system"
    if not is_own and not channel.may(permissions.MANAGE_MESSAGES):
        raise ForbiddenError("Only its author, or who manages messages, deletes a message.", need="manage_messages")
    return is_own


def delete_archived(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    segment: Segment,
    found: Sequence[Message],
    edges: Edges,
    *,
    is_many: bool,
    reason: str | None = None,
    now_ms: int,
) -> bool:
    """Delete messages of a segment (as it was read) and set its new edges; False when it changed since.

    Raises as `delete_message` and `delete_messages` do.
    """
    need = permissions.MANAGE_MESSAGES | permissions.READ_HISTORY if is_many else 0
    channel = access.open_channel(writer, user_id, channel_id, need, now_ms=now_ms)
    own = [is_many or _require_deletable(channel, message) for message in found]
    if not archive.erase_archived(writer, segment, found, edges, actor_id=user_id, now_ms=now_ms):
        return False
    if is_many:
        named = {str(message.id): str(message.user_id) for message in found}
        _audit_many(writer, user_id, channel_id, named, reason, now_ms)
    elif not all(own):
        _audit_deleted(writer, user_id, found[0], reason, now_ms)
    return True


def _audit_many(
    writer: Writer, user_id: UserId, channel_id: ChannelId, found: Mapping[str, str], reason: str | None, now_ms: int
) -> None:
    """Append to the audit log that a member deleted messages, given with their authors."""
    audit.append(
        writer, AuditAction.MESSAGE_BULK_DELETED, actor_id=user_id, target=("channel", channel_id),
        before={"messages": found}, reason=reason, now_ms=now_ms,
    )  # fmt: skip


def delete_messages(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    message_ids: Sequence[MessageId],
    *,
    reason: str | None = None,
    now_ms: int,
) -> list[MessageId]:
    """Delete those messages that are in the channel, and return their ids, oldest first."""
    need = permissions.MANAGE_MESSAGES | permissions.READ_HISTORY
    channel = access.open_channel(writer, user_id, channel_id, need, now_ms=now_ms)
    found = messages.some(writer, channel, message_ids)
    if found:
        messages.erase(writer, found, actor_id=user_id, now_ms=now_ms)
        named = {str(message.id): str(message.user_id) for message in found}
        _audit_many(writer, user_id, channel_id, named, reason, now_ms)
    return [message.id for message in found]


def move_messages(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    message_ids: Sequence[MessageId],
    thread_id: ThreadId | None,
    *,
    reason: str | None = None,
    now_ms: int,
) -> list[MessageId]:
    """Move those messages that are in the channel into one of its threads, or with None out of all threads.

    Returns the ids of those that were not there yet, oldest first. Raises NotFoundError for a thread of another
    channel, ConflictError in an archived channel, and for the channel's mode: threads required, or disabled.
    """
    need = permissions.MANAGE_THREADS | permissions.READ_HISTORY
    channel = access.open_channel(writer, user_id, channel_id, need, now_ms=now_ms)
    if channel.is_archived:
        raise ConflictError("This channel is archived.")
    if thread_id is not None:
        threads.is_locked(writer, channel, thread_id)  # members who may move messages may lock and unlock, too
        if channel.thread_mode == "disabled":
            raise ConflictError("This channel has no threads.")
    elif channel.thread_mode == "required":
        raise ConflictError("Messages of this channel belong into a thread.")
    found = [one for one in messages.some(writer, channel, message_ids) if one.thread_id != thread_id]
    if found:
        moved_reads.keep(writer, channel_id, found, thread_id)
        messages.move(writer, found, thread_id, actor_id=user_id, now_ms=now_ms)
        before = {"threads": {str(one.id): _text_or_none(one.thread_id) for one in found}}
        audit.append(
            writer, EventType.MESSAGE_MOVED, actor_id=user_id, target=("channel", channel_id), before=before,
            after={"thread": _text_or_none(thread_id)}, reason=reason, now_ms=now_ms,
        )  # fmt: skip
    return [message.id for message in found]


def _seen(reader: Reader, channel: Channel, message_id: MessageId) -> Message:
    """Return a message that `channel.user_id` wrote or may read."""
    message = messages.one(reader, channel, message_id)
    if message.user_id != channel.user_id and not channel.may(permissions.READ_HISTORY):
        raise NotFoundError("message")
    return message


def _require_unlocked(reader: Reader, channel: Channel, thread_id: ThreadId | None) -> None:
    if thread_id is None or channel.may(permissions.MANAGE_THREADS):
        return
    if threads.is_locked(reader, channel, thread_id):
        raise ConflictError("This thread is locked.")


def _text_or_none(number: int | None) -> str | None:
    return None if number is None else str(number)

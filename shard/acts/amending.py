"""Changing what was said: editing, deleting and moving messages, and reading what they said before.

Whoever may not read a message is answered as if it were not there; authors always see their own.
"""

from collections.abc import Mapping, Sequence

from ids import ChannelId, MessageId, ThreadId, UserId
from shard import access, audit, mentions, messages, permissions, threads
from shard.access import Channel
from shard.acts import archiving, talking
from shard.connections import Reader, Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.messages import Version
from shard.rows import Message
from shard.segment_files import Edges
from shard.segments import Segment

AT_ONCE_MAX = 100
"""Messages that one request deletes or moves: a page of them."""


def edit_message(
    writer: Writer, user_id: UserId, channel_id: ChannelId, message_id: MessageId, content: str, *, now_ms: int
) -> Message:
    """Give one's own message other words, and return it as it is now.

    Whom it calls is decided anew. Raises NotFoundError for a message that one does not see, ForbiddenError for another
    person's and for whoever may no longer send there, ConflictError for messages of the server and where the channel or
    thread takes no messages.
    """
    channel = access.open_channel(writer, user_id, channel_id, 0, now_ms=now_ms)
    message = _seen(writer, channel, message_id)
    if message.content_type == "system":
        raise ConflictError("A message of the server cannot be edited.")
    if message.user_id != user_id:
        raise ForbiddenError("Only its author edits a message.", need="authorship")
    need = permissions.SEND_MESSAGES if message.thread_id is None else permissions.SEND_IN_THREADS
    channel = access.open_channel(writer, user_id, channel_id, need, now_ms=now_ms)
    talking.require_writable(channel)
    _require_unlocked(writer, channel, message.thread_id)
    if message.content == content:
        return message
    called = mentions.of(writer, channel, content, now_ms=now_ms)
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
    """Return what a message said, oldest first and at last what it says, with the place to go on from, if any."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    message = messages.one(reader, channel, message_id)
    return versions_of(reader, message, after=after, limit=limit)


def versions_of(reader: Reader, message: Message, *, after: int, limit: int) -> tuple[list[Version], int | None]:
    """Return what a message said that its reader may read, and the place to go on from, if any."""
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
    """Delete one's own message wherever one still sees it, or with MANAGE_MESSAGES anyone's.

    Raises NotFoundError for a message that one does not see, ForbiddenError without permission. Nobody owns a message
    of the server.
    """
    channel = access.open_channel(writer, user_id, channel_id, 0, now_ms=now_ms)
    message = _seen(writer, channel, message_id)
    is_own = _require_deletable(channel, message)
    messages.erase(writer, [message], actor_id=user_id, now_ms=now_ms)
    if not is_own:
        _audit_deleted(writer, user_id, message, reason, now_ms)


def _audit_deleted(writer: Writer, user_id: UserId, message: Message, reason: str | None, now_ms: int) -> None:
    # What it said is in the log, where it can be erased; the audit log is for good.
    before = {"channel_id": str(message.channel_id), "user_id": str(message.user_id)}
    audit.append(
        writer, "message.deleted", actor_id=user_id, target=("message", message.id), before=before,
        reason=reason, now_ms=now_ms,
    )  # fmt: skip


def _require_deletable(channel: Channel, message: Message) -> bool:
    """Raise NotFoundError or ForbiddenError unless the channel's opener may delete a message; tell whether it is their
    own."""
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
    """Delete messages that a segment, as it was seen, has, with the edges that are left; False when it changed since.

    Raises as `delete_message` and `delete_messages` do.
    """
    need = permissions.MANAGE_MESSAGES | permissions.READ_HISTORY if is_many else 0
    channel = access.open_channel(writer, user_id, channel_id, need, now_ms=now_ms)
    own = [is_many or _require_deletable(channel, message) for message in found]
    if not archiving.erase_archived(writer, segment, found, edges, actor_id=user_id, now_ms=now_ms):
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
    """Write into the room's record that somebody deleted messages, given with their authors."""
    audit.append(
        writer, "message.bulk_deleted", actor_id=user_id, target=("channel", channel_id), before={"messages": found},
        reason=reason, now_ms=now_ms,
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
    """Delete those of some messages that are in the channel, and return their ids, oldest first."""
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
    """Put those of some messages that are in the channel into one of its threads, or with None into none, and return
    the ids of those that were not there yet, oldest first.

    Raises NotFoundError for a thread of elsewhere, ConflictError in an archived channel and where messages belong into
    threads, or there are none.
    """
    need = permissions.MANAGE_THREADS | permissions.READ_HISTORY
    channel = access.open_channel(writer, user_id, channel_id, need, now_ms=now_ms)
    if channel.is_archived:
        raise ConflictError("This channel is archived.")
    if thread_id is not None:
        threads.is_locked(writer, channel, thread_id)  # whoever moves messages may lock and unlock, too
        if channel.thread_mode == "disabled":
            raise ConflictError("This channel has no threads.")
    elif channel.thread_mode == "required":
        raise ConflictError("Messages of this channel belong into a thread.")
    found = [one for one in messages.some(writer, channel, message_ids) if one.thread_id != thread_id]
    if found:
        messages.move(writer, found, thread_id, actor_id=user_id, now_ms=now_ms)
        before = {"threads": {str(one.id): _text_or_none(one.thread_id) for one in found}}
        audit.append(
            writer, "message.moved", actor_id=user_id, target=("channel", channel_id), before=before,
            after={"thread": _text_or_none(thread_id)}, reason=reason, now_ms=now_ms,
        )  # fmt: skip
    return [message.id for message in found]


def _seen(reader: Reader, channel: Channel, message_id: MessageId) -> Message:
    """Return a message that the opener of the channel wrote or may read."""
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

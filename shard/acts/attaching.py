"""Uploading files and reading them: each belongs to a channel, until it has a message to its uploader alone.

What has no message yet is nobody else's business, so the log tells of files with their messages only.
"""

from dataclasses import dataclass

from ids import AttachmentId, ChannelId, UserId
from shard import access, attachments, permissions
from shard.access import Channel
from shard.acts import talking
from shard.attachments import Announced, Attachment
from shard.connections import Reader, Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError


@dataclass(frozen=True, slots=True)
class Measured:
    """What was seen in the bytes of an upload: pixels, of an image."""

    width: int | None = None
    height: int | None = None


def require_upload(reader: Reader, user_id: UserId, channel_id: ChannelId, *, now_ms: int) -> Channel:
    """Return a channel to which a member may upload files now.

    Raises NotFoundError for one that they do not see, ForbiddenError without the permission to attach files, or to send
    anything there, ConflictError where no messages are taken.
    """
    channel = access.open_channel(reader, user_id, channel_id, permissions.ATTACH_FILES, now_ms=now_ms)
    if not (channel.may(permissions.SEND_MESSAGES) or channel.may(permissions.SEND_IN_THREADS)):
        raise ForbiddenError("This needs the permission send_messages.", need="send_messages")
    talking.require_writable(channel)
    return channel


def announce_upload(
    writer: Writer, user_id: UserId, channel_id: ChannelId, announced: Announced, *, secret: str, now_ms: int
) -> Attachment:
    """Write down an upload to come; raises as `require_upload`, and ConflictError for too many that no message has."""
    channel = require_upload(writer, user_id, channel_id, now_ms=now_ms)
    return attachments.announce(writer, channel, announced, secret=secret, now_ms=now_ms)


def get_upload(
    reader: Reader, user_id: UserId, channel_id: ChannelId, attachment_id: AttachmentId, *, now_ms: int
) -> Attachment:
    """Return an upload of one's own, whatever its state; raises NotFoundError for everybody else's."""
    channel = access.open_channel(reader, user_id, channel_id, 0, now_ms=now_ms)
    return attachments.own(reader, channel, attachment_id)


def require_key(reader: Reader, object_key: str) -> None:
    """Raise NotFoundError unless a file has this key, or an upload; whoever knows the key was given it."""
    number = object_key.rpartition("/")[2].partition("-")[0]
    if not (number.isdecimal() and attachments.has_key(reader, AttachmentId(int(number)), object_key)):
        raise NotFoundError("file")


def complete_upload(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    attachment_id: AttachmentId,
    measured: Measured,
    *,
    now_ms: int,
) -> Attachment:
    """Note that the bytes of one's own upload are stored and as announced; one that is complete stays as it is."""
    get_upload(writer, user_id, channel_id, attachment_id, now_ms=now_ms)
    attachments.finish(writer, attachment_id, width=measured.width, height=measured.height)
    return get_upload(writer, user_id, channel_id, attachment_id, now_ms=now_ms)


def cancel_upload(
    writer: Writer, user_id: UserId, channel_id: ChannelId, attachment_id: AttachmentId, *, now_ms: int
) -> None:
    """Give up an upload of one's own; raises ConflictError for a file that has a message."""
    if get_upload(writer, user_id, channel_id, attachment_id, now_ms=now_ms).state == "attached":
        raise ConflictError("This file belongs to a message; delete the message instead.")
    attachments.remove(writer, attachment_id)


def open_file(
    reader: Reader, user_id: UserId, channel_id: ChannelId, attachment_id: AttachmentId, *, now_ms: int
) -> Attachment:
    """Return a file of a message that a member may read."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    return attachments.of_message(reader, channel, attachment_id)

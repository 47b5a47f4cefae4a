"""Uploads and downloads of files: each file belongs to a channel, and is private until a message has it.

Uploads have no events: the log has a file only with its message.
"""

from dataclasses import dataclass
from typing import NamedTuple

from ids import AttachmentId, ChannelId, UserId
from shard import access, permissions
from shard.access import Channel
from shard.actions import messages
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.tables import attachments
from shard.tables.attachments import Announced, Attachment


@dataclass(frozen=True, slots=True)
class Measured:
    """The measured properties of an upload's bytes: the pixels of an image, and its type if not the announced one."""

    width: int | None = None
    height: int | None = None
    mime_type: str | None = None


def require_upload(reader: Reader, user_id: UserId, channel_id: ChannelId, *, now_ms: int) -> Channel:
    """Return a channel to which a member may upload files now.

    Raises NotFoundError for one that they do not see, ForbiddenError without the permission to attach files or to send
    messages there, ConflictError for a channel that takes no messages.
    """
    channel = access.open_channel(reader, user_id, channel_id, permissions.ATTACH_FILES, now_ms=now_ms)
    if not (channel.may(permissions.SEND_MESSAGES) or channel.may(permissions.SEND_IN_THREADS)):
        raise ForbiddenError("This needs the permission send_messages.", need="send_messages")
    messages.require_writable(channel)
    return channel


def announce_upload(
    writer: Writer, user_id: UserId, channel_id: ChannelId, announced: Announced, *, secret: str, now_ms: int
) -> Attachment:
    """Insert an upload to come; raises as `require_upload`, and ConflictError for too many unattached uploads."""
    channel = require_upload(writer, user_id, channel_id, now_ms=now_ms)
    return attachments.announce(writer, channel, announced, secret=secret, now_ms=now_ms)


class Upload(NamedTuple):
    """An announced upload; `is_new` is False if it was announced before, with the same secret."""

    file: Attachment
    is_new: bool


def announce_once(
    writer: Writer, user_id: UserId, channel_id: ChannelId, announced: Announced, *, secret: str, now_ms: int
) -> Upload:
    """Insert an upload to come, or return the one that has this secret; raises as the functions beside it."""
    known = find_announced(writer, user_id, channel_id, announced, secret=secret, now_ms=now_ms)
    if known is not None:
        return Upload(known, is_new=False)
    new = announce_upload(writer, user_id, channel_id, announced, secret=secret, now_ms=now_ms)
    return Upload(new, is_new=True)


def find_announced(
    reader: Reader, user_id: UserId, channel_id: ChannelId, announced: Announced, *, secret: str, now_ms: int
) -> Attachment | None:
    """Return the upload that a member announced with a secret, if no message has it yet.

    Raises as `require_upload`, and ConflictError for an announcement of other bytes.
    """
    channel = require_upload(reader, user_id, channel_id, now_ms=now_ms)
    known = attachments.waiting(reader, channel, secret)
    # Its name may be shown cleaned, and its bytes decide its type: neither is compared.
    if known is not None and (known.size_bytes, known.sha256) != (announced.size_bytes, announced.sha256):
        raise ConflictError("This nonce was already used for another file; make a new one for every upload.")
    return known


def get_upload(
    reader: Reader, user_id: UserId, channel_id: ChannelId, attachment_id: AttachmentId, *, now_ms: int
) -> Attachment:
    """Return an upload of the user, in any state; raises NotFoundError for somebody else's."""
    channel = access.open_channel(reader, user_id, channel_id, 0, now_ms=now_ms)
    return attachments.own(reader, channel, attachment_id)


def require_key(reader: Reader, object_key: str) -> None:
    """Raise NotFoundError unless a file or an upload has this key; the key itself is the permission."""
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
    """Mark the user's own upload as complete: its bytes are stored and as announced; a complete one stays unchanged."""
    get_upload(writer, user_id, channel_id, attachment_id, now_ms=now_ms)
    attachments.finish(
        writer, attachment_id, width=measured.width, height=measured.height, mime_type=measured.mime_type
    )
    return get_upload(writer, user_id, channel_id, attachment_id, now_ms=now_ms)


def cancel_upload(
    writer: Writer, user_id: UserId, channel_id: ChannelId, attachment_id: AttachmentId, *, now_ms: int
) -> None:
    """Delete the user's own upload; raises ConflictError for a file that a message has."""
    if get_upload(writer, user_id, channel_id, attachment_id, now_ms=now_ms).state == "attached":
        raise ConflictError("This file belongs to a message; delete the message instead.")
    attachments.remove(writer, attachment_id)


def open_file(
    reader: Reader, user_id: UserId, channel_id: ChannelId, attachment_id: AttachmentId, *, now_ms: int
) -> Attachment:
    """Return a file of a message that a member may read."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    return attachments.of_message(reader, channel, attachment_id)

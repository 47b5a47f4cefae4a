"""Files of messages: announced, uploaded, complete, attached to one message of their channel, and deleted with it.

A file's bytes are in object storage under a key that only its row has. When a row is deleted, for any reason, triggers
keep the key in `freed_files` in the same transaction, so that no crash leaves the bytes there for good; `file_usage`
has the bytes that each user stores, freed files included.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import orjson

from ids import AttachmentId, ChannelId, MessageId, UserId
from shard.access import Channel
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError, NotFoundError
from shard.tables.messages import NO_FILES, Attached

PER_MESSAGE_MAX: Final = 10
"""Files of one message, as at Discord. Beyond it 422."""
WAITING_MAX: Final = 50
"""Uploads of one person in one room that no message has yet: five full messages at once. Beyond it 409."""
FILENAME_LENGTH_MAX: Final = 255
"""Characters of a file's name. Beyond it 422."""
MIME_TYPE_LENGTH_MAX: Final = 127
"""Characters of a file's MIME type. Beyond it 422."""
FREED_AT_ONCE: Final = 100
"""Files whose bytes are removed between two transactions."""

IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""Types whose bytes are checked before the upload is complete."""

State = Literal["pending", "complete", "attached"]


@dataclass(frozen=True, slots=True)
class Announced:
    """An upload as its owner announced it; `sha256` in hexadecimal digits."""

    filename: str
    size_bytes: int
    mime_type: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file; `width` and `height` in pixels for an image, `created_at` in milliseconds UTC."""

    id: AttachmentId
    message_id: MessageId | None
    channel_id: ChannelId
    user_id: UserId
    filename: str
    size_bytes: int
    mime_type: str
    sha256: str
    object_key: str
    state: State
    width: int | None
    height: int | None
    duration_ms: int | None
    created_at: int


@dataclass(frozen=True, slots=True)
class Freed:
    """A file whose row is deleted and whose bytes must still be removed."""

    id: AttachmentId
    user_id: UserId
    size_bytes: int
    object_key: str


def announce(writer: Writer, channel: Channel, announced: Announced, *, secret: str, now_ms: int) -> Attachment:
    """Insert an upload to come from `channel.user_id`; `secret` makes its key impossible to guess.

    Raises ConflictError when they have WAITING_MAX uploads in the room that are not attached yet.
    """
    row = writer.one(_WAITING, (channel.user_id,))
    if row is not None and row[0] >= WAITING_MAX:
        raise ConflictError(f"You have {WAITING_MAX} uploads here that no message has. Send them, or cancel some.")
    attachment_id = AttachmentId(writer.ids.next(now_ms))
    key = f"rooms/{writer.room_id}/{attachment_id}-{secret}"
    name, size_bytes, mime_type, sha256 = (
        announced.filename, announced.size_bytes, announced.mime_type, announced.sha256,
    )  # fmt: skip
    writer.run(
        "INSERT INTO message_attachments (id, channel_id, user_id, filename, size_bytes, mime_type, sha256, "
        "object_key, state, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?)",
        (attachment_id, channel.id, channel.user_id, name, size_bytes, mime_type, sha256, key, now_ms),
    )
    return Attachment(
        attachment_id, None, channel.id, channel.user_id, name, size_bytes, mime_type, sha256, key, "pending",
        None, None, None, now_ms,
    )  # fmt: skip


def waiting(reader: Reader, channel: Channel, secret: str) -> Attachment | None:
    """Return the upload of `channel.user_id` to that channel whose key has this secret, if no message has it yet."""
    row = reader.one(_WAITING_WITH, (channel.user_id, channel.id, int(reader.room_id), secret))
    return None if row is None else Attachment(*row)


def own(reader: Reader, channel: Channel, attachment_id: AttachmentId) -> Attachment:
    """Return an upload of `channel.user_id` in that channel; raises NotFoundError for any other id."""
    row = reader.one(_OWN, (attachment_id, channel.id, channel.user_id))
    if row is None:
        raise NotFoundError("attachment")
    return Attachment(*row)


def of_message(reader: Reader, channel: Channel, attachment_id: AttachmentId) -> Attachment:
    """Return a file of a message of this channel; raises NotFoundError for any other id."""
    row = reader.one(_OF_MESSAGE, (attachment_id, channel.id)) or reader.one(_ARCHIVED, (attachment_id, channel.id))
    if row is None:
        raise NotFoundError("attachment")
    return Attachment(*row)


def has_key(reader: Reader, attachment_id: AttachmentId, object_key: str) -> bool:
    """Return whether a file has this object key, uploaded or not."""
    return reader.one(_HAS_KEY, (attachment_id, object_key) * 2) is not None


def finish(
    writer: Writer, attachment_id: AttachmentId, *, width: int | None, height: int | None, mime_type: str | None
) -> None:
    """Mark an upload as complete: its bytes are stored and match the announcement, or have this type."""
    writer.run(
        "UPDATE message_attachments SET state = 'complete', width = ?, height = ?, mime_type = coalesce(?, mime_type) "
        "WHERE id = ? AND state = 'pending'",
        (width, height, mime_type, attachment_id),
    )


def remove(writer: Writer, attachment_id: AttachmentId) -> None:
    """Delete an upload that is not attached; its bytes are removed later."""
    writer.run("DELETE FROM message_attachments WHERE id = ? AND state <> 'attached'", (attachment_id,))


def claim(reader: Reader, channel: Channel, attachment_ids: Sequence[AttachmentId]) -> tuple[Attachment, ...]:
    """Return uploads that `channel.user_id` may attach to one message there, in this order.

    Raises NotFoundError for an upload of somebody else or of another channel, ConflictError for one that is not
    complete or already attached.
    """
    rows = reader.all(_CLAIMED, (orjson.dumps(attachment_ids).decode(), channel.id, channel.user_id))
    found = {row[0]: Attachment(*row) for row in rows}
    for attachment_id in attachment_ids:
        if attachment_id not in found:
            raise NotFoundError("attachment")
        if found[attachment_id].state == "pending":
            raise ConflictError(f"The upload {attachment_id} is not complete: send its bytes and complete it first.")
        if found[attachment_id].state == "attached":
            raise ConflictError(f"The upload {attachment_id} belongs to a message already; upload the file again.")
    return tuple(found[attachment_id] for attachment_id in attachment_ids)


def attached(files: Sequence[Attachment]) -> Attached:
    """Return the content type of a message with these files, and the files packed."""
    if not files:
        return NO_FILES
    packed = [
        (file.id, file.filename, file.size_bytes, file.mime_type, file.width, file.height, file.duration_ms)
        for file in files
    ]
    return Attached(_content_type(files), orjson.dumps(packed).decode())


def _content_type(files: Sequence[Attachment]) -> str:
    if all(file.mime_type in IMAGES for file in files):
        return "image"
    return "audio" if all(file.mime_type.startswith("audio/") for file in files) else "file"


def attach(writer: Writer, message_id: MessageId, files: Sequence[Attachment]) -> None:
    """Attach files that were claimed in this transaction to a message."""
    for position, file in enumerate(files):
        writer.run(
            "UPDATE message_attachments SET message_id = ?, state = 'attached', position = ? WHERE id = ?",
            (message_id, position, file.id),
        )


def expire(writer: Writer, *, before_ms: int, limit: int = FREED_AT_ONCE) -> int:
    """Delete unattached uploads that were announced before a time, oldest first; return their number."""
    writer.run(_EXPIRE, (before_ms, limit))
    return writer.changed()


def freed(reader: Reader, *, limit: int = FREED_AT_ONCE) -> list[Freed]:
    """Return freed files, whose bytes must be removed."""
    rows = reader.all(
        "SELECT id, user_id, size_bytes, object_key FROM freed_files WHERE id > 0 ORDER BY id LIMIT ?", (limit,)
    )
    return [Freed(*row) for row in rows]


def are_waiting(reader: Reader) -> bool:
    """Return whether there are uploads that are not attached yet."""
    return reader.one("SELECT 1 FROM message_attachments WHERE state <> 'attached' LIMIT 1") is not None


def forget(writer: Writer, attachment_ids: Sequence[AttachmentId]) -> dict[UserId, int]:
    """Delete the rows of freed files after their bytes were removed; return the freed bytes of each user."""
    packed = (orjson.dumps(attachment_ids).decode(),)
    rows = writer.all(
        "SELECT user_id, size_bytes FROM freed_files WHERE id IN (SELECT value FROM json_each(?))", packed
    )
    writer.run("DELETE FROM freed_files WHERE id IN (SELECT value FROM json_each(?))", packed)
    less: dict[UserId, int] = {}
    for user_id, size_bytes in rows:
        less[user_id] = less.get(user_id, 0) + size_bytes
    return less


def remove_archived(writer: Writer, segment_id: int, *, limit: int) -> bool:
    """Delete files of a segment's messages, `limit` at most, and return whether there may be more."""
    writer.run(
        "DELETE FROM archived_attachments WHERE id IN "
        "(SELECT id FROM archived_attachments WHERE segment_id = ? LIMIT ?)",
        (segment_id, limit),
    )
    return writer.changed() == limit


def usage(reader: Reader) -> dict[UserId, int]:
    """Return the bytes that each user stores in the room."""
    row = reader.one("SELECT json_group_array(json_array(user_id, size_bytes)) FROM file_usage")
    return {} if row is None else {UserId(user_id): size_bytes for user_id, size_bytes in orjson.loads(row[0])}


def known(reader: Reader, attachment_ids: Sequence[AttachmentId]) -> frozenset[AttachmentId]:
    """Return the ids among these that belong to files of the room, freed ones included."""
    packed = orjson.dumps(attachment_ids).decode()
    row = reader.one(_KNOWN, (packed, packed, packed))
    return frozenset() if row is None else frozenset(orjson.loads(row[0]))


_SELECT = (
    "SELECT id, message_id, channel_id, user_id, filename, size_bytes, mime_type, sha256, object_key, state, width, "
    "height, duration_ms, created_at FROM message_attachments WHERE "
)
_OWN = _SELECT + "id = ? AND channel_id = ? AND user_id = ?"
_OF_MESSAGE = _SELECT + "id = ? AND channel_id = ? AND state = 'attached'"
_CLAIMED = _SELECT + "id IN (SELECT value FROM json_each(?)) AND channel_id = ? AND user_id = ?"  # noqa: S608
_WAITING = "SELECT count(*) FROM message_attachments WHERE user_id = ? AND state <> 'attached'"
_WAITING_WITH = _SELECT + (
    "user_id = ? AND state <> 'attached' AND channel_id = ? AND object_key = 'rooms/' || ? || '/' || id || '-' || ?"
)
_ARCHIVED = (
    "SELECT id, message_id, channel_id, user_id, filename, size_bytes, mime_type, sha256, object_key, 'attached', "
    "width, height, duration_ms, created_at FROM archived_attachments WHERE id = ? AND channel_id = ?"
)
_HAS_KEY = (
    "SELECT 1 FROM message_attachments WHERE id = ? AND object_key = ? "
    "UNION ALL SELECT 1 FROM archived_attachments WHERE id = ? AND object_key = ?"
)
_EXPIRE = (
    "DELETE FROM message_attachments WHERE id IN (SELECT id FROM message_attachments "
    "WHERE state <> 'attached' AND created_at < ? ORDER BY created_at LIMIT ?)"
)
_KNOWN = (
    "SELECT json_group_array(id) FROM ("
    "SELECT id FROM message_attachments WHERE id IN (SELECT value FROM json_each(?)) "
    "UNION ALL SELECT id FROM archived_attachments WHERE id IN (SELECT value FROM json_each(?)) "
    "UNION ALL SELECT id FROM freed_files WHERE id IN (SELECT value FROM json_each(?)))"
)

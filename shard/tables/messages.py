"""Messages: stored once, in order; edits and deletions keep the former text in the log.

Ids are positions. A live message gets the writer's next id; a message imported with its original time gets the first
free id of that time, so a page is ordered by time wherever a message came from.

The types of messages (`content_type`) stand in the CHECK of the table (migrations/shard/0002_messages.sql): "text" is
the default of `Draft`, tables/attachments.py chooses the type of a message with files, and tables/system_messages.py
writes "system", which actions/messages.py lets nobody edit.
"""

from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

import apsw
import orjson

import ids
from ids import AttachmentId, ChannelId, MessageId, ThreadId, UserId
from shard.access import Channel
from shard.archive import cuts, manifest, retention
from shard.archive.manifest import MaybeArchivedError
from shard.archive.retention import Policy
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError
from shard.event_types import EventType
from shard.rows import HAS_ATTACHMENTS, HAS_MENTIONS, HAS_REACTIONS, Message
from shard.tables import counters, events, mentions, portions
from shard.tables.counters import Change
from shard.text import tokens
from shard.text.mention_marks import Called

CONTENT_LENGTH_MAX = 8_000
"""Characters of one message; the schema holds the same bound. Beyond it 422."""
NONCE_LENGTH_MAX = 64
"""Characters of a nonce. Beyond it 422."""
ERASED_AT_ONCE_MAX = 1_000
"""Messages of one person that one transaction erases: the room's other writers wait meanwhile. It takes 25 ms."""

# The empty text at the end makes it text, which SQLite would otherwise pack as JSON inside of JSON.
MESSAGE_COLUMNS = f"""
    {", ".join(Message._fields[: Message._fields.index("mentions")])},
    CASE WHEN extras & {HAS_MENTIONS} THEN
        (SELECT json_group_array(json_array(o.target_type, o.target_id)) || ''
         FROM message_mentions o WHERE o.message_id = messages.id) END AS mentions,
    CASE WHEN extras & {HAS_ATTACHMENTS} THEN
        (SELECT json_group_array(json_array(
             o.id, o.filename, o.size_bytes, o.mime_type, o.width, o.height, o.duration_ms)
             ORDER BY o.position, o.id) || ''
         FROM message_attachments o WHERE o.message_id = messages.id) END AS attachments,
    CASE WHEN extras & {HAS_REACTIONS} THEN
        (SELECT json_group_array(json_array(o.emoji, o.count) ORDER BY o.created_at, o.emoji) || ''
         FROM reaction_counts o WHERE o.message_id = messages.id) END AS reactions
"""  # noqa: S608
"""The values of a Message, from the table `messages` under its own name."""


class Draft(NamedTuple):
    """A message as a person sends it."""

    content: str
    nonce: str | None = None
    thread_id: ThreadId | None = None
    reply_to_id: MessageId | None = None
    attachment_ids: tuple[AttachmentId, ...] = ()
    named: Called | None = None
    """The targets that the text names, where they were read already."""


class Attached(NamedTuple):
    """The attachments of a message: the content type that they give it, and the files packed as in a page."""

    content_type: str = "text"
    packed: str | None = None


NO_FILES = Attached()


def insert(
    writer: Writer,
    channel: Channel,
    draft: Draft,
    *,
    called: str | None = None,
    attached: Attached = NO_FILES,
    now_ms: int,
    sent_at: int | None = None,
) -> Message | None:
    """Store a message, which is counted and indexed before the commit.

    `sent_at` is the original time of an imported message, `called` has its mentions (`mentions.of`). The caller must
    attach the files in `attached` afterwards (`attachments.attach`). Returns None when this person has already sent
    this nonce: nothing is stored then.
    """
    if draft.nonce is not None and cuts.is_spent(writer, channel.user_id, draft.nonce):
        return None
    message_id = MessageId(writer.ids.next(now_ms)) if sent_at is None else _free_id(writer, sent_at)
    created_at = now_ms if sent_at is None else sent_at
    content, nonce, thread_id, reply_to_id, _, _ = draft
    content_type, packed = attached
    row = (message_id, channel.id, thread_id, channel.user_id, content, content_type, reply_to_id, nonce)
    extras = (0 if called is None else HAS_MENTIONS) | (0 if packed is None else HAS_ATTACHMENTS)
    try:
        writer.run(_INSERT, (*row, created_at, tokens.to_index(content), extras))
    except apsw.ConstraintError as error:
        if "messages.nonce" not in str(error):
            raise
        return None
    if called is not None:
        mentions.record(writer, message_id, called)
    writer.later(counters.settle, Change(message_id, created_at, channel.id, thread_id))
    return Message(
        message_id, channel.id, thread_id, channel.user_id, content, content_type, None, reply_to_id, nonce, 0, 0,
        created_at, None, called, packed,
    )  # fmt: skip


def put_metadata(writer: Writer, message: Message, facts: Mapping[str, Any]) -> Message:
    """Store metadata of a message in the transaction that sends it, and return the message with it."""
    noted = message._replace(metadata=orjson.dumps(facts).decode())
    writer.run("UPDATE messages SET metadata = ? WHERE id = ?", (noted.metadata, message.id))
    return noted


def insert_system(
    writer: Writer,
    channel_id: ChannelId,
    kind: str,
    facts: Mapping[str, Any],
    actor_id: UserId,
    now_ms: int,
    *,
    thread_id: ThreadId | None = None,
) -> Message:
    """Store and log a message of the server about an action of `actor_id`; `kind` and `facts` become its metadata.

    `facts` go on the wire unchanged, so ids are strings. Its content is empty: clients write the words.
    """
    message_id = MessageId(writer.ids.next(now_ms))
    metadata = orjson.dumps({"kind": kind, **facts}).decode()
    row = (message_id, channel_id, thread_id, actor_id, "", "system", metadata)
    writer.run(_INSERT_SYSTEM, (*row, now_ms))
    writer.later(counters.settle, Change(message_id, now_ms, channel_id, thread_id))
    message = Message(*row, None, None, 0, 0, now_ms, None)
    events.append_created(writer, message, now_ms=now_ms)
    return message


def edit(writer: Writer, message: Message, content: str, called: str | None, *, now_ms: int) -> Message:
    """Replace the text and the mentions (`mentions.of`) of a message; the log keeps the former text."""
    if message.mentions is not None:
        mentions.forget(writer, [message.id])
    if called is not None:
        mentions.record(writer, message.id, called)
    extras = 0 if called is None else HAS_MENTIONS
    writer.run(_EDIT, (content, tokens.to_index(content), now_ms, extras, message.id))
    edited = message._replace(content=content, edit_count=message.edit_count + 1, edited_at=now_ms, mentions=called)
    written_at = message.created_at if message.edited_at is None else message.edited_at
    replaced = {"content": message.content, "written_at": written_at, "mentions": _called(message)}
    events.append(
        writer, EventType.MESSAGE_EDITED, actor_id=message.user_id, channel_id=message.channel_id,
        message_id=message.id, replaced=replaced, message=edited, now_ms=now_ms,
    )  # fmt: skip
    return edited


class Version(NamedTuple):
    """A version of a message's text, valid from `written_at` on (milliseconds UTC)."""

    content: str
    written_at: int


def versions(reader: Reader, message: Message, *, after: int, limit: int) -> list[tuple[int, Version]]:
    """Return the former texts of a message, oldest first, each with the number of the edit that replaced it.

    `after` is the number of the last edit of the page before, 0 for the first page.
    """
    rows = reader.all(
        "SELECT seq, payload ->> '$.replaced.content', payload ->> '$.replaced.written_at' FROM events "
        "WHERE message_id = ? AND type <> 'message.created' AND type = 'message.edited' AND seq > ? "
        "ORDER BY seq LIMIT ?",
        (message.id, after, limit),
    )
    return [(row[0], Version(row[1], row[2])) for row in rows]


def erase(
    writer: Writer, found: Sequence[Message], *, actor_id: UserId | None, keeps: bool = True, now_ms: int
) -> None:
    """Delete messages with everything that belongs to them.

    Their rows stay, empty, for their nonces and for the replies to them. One event each is logged, which has the former
    message unless `keeps` is False, or the room is full and the channel not on hold. Files are deleted too: their rows
    at once, their bytes soon (`attachments.freed`).
    """
    writer.use_reserve()
    packed = (orjson.dumps([message.id for message in found]).decode(),)
    writer.run(_ERASE, packed)
    if any(message.mentions for message in found):
        mentions.forget(writer, [message.id for message in found])
    if any(message.reactions for message in found):
        writer.run("DELETE FROM reactions WHERE message_id IN (SELECT value FROM json_each(?))", packed)
        writer.run("DELETE FROM reaction_counts WHERE message_id IN (SELECT value FROM json_each(?))", packed)
    if any(message.attachments for message in found):
        writer.run("DELETE FROM message_attachments WHERE message_id IN (SELECT value FROM json_each(?))", packed)
    _log_deleted(writer, found, actor_id=actor_id, keeps=keeps, now_ms=now_ms)


def erase_archived(writer: Writer, found: Sequence[Message], *, actor_id: UserId, now_ms: int) -> None:
    """Log and count the deletion of messages that a segment hides from now on, and delete their files."""
    writer.use_reserve()
    packed = (orjson.dumps([message.id for message in found]).decode(),)
    writer.run("DELETE FROM archived_attachments WHERE message_id IN (SELECT value FROM json_each(?))", packed)
    _log_deleted(writer, found, actor_id=actor_id, keeps=True, now_ms=now_ms)


def _log_deleted(
    writer: Writer, found: Sequence[Message], *, actor_id: UserId | None, keeps: bool, now_ms: int
) -> None:
    keeping = _keeping(writer, {message.channel_id for message in found}) if keeps else frozenset()
    for message in found:
        writer.later(
            counters.settle, Change(message.id, message.created_at, message.channel_id, message.thread_id, by=-1)
        )
        events.append(
            writer, EventType.MESSAGE_DELETED, actor_id=actor_id, channel_id=message.channel_id, message_id=message.id,
            payload={"thread_id": None if message.thread_id is None else str(message.thread_id)},
            replaced=_whole(message) if message.channel_id in keeping else None, now_ms=now_ms,
        )  # fmt: skip


def _keeping(writer: Writer, channel_ids: Set[ChannelId]) -> Set[ChannelId]:
    """Return the channels whose deleted messages the log keeps: all, in a full room only those on hold, because copies
    would keep it full."""
    if not writer.is_full():
        return channel_ids
    return {each for each in channel_ids if retention.of_channel(writer, each, Policy()).is_held}


def oldest(reader: Reader, channel_id: ChannelId, *, below: int, limit: int) -> list[Message]:
    """Return a channel's oldest messages that are not pinned, with ids below `below`."""
    return [Message._make(row) for row in reader.all(_OLDEST, (channel_id, below, limit))]


def erase_recent(writer: Writer, user_id: UserId, *, since_ms: int, actor_id: UserId, now_ms: int) -> int:
    """Erase a person's messages since a time, in all channels, newest first, and return their number.

    At most ERASED_AT_ONCE_MAX and a portion: unless it returns 0 there may be more, for another transaction.
    """
    rows = writer.all(_OF_USER_SINCE, (user_id, ids.at(since_ms), ERASED_AT_ONCE_MAX, portions.PORTION_BYTES))
    found = [Message._make(row) for row in rows]
    if found:
        erase(writer, found, actor_id=actor_id, now_ms=now_ms)
    return len(found)


def move(
    writer: Writer, found: Sequence[Message], thread_id: ThreadId | None, *, actor_id: UserId, now_ms: int
) -> None:
    """Move messages of one channel into one of its threads, or with None out of all threads."""
    writer.run(
        "UPDATE messages SET thread_id = ? WHERE id IN (SELECT value FROM json_each(?))",
        (thread_id, orjson.dumps([message.id for message in found]).decode()),
    )
    for message in found:
        for place, by in ((message.thread_id, -1), (thread_id, 1)):
            if place is not None:
                writer.later(counters.settle, Change(message.id, message.created_at, None, place, by=by))
        between = {"from": message.thread_id, "to": thread_id}
        events.append(
            writer, EventType.MESSAGE_MOVED, actor_id=actor_id, channel_id=message.channel_id, message_id=message.id,
            payload={way: None if place is None else str(place) for way, place in between.items()}, now_ms=now_ms,
        )  # fmt: skip


def _whole(message: Message) -> dict[str, Any]:
    """Return all fields of a message, as the log keeps them: ids as strings, without empty fields."""
    attachments = [] if message.attachments is None else orjson.loads(message.attachments)
    whole: dict[str, Any] = {
        "user_id": str(message.user_id),
        "content": message.content,
        "content_type": message.content_type,
        "metadata": None if message.metadata is None else orjson.loads(message.metadata),
        "reply_to_id": None if message.reply_to_id is None else str(message.reply_to_id),
        "edited_at": message.edited_at,
        "is_pinned": bool(message.is_pinned),
        "mentions": _called(message),
        "attachments": [[str(number), *rest] for number, *rest in attachments],
        "reactions": None if message.reactions is None else orjson.loads(message.reactions),
    }
    return {name: value for name, value in whole.items() if value or name == "content"}


def _called(message: Message) -> list[list[str]]:
    return [] if message.mentions is None else [[kind, str(target)] for kind, target in orjson.loads(message.mentions)]


def _free_id(writer: Writer, sent_at: int) -> MessageId:
    # Times before the epoch share its first millisecond.
    begin = ids.at(sent_at)
    row = writer.one(
        "SELECT coalesce((SELECT max(id) FROM messages WHERE id < ?), 0), segments_made, "
        "coalesce((SELECT last_id FROM archived_crowds WHERE begin_id = ?), 0) FROM room",
        (begin + ids.IMPORTED_PER_MILLISECOND, begin),
    )
    last, generation, crowded = row or (0, 0, 0)
    if generation >= cuts.GENERATIONS_MAX:
        raise ConflictError(
            f"Nothing can be imported any more into a room with {cuts.GENERATIONS_MAX} segments of archive."
        )
    # Messages that were archived have numbers of an earlier generation, or are among the crowds.
    free = max(last + 1, crowded + 1, begin + cuts.generation_begins(generation))
    if free >= begin + ids.IMPORTED_PER_MILLISECOND:
        raise ConflictError("Too many messages of the same millisecond were imported into this room.")
    # A live message of the same millisecond, or an earlier one, must come behind it.
    writer.ids.seen(free)
    return MessageId(free)


def sent_with(reader: Reader, user_id: UserId, nonce: str) -> Message | None:
    """Return the message that a person sent with this nonce."""
    return _one(reader, _BY_NONCE, (user_id, nonce))


def stored(reader: Reader, nonces: Sequence[tuple[UserId, str]]) -> set[tuple[UserId, str]]:
    """Return the nonces among these, each with its author, that messages have."""
    rows = reader.all(
        "SELECT m.user_id, m.nonce FROM json_each(?) r "
        "CROSS JOIN messages m ON m.user_id = r.value ->> 0 AND m.nonce = r.value ->> 1",
        (orjson.dumps(nonces).decode(),),
    )
    return {(row[0], row[1]) for row in rows}


def last_sent_at(reader: Reader, channel: Channel, *, since: int) -> int | None:
    """Return the time (milliseconds UTC) of the newest message of `channel.user_id` from an id on, deleted or not."""
    row = reader.one(_LAST_SENT, (channel.user_id, since, channel.id))
    return None if row is None else row[0]


def one(reader: Reader, channel: Channel, message_id: MessageId) -> Message:
    """Return a message of this channel.

    Raises NotFoundError for any other id, MaybeArchivedError for one that a segment may have.
    """
    message = _one(reader, _BY_ID, (message_id, channel.id))
    if message is None:
        raise MaybeArchivedError(channel, message_id, manifest.covering(reader, channel.id, message_id))
    return message


def some(reader: Reader, channel: Channel, message_ids: Sequence[MessageId]) -> list[Message]:
    """Return the messages of this channel with one of these ids, oldest first; the caller bounds their number."""
    rows = reader.all(_BY_IDS, (orjson.dumps(message_ids).decode(), channel.id))
    return [Message._make(row) for row in rows]


def by_ids(reader: Reader, message_ids: Sequence[MessageId]) -> list[Message]:
    """Return messages by id; the caller has checked that they are visible, and bounds their number."""
    return [Message._make(row) for row in reader.all(_FOUND, (orjson.dumps(message_ids).decode(),))]


def _one(reader: Reader, sql: str, parameters: tuple[object, ...]) -> Message | None:
    row = reader.one(sql, parameters)
    return None if row is None else Message._make(row)


_INSERT = (
    "INSERT INTO messages "
    "(id, channel_id, thread_id, user_id, content, content_type, reply_to_id, nonce, created_at, search_text, extras) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_SYSTEM = (
    "INSERT INTO messages (id, channel_id, thread_id, user_id, content, content_type, metadata, created_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_EDIT = (
    "UPDATE messages SET content = ?, search_text = ?, edit_count = edit_count + 1, edited_at = ?, "  # noqa: S608
    f"extras = extras & ~{HAS_MENTIONS} | ? WHERE id = ?"
)
_ERASE = (
    "UPDATE messages SET content = '', search_text = NULL, metadata = NULL, extras = 0, is_pinned = 0, is_deleted = 1 "
    "WHERE id IN (SELECT value FROM json_each(?))"
)
_SELECT = f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE is_deleted = 0 AND "  # noqa: S608
_BY_NONCE = _SELECT + "user_id = ? AND nonce = ?"
_BY_ID = _SELECT + "id = ? AND channel_id = ?"
_BY_IDS = _SELECT + "id IN (SELECT value FROM json_each(?)) AND channel_id = ? ORDER BY id"  # noqa: S608
_FOUND = f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608
_SINCE = (
    "SELECT id, octet_length(content) AS size FROM messages "
    "WHERE is_deleted = 0 AND user_id = ? AND id >= ? ORDER BY id DESC LIMIT ?"
)
_OF_USER_SINCE = f"{_SELECT}id IN ({portions.ids(_SINCE, 'DESC')}) ORDER BY id DESC"
_OLDEST = _SELECT + "channel_id = ? AND id < ? AND is_pinned = 0 ORDER BY id LIMIT ?"
_LAST_SENT = (
    "SELECT created_at FROM messages WHERE user_id = ? AND id >= ? AND +channel_id = ? AND content_type <> 'system' "
    "ORDER BY id DESC LIMIT 1"
)

"""Messages: stored once, in order, found again by pages.

Ids are positions. A live message gets the writer's next id; a message imported with its original time gets the first
free id of that time, so a page is ordered by time wherever a message came from.
"""

from typing import NamedTuple

import apsw
import orjson

import ids
from ids import ChannelId, MessageId, ThreadId, UserId
from shard import words
from shard.access import Channel
from shard.connections import Reader, Writer
from shard.errors import NotFoundError
from shard.rows import HAS_ATTACHMENTS, HAS_MENTIONS, HAS_REACTIONS, Message, Stretch

CONTENT_LENGTH_MAX = 8_000
"""Characters of one message; the schema holds the same bound."""
NONCE_LENGTH_MAX = 64

_NAMES = (
    "id, channel_id, thread_id, user_id, content, content_type, metadata, reply_to_id, nonce, edit_count, "
    "is_pinned, created_at, edited_at, mentions, attachments, reactions"
)
# The empty text at the end makes text of what SQLite would pack as JSON inside of JSON.
MESSAGE_COLUMNS = f"""
    id, channel_id, thread_id, user_id, content, content_type, metadata, reply_to_id, nonce, edit_count,
    is_pinned, created_at, edited_at,
    CASE WHEN extras & {HAS_MENTIONS} THEN
        (SELECT json_group_array(json_array(o.target_type, o.target_id)) || ''
         FROM message_mentions o WHERE o.message_id = messages.id) END AS mentions,
    CASE WHEN extras & {HAS_ATTACHMENTS} THEN
        (SELECT json_group_array(json_array(
             o.id, o.filename, o.size_bytes, o.mime_type, o.width, o.height, o.duration_ms) ORDER BY o.id) || ''
         FROM message_attachments o WHERE o.message_id = messages.id) END AS attachments,
    CASE WHEN extras & {HAS_REACTIONS} THEN
        (SELECT json_group_array(json_array(o.emoji, o.count) ORDER BY o.created_at, o.emoji) || ''
         FROM reaction_counts o WHERE o.message_id = messages.id) END AS reactions
"""  # noqa: S608
"""The values of a Message, from the table `messages` under its own name."""


class Draft(NamedTuple):
    """What a person sends."""

    content: str
    nonce: str | None = None
    thread_id: ThreadId | None = None
    reply_to_id: MessageId | None = None


def insert(
    writer: Writer, channel: Channel, draft: Draft, *, now_ms: int, sent_at: int | None = None
) -> Message | None:
    """Store a message, counted and indexed before the commit; `sent_at` is the original time of an import.

    Returns None when this person has already sent this nonce: nothing is stored then.
    """
    message_id = MessageId(writer.ids.next(now_ms)) if sent_at is None else _free_id(writer, sent_at)
    created_at = now_ms if sent_at is None else sent_at
    row = (message_id, channel.id, draft.thread_id, channel.user_id, draft.content, draft.reply_to_id, draft.nonce)
    try:
        writer.run(_INSERT, (*row, created_at, words.to_index(draft.content)))
    except apsw.ConstraintError as error:
        if "messages.nonce" not in str(error):
            raise
        return None
    sender_id = channel.user_id
    content, nonce, thread_id, reply_to_id = draft
    message = Message(
        message_id, channel.id, thread_id, sender_id, content, "text", None, reply_to_id, nonce, 0, 0, created_at, None
    )
    writer.later(_finish, message)
    return message


def _finish(writer: Writer, messages: list[Message]) -> None:
    """Count the messages of a transaction in their channels and threads, and make them findable.

    Once for all of them: FTS5 writes out its index at every savepoint, and a busy channel's row changes once.
    """
    channels: dict[ChannelId, list[Message]] = {}
    threads: dict[ThreadId, list[Message]] = {}
    for message in messages:
        channels.setdefault(message.channel_id, []).append(message)
        if message.thread_id is not None:
            threads.setdefault(message.thread_id, []).append(message)
    for channel_id, new in channels.items():
        writer.run(_COUNT_IN_CHANNEL, (len(new), max(one.id for one in new), channel_id))
    for thread_id, new in threads.items():
        newest = (max(one.id for one in new), max(one.created_at for one in new))
        writer.run(_COUNT_IN_THREAD, (len(new), *newest, thread_id))
    if len(messages) == 1:
        writer.run(INDEX_ONE, (messages[0].id,))
    else:
        writer.run(INDEX, (orjson.dumps([message.id for message in messages]).decode(),))


def _free_id(writer: Writer, sent_at: int) -> MessageId:
    # Times before the epoch share its first millisecond.
    begin = ids.at(sent_at)
    row = writer.one("SELECT max(id) FROM messages WHERE id < ?", (begin + ids.PER_MILLISECOND,))
    free = max((row[0] or 0 if row else 0) + 1, begin)
    # An import of this very millisecond, or of a later one, takes a number that a live message would get.
    writer.ids.seen(free)
    return MessageId(free)


def sent_with(reader: Reader, user_id: UserId, nonce: str) -> Message | None:
    """Return the message that a person sent with this nonce."""
    return _one(reader, _BY_NONCE, (user_id, nonce))


def one(reader: Reader, channel: Channel, message_id: MessageId) -> Message:
    """Return a message of this channel; raises NotFoundError for any other id."""
    message = _one(reader, _BY_ID, (message_id, channel.id))
    if message is None:
        raise NotFoundError("message")
    return message


def newest(reader: Reader, channel: Channel, thread_id: ThreadId | None, *, limit: int) -> Stretch:
    """Return the newest messages of a channel or of one thread."""
    return before(reader, channel, thread_id, MessageId(ids.ID_MAX), limit=limit)


def before(
    reader: Reader, channel: Channel, thread_id: ThreadId | None, message_id: MessageId, *, limit: int
) -> Stretch:
    """Return the messages just older than an id (which need not exist)."""
    if thread_id is None:
        return _stretch(reader, _CHANNEL_BEFORE, (channel.id, message_id, limit))
    return _stretch(reader, _THREAD_BEFORE, (thread_id, channel.id, message_id, limit))


def after(
    reader: Reader, channel: Channel, thread_id: ThreadId | None, message_id: MessageId, *, limit: int
) -> Stretch:
    """Return the messages just newer than an id (which need not exist)."""
    if thread_id is None:
        return _stretch(reader, _CHANNEL_AFTER, (channel.id, message_id, limit))
    return _stretch(reader, _THREAD_AFTER, (thread_id, channel.id, message_id, limit))


def around(
    reader: Reader, channel: Channel, thread_id: ThreadId | None, message_id: MessageId, *, limit: int
) -> Stretch:
    """Return the messages at and next to an id: half of them not newer, the rest newer."""
    older = before(reader, channel, thread_id, following(message_id), limit=limit - limit // 2)
    return after(reader, channel, thread_id, message_id, limit=limit - older.length).joined(older)


def following(message_id: MessageId) -> MessageId:
    """Return the position just after an id, within what SQLite can compare."""
    return MessageId(min(message_id + 1, ids.ID_MAX))


def _one(reader: Reader, sql: str, parameters: tuple[object, ...]) -> Message | None:
    row = reader.one(sql, parameters)
    return None if row is None else Message._make(row)


def _stretch(reader: Reader, sql: str, parameters: tuple[object, ...]) -> Stretch:
    row = reader.one(sql, parameters)
    assert row is not None
    return Stretch._make(row)


def _packed(select: str) -> str:
    """Return a statement that gives a whole stretch in one row, newest first.

    apsw lets go of the interpreter's lock for every row, and a thread that wants it back waits behind the event loop;
    and what stays packed until somebody needs it need not be unpacked for a page that is rendered already.
    """
    return (
        f"SELECT json_group_array(json_array({_NAMES})), max(id), min(id), count(*) "  # noqa: S608
        f"FROM (SELECT * FROM ({select}) ORDER BY id DESC)"
    )


_INSERT = (
    "INSERT INTO messages (id, channel_id, thread_id, user_id, content, reply_to_id, nonce, created_at, search_text) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_COUNT_IN_CHANNEL = (
    "UPDATE channels SET message_count = message_count + ?, last_message_id = max(coalesce(last_message_id, 0), ?) "
    "WHERE id = ?"
)
_COUNT_IN_THREAD = (
    "UPDATE threads SET message_count = message_count + ?, last_message_id = max(coalesce(last_message_id, 0), ?), "
    "last_message_at = max(last_message_at, ?) WHERE id = ?"
)
INDEX_ONE = (
    "INSERT INTO messages_fts (rowid, words) SELECT id, coalesce(search_text, content) FROM messages "
    "WHERE id = ? AND is_deleted = 0 AND NOT EXISTS (SELECT 1 FROM messages_fts_docsize d WHERE d.id = messages.id)"
)
INDEX = (
    "INSERT INTO messages_fts (rowid, words) SELECT id, coalesce(search_text, content) FROM messages "
    "WHERE id IN (SELECT value FROM json_each(?)) AND is_deleted = 0 "
    "AND NOT EXISTS (SELECT 1 FROM messages_fts_docsize d WHERE d.id = messages.id)"
)
_SELECT = f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE is_deleted = 0 AND "  # noqa: S608
_BY_NONCE = _SELECT + "user_id = ? AND nonce = ?"
_BY_ID = _SELECT + "id = ? AND channel_id = ?"
_CHANNEL_BEFORE = _packed(_SELECT + "channel_id = ? AND id < ? ORDER BY id DESC LIMIT ?")
_CHANNEL_AFTER = _packed(_SELECT + "channel_id = ? AND id > ? ORDER BY id LIMIT ?")
# The unary plus keeps the planner on the thread's own index.
_THREAD_BEFORE = _packed(_SELECT + "thread_id = ? AND +channel_id = ? AND id < ? ORDER BY id DESC LIMIT ?")
_THREAD_AFTER = _packed(_SELECT + "thread_id = ? AND +channel_id = ? AND id > ? ORDER BY id LIMIT ?")

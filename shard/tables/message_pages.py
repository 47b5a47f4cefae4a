"""Stretches of history: consecutive messages of a channel or thread, packed into one row."""

from collections.abc import Sequence
from typing import Any

import orjson

import ids
from ids import MessageId, ThreadId
from shard.access import Channel
from shard.engine.connections import Reader
from shard.rows import Message, Stretch
from shard.tables.messages import MESSAGE_COLUMNS

_REPLY = Message._fields.index("reply_to_id")
_NAMES = ", ".join(Message._fields)


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
    """Return the messages around an id: half of them up to and including it, the rest newer."""
    older = before(reader, channel, thread_id, following(message_id), limit=limit - limit // 2)
    return after(reader, channel, thread_id, message_id, limit=limit - older.length).joined(older)


def following(message_id: MessageId) -> MessageId:
    """Return the position just after an id, within SQLite's range of integers."""
    return MessageId(min(message_id + 1, ids.ID_MAX))


def replied_to(reader: Reader, channel: Channel, thread_id: ThreadId | None, stretch: Stretch) -> str | None:
    """Return the messages to which a stretch replies and that are not in it, packed like a stretch, None if none."""
    if stretch.replies is None:
        return None
    within = (stretch.oldest_id, stretch.newest_id, thread_id, thread_id)
    found = _stretch(reader, _REPLIED_TO, (f"[{stretch.replies}]", channel.id, *within))
    return found.packed if found.length else None


def packed(rows: Sequence[Sequence[Any]]) -> Stretch:
    """Return rows, newest first, as a stretch."""
    replies = ",".join(str(row[_REPLY]) for row in rows if row[_REPLY] is not None) or None
    newest_id, oldest_id = (rows[0][0], rows[-1][0]) if rows else (None, None)
    text = orjson.dumps(rows).decode()
    return Stretch(text, newest_id, oldest_id, len(rows), replies, int(any(row[-1] for row in rows)))


def _stretch(reader: Reader, sql: str, parameters: tuple[object, ...]) -> Stretch:
    row = reader.one(sql, parameters)
    assert row is not None
    return Stretch._make(row)


def _packed(select: str) -> str:
    """Return a statement that gives a whole stretch in one row, newest first.

    apsw releases the interpreter's lock for every row, and a thread that wants it back waits for the event loop; and
    messages that stay packed need not be unpacked for a page that is rendered already.
    """
    return (
        f"SELECT json_group_array(json_array({_NAMES})), max(id), min(id), count(*), group_concat(reply_to_id), "  # noqa: S608
        f"max(reactions IS NOT NULL) FROM (SELECT * FROM ({select}) ORDER BY id DESC)"
    )


_SELECT = f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE is_deleted = 0 AND "  # noqa: S608
_CHANNEL_BEFORE = _packed(_SELECT + "channel_id = ? AND id < ? ORDER BY id DESC LIMIT ?")
_CHANNEL_AFTER = _packed(_SELECT + "channel_id = ? AND id > ? ORDER BY id LIMIT ?")
# The unary plus makes the planner use the thread's own index.
_THREAD_BEFORE = _packed(_SELECT + "thread_id = ? AND +channel_id = ? AND id < ? ORDER BY id DESC LIMIT ?")
_THREAD_AFTER = _packed(_SELECT + "thread_id = ? AND +channel_id = ? AND id > ? ORDER BY id LIMIT ?")
_OUTSIDE = "AND NOT (id BETWEEN ? AND ? AND (? IS NULL OR thread_id IS ?)) ORDER BY id DESC"
_REPLIED_TO = _packed(_SELECT + "id IN (SELECT value FROM json_each(?)) AND channel_id = ? " + _OUTSIDE)  # noqa: S608

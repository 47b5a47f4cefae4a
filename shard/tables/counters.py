"""Counts of channels and threads, and the search index, updated once per transaction.

Code that adds or removes messages notes a Change with `Writer.later`; `settle` runs before the commit, for all of
them. FTS5 writes its index at every savepoint, and a busy channel's row changes once instead of with every message.
"""

from typing import NamedTuple

import orjson

import ids
from ids import ChannelId, MessageId, ThreadId
from shard.engine.connections import Writer


class Change(NamedTuple):
    """A message added (`by` 1) or removed (`by` -1), in a channel, in a thread, or in both; times in milliseconds."""

    message_id: MessageId
    created_at: int
    channel_id: ChannelId | None
    thread_id: ThreadId | None
    by: int = 1


def settle(writer: Writer, changes: list[Change]) -> None:
    """Update the counts of channels and threads for all changes of a transaction, and index new messages.

    Triggers remove the words of edited and deleted messages from the index.
    """
    channels: dict[ChannelId, list[Change]] = {}
    threads: dict[ThreadId, list[Change]] = {}
    for change in changes:
        if change.channel_id is not None:
            channels.setdefault(change.channel_id, []).append(change)
        if change.thread_id is not None:
            threads.setdefault(change.thread_id, []).append(change)
    for channel_id, there in channels.items():
        if all(change.by > 0 for change in there):
            writer.run(_ADD_TO_CHANNEL, (len(there), max(change.message_id for change in there), channel_id))
        else:
            writer.run(_CHANGE_CHANNEL, (sum(change.by for change in there), channel_id))
    for thread_id, there in threads.items():
        if all(change.by > 0 for change in there):
            newest = (max(change.message_id for change in there), max(change.created_at for change in there))
            writer.run(_ADD_TO_THREAD, (len(there), *newest, thread_id))
        else:
            writer.run(_CHANGE_THREAD, (sum(change.by for change in there), thread_id))
    new = [change.message_id for change in changes if change.by > 0 and change.channel_id is not None]
    if len(new) == 1:
        writer.run(INDEX_ONE, new)
    elif new:
        writer.run(INDEX, (orjson.dumps(new).decode(),))


def uncount_segment(writer: Writer, segment_id: int, channel_id: ChannelId, count: int) -> None:
    """Subtract all messages of a segment from the counts of its channel and its threads."""
    writer.run(
        "UPDATE threads SET message_count = max(message_count - (SELECT message_count FROM segment_threads t "
        "WHERE t.thread_id = threads.id AND t.segment_id = ?1), 0) "
        "WHERE id IN (SELECT thread_id FROM segment_threads WHERE segment_id = ?1)",
        (segment_id,),
    )
    writer.run("UPDATE channels SET message_count = max(message_count - ?, 0) WHERE id = ?", (count, channel_id))


_ADD_TO_CHANNEL = (
    "UPDATE channels SET message_count = message_count + ?, last_message_id = max(coalesce(last_message_id, 0), ?) "
    "WHERE id = ?"
)
_ADD_TO_THREAD = (
    "UPDATE threads SET message_count = message_count + ?, last_message_id = max(coalesce(last_message_id, 0), ?), "
    "last_message_at = max(last_message_at, ?) WHERE id = ?"
)
# A removed message may have been the newest: then the one before it is, live or archived; an archived one is as old as
# its id.
_CHANGE_CHANNEL = (
    "UPDATE channels SET message_count = message_count + ?, last_message_id = nullif(max(coalesce((SELECT m.id "
    "FROM messages m WHERE m.channel_id = channels.id AND m.is_deleted = 0 ORDER BY m.id DESC LIMIT 1), 0), "
    "coalesce((SELECT max(s.last_id) FROM segments s WHERE s.channel_id = channels.id AND s.message_count > 0), 0)), "
    "0) WHERE id = ?"
)
_CHANGE_THREAD = (
    "UPDATE threads SET message_count = message_count + ?, (last_message_id, last_message_at) = "  # noqa: S608
    "(SELECT max(m.id), CASE WHEN max(m.id) IS threads.last_message_id THEN threads.last_message_at "
    "ELSE max(threads.created_at, coalesce(m.created_at, 0)) END FROM (SELECT * FROM (SELECT id, created_at "
    "FROM messages WHERE thread_id = threads.id AND is_deleted = 0 ORDER BY id DESC LIMIT 1) "
    f"UNION ALL SELECT last_id, (last_id >> {ids.SEQUENCE_BITS}) + {ids.EPOCH_MS} "
    "FROM segment_threads WHERE thread_id = threads.id AND message_count > 0) m) WHERE id = ?"
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

"""Replay of events from the log: without the replaced values, and with messages as they are now."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from ids import MessageId
from shard.engine.connections import Reader
from shard.event_types import CARRIES_MESSAGE
from shard.rows import Event, Message
from shard.tables.messages import MESSAGE_COLUMNS

COLUMNS: Final = (
    "seq, type, channel_id, message_id, actor_id, iif(json_valid(payload), json_remove(payload, '$.replaced'), NULL), "
    "created_at"
)
"""Columns of the log that `from_rows` needs, in this order; a payload that the disk has damaged is NULL."""


def between(reader: Reader, after: int, until: int) -> list[Event]:
    """Return the events with numbers above `after` and up to `until`, oldest first; `until` bounds how many."""
    row = reader.one(_BETWEEN, (after, until))
    return [] if row is None else from_rows(reader, orjson.loads(row[0]))


def from_rows(reader: Reader, rows: Sequence[Sequence[Any]]) -> list[Event]:
    """Return rows of the log (COLUMNS) as events."""
    messages = _messages(reader, [row[3] for row in rows if row[1] in CARRIES_MESSAGE])
    return [
        Event(
            seq, type_, channel_id, actor_id, None if payload is None else orjson.loads(payload),
            messages.get(message_id) if type_ in CARRIES_MESSAGE else None, created_at, message_id,
        )
        for seq, type_, channel_id, message_id, actor_id, payload, created_at in rows
    ]  # fmt: skip


def _messages(reader: Reader, message_ids: Iterable[MessageId]) -> dict[MessageId, Message]:
    wanted = list(message_ids)
    row = reader.one(_MESSAGES, (json.dumps(wanted),)) if wanted else None
    return {} if row is None else {message[0]: Message._make(message) for message in orjson.loads(row[0])}


# All rows are packed into one, because apsw releases the interpreter's lock at every row.
_BETWEEN: Final = """
    SELECT json_group_array(json_array(seq, type, channel_id, message_id, actor_id, payload, created_at) ORDER BY seq)
    FROM (SELECT seq, type, channel_id, message_id, actor_id,
                 iif(json_valid(payload), json_remove(payload, '$.replaced'), NULL) || '' AS payload,
                 created_at FROM events WHERE seq > ? AND seq <= ?)
"""
_MESSAGES: Final = f"""
    SELECT json_group_array(json_array({", ".join(Message._fields)}))
    FROM (SELECT {MESSAGE_COLUMNS} FROM messages WHERE id IN (SELECT value FROM json_each(?)) AND is_deleted = 0)
"""  # noqa: S608

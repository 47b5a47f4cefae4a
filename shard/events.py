"""The log: one row for every change, in the transaction of the change, numbered without gaps."""

import json
from collections.abc import Mapping
from typing import Any

from ids import ChannelId, MessageId, UserId
from shard.connections import Reader, Writer
from shard.rows import Event, Message

PAGE_MAX = 500
"""Rows of one page of the log."""


def append(
    writer: Writer,
    type_: str,
    *,
    actor_id: UserId | None,
    now_ms: int,
    channel_id: ChannelId | None = None,
    message_id: MessageId | None = None,
    payload: Mapping[str, Any] | None = None,
    replaced: Mapping[str, Any] | None = None,
    message: Message | None = None,
) -> None:
    """Write one event; it is published after the commit, in the order of `seq`.

    What the change `replaced` is kept in the log alone, as that field of the payload: whoever reads a channel need not
    be told what was deleted from it. `message` is published alone, since its row has it.
    """
    kept = payload if replaced is None else {**(payload or {}), "replaced": replaced}
    encoded = None if kept is None else json.dumps(kept, ensure_ascii=False)
    writer.run(_INSERT, (type_, channel_id, message_id, actor_id, encoded, now_ms))
    writer.emitted.append(
        Event(writer.last_row_id(), type_, channel_id, actor_id, payload, message, now_ms, message_id)
    )


def append_created(writer: Writer, message: Message, *, now_ms: int) -> None:
    """Write that a message was created: the log keeps its id, what is published carries the message."""
    channel_id, user_id = message.channel_id, message.user_id
    writer.run(_INSERT, ("message.created", channel_id, message.id, user_id, None, now_ms))
    writer.emitted.append(
        Event(writer.last_row_id(), "message.created", channel_id, user_id, None, message, now_ms, message.id)
    )


def last_seq(reader: Reader) -> int:
    """Return the number of the newest event, 0 for an empty log."""
    row = reader.one("SELECT max(seq) FROM events")
    return (row[0] or 0) if row else 0


def first_seq(reader: Reader) -> int:
    """Return the number from which on the log has every event: who read it last before that, reads the room anew."""
    row = reader.one("SELECT first_seq FROM room")
    return row[0] if row else 1


def after(reader: Reader, seq: int, *, limit: int = PAGE_MAX) -> list[tuple[int, str, int | None, int | None]]:
    """Return (seq, type, channel_id, message_id) of the events that follow `seq`, oldest first."""
    rows = reader.all(
        "SELECT seq, type, channel_id, message_id FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


_INSERT = "INSERT INTO events (type, channel_id, message_id, actor_id, payload, created_at) VALUES (?, ?, ?, ?, ?, ?)"

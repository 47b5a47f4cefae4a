"""The log: one row for every change, in the transaction of the change, numbered without gaps."""

import json
from collections.abc import Mapping
from typing import Any, Final

from ids import ChannelId, MessageId, UserId
from shard.engine.connections import Reader, Writer
from shard.event_types import EventType
from shard.rows import Event, Message


def append(
    writer: Writer,
    type_: EventType,
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

    The values in `replaced` stay in the log, as that field of the payload, and are not published: readers of a channel
    do not receive what was deleted from it. `message` is published and not stored here, since its row has it.
    """
    kept = payload if replaced is None else {**(payload or {}), "replaced": replaced}
    encoded = None if kept is None else json.dumps(kept, ensure_ascii=False)
    writer.run(_INSERT, (type_, channel_id, message_id, actor_id, encoded, now_ms))
    writer.emitted.append(
        Event(writer.last_row_id(), type_, channel_id, actor_id, payload, message, now_ms, message_id)
    )


def append_created(writer: Writer, message: Message, *, now_ms: int) -> None:
    """Append the event of a created message: the log keeps its id, the published event has the message."""
    channel_id, user_id = message.channel_id, message.user_id
    writer.run(_INSERT, (_CREATED, channel_id, message.id, user_id, None, now_ms))
    writer.emitted.append(Event(writer.last_row_id(), _CREATED, channel_id, user_id, None, message, now_ms, message.id))


def last_seq(reader: Reader) -> int:
    """Return the number of the newest event, 0 for an empty log."""
    row = reader.one("SELECT max(seq) FROM events")
    return (row[0] or 0) if row else 0


def first_seq(reader: Reader) -> int:
    """Return the number from which the log has every event; a reader that stopped before it must read the room anew."""
    return begins(reader)[0]


def begins(reader: Reader) -> tuple[int, int]:
    """Return the number from which the log has every event, and the first one since the room was restored last."""
    row = reader.one("SELECT first_seq, branch_seq FROM room")
    return (row[0], row[1]) if row else (1, 1)


_INSERT = "INSERT INTO events (type, channel_id, message_id, actor_id, payload, created_at) VALUES (?, ?, ?, ?, ?, ?)"
# A plain string, which the driver and the JSON encoder handle faster: it is written for every message.
_CREATED: Final = str(EventType.MESSAGE_CREATED)

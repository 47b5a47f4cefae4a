"""Channels of a room: what is there, and for whom."""

from dataclasses import dataclass

import apsw

from ids import CategoryId, ChannelId, MessageId, UserId
from shard import events
from shard.access import Sight
from shard.connections import Reader, Writer
from shard.errors import ConflictError

PER_ROOM_MAX = 500
"""Discord's bound; a client paints the whole list."""


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """One channel; times in milliseconds UTC."""

    id: ChannelId
    name: str
    type: str
    description: str | None
    position: int
    category_id: CategoryId | None
    is_private: int
    is_archived: int
    thread_mode: str
    slow_mode_seconds: int
    auto_archive_hours: int
    message_count: int
    last_message_id: MessageId | None
    created_at: int


_COLUMNS = (
    "id, name, type, description, position, category_id, is_private, is_archived, thread_mode, slow_mode_seconds, "
    "auto_archive_hours, message_count, last_message_id, created_at"
)


def visible(reader: Reader, sight: Sight) -> list[ChannelRow]:
    """Return the channels that a member sees, in the room's order."""
    rows = reader.all(f"SELECT {_COLUMNS} FROM channels ORDER BY position, id LIMIT ?", (PER_ROOM_MAX,))  # noqa: S608
    return [ChannelRow(*row) for row in rows if row[0] in sight.channels]


def insert(
    writer: Writer,
    name: str,
    *,
    type_: str,
    description: str | None,
    thread_mode: str,
    created_by: UserId,
    now_ms: int,
) -> ChannelRow:
    """Add a channel at the end of the list; raises ConflictError for a name that is taken and for too many."""
    row = writer.one("SELECT count(*), coalesce(max(position), -1) + 1 FROM channels")
    assert row is not None
    count, position = row
    if count >= PER_ROOM_MAX:
        raise ConflictError(f"A room has at most {PER_ROOM_MAX} channels; archive or delete one first.")
    channel_id = ChannelId(writer.ids.next(now_ms))
    try:
        writer.run(
            "INSERT INTO channels (id, name, type, description, position, thread_mode, created_by, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (channel_id, name, type_, description, position, thread_mode, created_by, now_ms),
        )
    except apsw.ConstraintError as error:
        if "channels.name" not in str(error) and "idx_channels_name" not in str(error):
            raise
        raise ConflictError(f"There is already a channel named {name!r}.") from error
    payload = {"id": str(channel_id), "name": name, "type": type_, "position": position}
    events.append(writer, "channel.created", actor_id=created_by, channel_id=channel_id, payload=payload, now_ms=now_ms)
    return one(writer, channel_id)


def one(reader: Reader, channel_id: ChannelId) -> ChannelRow:
    """Return a channel whose visibility was settled by whoever made the id known."""
    row = reader.one(f"SELECT {_COLUMNS} FROM channels WHERE id = ?", (channel_id,))  # noqa: S608
    assert row is not None
    return ChannelRow(*row)

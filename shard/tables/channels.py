"""Channels of a room: their rows, and those that a member sees."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import word_forms
from ids import CategoryId, ChannelId, MessageId, UserId
from shard.access import Sight
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError, NotFoundError
from shard.event_types import EventType
from shard.tables import diffs, events, portions

PER_ROOM_MAX = 500
"""Channels of a room, as at Discord: a client shows the whole list. Beyond it 409."""
SWEPT_AT_ONCE = 1_000
"""Messages of a deleted channel that one transaction removes: about 10 ms, most of them in the search index."""
SEGMENTS_AT_ONCE = 10
"""Segments of a deleted channel that one transaction removes, each with a filter of some 50 KB."""


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
    rows = reader.all(
        f"SELECT {_COLUMNS} FROM channels WHERE deleted_at IS NULL ORDER BY position, id LIMIT ?",  # noqa: S608
        (PER_ROOM_MAX,),
    )
    return [ChannelRow(*row) for row in rows if row[0] in sight.channels]


def one(reader: Reader, channel_id: ChannelId) -> ChannelRow:
    """Return a channel; the caller has checked that it is visible."""
    row = reader.one(f"SELECT {_COLUMNS} FROM channels WHERE id = ?", (channel_id,))  # noqa: S608
    assert row is not None
    return ChannelRow(*row)


def facts(row: ChannelRow) -> dict[str, Any]:
    """Return the editable fields of a channel, as on the wire."""
    return {
        "name": row.name,
        "type": row.type,
        "description": row.description,
        "category_id": None if row.category_id is None else str(row.category_id),
        "is_private": bool(row.is_private),
        "is_archived": bool(row.is_archived),
        "thread_mode": row.thread_mode,
        "slow_mode_seconds": row.slow_mode_seconds,
        "auto_archive_hours": row.auto_archive_hours,
    }


def insert(
    writer: Writer,
    name: str,
    *,
    type_: str,
    description: str | None,
    category_id: CategoryId | None,
    is_private: bool,
    thread_mode: str,
    slow_mode_seconds: int,
    auto_archive_hours: int,
    created_by: UserId,
    now_ms: int,
) -> ChannelRow:
    """Add a channel at the end of the list; raises ConflictError for a taken name and for too many channels."""
    row = writer.one("SELECT count(*), coalesce(max(position), -1) + 1 FROM channels WHERE deleted_at IS NULL")
    assert row is not None
    count, position = row
    if count >= PER_ROOM_MAX:
        raise ConflictError(f"A room has at most {PER_ROOM_MAX} channels; delete one first.")
    _require_free(writer, name)
    channel_id = ChannelId(writer.ids.next(now_ms))
    writer.run(
        "INSERT INTO channels (id, name, type, description, position, category_id, is_private, thread_mode, "
        "slow_mode_seconds, auto_archive_hours, created_by, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            channel_id, name, type_, description, position, category_id, int(is_private), thread_mode,
            slow_mode_seconds, auto_archive_hours, created_by, now_ms,
        ),
    )  # fmt: skip
    payload = {"id": str(channel_id), "name": name, "type": type_, "position": position}
    events.append(
        writer, EventType.CHANNEL_CREATED, actor_id=created_by, channel_id=channel_id, payload=payload, now_ms=now_ms
    )
    return one(writer, channel_id)


def _require_free(reader: Reader, name: str) -> None:
    if _named(reader, name) is not None:
        raise ConflictError(f"There is already a channel named {name!r}.")


def update(writer: Writer, before: ChannelRow, row: ChannelRow, *, by: UserId, now_ms: int) -> None:
    """Update all fields of a channel except position and overwrites; raises ConflictError for a taken name."""
    if word_forms.name_key(row.name) != word_forms.name_key(before.name):
        _require_free(writer, row.name)
    writer.run(
        "UPDATE channels SET name = ?, type = ?, description = ?, category_id = ?, is_private = ?, is_archived = ?, "
        "thread_mode = ?, slow_mode_seconds = ?, auto_archive_hours = ? WHERE id = ?",
        (
            row.name, row.type, row.description, row.category_id, row.is_private, row.is_archived,
            row.thread_mode, row.slow_mode_seconds, row.auto_archive_hours, row.id,
        ),
    )  # fmt: skip
    replaced, now = diffs.between(facts(before), facts(row))
    events.append(
        writer, EventType.CHANNEL_EDITED, actor_id=by, channel_id=row.id, payload=now, replaced=replaced, now_ms=now_ms
    )


def in_order(reader: Reader) -> list[ChannelId]:
    """Return the ids of all channels in the room's order."""
    return [row[0] for row in reader.all("SELECT id FROM channels WHERE deleted_at IS NULL ORDER BY position, id")]


def present_ids(reader: Reader, *, after: int = 0, limit: int = PER_ROOM_MAX) -> list[ChannelId]:
    """Return the ids of channels above an id, oldest first."""
    rows = reader.all("SELECT id FROM channels WHERE id > ? AND deleted_at IS NULL ORDER BY id LIMIT ?", (after, limit))
    return [row[0] for row in rows]


def is_present(reader: Reader, channel_id: ChannelId) -> bool:
    """Return whether a channel exists and is not deleted."""
    return reader.one("SELECT 1 FROM channels WHERE id = ? AND deleted_at IS NULL", (channel_id,)) is not None


def named(reader: Reader, name: str) -> ChannelId:
    """Return the id of a channel by its name, with or without #, or by its id; raises NotFoundError."""
    bare = name.removeprefix("#")
    row = reader.one("SELECT id FROM channels WHERE deleted_at IS NULL AND CAST(id AS TEXT) = ?", (bare,))
    found = _named(reader, bare) if row is None else ChannelId(row[0])
    if found is None:
        raise NotFoundError("channel")
    return found


def _named(reader: Reader, name: str) -> ChannelId | None:
    """Return the channel with a name, in whatever spelling; an exact one first."""
    rows = reader.all("SELECT id, name FROM channels WHERE deleted_at IS NULL ORDER BY name = ? DESC", (name,))
    key = word_forms.name_key(name)
    return next((ChannelId(row[0]) for row in rows if word_forms.name_key(row[1]) == key), None)


def count_messages(reader: Reader) -> int:
    """Return the number of messages in all channels, archived ones included."""
    row = reader.one("SELECT coalesce(sum(message_count), 0) FROM channels WHERE deleted_at IS NULL")
    assert row is not None
    return int(row[0])


def arrange(writer: Writer, order: Sequence[ChannelId]) -> None:
    """Number all channels of the room in this order."""
    writer.run(
        "UPDATE channels SET position = o.key FROM json_each(?) o WHERE channels.id = o.value AND position <> o.key",
        (json.dumps(order),),
    )


def hide(writer: Writer, row: ChannelRow, *, by: UserId, now_ms: int) -> None:
    """Mark a channel as deleted, so that nobody sees it; `sweep` removes its contents.

    Its webhooks are deleted at once: their tokens open it without a permission check.
    """
    writer.run("DELETE FROM webhooks WHERE channel_id = ?", (row.id,))
    writer.run("UPDATE channels SET deleted_at = ?, category_id = NULL WHERE id = ?", (now_ms, row.id))
    payload = {"id": str(row.id)}
    events.append(
        writer,
        EventType.CHANNEL_DELETED,
        actor_id=by,
        channel_id=row.id,
        payload=payload,
        replaced=facts(row),
        now_ms=now_ms,
    )


def sweep(writer: Writer) -> bool:
    """Remove a bounded part of the contents of deleted channels, and return whether there may be more."""
    writer.use_reserve()
    row = writer.one("SELECT id FROM channels WHERE deleted_at IS NOT NULL LIMIT 1")
    if row is None:
        return False
    many, few = SWEPT_AT_ONCE, SEGMENTS_AT_ONCE
    writer.run(_SWEEP_MESSAGES, (row[0], many, portions.PORTION_BYTES))
    if writer.changed():
        return True
    slices = ((_SWEEP_THREADS, many), (_SWEEP_FILES, many), (_SWEEP_SEGMENTS, few))
    for statement, limit in slices:
        writer.run(statement, (row[0], limit))
        if writer.changed() == limit:
            return True
    writer.run("DELETE FROM channels WHERE id = ?", row)
    return True


_OF_CHANNEL = "SELECT id, octet_length(content) AS size FROM messages WHERE channel_id = ? ORDER BY id LIMIT ?"
_SWEEP_MESSAGES = f"DELETE FROM messages WHERE id IN ({portions.ids(_OF_CHANNEL, 'ASC')})"  # noqa: S608
_SWEEP_THREADS = "DELETE FROM threads WHERE id IN (SELECT id FROM threads WHERE channel_id = ? LIMIT ?)"
_SWEEP_FILES = (
    "DELETE FROM archived_attachments WHERE id IN (SELECT a.id FROM segments s CROSS JOIN archived_attachments a "
    "ON a.segment_id = s.id WHERE s.channel_id = ? LIMIT ?)"
)
_SWEEP_SEGMENTS = "DELETE FROM segments WHERE id IN (SELECT id FROM segments WHERE channel_id = ? LIMIT ?)"

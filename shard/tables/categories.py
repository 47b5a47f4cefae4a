"""Categories: headings over channels, with the privacy and overwrites that their channels start with."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ids import CategoryId, ChannelId, UserId
from shard import permissions
from shard.access import Sight
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError
from shard.event_types import EventType
from shard.tables import diffs, events
from shard.tables.diffs import Facts

PER_ROOM_MAX = 100
"""Categories of a room: clients show all of them. Beyond it 409."""


@dataclass(frozen=True, slots=True)
class CategoryRow:
    """One category; `created_at` in milliseconds UTC."""

    id: CategoryId
    name: str
    position: int
    collapsed_by_default: int
    is_private: int
    created_at: int


_COLUMNS = "id, name, position, collapsed_by_default, is_private, created_at"


def visible(reader: Reader, sight: Sight, granted: dict[CategoryId, int]) -> list[CategoryRow]:
    """Return the categories that a member sees, in the room's order.

    Those are the categories in which they would see a new channel, and those with a channel that they see. `granted` is
    the result of `access.see_categories`.
    """
    rows = reader.all(f"SELECT {_COLUMNS} FROM categories ORDER BY position, id LIMIT ?", (PER_ROOM_MAX,))  # noqa: S608
    inhabited = {
        category_id
        for channel_id, category_id in reader.all("SELECT id, category_id FROM channels WHERE deleted_at IS NULL")
        if channel_id in sight.channels
    }
    return [CategoryRow(*row) for row in rows if granted[row[0]] & permissions.VIEW_CHANNEL or row[0] in inhabited]


def one(reader: Reader, category_id: CategoryId) -> CategoryRow:
    """Return a category; the caller has checked that it is visible."""
    row = reader.one(f"SELECT {_COLUMNS} FROM categories WHERE id = ?", (category_id,))  # noqa: S608
    assert row is not None
    return CategoryRow(*row)


def facts(row: CategoryRow) -> dict[str, Any]:
    """Return the editable fields of a category, as on the wire."""
    return {
        "name": row.name,
        "is_private": bool(row.is_private),
        "collapsed_by_default": bool(row.collapsed_by_default),
    }


def insert(
    writer: Writer, name: str, *, is_private: bool, collapsed_by_default: bool, created_by: UserId, now_ms: int
) -> CategoryRow:
    """Add a category below all others; raises ConflictError when the room has PER_ROOM_MAX."""
    row = writer.one("SELECT count(*), coalesce(max(position), -1) + 1 FROM categories")
    assert row is not None
    count, position = row
    if count >= PER_ROOM_MAX:
        raise ConflictError(f"A room has at most {PER_ROOM_MAX} categories; delete one first.")
    category_id = CategoryId(writer.ids.next(now_ms))
    writer.run(
        "INSERT INTO categories (id, name, position, collapsed_by_default, is_private, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (category_id, name, position, int(collapsed_by_default), int(is_private), now_ms),
    )
    made = one(writer, category_id)
    _note(writer, EventType.CATEGORY_CREATED, made, facts(made), {}, by=created_by, now_ms=now_ms)
    return made


def update(writer: Writer, before: CategoryRow, row: CategoryRow, *, by: UserId, now_ms: int) -> None:
    """Update all fields of a category except its position."""
    writer.run(
        "UPDATE categories SET name = ?, collapsed_by_default = ?, is_private = ? WHERE id = ?",
        (row.name, row.collapsed_by_default, row.is_private, row.id),
    )
    replaced, now = diffs.between(facts(before), facts(row))
    hidden = row if row.is_private else before
    _note(writer, EventType.CATEGORY_EDITED, hidden, now, replaced, by=by, now_ms=now_ms)


def delete(writer: Writer, row: CategoryRow, *, by: UserId, now_ms: int) -> None:
    """Delete a category; its channels stay, with the overwrites that they have."""
    writer.run("DELETE FROM categories WHERE id = ?", (row.id,))
    _note(writer, EventType.CATEGORY_DELETED, row, {}, facts(row), by=by, now_ms=now_ms)


def note_overwrites(writer: Writer, row: CategoryRow, now: Facts, replaced: Facts, *, by: UserId, now_ms: int) -> None:
    """Append the event of a changed overwrite of a category."""
    _note(writer, EventType.CATEGORY_EDITED, row, now, replaced, by=by, now_ms=now_ms)


def _note(
    writer: Writer, type_: EventType, row: CategoryRow, now: Facts, replaced: Facts, *, by: UserId, now_ms: int
) -> None:
    """Append an event of a category; since everyone receives it, that of a private one has no details."""
    if row.is_private:
        payload, kept = None, {"id": str(row.id), "now": now, **replaced}
    else:
        payload, kept = {"id": str(row.id), **now}, dict(replaced)
    events.append(writer, type_, actor_id=by, payload=payload, replaced=kept or None, now_ms=now_ms)


def followers(reader: Reader, category_id: CategoryId) -> list[ChannelId]:
    """Return the channels of a category with the same privacy and overwrites, which follow its changes."""
    rows = reader.all(
        "SELECT c.id FROM categories o JOIN channels c ON c.category_id = o.id AND c.is_private = o.is_private "
        "AND c.overwrites_packed = o.overwrites_packed WHERE o.id = ? ORDER BY c.position, c.id",
        (category_id,),
    )
    return [row[0] for row in rows]


def in_order(reader: Reader) -> list[CategoryId]:
    """Return the ids of all categories in the room's order."""
    return [row[0] for row in reader.all("SELECT id FROM categories ORDER BY position, id")]


def arrange(writer: Writer, order: Sequence[CategoryId]) -> None:
    """Number all categories of the room in this order."""
    writer.run(
        "UPDATE categories SET position = o.key FROM json_each(?) o "
        "WHERE categories.id = o.value AND position <> o.key",
        (json.dumps(order),),
    )

"""Overwrites: permissions of a role or a member in one channel that differ from those in the room.

Categories have them too: a channel that is made in a category or moved into it copies them, and follows their changes
as long as its own are the same.
"""

from typing import Any, Literal, NamedTuple

from ids import ChannelId, UserId
from shard import permissions
from shard.access import Category, Channel
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError
from shard.event_types import EventType
from shard.permissions import Overwrite
from shard.tables import events

PER_PLACE_MAX = 100
"""Overwrites of one channel or category: they are read whole at every action in it. Beyond it 409."""

TargetType = Literal["role", "member"]
Target = tuple[TargetType, int]
"""The role or member to which an overwrite applies, as (type, id)."""


class Place(NamedTuple):
    """A channel or category that has overwrites."""

    kind: Literal["channel", "category"]
    id: int


def place(of: Channel | Category) -> Place:
    """Return the place of a channel or category that was opened with a permission check."""
    return Place("channel" if isinstance(of, Channel) else "category", of.id)


def listed(reader: Reader, where: Place) -> dict[Target, Overwrite]:
    """Return the overwrites of a channel or category, those of roles first."""
    rows = reader.all(
        f"SELECT target_type, target_id, allow, deny FROM {where.kind}_overwrites "  # noqa: S608
        f"WHERE {where.kind}_id = ? ORDER BY target_type DESC, target_id LIMIT ?",
        (where.id, PER_PLACE_MAX),
    )
    return {(kind, target_id): Overwrite(allow, deny) for kind, target_id, allow, deny in rows}


def facts(target: Target, overwrite: Overwrite | None) -> dict[str, Any]:
    """Return an overwrite as on the wire; None as one that is not there."""
    shown: dict[str, Any] = {"target_type": target[0], "target_id": str(target[1])}
    if overwrite is not None:
        shown |= {"allow": permissions.names(overwrite.allow), "deny": permissions.names(overwrite.deny)}
    return shown


def require_space(where: dict[Target, Overwrite], target: Target) -> None:
    """Raise ConflictError when a new target would exceed PER_PLACE_MAX."""
    if target not in where and len(where) >= PER_PLACE_MAX:
        raise ConflictError(f"A channel or category has at most {PER_PLACE_MAX} overwrites; give a role one instead.")


def write(writer: Writer, where: Place, target: Target, overwrite: Overwrite | None) -> None:
    """Insert or replace the overwrite of a target; None removes it."""
    if overwrite is None:
        writer.run(
            f"DELETE FROM {where.kind}_overwrites "  # noqa: S608
            f"WHERE {where.kind}_id = ? AND target_type = ? AND target_id = ?",
            (where.id, *target),
        )
    else:
        writer.run(
            f"INSERT INTO {where.kind}_overwrites ({where.kind}_id, target_type, target_id, allow, deny) "  # noqa: S608
            "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET allow = excluded.allow, deny = excluded.deny",
            (where.id, *target, *overwrite),
        )


def note(
    writer: Writer,
    channel_id: ChannelId,
    target: Target,
    before: Overwrite | None,
    after: Overwrite | None,
    *,
    by: UserId,
    now_ms: int,
) -> None:
    """Append the event of a channel's changed or removed overwrite."""
    events.append(
        writer,
        EventType.OVERWRITE_REMOVED if after is None else EventType.OVERWRITE_SET,
        actor_id=by,
        channel_id=channel_id,
        payload=facts(target, after),
        replaced=None if before is None else facts(target, before),
        now_ms=now_ms,
    )


def copy(writer: Writer, category: Category, channel_id: ChannelId) -> None:
    """Copy the overwrites of a category to a channel."""
    writer.run(
        "DELETE FROM channel_overwrites WHERE channel_id = ? AND (target_type, target_id) NOT IN "
        "(SELECT target_type, target_id FROM category_overwrites WHERE category_id = ?)",
        (channel_id, category.id),
    )
    # Only rows that differ: each written row packs all of them again.
    writer.run(
        "INSERT INTO channel_overwrites (channel_id, target_type, target_id, allow, deny) "
        "SELECT ?, target_type, target_id, allow, deny FROM category_overwrites WHERE category_id = ? "
        "ON CONFLICT DO UPDATE SET allow = excluded.allow, deny = excluded.deny "
        "WHERE allow <> excluded.allow OR deny <> excluded.deny",
        (channel_id, category.id),
    )


def forget(writer: Writer, target: Target) -> None:
    """Remove every overwrite of a role before the role is deleted."""
    writer.run("DELETE FROM channel_overwrites WHERE target_type = ? AND target_id = ?", target)
    writer.run("DELETE FROM category_overwrites WHERE target_type = ? AND target_id = ?", target)

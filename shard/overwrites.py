"""Overwrites: what a role or one member may in a channel beyond, or short of, what they may in the room.

Categories have them too: a channel that is made in a category or moved into it copies them, and follows their changes
for as long as its own are the very same.
"""

from typing import Any, Literal, NamedTuple

from ids import ChannelId, UserId
from shard import events, permissions
from shard.access import Category, Channel
from shard.connections import Reader, Writer
from shard.errors import ConflictError
from shard.permissions import Overwrite

PER_PLACE_MAX = 100
"""Overwrites of one channel or category: they are read whole at every act in it."""

TargetType = Literal["role", "member"]
Target = tuple[TargetType, int]
"""Whom an overwrite is for."""


class Place(NamedTuple):
    """Where overwrites hold."""

    kind: Literal["channel", "category"]
    id: int


def place(of: Channel | Category) -> Place:
    """Return the place of a channel or category that somebody was let into."""
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
    """Return an overwrite, or that there is none, as on the wire."""
    told: dict[str, Any] = {"target_type": target[0], "target_id": str(target[1])}
    if overwrite is not None:
        told |= {"allow": permissions.names(overwrite.allow), "deny": permissions.names(overwrite.deny)}
    return told


def require_space(where: dict[Target, Overwrite], target: Target) -> None:
    """Raise ConflictError where a further target is one too many."""
    if target not in where and len(where) >= PER_PLACE_MAX:
        raise ConflictError(f"A channel or category has at most {PER_PLACE_MAX} overwrites; give a role one instead.")


def write(writer: Writer, where: Place, target: Target, overwrite: Overwrite | None) -> None:
    """Put an overwrite in place of what was there for this target; None removes it."""
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
    """Tell those who see a channel that its overwrite for a target is another, or gone."""
    events.append(
        writer,
        "overwrite.removed" if after is None else "overwrite.set",
        actor_id=by,
        channel_id=channel_id,
        payload=facts(target, after),
        replaced=None if before is None else facts(target, before),
        now_ms=now_ms,
    )


def copy(writer: Writer, category: Category, channel_id: ChannelId) -> None:
    """Give a channel the very overwrites of a category."""
    writer.run(
        "DELETE FROM channel_overwrites WHERE channel_id = ? AND (target_type, target_id) NOT IN "
        "(SELECT target_type, target_id FROM category_overwrites WHERE category_id = ?)",
        (channel_id, category.id),
    )
    # Only what differs: each row that is written packs all of them again.
    writer.run(
        "INSERT INTO channel_overwrites (channel_id, target_type, target_id, allow, deny) "
        "SELECT ?, target_type, target_id, allow, deny FROM category_overwrites WHERE category_id = ? "
        "ON CONFLICT DO UPDATE SET allow = excluded.allow, deny = excluded.deny "
        "WHERE allow <> excluded.allow OR deny <> excluded.deny",
        (channel_id, category.id),
    )


def forget(writer: Writer, target: Target) -> None:
    """Remove every overwrite of a role that is about to be deleted."""
    writer.run("DELETE FROM channel_overwrites WHERE target_type = ? AND target_id = ?", target)
    writer.run("DELETE FROM category_overwrites WHERE target_type = ? AND target_id = ?", target)

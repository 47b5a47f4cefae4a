"""What becomes of old messages: how long they stay in the shard, when they are deleted, and what is held.

A channel's own row goes before the room's, which goes before what the settings say for all rooms.
"""

from dataclasses import dataclass
from typing import Final

from ids import ChannelId
from shard.connections import Reader, Writer

ROOM: Final = ChannelId(0)
AGE_DAYS_MIN: Final = 7
"""Nothing younger moves, whatever a policy says: clients resume, webhooks are retried and bans erase within a week."""

MARGIN_MS: Final = 3_600_000
"""And an hour more: whoever acts on a week, as a ban does, takes its time, batch after batch."""


ROWS_MAX: Final = 501
"""As many as a room has channels, and the room's."""


@dataclass(frozen=True, slots=True)
class Policy:
    """For how many days messages stay where they are. `archive_after_days` None or 0: they never move;
    `delete_after_days` None: they are never deleted by age. Nothing that is held does either."""

    archive_after_days: int | None = None
    delete_after_days: int | None = None
    is_held: bool = False
    hold_reason: str | None = None


def of_channel(reader: Reader, channel_id: ChannelId, default: Policy) -> Policy:
    """Return what goes for a channel; a hold of its room is one of the channel."""
    rows = {row[0]: Policy(row[1], row[2], bool(row[3]), row[4]) for row in reader.all(_OF, (ROOM, channel_id))}
    room, own = rows.get(ROOM, Policy()), rows.get(channel_id, Policy())
    return Policy(
        _first(own.archive_after_days, room.archive_after_days, default.archive_after_days),
        _first(own.delete_after_days, room.delete_after_days, default.delete_after_days),
        own.is_held or room.is_held,
        own.hold_reason or room.hold_reason,
    )


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def own(reader: Reader, channel_id: ChannelId) -> Policy | None:
    """Return the row of a channel, or of the room."""
    rows = reader.all(_OF, (channel_id, channel_id))
    return Policy(rows[0][1], rows[0][2], bool(rows[0][3]), rows[0][4]) if rows else None


def every(reader: Reader) -> dict[ChannelId, Policy]:
    """Return all rows, that of the room under ROOM."""
    rows = reader.all(
        "SELECT channel_id, archive_after_days, delete_after_days, is_held, hold_reason FROM archive_policies "
        "ORDER BY channel_id LIMIT ?",
        (ROWS_MAX,),
    )
    return {row[0]: Policy(row[1], row[2], bool(row[3]), row[4]) for row in rows}


def put(writer: Writer, channel_id: ChannelId, policy: Policy) -> None:
    """Write the row of a channel, or of the room."""
    writer.run(
        "INSERT INTO archive_policies (channel_id, archive_after_days, delete_after_days, is_held, hold_reason) "
        "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (channel_id) DO UPDATE SET archive_after_days = ?2, "
        "delete_after_days = ?3, is_held = ?4, hold_reason = ?5",
        (
            channel_id, policy.archive_after_days, policy.delete_after_days, policy.is_held,
            policy.hold_reason if policy.is_held else None,
        ),
    )  # fmt: skip


_OF: Final = (
    "SELECT channel_id, archive_after_days, delete_after_days, is_held, hold_reason FROM archive_policies "
    "WHERE channel_id IN (?, ?)"
)

"""Retention policies: the age at which messages are archived or deleted, and holds, which prevent both.

A channel's own policy has precedence over the room's, and that over the settings for all rooms.
"""

from dataclasses import dataclass
from typing import Final

from ids import ChannelId
from shard.engine.connections import Reader, Writer

ROOM: Final = ChannelId(0)
AGE_DAYS_MIN: Final = 7
"""Days before which no policy archives a message: clients resume, webhooks are retried and bans erase within a week."""

MARGIN_MS: Final = 3_600_000
"""Added to AGE_DAYS_MIN: work on the last week, such as a ban's, takes some time, batch after batch."""


ROWS_MAX: Final = 501
"""One for each channel of a full room, and the room's own."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The days after which messages are archived and deleted. `archive_after_days` None or 0: never archived;
    `delete_after_days` None: never deleted by age. Neither happens while `is_held`."""

    archive_after_days: int | None = None
    delete_after_days: int | None = None
    is_held: bool = False
    hold_reason: str | None = None


def of_channel(reader: Reader, channel_id: ChannelId, default: Policy) -> Policy:
    """Return the effective policy of a channel; a hold of its room holds the channel too."""
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
    """Return the policy of a channel, or of the room, without inheritance."""
    rows = reader.all(_OF, (channel_id, channel_id))
    return Policy(rows[0][1], rows[0][2], bool(rows[0][3]), rows[0][4]) if rows else None


def every(reader: Reader) -> dict[ChannelId, Policy]:
    """Return all policies, that of the room under ROOM."""
    rows = reader.all(
        "SELECT channel_id, archive_after_days, delete_after_days, is_held, hold_reason FROM archive_policies "
        "ORDER BY channel_id LIMIT ?",
        (ROWS_MAX,),
    )
    return {row[0]: Policy(row[1], row[2], bool(row[3]), row[4]) for row in rows}


def put(writer: Writer, channel_id: ChannelId, policy: Policy) -> None:
    """Set the policy of a channel, or of the room."""
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

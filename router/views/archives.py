"""How much of a room's history is where, and what becomes of it, as operators see it."""

from collections.abc import Mapping

from typing_extensions import TypedDict

from ids import ChannelId, RoomId
from shard.acts.archiving import Standing
from shard.policies import ROOM, Policy


class PolicyView(TypedDict):
    """What becomes of old messages of a channel, or with null of the room; a number of days that is null is the room's,
    or that of the settings, and 0 is never."""

    channel_id: str | None
    archive_after_days: int | None
    delete_after_days: int | None
    is_held: bool
    hold_reason: str | None


class ArchiveView(TypedDict):
    """Messages and bytes in the room's file and in object storage. `hidden_messages` were deleted, and leave their
    objects soon; `unfinished_segments` are on their way; from the event `first_seq` on the log is whole."""

    room_id: str
    live_messages: int
    live_bytes: int
    archived_messages: int
    stored_bytes: int
    segments: int
    hidden_messages: int
    unfinished_segments: int
    first_seq: int
    policies: list[PolicyView]


def archive(room_id: RoomId, standing: Standing, policies: Mapping[ChannelId, Policy]) -> ArchiveView:
    """Render how a room stands."""
    return {
        "room_id": str(room_id),
        "live_messages": standing.live_messages,
        "live_bytes": standing.live_bytes,
        "archived_messages": standing.archived_messages,
        "stored_bytes": standing.stored_bytes,
        "segments": standing.segments,
        "hidden_messages": standing.hidden,
        "unfinished_segments": standing.unfinished,
        "first_seq": standing.first_seq,
        "policies": [policy(channel_id, one) for channel_id, one in policies.items()],
    }


def policy(channel_id: ChannelId, one: Policy) -> PolicyView:
    """Render a policy."""
    return {
        "channel_id": None if channel_id == ROOM else str(channel_id),
        "archive_after_days": one.archive_after_days,
        "delete_after_days": one.delete_after_days,
        "is_held": one.is_held,
        "hold_reason": one.hold_reason,
    }

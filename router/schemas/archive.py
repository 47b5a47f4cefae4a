"""Schemas of the archive for operators: the amounts of a room's live and archived history, policies and holds."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, field_validator
from typing_extensions import TypedDict

from ids import ChannelId, RoomId
from router.schemas.fields import Id, Reason, Wire
from shard.actions.archive import Standing
from shard.archive.retention import AGE_DAYS_MIN, ROOM, Policy

DAYS_MAX = 36_500
"""Days of an archive policy: a hundred years. Beyond it 422."""


class ChannelQuery(Wire):
    """One channel, or without `channel_id` the whole room."""

    channel_id: Id | None = None


class SetPolicy(ChannelQuery):
    """Retention policy: the number of days after which messages are archived, at least 7 and 0 for never, and after
    which they are deleted permanently. Null inherits the value of the room, or of the settings."""

    archive_after_days: Annotated[int, Field(ge=0, le=DAYS_MAX)] | None
    delete_after_days: Annotated[int, Field(ge=1, le=DAYS_MAX)] | None

    @field_validator("archive_after_days")
    @classmethod
    def _not_too_soon(cls, value: int | None) -> int | None:
        if value is not None and 0 < value < AGE_DAYS_MIN:
            raise ValueError(f"0 for never, or at least {AGE_DAYS_MIN}")
        return value


class Hold(ChannelQuery):
    """Hold on history, with its reason."""

    reason: Reason


class PolicyView(TypedDict):
    """Retention policy and hold of a channel, or of the room where `channel_id` is null. A null number of days inherits
    the room's, or that of the settings; 0 means never."""

    channel_id: str | None
    archive_after_days: int | None
    delete_after_days: int | None
    is_held: bool
    hold_reason: str | None


class ArchiveView(TypedDict):
    """Messages and bytes in the room's file and in object storage. `hidden_messages` were deleted, and are removed from
    their objects soon; `unfinished_segments` are being written; the event log is complete from `first_seq` on."""

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
    """Render the archive status of a room."""
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

"""Channels."""

from datetime import datetime

from typing_extensions import TypedDict

from ids import RoomId
from router.views.values import moment, text_or_none
from shard.channels import ChannelRow


class ChannelView(TypedDict):
    """A channel as a member sees it."""

    id: str
    room_id: str
    name: str
    type: str
    description: str | None
    position: int
    category_id: str | None
    is_private: bool
    is_archived: bool
    thread_mode: str
    slow_mode_seconds: int
    auto_archive_hours: int
    message_count: int
    last_message_id: str | None
    created_at: datetime


class ChannelListView(TypedDict):
    """A room's channels in its order."""

    channels: list[ChannelView]


def channel(room_id: RoomId, row: ChannelRow) -> ChannelView:
    """Render a channel."""
    return {
        "id": str(row.id),
        "room_id": str(room_id),
        "name": row.name,
        "type": row.type,
        "description": row.description,
        "position": row.position,
        "category_id": text_or_none(row.category_id),
        "is_private": bool(row.is_private),
        "is_archived": bool(row.is_archived),
        "thread_mode": row.thread_mode,
        "slow_mode_seconds": row.slow_mode_seconds,
        "auto_archive_hours": row.auto_archive_hours,
        "message_count": row.message_count,
        "last_message_id": text_or_none(row.last_message_id),
        "created_at": moment(row.created_at),
    }

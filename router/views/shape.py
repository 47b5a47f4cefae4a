"""Categories, channels, and who may what in them."""

from collections.abc import Mapping
from datetime import datetime

from typing_extensions import TypedDict

from ids import RoomId
from router.views.values import moment, text_or_none
from shard import permissions
from shard.categories import CategoryRow
from shard.channels import ChannelRow
from shard.overwrites import Target
from shard.permissions import Overwrite


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


class CategoryView(TypedDict):
    """A heading over channels; they start with its privacy and overwrites."""

    id: str
    room_id: str
    name: str
    position: int
    is_private: bool
    collapsed_by_default: bool
    created_at: datetime


class ChannelListView(TypedDict):
    """The categories and channels that the caller sees, each in the room's order."""

    categories: list[CategoryView]
    channels: list[ChannelView]


class OverwriteView(TypedDict):
    """What a role or a member may beyond, or short of, what they may in the room."""

    target_type: str
    target_id: str
    allow: list[str]
    deny: list[str]


class OverwriteListView(TypedDict):
    """The overwrites of a channel or category, those of roles first."""

    overwrites: list[OverwriteView]


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


def category(room_id: RoomId, row: CategoryRow) -> CategoryView:
    """Render a category."""
    return {
        "id": str(row.id),
        "room_id": str(room_id),
        "name": row.name,
        "position": row.position,
        "is_private": bool(row.is_private),
        "collapsed_by_default": bool(row.collapsed_by_default),
        "created_at": moment(row.created_at),
    }


def overwrites(rows: Mapping[Target, Overwrite]) -> OverwriteListView:
    """Render overwrites."""
    return {"overwrites": [overwrite(target, row) for target, row in rows.items()]}


def overwrite(target: Target, row: Overwrite) -> OverwriteView:
    """Render one overwrite."""
    return {
        "target_type": target[0],
        "target_id": str(target[1]),
        "allow": permissions.names(row.allow),
        "deny": permissions.names(row.deny),
    }

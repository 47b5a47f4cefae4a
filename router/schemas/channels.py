"""Schemas of categories, channels and their overwrites."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, Self, cast

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from ids import CategoryId, ChannelId, RoomId
from router.schemas.fields import Description, Id, Reason, Title, Wire, moment, text_or_none
from router.schemas.roles import ChannelPermissionList
from shard import permissions
from shard.actions.categories import CategoryChanges, Order
from shard.actions.channels import ChannelChanges, ChannelDraft
from shard.permissions import Overwrite
from shard.tables import categories, channels
from shard.tables.categories import CategoryRow
from shard.tables.channels import ChannelRow
from shard.tables.overwrites import Target

SLOW_MODE_SECONDS_MAX = 21_600
"""Six hours, as at Discord; the schema holds the same bound. Beyond it 422."""
AUTO_ARCHIVE_HOURS_MAX = 8_760
"""Hours until a thread rests. Beyond it 422."""

ChannelType = Literal["text", "voice", "announcement"]
ThreadMode = Literal["required", "optional", "disabled"]
SlowMode = Annotated[int, Field(ge=0, le=SLOW_MODE_SECONDS_MAX)]
AutoArchive = Annotated[int, Field(ge=1, le=AUTO_ARCHIVE_HOURS_MAX)]


class CreateChannel(Wire):
    """Channel to create at the end of the list. With a `category_id` it takes the category's overwrites, and its
    privacy unless `is_private` is sent."""

    name: Title
    type: ChannelType = "text"
    description: Description | None = None
    thread_mode: ThreadMode = "optional"
    category_id: Id | None = None
    is_private: bool | None = None
    slow_mode_seconds: SlowMode = 0
    auto_archive_hours: AutoArchive = 168
    reason: Reason | None = None

    def draft(self) -> ChannelDraft:
        fields = self.model_dump(exclude={"reason"})
        return ChannelDraft(**fields)


class UpdateChannel(Wire):
    """Changes to a channel. Fields that are left out do not change. The types `text` and `announcement` can be changed
    into each other."""

    # Every channel has these but a description and a category: they can be changed but not emptied, so null is refused.
    # The defaults are never read.
    name: Title = Field(default_factory=str)
    type: ChannelType = Field(default_factory=lambda: "text")
    description: Description | None = None
    category_id: Id | None = None
    is_private: bool = Field(default_factory=bool)
    is_archived: bool = Field(default_factory=bool)
    thread_mode: ThreadMode = Field(default_factory=lambda: "optional")
    slow_mode_seconds: SlowMode = Field(default_factory=int)
    auto_archive_hours: AutoArchive = Field(default_factory=int)
    reason: Reason | None = None

    def changes(self) -> ChannelChanges:
        return cast(ChannelChanges, self.model_dump(include=self.model_fields_set - {"reason"}))


class CreateCategory(Wire):
    """Category to create at the end of the list."""

    name: Title
    is_private: bool = False
    collapsed_by_default: bool = False
    reason: Reason | None = None


class UpdateCategory(Wire):
    """Changes to a category. Fields that are left out do not change."""

    name: Title = Field(default_factory=str)
    is_private: bool = Field(default_factory=bool)
    collapsed_by_default: bool = Field(default_factory=bool)
    reason: Reason | None = None

    def changes(self) -> CategoryChanges:
        return cast(CategoryChanges, self.model_dump(include=self.model_fields_set - {"reason"}))


class PlacedChannel(Wire):
    """Channel and its category, null for none."""

    id: Id
    category_id: Id | None = None


class OrderRoom(Wire):
    """Every category and channel that the caller can see, in the new order."""

    categories: Annotated[list[Id], Field(max_length=categories.PER_ROOM_MAX)]
    channels: Annotated[list[PlacedChannel], Field(max_length=channels.PER_ROOM_MAX)]
    reason: Reason | None = None

    def order(self) -> Order:
        return Order(
            [CategoryId(one) for one in self.categories],
            [
                (ChannelId(one.id), None if one.category_id is None else CategoryId(one.category_id))
                for one in self.channels
            ],
        )


class SetOverwrite(Wire):
    """Permissions of a role or member here that differ from those in the room. None can be both allowed and denied."""

    allow: ChannelPermissionList = Field(default_factory=list)
    deny: ChannelPermissionList = Field(default_factory=list)
    reason: Reason | None = None

    @model_validator(mode="after")
    def _is_clear(self) -> Self:
        both = sorted({*self.allow} & {*self.deny})
        if both:
            raise ValueError(f"{', '.join(both)} cannot be both allowed and denied")
        return self

    def overwrite(self) -> Overwrite:
        return Overwrite(permissions.bits(self.allow), permissions.bits(self.deny))


class ChannelView(TypedDict):
    """Channel, as a member sees it."""

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
    """Category: a heading over channels, which take its privacy and overwrites when they are created in it."""

    id: str
    room_id: str
    name: str
    position: int
    is_private: bool
    collapsed_by_default: bool
    created_at: datetime


class ChannelListView(TypedDict):
    """Categories and channels that the caller can see, each in the room's order."""

    categories: list[CategoryView]
    channels: list[ChannelView]


class OverwriteView(TypedDict):
    """Permissions of a role or member that differ from those in the room."""

    target_type: str
    target_id: str
    allow: list[str]
    deny: list[str]


class OverwriteListView(TypedDict):
    """Overwrites of a channel or category, those of roles first."""

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

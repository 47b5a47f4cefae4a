"""The shape of a room: categories, channels, and who may what in them."""

from typing import Annotated, Literal, Self, cast

from pydantic import Field, model_validator

from ids import CategoryId, ChannelId
from router.wire.fields import Description, Id, Reason, Title, Wire
from router.wire.roles import ChannelPermissionList
from shard import categories, channels, permissions
from shard.acts.shaping import ChannelChanges, ChannelDraft
from shard.acts.sorting import CategoryChanges, Order
from shard.permissions import Overwrite

SLOW_MODE_SECONDS_MAX = 21_600
"""Six hours, as at Discord; the schema holds the same bound."""
AUTO_ARCHIVE_HOURS_MAX = 8_760

ChannelType = Literal["text", "voice", "announcement"]
ThreadMode = Literal["required", "optional", "disabled"]
SlowMode = Annotated[int, Field(ge=0, le=SLOW_MODE_SECONDS_MAX)]
AutoArchive = Annotated[int, Field(ge=1, le=AUTO_ARCHIVE_HOURS_MAX)]


class CreateChannel(Wire):
    """A channel at the end of the list; with a `category_id` it has that one's overwrites, and its privacy unless told
    otherwise."""

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
    """What to change of a channel; fields that are left out stay. Text and announcement can become each other."""

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
    """A category below all others."""

    name: Title
    is_private: bool = False
    collapsed_by_default: bool = False
    reason: Reason | None = None


class UpdateCategory(Wire):
    """What to change of a category; fields that are left out stay."""

    name: Title = Field(default_factory=str)
    is_private: bool = Field(default_factory=bool)
    collapsed_by_default: bool = Field(default_factory=bool)
    reason: Reason | None = None

    def changes(self) -> CategoryChanges:
        return cast(CategoryChanges, self.model_dump(include=self.model_fields_set - {"reason"}))


class PlacedChannel(Wire):
    """A channel and the category that it stands in, null for none."""

    id: Id
    category_id: Id | None = None


class OrderRoom(Wire):
    """Every category and every channel that one sees, in the order that they shall have."""

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
    """What a role or member may here beyond, or short of, what they may in the room; nothing is both."""

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

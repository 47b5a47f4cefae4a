"""Endpoints of a room's categories and channels."""

import logging
from dataclasses import dataclass

from ids import RoomId
from router.context import AppContext
from router.room_access import Need
from router.routes import Call, Reply, Route
from router.schemas import channels as schemas
from router.schemas.channels import (
    CategoryView,
    ChannelListView,
    ChannelView,
    CreateCategory,
    CreateChannel,
    OrderRoom,
    UpdateCategory,
    UpdateChannel,
)
from router.schemas.fields import Nothing, Why
from router.scopes import Scope
from shard import errors
from shard.actions import categories
from shard.actions import channels as channel_actions

log = logging.getLogger(__name__)

CHANNELS = "/v1/rooms/{room_id}/channels"
CHANNEL = CHANNELS + "/{channel_id}"
CATEGORIES = "/v1/rooms/{room_id}/categories"
CATEGORY = CATEGORIES + "/{category_id}"


@dataclass(frozen=True, slots=True)
class Channels:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        manage = Scope.ROOMS_MANAGE
        return (
            Route(
                "GET", CHANNELS, self.channels, "List a room's channels", "channels", ChannelListView, room=Need.READ,
                scope=Scope.ROOMS_READ,
            ),
            Route(
                "POST", CHANNELS, self.create, "Create a channel", "channels", ChannelView, 201, CreateChannel,
                refusals=(409,), room=Need.WRITE, community_only=True, scope=manage,
            ),
            Route(
                "PUT", CHANNELS + "/order", self.order, "Reorder channels", "channels", ChannelListView,
                takes=OrderRoom, refusals=(409,), room=Need.WRITE, community_only=True, scope=manage,
            ),
            Route(
                "PATCH", CHANNEL, self.update, "Change a channel", "channels", ChannelView, takes=UpdateChannel,
                refusals=(409,), room=Need.WRITE, community_only=True, scope=manage,
            ),
            Route(
                "DELETE", CHANNEL, self.delete, "Delete a channel", "channels", None, 204, Why, refusals=(409,),
                room=Need.FREE, community_only=True, scope=manage,
            ),
            Route(
                "POST", CATEGORIES, self.create_category, "Create a category", "channels", CategoryView, 201,
                CreateCategory, refusals=(409,), room=Need.WRITE, community_only=True, scope=manage,
            ),
            Route(
                "PATCH", CATEGORY, self.update_category, "Change a category", "channels", CategoryView,
                takes=UpdateCategory, refusals=(409,), room=Need.WRITE, community_only=True, scope=manage,
            ),
            Route(
                "DELETE", CATEGORY, self.delete_category, "Delete a category", "channels", None, 204, Why,
                refusals=(409,), room=Need.FREE, community_only=True, scope=manage,
            ),
        )  # fmt: skip

    async def channels(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the categories and channels that the caller can see, each in the room's order."""
        return Reply(await self._listed(call.room_id, call))

    async def _listed(
        self, room_id: RoomId, call: Call[Nothing, Nothing] | Call[OrderRoom, Nothing]
    ) -> ChannelListView:
        categories, channels = await call.room.read(channel_actions.list_all)
        return {
            "categories": [schemas.category(room_id, row) for row in categories],
            "channels": [schemas.channel(room_id, row) for row in channels],
        }

    async def create(self, call: Call[CreateChannel, Nothing]) -> Reply:
        """Create a channel at the end of the list. Needs `manage_channels` in its category, or in the room without one.

        A privacy that differs from the category's also needs `manage_roles`. The creator of a private channel can see
        it.
        """
        row = await call.room.write(channel_actions.create_channel, call.body.draft(), reason=call.body.reason)
        return Reply(schemas.channel(call.room_id, row), 201)

    async def order(self, call: Call[OrderRoom, Nothing]) -> Reply:
        """Set the order of the categories and channels that the caller can see, and move channels between categories.
        Needs `manage_channels`.

        409 unless each of them is named exactly once. Channels that the caller cannot see keep their places. A channel
        that moves takes the overwrites and privacy of its new category.
        """
        await call.room.write(categories.arrange, call.body.order(), reason=call.body.reason)
        return Reply(await self._listed(call.room_id, call))

    async def update(self, call: Call[UpdateChannel, Nothing]) -> Reply:
        """Change a channel. Needs `manage_channels` there, and `manage_roles` if privacy or overwrites change.

        A new `category_id` moves the channel and gives it the overwrites of that category and, unless `is_private` is
        sent, its privacy. A caller who makes the channel private can still see it.
        """
        row = await call.room.write(
            channel_actions.edit_channel, call.channel_id, call.body.changes(), reason=call.body.reason
        )
        return Reply(schemas.channel(call.room_id, row))

    async def delete(self, call: Call[Why, Nothing]) -> Reply:
        """Delete a channel and all of its messages permanently. Needs `manage_channels` there."""
        await call.room.write(channel_actions.delete_channel, call.channel_id, reason=call.body.reason)
        try:
            while await self.context.pool.write(call.room_id, channel_actions.sweep):
                pass
        except (errors.UnavailableError, errors.ShardFullError):
            # The channel is deleted; its remaining rows are invisible and are removed with the next channel.
            log.warning("a deleted channel is not swept yet", extra={"room_id": call.room_id})
        return Reply(status=204)

    async def create_category(self, call: Call[CreateCategory, Nothing]) -> Reply:
        """Create a category at the end of the list. Needs `manage_channels`, and `manage_roles` for a private one."""
        body = call.body
        row = await call.room.write(
            categories.create_category,
            body.name,
            is_private=body.is_private,
            collapsed_by_default=body.collapsed_by_default,
            reason=body.reason,
        )
        return Reply(schemas.category(call.room_id, row), 201)

    async def update_category(self, call: Call[UpdateCategory, Nothing]) -> Reply:
        """Change a category. Needs `manage_channels` there, and `manage_roles` to change its privacy.

        Channels whose privacy and overwrites equal the category's change with it.
        """
        row = await call.room.write(
            categories.edit_category, call.category_id, call.body.changes(), reason=call.body.reason
        )
        return Reply(schemas.category(call.room_id, row))

    async def delete_category(self, call: Call[Why, Nothing]) -> Reply:
        """Delete a category. Needs `manage_channels` there. Its channels stay and keep their overwrites."""
        await call.room.write(categories.delete_category, call.category_id, reason=call.body.reason)
        return Reply(status=204)

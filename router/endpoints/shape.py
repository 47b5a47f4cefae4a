"""Shaping a room: its categories and channels."""

import logging
from dataclasses import dataclass

from ids import RoomId
from router.doors import RoomDoor
from router.scopes import Scope
from router.table import Call, Reply, Route
from router.views import shape as views
from router.views.shape import CategoryView, ChannelListView, ChannelView
from router.wire.fields import Nothing, Why
from router.wire.shape import CreateCategory, CreateChannel, OrderRoom, UpdateCategory, UpdateChannel
from shard import errors
from shard.acts import shaping, sorting
from shard.pool import ShardPool

log = logging.getLogger(__name__)

CHANNELS = "/v1/rooms/{room_id}/channels"
CHANNEL = CHANNELS + "/{channel_id}"
CATEGORIES = "/v1/rooms/{room_id}/categories"
CATEGORY = CATEGORIES + "/{category_id}"


@dataclass(frozen=True, slots=True)
class Shape:
    """The endpoints and what they need."""

    door: RoomDoor
    pool: ShardPool

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        manage = Scope.ROOMS_MANAGE
        return (
            Route(
                "GET", CHANNELS, self.channels, "List a room's channels", "channels", ChannelListView,
                scope=Scope.ROOMS_READ,
            ),
            Route(
                "POST", CHANNELS, self.create, "Create a channel", "channels", ChannelView, 201, CreateChannel,
                refusals=(409,), scope=manage,
            ),
            Route(
                "PUT", CHANNELS + "/order", self.order, "Order channels", "channels", ChannelListView, takes=OrderRoom,
                refusals=(409,), scope=manage,
            ),
            Route(
                "PATCH", CHANNEL, self.update, "Change a channel", "channels", ChannelView, takes=UpdateChannel,
                refusals=(409,), scope=manage,
            ),
            Route(
                "DELETE", CHANNEL, self.delete, "Delete a channel", "channels", None, 204, Why, refusals=(409,),
                scope=manage,
            ),
            Route(
                "POST", CATEGORIES, self.create_category, "Create a category", "channels", CategoryView, 201,
                CreateCategory, refusals=(409,), scope=manage,
            ),
            Route(
                "PATCH", CATEGORY, self.update_category, "Change a category", "channels", CategoryView,
                takes=UpdateCategory, refusals=(409,), scope=manage,
            ),
            Route(
                "DELETE", CATEGORY, self.delete_category, "Delete a category", "channels", None, 204, Why,
                refusals=(409,), scope=manage,
            ),
        )  # fmt: skip

    async def channels(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the categories and channels that the caller sees, each in the room's order."""
        room = await self.door.reach(call.path["room_id"])
        return Reply(await self._listed(room.room_id, call))

    async def _listed(
        self, room_id: RoomId, call: Call[Nothing, Nothing] | Call[OrderRoom, Nothing]
    ) -> ChannelListView:
        categories, channels = await self.pool.read(room_id, shaping.list_all, call.user_id, now_ms=call.now_ms)
        return {
            "categories": [views.category(room_id, row) for row in categories],
            "channels": [views.channel(room_id, row) for row in channels],
        }

    async def create(self, call: Call[CreateChannel, Nothing]) -> Reply:
        """Add a channel to the end of the list; needs manage_channels in its category, or in the room without one.

        For another privacy than its category's it needs manage_roles too. Whoever makes a private channel sees it.
        """
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        row = await self.pool.write(
            room.room_id,
            shaping.create_channel,
            call.user_id,
            call.body.draft(),
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(views.channel(room.room_id, row), 201)

    async def order(self, call: Call[OrderRoom, Nothing]) -> Reply:
        """Put the categories and channels that one sees in an order, and channels into categories; needs
        manage_channels.

        409 unless each is named once. What the caller does not see keeps its place. A channel that moves takes the
        overwrites and privacy of its new category.
        """
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.pool.write(
            room.room_id,
            sorting.arrange,
            call.user_id,
            call.body.order(),
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(await self._listed(room.room_id, call))

    async def update(self, call: Call[UpdateChannel, Nothing]) -> Reply:
        """Change a channel; needs manage_channels there, and manage_roles where privacy or overwrites change.

        With another `category_id` it moves there, with the overwrites of that category and, unless told otherwise, its
        privacy. Whoever makes it private goes on seeing it.
        """
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        row = await self.pool.write(
            room.room_id,
            shaping.edit_channel,
            call.user_id,
            call.path["channel_id"],
            call.body.changes(),
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(views.channel(room.room_id, row))

    async def delete(self, call: Call[Why, Nothing]) -> Reply:
        """Delete a channel with all that was said in it; needs manage_channels there. There is no way back."""
        room = await self.door.reach_for_freeing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.pool.write(
            room.room_id,
            shaping.delete_channel,
            call.user_id,
            call.path["channel_id"],
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        try:
            while await self.pool.write(room.room_id, shaping.sweep):
                pass
        except (errors.UnavailableError, errors.ShardFullError):
            # It is deleted: nobody sees the rest, which goes with the next channel.
            log.warning("a deleted channel is not swept yet", extra={"room_id": room.room_id})
        return Reply(status=204)

    async def create_category(self, call: Call[CreateCategory, Nothing]) -> Reply:
        """Add a category below all others; needs manage_channels, and manage_roles for a private one."""
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        body = call.body
        row = await self.pool.write(
            room.room_id,
            sorting.create_category,
            call.user_id,
            body.name,
            is_private=body.is_private,
            collapsed_by_default=body.collapsed_by_default,
            reason=body.reason,
            now_ms=call.now_ms,
        )
        return Reply(views.category(room.room_id, row), 201)

    async def update_category(self, call: Call[UpdateCategory, Nothing]) -> Reply:
        """Change a category; needs manage_channels there, and manage_roles for its privacy.

        Channels that have its privacy and overwrites follow it.
        """
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        row = await self.pool.write(
            room.room_id,
            sorting.edit_category,
            call.user_id,
            call.path["category_id"],
            call.body.changes(),
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(views.category(room.room_id, row))

    async def delete_category(self, call: Call[Why, Nothing]) -> Reply:
        """Delete a category; needs manage_channels there. Its channels stay, with what they allow and deny."""
        room = await self.door.reach_for_freeing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.pool.write(
            room.room_id,
            sorting.delete_category,
            call.user_id,
            call.path["category_id"],
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(status=204)

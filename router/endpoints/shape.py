"""Shaping a room: its channels."""

from dataclasses import dataclass

from router.doors import RoomDoor
from router.table import Call, Reply, Route
from router.views import shape as views
from router.views.shape import ChannelListView, ChannelView
from router.wire.fields import Nothing
from router.wire.shape import CreateChannel
from shard.acts import shaping
from shard.pool import ShardPool

CHANNELS = "/v1/rooms/{room_id}/channels"


@dataclass(frozen=True, slots=True)
class Shape:
    """The endpoints and what they need."""

    door: RoomDoor
    pool: ShardPool

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        return (
            Route("GET", CHANNELS, self.channels, "List a room's channels", "channels", ChannelListView),
            Route(
                "POST", CHANNELS, self.create, "Create a channel", "channels", ChannelView, 201, CreateChannel,
                refusals=(409,),
            ),
        )  # fmt: skip

    async def channels(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the channels that the caller sees, in the room's order."""
        room = await self.door.reach(call.path["room_id"])
        rows = await self.pool.read(room.room_id, shaping.list_channels, call.user_id, now_ms=call.now_ms)
        answer: ChannelListView = {"channels": [views.channel(room.room_id, row) for row in rows]}
        return Reply(answer)

    async def create(self, call: Call[CreateChannel, Nothing]) -> Reply:
        """Add a channel to the end of the list; needs manage_channels."""
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        row = await self.pool.write(
            room.room_id, shaping.create_channel, call.user_id, call.body.draft(), now_ms=call.now_ms
        )
        return Reply(views.channel(room.room_id, row), 201)

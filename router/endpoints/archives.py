"""For operators: how much of a room's history is in the archive, what becomes of it, and what is held."""

from dataclasses import dataclass

from directory import shards
from directory.directory import Directory
from ids import ChannelId, RoomId
from router.table import Call, Gate, Reply, Route
from router.views import archives as views
from router.views.archives import ArchiveView, PolicyView
from router.wire.archives import ChannelQuery, Hold, SetPolicy
from router.wire.fields import Nothing
from shard.acts import archiving
from shard.policies import ROOM
from shard.pool import ShardPool

ARCHIVE = "/v1/operate/shards/{room_id}/archive"


@dataclass(frozen=True, slots=True)
class Archives:
    """The endpoints and what they need."""

    directory: Directory
    pool: ShardPool

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, gate = "operate", Gate.ADMIN
        return (
            Route("GET", ARCHIVE, self.one, "What is in the archive", tag, ArchiveView, gate=gate),
            Route(
                "PUT", ARCHIVE + "/policy", self.set_policy, "What becomes of old messages", tag, PolicyView,
                takes=SetPolicy, gate=gate,
            ),
            Route("PUT", ARCHIVE + "/hold", self.hold, "Hold history", tag, PolicyView, takes=Hold, gate=gate),
            Route(
                "DELETE", ARCHIVE + "/hold", self.release, "End a hold", tag, PolicyView, query=ChannelQuery, gate=gate,
            ),
        )  # fmt: skip

    async def _room(self, room_id: RoomId) -> RoomId:
        """Return a room that there is; raises RoomNotFoundError."""
        async with self.directory.database.read() as reader:
            await shards.find(reader, room_id)
        return room_id

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Tell how much of a room's history is where, and the policies of the room and its channels; it wakes a room
        that is hibernated."""
        room_id = await self._room(call.path["room_id"])
        standing, policies = await self.pool.read(room_id, archiving.look_over)
        return Reply(views.archive(room_id, standing, policies))

    async def set_policy(self, call: Call[SetPolicy, Nothing]) -> Reply:
        """Set after how many days messages of a room, or of one channel, move or are deleted."""
        room_id, body = await self._room(call.path["room_id"]), call.body
        policy = await self.pool.write(
            room_id,
            archiving.set_days,
            _place(body.channel_id),
            body.archive_after_days,
            body.delete_after_days,
            by=call.user_id,
            now_ms=call.now_ms,
        )
        return Reply(views.policy(_place(body.channel_id), policy))

    async def hold(self, call: Call[Hold, Nothing]) -> Reply:
        """Keep everything of a room, or of one channel, where it is, whatever its policy says."""
        room_id, place = await self._room(call.path["room_id"]), _place(call.body.channel_id)
        policy = await self.pool.write(
            room_id, archiving.set_hold, place, call.body.reason, by=call.user_id, now_ms=call.now_ms
        )
        return Reply(views.policy(place, policy))

    async def release(self, call: Call[Nothing, ChannelQuery]) -> Reply:
        """End a hold; there need not be one."""
        room_id, place = await self._room(call.path["room_id"]), _place(call.query.channel_id)
        policy = await self.pool.write(room_id, archiving.set_hold, place, None, by=call.user_id, now_ms=call.now_ms)
        return Reply(views.policy(place, policy))


def _place(channel_id: int | None) -> ChannelId:
    return ROOM if channel_id is None else ChannelId(channel_id)

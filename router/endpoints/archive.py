"""Endpoints of the archive, for operators: the amount of a room's history in it, retention policies and holds."""

from dataclasses import dataclass

from directory import shards
from ids import ChannelId, RoomId
from router.context import AppContext
from router.routes import Access, Call, Reply, Route
from router.schemas import archive as schemas
from router.schemas.archive import ArchiveView, ChannelQuery, Hold, PolicyView, SetPolicy
from router.schemas.fields import Nothing
from shard.actions import archive
from shard.archive.retention import ROOM

ARCHIVE = "/v1/operate/shards/{room_id}/archive"


@dataclass(frozen=True, slots=True)
class Archives:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, access = "operate", Access.ADMIN
        return (
            Route("GET", ARCHIVE, self.one, "Get the archive status of a room", tag, ArchiveView, access=access),
            Route(
                "PUT", ARCHIVE + "/policy", self.set_policy, "Set a retention policy", tag, PolicyView,
                takes=SetPolicy, access=access,
            ),
            Route("PUT", ARCHIVE + "/hold", self.hold, "Set a hold", tag, PolicyView, takes=Hold, access=access),
            Route(
                "DELETE", ARCHIVE + "/hold", self.release, "End a hold", tag, PolicyView, query=ChannelQuery,
                access=access,
            ),
        )  # fmt: skip

    async def _room(self, room_id: RoomId) -> RoomId:
        """Return a room that exists; raises RoomNotFoundError."""
        async with self.context.directory.database.read() as reader:
            await shards.find(reader, room_id)
        return room_id

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return how much of a room's history is live and how much is archived, and the policies of the room and its
        channels. A hibernated room is woken."""
        room_id = await self._room(call.room_id)
        standing, policies = await self.context.pool.read(room_id, archive.look_over)
        return Reply(schemas.archive(room_id, standing, policies))

    async def set_policy(self, call: Call[SetPolicy, Nothing]) -> Reply:
        """Set the number of days after which messages of a room, or of one channel, are archived or deleted."""
        room_id, body = await self._room(call.room_id), call.body
        policy = await self.context.pool.write(
            room_id,
            archive.set_days,
            _place(body.channel_id),
            body.archive_after_days,
            body.delete_after_days,
            by=call.user_id,
            now_ms=call.now_ms,
        )
        return Reply(schemas.policy(_place(body.channel_id), policy))

    async def hold(self, call: Call[Hold, Nothing]) -> Reply:
        """Hold the history of a room, or of one channel: its policy is suspended, so that it archives and deletes
        nothing."""
        room_id, place = await self._room(call.room_id), _place(call.body.channel_id)
        policy = await self.context.pool.write(
            room_id, archive.set_hold, place, call.body.reason, by=call.user_id, now_ms=call.now_ms
        )
        return Reply(schemas.policy(place, policy))

    async def release(self, call: Call[Nothing, ChannelQuery]) -> Reply:
        """End a hold. Returns 200 even if there is no hold."""
        room_id, place = await self._room(call.room_id), _place(call.query.channel_id)
        policy = await self.context.pool.write(
            room_id, archive.set_hold, place, None, by=call.user_id, now_ms=call.now_ms
        )
        return Reply(schemas.policy(place, policy))


def _place(channel_id: int | None) -> ChannelId:
    return ROOM if channel_id is None else ChannelId(channel_id)

"""Direct and group chats, whom one blocks, and what a room listens to."""

from dataclasses import dataclass

from directory import blocks, rooms
from directory.directory import Directory
from directory.rooms import Room
from ids import RoomId, UserId
from router import cursors, founding, groups
from router.doors import People, RoomDoor
from router.entering import Entrance
from router.founding import DirectChats
from router.scopes import Scope
from router.table import Call, Reply, Route
from router.views import chats as views
from router.views import rooms as room_views
from router.views.chats import BlockPageView
from router.views.rooms import RoomView, RoomWithChannelsView
from router.wire.chats import CreateGroup, SetMusic
from router.wire.fields import Nothing, PageQuery, Why
from shard import errors
from shard.acts import grouping
from shard.pool import ShardPool

BLOCKS = "/v1/users/me/blocks"
BLOCK = BLOCKS + "/{user_id}"
MEMBER = "/v1/rooms/{room_id}/members/{user_id}"
MODERATOR = "/v1/rooms/{room_id}/moderators/{user_id}"
MUSIC = "/v1/rooms/{room_id}/music"


@dataclass(frozen=True, slots=True)
class Chats:
    """The endpoints and what they need."""

    directory: Directory
    pool: ShardPool
    door: RoomDoor
    people: People
    entrance: Entrance
    direct: DirectChats
    rooms_owned_max: int
    group_members_max: int
    page_size_max: int

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, manage = "chats", Scope.ROOMS_MANAGE
        return (
            Route(
                "PUT", "/v1/users/{user_id}/chat", self.open, "Open a direct chat", tag, RoomWithChannelsView, 201,
                or_status=200, refusals=(409,), scope=Scope.MESSAGES_WRITE,
            ),
            Route(
                "POST", "/v1/groups", self.create, "Make a group", tag, RoomWithChannelsView, 201, CreateGroup,
                refusals=(404, 409),
            ),
            Route(
                "PUT", MEMBER, self.add, "Add somebody to a group", tag, None, 204, refusals=(409,), scope=manage,
            ),
            Route(
                "PUT", MODERATOR, self.promote, "Make a member of a group a moderator", tag, None, 204, Why,
                refusals=(409,), scope=manage,
            ),
            Route(
                "DELETE", MODERATOR, self.demote, "Make a moderator of a group a member", tag, None, 204, Why,
                refusals=(409,), scope=manage,
            ),
            Route(
                "PUT", MUSIC, self.set_music, "Say what a room listens to", tag, RoomView, takes=SetMusic,
                refusals=(409,), scope=manage,
            ),
            Route(
                "DELETE", MUSIC, self.clear_music, "Take a room's music away", tag, None, 204, Why,
                refusals=(409,), scope=manage,
            ),
            Route("GET", BLOCKS, self.blocks, "Whom I block", tag, BlockPageView, query=PageQuery),
            Route("PUT", BLOCK, self.block, "Block somebody", tag, None, 204, refusals=(409,)),
            Route("DELETE", BLOCK, self.unblock, "Lift a block", tag, None, 204),
        )  # fmt: skip

    async def open(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return the caller's chat with somebody, the same whoever asked first; made when there was none (201)."""
        other: UserId = call.path["user_id"]
        if other == call.user_id:
            raise errors.ConflictError("A direct chat needs somebody else.")
        room_id, is_new = await self.direct.open(call.user_id, other, origin=call.origin, now_ms=call.now_ms)
        return await self._shown(room_id, call.user_id, call.now_ms, 201 if is_new else 200)

    async def create(self, call: Call[CreateGroup, Nothing]) -> Reply:
        """Make a group of the caller and others; each of them must take messages of the caller."""
        others = [UserId(number) for number in dict.fromkeys(call.body.user_ids) if number != call.user_id]
        if len(others) >= self.group_members_max:
            raise errors.ConflictError(f"A group has at most {self.group_members_max} people.")
        await groups.refuse_bots(self.directory, others)
        room, _ = await founding.found_group(
            self.directory,
            self.pool,
            owner_id=call.user_id,
            others=others,
            display_name=call.body.display_name,
            rooms_max=self.rooms_owned_max,
            origin=call.origin,
            now_ms=call.now_ms,
        )
        return await self._shown(room.id, call.user_id, call.now_ms, 201)

    async def _shown(self, room_id: RoomId, user_id: UserId, now_ms: int, status: int) -> Reply:
        return Reply(await self.entrance.shown(await self.door.reach(room_id), user_id, now_ms=now_ms), status)

    async def add(self, call: Call[Nothing, Nothing]) -> Reply:
        """Add somebody to a group who takes messages of the caller; for its owner and moderators."""
        address = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await groups.add(
            self.entrance,
            address.room_id,
            call.user_id,
            call.path["user_id"],
            members_max=self.group_members_max,
            now_ms=call.now_ms,
        )
        return Reply(status=204)

    async def promote(self, call: Call[Why, Nothing]) -> Reply:
        """Let a member of a group moderate it; for its owner."""
        return await self._rank(call, grouping.promote)

    async def demote(self, call: Call[Why, Nothing]) -> Reply:
        """Let a moderator of a group be a member again; for its owner."""
        return await self._rank(call, grouping.demote)

    async def _rank(self, call: Call[Why, Nothing], act: grouping.Rank) -> Reply:
        address = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.pool.write(
            address.room_id, act, call.user_id, call.path["user_id"], reason=call.body.reason, now_ms=call.now_ms
        )
        return Reply(status=204)

    async def set_music(self, call: Call[SetMusic, Nothing]) -> Reply:
        """Say what a room listens to; needs manage_room, and in a direct chat nothing."""
        return Reply(room_views.room(await self._play(call, call.body.url, call.body.reason)))

    async def clear_music(self, call: Call[Why, Nothing]) -> Reply:
        """Take a room's music away; for whoever may say what it listens to."""
        await self._play(call, None, call.body.reason)
        return Reply(status=204)

    async def _play(
        self, call: Call[SetMusic, Nothing] | Call[Why, Nothing], url: str | None, reason: str | None
    ) -> Room:
        room_id: RoomId = call.path["room_id"]
        await self.door.reach_for_talking(room_id, call.user_id, now_ms=call.now_ms)
        async with self.directory.database.read() as reader:
            room = await rooms.find(reader, room_id)
        await self.pool.write(
            room_id,
            grouping.set_music,
            call.user_id,
            before=room.music_url,
            after=url,
            reason=reason,
            now_ms=call.now_ms,
        )
        if room.music_url == url:
            return room
        async with self.directory.database.write() as writer:
            return await rooms.update(writer, room_id, {"music_url": url}, now_ms=call.now_ms)

    async def blocks(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List whom the caller blocks, by id."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 1)
        after = None if place is None else UserId(place[0])
        async with self.directory.database.read() as reader:
            rows = await blocks.page(reader, call.user_id, after=after, limit=limit + 1)
        page = rows[:limit]
        answer: BlockPageView = {
            "blocks": [views.block(row) for row in page],
            "users": await self.people.of(row.blocked_id for row in page),
            "next_cursor": cursors.write(page[-1].blocked_id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def block(self, call: Call[Nothing, Nothing]) -> Reply:
        """Block somebody, who is told nowhere."""
        if call.path["user_id"] == call.user_id:
            raise errors.ConflictError("Nobody blocks themselves.")
        async with self.directory.database.write() as writer:
            await blocks.add(writer, call.user_id, call.path["user_id"], now_ms=call.now_ms)
        return Reply(status=204)

    async def unblock(self, call: Call[Nothing, Nothing]) -> Reply:
        """Lift a block, if there is one."""
        async with self.directory.database.write() as writer:
            await blocks.remove(writer, call.user_id, call.path["user_id"])
        return Reply(status=204)

"""Endpoints of direct chats and groups, blocks, and a room's music."""

from typing import Any

from directory import blocks, rooms
from directory.rooms import Room
from ids import RoomId, UserId
from router.context import AppContext
from router.room_access import Need
from router.routes import Call, Reply, Route
from router.schemas import chats as schemas
from router.schemas import pages
from router.schemas import rooms as room_schemas
from router.schemas.chats import BlockPageView, CreateGroup, SetMusic
from router.schemas.fields import Nothing, PageQuery, Why
from router.schemas.rooms import RoomView, RoomWithChannelsView
from router.scopes import Scope
from router.workflows import groups, room_creation
from router.workflows.room_creation import DirectChats
from shard import errors
from shard.actions import groups as group_actions

BLOCKS = "/v1/users/me/blocks"
BLOCK = BLOCKS + "/{user_id}"
MEMBER = "/v1/rooms/{room_id}/members/{user_id}"
MODERATOR = "/v1/rooms/{room_id}/moderators/{user_id}"
MUSIC = "/v1/rooms/{room_id}/music"


class Chats:
    """The endpoints and what they need."""

    def __init__(self, context: AppContext) -> None:
        self.context = context
        self.direct = DirectChats(context.directory, context.pool)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, manage = "chats", Scope.ROOMS_MANAGE
        return (
            Route(
                "PUT", "/v1/users/{user_id}/chat", self.open, "Open a direct chat", tag, RoomWithChannelsView, 201,
                or_status=200, refusals=(409,), scope=Scope.MESSAGES_WRITE,
            ),
            Route(
                "POST", "/v1/groups", self.create, "Create a group", tag, RoomWithChannelsView, 201, CreateGroup,
                refusals=(404, 409),
            ),
            Route(
                "PUT", MEMBER, self.add, "Add a user to a group", tag, None, 204, refusals=(409,), room=Need.WRITE,
                scope=manage,
            ),
            Route(
                "PUT", MODERATOR, self.promote, "Promote a group member to moderator", tag, None, 204, Why,
                refusals=(409,), room=Need.WRITE, scope=manage,
            ),
            Route(
                "DELETE", MODERATOR, self.demote, "Demote a group moderator", tag, None, 204, Why,
                refusals=(409,), room=Need.WRITE, scope=manage,
            ),
            Route(
                "PUT", MUSIC, self.set_music, "Set a room's music", tag, RoomView, takes=SetMusic,
                refusals=(409,), room=Need.TALK, scope=manage,
            ),
            Route(
                "DELETE", MUSIC, self.clear_music, "Remove a room's music", tag, None, 204, Why, refusals=(409,),
                room=Need.TALK, scope=manage,
            ),
            Route("GET", BLOCKS, self.blocks, "List my blocks", tag, BlockPageView, query=PageQuery),
            Route("PUT", BLOCK, self.block, "Block a user", tag, None, 204, refusals=(409,)),
            Route("DELETE", BLOCK, self.unblock, "Unblock a user", tag, None, 204),
        )  # fmt: skip

    async def open(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return the direct chat of the caller and another user. Returns 200 for an existing chat, whoever opened it,
        and 201 for a new one."""
        if call.target_id == call.user_id:
            raise errors.ConflictError("A direct chat needs somebody else.")
        room_id, is_new = await self.direct.open(call.user_id, call.target_id, client=call.client, now_ms=call.now_ms)
        return await self._view(call, room_id, 201 if is_new else 200)

    async def create(self, call: Call[CreateGroup, Nothing]) -> Reply:
        """Create a group of the caller and other users. Each of them must accept messages from the caller."""
        others = [UserId(number) for number in dict.fromkeys(call.body.user_ids) if number != call.user_id]
        if len(others) >= self.context.options.group_members_max:
            raise errors.ConflictError(f"A group has at most {self.context.options.group_members_max} people.")
        await groups.refuse_bots(self.context.directory, others)
        room, _ = await room_creation.found_group(
            self.context.directory,
            self.context.pool,
            owner_id=call.user_id,
            others=others,
            display_name=call.body.display_name,
            rooms_max=self.context.options.rooms_owned_max,
            client=call.client,
            now_ms=call.now_ms,
        )
        return await self._view(call, room.id, 201)

    async def _view(self, call: Call[Any, Any], room_id: RoomId, status: int) -> Reply:
        address = await self.context.rooms.readable(room_id)
        return Reply(await self.context.entrance.view(address, call.user_id, now_ms=call.now_ms), status)

    async def add(self, call: Call[Nothing, Nothing]) -> Reply:
        """Add a user to a group. The user must accept messages from the caller. Only for the group's owner and
        moderators."""
        await groups.add(
            self.context.entrance,
            call.room_id,
            call.user_id,
            call.target_id,
            members_max=self.context.options.group_members_max,
            now_ms=call.now_ms,
        )
        return Reply(status=204)

    async def promote(self, call: Call[Why, Nothing]) -> Reply:
        """Make a member of a group a moderator. Only for the group's owner."""
        await call.room.write(group_actions.promote, call.target_id, reason=call.body.reason)
        return Reply(status=204)

    async def demote(self, call: Call[Why, Nothing]) -> Reply:
        """Make a moderator of a group an ordinary member again. Only for the group's owner."""
        await call.room.write(group_actions.demote, call.target_id, reason=call.body.reason)
        return Reply(status=204)

    async def set_music(self, call: Call[SetMusic, Nothing]) -> Reply:
        """Set the music that a room listens to. Needs `manage_room`, except in a direct chat."""
        return Reply(room_schemas.room(await self._play(call, call.body.url, call.body.reason)))

    async def clear_music(self, call: Call[Why, Nothing]) -> Reply:
        """Remove the music of a room. Needs `manage_room`, except in a direct chat."""
        await self._play(call, None, call.body.reason)
        return Reply(status=204)

    async def _play(
        self, call: Call[SetMusic, Nothing] | Call[Why, Nothing], url: str | None, reason: str | None
    ) -> Room:
        async with self.context.directory.database.read() as reader:
            room = await rooms.find(reader, call.room_id)
        await call.room.write(group_actions.set_music, before=room.music_url, after=url, reason=reason)
        if room.music_url == url:
            return room
        async with self.context.directory.database.write() as writer:
            return await rooms.update(writer, call.room_id, {"music_url": url}, now_ms=call.now_ms)

    async def blocks(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List the users whom the caller blocks, by id."""
        limit, place = call.query.limit, call.query.place
        after = None if place is None else UserId(place[0])
        async with self.context.directory.database.read() as reader:
            rows = await blocks.page(reader, call.user_id, after=after, limit=limit + 1)
        page = rows[:limit]
        answer: BlockPageView = {
            "blocks": [schemas.block(row) for row in page],
            "users": await self.context.people.of(row.blocked_id for row in page),
            "next_cursor": pages.write(page[-1].blocked_id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def block(self, call: Call[Nothing, Nothing]) -> Reply:
        """Block a user. The user is not notified."""
        if call.target_id == call.user_id:
            raise errors.ConflictError("Nobody blocks themselves.")
        async with self.context.directory.database.write() as writer:
            is_new = await blocks.add(writer, call.user_id, call.target_id, now_ms=call.now_ms)
        if is_new:
            self.context.gateway.own_state.block(call.user_id, call.target_id, is_blocked=True)
        return Reply(status=204)

    async def unblock(self, call: Call[Nothing, Nothing]) -> Reply:
        """Remove a block. Returns 204 even if there is none."""
        async with self.context.directory.database.write() as writer:
            was_blocked = await blocks.remove(writer, call.user_id, call.target_id)
        if was_blocked:
            self.context.gateway.own_state.block(call.user_id, call.target_id, is_blocked=False)
        return Reply(status=204)

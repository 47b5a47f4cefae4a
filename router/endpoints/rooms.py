"""Endpoints of rooms: list, search, create, join, leave, change, transfer and delete."""

from dataclasses import dataclass
from typing import cast

from directory import directs, room_pages, rooms
from directory.errors import RoomNotFoundError
from directory.rooms import Room, RoomAddress, RoomFields
from ids import ChannelId, RoomId, UserId
from router.context import AppContext
from router.room_access import Need
from router.routes import Call, Reply, Route
from router.schemas import channels as channel_schemas
from router.schemas import pages
from router.schemas import rooms as room_schemas
from router.schemas.fields import Nothing, TimedPageQuery, Why, text_or_none
from router.schemas.rooms import (
    ChooseSystemChannel,
    CreateRoom,
    HandOver,
    OwnRoomPageView,
    PublicRoomPageView,
    PublicRoomsQuery,
    RoomView,
    RoomWithChannelsView,
    SystemChannelView,
    UpdateRoom,
)
from router.scopes import Scope
from router.workflows import groups, room_creation
from shard import errors
from shard.actions import members
from shard.actions import rooms as room_actions

ROOM = "/v1/rooms/{room_id}"
SYSTEM_CHANNEL = ROOM + "/system-channel"


@dataclass(frozen=True, slots=True)
class Rooms:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag = "rooms"
        return (
            Route(
                "GET", "/v1/rooms", self.mine, "List my rooms", tag, OwnRoomPageView, query=TimedPageQuery,
                scope=Scope.ROOMS_READ,
            ),
            Route(
                "POST", "/v1/rooms", self.create, "Create a community", tag, RoomWithChannelsView, 201, CreateRoom,
                refusals=(409,),
            ),
            Route(
                "GET", "/v1/rooms/public", self.public, "List or search public rooms", tag, PublicRoomPageView,
                query=PublicRoomsQuery,
            ),
            Route(
                "GET", "/v1/rooms/by-name/{name}", self.by_name, "Get a room by name", tag, RoomWithChannelsView,
                scope=Scope.ROOMS_READ,
            ),
            Route(
                "GET", ROOM, self.one, "Get a room", tag, RoomWithChannelsView, room=Need.READ, scope=Scope.ROOMS_READ,
            ),
            Route(
                "POST", ROOM + "/join", self.join, "Join a public room", tag, RoomWithChannelsView, refusals=(409,),
                room=Need.WRITE,
            ),
            Route("POST", ROOM + "/leave", self.leave, "Leave a room", tag, None, 204, refusals=(409,), room=Need.FREE),
            Route(
                "PATCH", ROOM, self.update, "Change a room's settings", tag, RoomView, takes=UpdateRoom,
                refusals=(409,), room=Need.WRITE, scope=Scope.ROOMS_MANAGE,
            ),
            Route("DELETE", ROOM, self.delete, "Delete a room", tag, None, 204, Why, room=Need.END),
            Route(
                "PUT", ROOM + "/owner", self.hand_over, "Transfer a room", tag, RoomView, takes=HandOver,
                refusals=(409,), room=Need.FREE,
            ),
            Route(
                "GET", SYSTEM_CHANNEL, self.system_channel, "Get the system channel", "channels",
                SystemChannelView, room=Need.READ, scope=Scope.ROOMS_READ,
            ),
            Route(
                "PUT", SYSTEM_CHANNEL, self.choose_system_channel, "Set the system channel",
                "channels", SystemChannelView, takes=ChooseSystemChannel, refusals=(409,), room=Need.WRITE,
                scope=Scope.ROOMS_MANAGE,
            ),
        )  # fmt: skip

    async def mine(self, call: Call[Nothing, TimedPageQuery]) -> Reply:
        """List the caller's rooms, the most recently joined first."""
        limit, place = call.query.limit, call.query.place
        after = room_pages.START if place is None else (place[0], place[1])
        async with self.context.directory.database.read() as reader:
            rows = await room_pages.of_user(reader, call.user_id, after=after, limit=limit + 1)
            page = rows[:limit]
            chats = [row.id for row in page if row.kind == "direct"]
            partners = await directs.partners(reader, call.user_id, chats) if chats else {}
        answer: OwnRoomPageView = {
            "rooms": [room_schemas.own_room(row, partners.get(row.id)) for row in page],
            "users": await self.context.people.of(partners.values()),
            "next_cursor": pages.write(page[-1].joined_at, page[-1].id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def public(self, call: Call[Nothing, PublicRoomsQuery]) -> Reply:
        """List public communities, the one with the most members first. `q` filters by words: all of them must
        match."""
        limit, place = call.query.limit, call.query.place
        after = room_pages.START if place is None else (place[0], place[1])
        words = [] if call.query.q is None else call.query.q.split()
        async with self.context.directory.database.read() as reader:
            rows, last = await room_pages.public(reader, words, after=after, limit=limit)
        answer: PublicRoomPageView = {
            "rooms": [room_schemas.public_room(row) for row in rows],
            "next_cursor": None if last is None else pages.write(*last),
        }
        return Reply(answer)

    async def create(self, call: Call[CreateRoom, Nothing]) -> Reply:
        """Create a community with its default channels, owned by the caller."""
        room, channels = await room_creation.found_community(
            self.context.directory,
            self.context.pool,
            name=call.body.name,
            owner_id=call.user_id,
            display_name=call.body.display_name,
            description=call.body.description,
            is_public=call.body.is_public,
            rooms_max=self.context.options.rooms_owned_max,
            client=call.client,
            now_ms=call.now_ms,
        )
        answer: RoomWithChannelsView = {
            "room": room_schemas.room(room),
            "is_member": True,
            "channels": [channel_schemas.channel(room.id, channel) for channel in channels],
        }
        return Reply(answer, 201)

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return a room. A private room is visible only to its members."""
        return await self._view(call.room.address, call)

    async def by_name(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return a community by its name. A private one is visible only to its members."""
        async with self.context.directory.database.read() as reader:
            try:
                room = await rooms.find_by_name(reader, call.name)
            except RoomNotFoundError:
                raise errors.NotFoundError("room") from None
        return await self._view(await self.context.rooms.readable(room.id), call)

    async def _view(self, address: RoomAddress, call: Call[Nothing, Nothing]) -> Reply:
        return Reply(await self.context.entrance.view(address, call.user_id, now_ms=call.now_ms))

    async def join(self, call: Call[Nothing, Nothing]) -> Reply:
        """Join a public community. Returns 200 even if the caller is a member already."""
        address = call.room.address
        if not address.is_public or address.kind != "community":
            # The answer must not reveal that a private room exists; its members need not join.
            await call.room.read(members.membership)
        await self.context.entrance.enter(call.room_id, call.user_id, now_ms=call.now_ms)
        return await self._view(address, call)

    async def leave(self, call: Call[Nothing, Nothing]) -> Reply:
        """Leave a room. The owner of a community cannot leave; the owner of a group passes it on by leaving. Nobody can
        leave a direct chat."""
        if call.room.address.kind == "group":
            was_in = await groups.leave(
                self.context.entrance, call.room_id, call.user_id, client=call.client, now_ms=call.now_ms
            )
        else:
            was_in = await call.room.write(members.leave)
            was_in |= await self.context.entrance.update_index(call.room_id, call.user_id, now_ms=call.now_ms)
        if not was_in and not call.room.address.is_public:
            raise errors.NotFoundError("room")
        return Reply(status=204)

    async def update(self, call: Call[UpdateRoom, Nothing]) -> Reply:
        """Change a room's settings. Only the fields that are sent change. Needs `manage_room`."""
        await call.room.read(room_actions.may_manage)
        fields = cast(RoomFields, call.body.model_dump(exclude_unset=True, exclude={"reason"}))
        if call.room.address.kind != "community" and ("name" in fields or "is_public" in fields):
            raise errors.ConflictError("Only communities have a name of their own and can be public.")
        async with self.context.directory.database.write() as writer:
            room, before, after = await rooms.change(
                writer, call.room_id, fields, by=call.user_id, client=call.client, now_ms=call.now_ms
            )
        if after:
            await call.room.write(room_actions.record_update, before, after, reason=call.body.reason)
        return Reply(room_schemas.room(room))

    async def system_channel(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return the channel in which the server announces new members. It is null if there is none, or if the caller
        cannot see it."""
        channel_id = await call.room.read(room_actions.get_channel)
        answer: SystemChannelView = {"channel_id": text_or_none(channel_id)}
        return Reply(answer)

    async def choose_system_channel(self, call: Call[ChooseSystemChannel, Nothing]) -> Reply:
        """Set the channel in which the server announces new members; null turns the announcements off. Needs
        `manage_room`."""
        chosen = None if call.body.channel_id is None else ChannelId(call.body.channel_id)
        await call.room.write(room_actions.choose_channel, chosen, reason=call.body.reason)
        answer: SystemChannelView = {"channel_id": text_or_none(chosen)}
        return Reply(answer)

    async def delete(self, call: Call[Why, Nothing]) -> Reply:
        """Delete a room permanently, and every membership in it, also one that is read-only. Only for its owner."""
        await call.room.write(room_actions.close, reason=call.body.reason)
        async with self.context.directory.database.write() as writer:
            await rooms.delete(writer, call.room_id, by=call.user_id, client=call.client, now_ms=call.now_ms)
        return Reply(status=204)

    async def hand_over(self, call: Call[HandOver, Nothing]) -> Reply:
        """Transfer the ownership of a room to another member. Only for the owner, who stays as a member."""
        new_owner_id = UserId(call.body.user_id)
        await call.room.read(room_actions.may_hand_over, new_owner_id)
        await self._refuse_owner(new_owner_id, call.user_id)
        await call.room.write(room_actions.hand_over, new_owner_id, reason=call.body.reason)
        return Reply(room_schemas.room(await self._update_owner(call.room_id, call.now_ms)))

    async def _refuse_owner(self, new_owner_id: UserId, owner_id: UserId) -> None:
        profile = (await self.context.directory.profiles.load([new_owner_id])).get(new_owner_id)
        if profile is None or profile.is_bot or profile.is_deleted:
            raise errors.ConflictError("Only a person can own a room.")
        async with self.context.directory.database.read() as reader:
            count = await rooms.count_owned(reader, new_owner_id)
        if new_owner_id != owner_id and count >= self.context.options.rooms_owned_max:
            raise errors.ConflictError(f"They own {self.context.options.rooms_owned_max} rooms, which is the limit.")

    async def _update_owner(self, room_id: RoomId, now_ms: int) -> Room:
        """Write the owner that the shard has into the registry; a crash before this is repaired by repeating the
        request.

        Two concurrent transfers may arrive here in another order than they were committed in, so the shard is read
        again after each write.
        """
        room = await self.context.entrance.registered(room_id)
        pool = self.context.pool
        while (owner_id := await pool.read(room_id, room_actions.owner)) != room.owner_id and owner_id is not None:
            async with self.context.directory.database.write() as writer:
                room = await rooms.update(writer, room_id, {"owner_id": owner_id}, now_ms=now_ms)
        return room

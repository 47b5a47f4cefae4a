"""Finding, making, entering, leaving and running rooms."""

from dataclasses import dataclass
from typing import cast

from directory import directs, room_pages, rooms
from directory.directory import Directory
from directory.errors import RoomNotFoundError
from directory.rooms import Room, RoomAddress, RoomFields
from ids import RoomId, UserId
from router import cursors, founding, groups
from router.doors import People, RoomDoor
from router.entering import Entrance
from router.scopes import Scope
from router.table import Call, Reply, Route
from router.views import rooms as room_views
from router.views import shape as shape_views
from router.views.rooms import OwnRoomPageView, PublicRoomPageView, RoomView, RoomWithChannelsView
from router.wire.fields import Nothing, PageQuery, Why
from router.wire.rooms import CreateRoom, HandOver, PublicRoomsQuery, UpdateRoom
from shard import errors
from shard.acts import governing, joining
from shard.pool import ShardPool

ROOM = "/v1/rooms/{room_id}"


@dataclass(frozen=True, slots=True)
class Rooms:
    """The endpoints and what they need."""

    directory: Directory
    pool: ShardPool
    door: RoomDoor
    people: People
    entrance: Entrance
    rooms_owned_max: int
    page_size_max: int

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag = "rooms"
        return (
            Route(
                "GET", "/v1/rooms", self.mine, "My rooms", tag, OwnRoomPageView, query=PageQuery,
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
                "GET", "/v1/rooms/by-name/{name}", self.by_name, "A room by name", tag, RoomWithChannelsView,
                scope=Scope.ROOMS_READ,
            ),
            Route("GET", ROOM, self.one, "A room", tag, RoomWithChannelsView, scope=Scope.ROOMS_READ),
            Route("POST", ROOM + "/join", self.join, "Join a public room", tag, RoomWithChannelsView, refusals=(409,)),
            Route("POST", ROOM + "/leave", self.leave, "Leave a room", tag, None, 204, refusals=(409,)),
            Route(
                "PATCH", ROOM, self.update, "Change a room's settings", tag, RoomView, takes=UpdateRoom,
                refusals=(409,), scope=Scope.ROOMS_MANAGE,
            ),
            Route("DELETE", ROOM, self.delete, "Delete a room", tag, None, 204, Why),
            Route(
                "PUT", ROOM + "/owner", self.hand_over, "Hand a room over", tag, RoomView, takes=HandOver,
                refusals=(409,),
            ),
        )  # fmt: skip

    async def mine(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List the rooms that the caller is in, the one joined last first."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 2)
        after = room_pages.START if place is None else (place[0], place[1])
        async with self.directory.database.read() as reader:
            rows = await room_pages.of_user(reader, call.user_id, after=after, limit=limit + 1)
            page = rows[:limit]
            chats = [row.id for row in page if row.kind == "direct"]
            partners = await directs.partners(reader, call.user_id, chats) if chats else {}
        answer: OwnRoomPageView = {
            "rooms": [room_views.own_room(row, partners.get(row.id)) for row in page],
            "users": await self.people.of(partners.values()),
            "next_cursor": cursors.write(page[-1].joined_at, page[-1].id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def public(self, call: Call[Nothing, PublicRoomsQuery]) -> Reply:
        """List public communities, most members first; with `q` those that have all of its words."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 2)
        after = room_pages.START if place is None else (place[0], place[1])
        words = [] if call.query.q is None else call.query.q.split()
        async with self.directory.database.read() as reader:
            rows, last = await room_pages.public(reader, words, after=after, limit=limit)
        answer: PublicRoomPageView = {
            "rooms": [room_views.public_room(row) for row in rows],
            "next_cursor": None if last is None else cursors.write(*last),
        }
        return Reply(answer)

    async def create(self, call: Call[CreateRoom, Nothing]) -> Reply:
        """Make a community with its default channels and the caller as owner."""
        room, channels = await founding.found_community(
            self.directory,
            self.pool,
            name=call.body.name,
            owner_id=call.user_id,
            display_name=call.body.display_name,
            description=call.body.description,
            is_public=call.body.is_public,
            rooms_max=self.rooms_owned_max,
            origin=call.origin,
            now_ms=call.now_ms,
        )
        answer: RoomWithChannelsView = {
            "room": room_views.room(room),
            "is_member": True,
            "channels": [shape_views.channel(room.id, channel) for channel in channels],
        }
        return Reply(answer, 201)

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return a room to its members, and a public one to everybody."""
        return await self._shown(await self.door.reach(call.path["room_id"]), call)

    async def by_name(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return a community by its name, to whom may see it."""
        async with self.directory.database.read() as reader:
            try:
                room = await rooms.find_by_name(reader, call.path["name"])
            except RoomNotFoundError:
                raise errors.NotFoundError("room") from None
        return await self._shown(await self.door.reach(room.id), call)

    async def _shown(self, address: RoomAddress, call: Call[Nothing, Nothing]) -> Reply:
        return Reply(await self.entrance.shown(address, call.user_id, now_ms=call.now_ms))

    async def join(self, call: Call[Nothing, Nothing]) -> Reply:
        """Join a public community; whoever is in already stays in."""
        address = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        if not address.is_public or address.kind != "community":
            # Whether a private room exists is its members' business, and they need not join.
            await self.pool.read(address.room_id, joining.membership, call.user_id, now_ms=call.now_ms)
        await self.entrance.enter(address.room_id, call.user_id, now_ms=call.now_ms)
        return await self._shown(address, call)

    async def leave(self, call: Call[Nothing, Nothing]) -> Reply:
        """Leave a room. The owner of a community cannot, a group's passes it on; nobody leaves a direct chat."""
        address = await self.door.reach_for_freeing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        if address.kind == "group":
            was_in = await groups.leave(
                self.entrance, address.room_id, call.user_id, origin=call.origin, now_ms=call.now_ms
            )
        else:
            was_in = await self.pool.write(address.room_id, joining.leave, call.user_id, now_ms=call.now_ms)
            was_in |= await self.entrance.follow(address.room_id, call.user_id)
        if not was_in and not address.is_public:
            raise errors.NotFoundError("room")
        return Reply(status=204)

    async def update(self, call: Call[UpdateRoom, Nothing]) -> Reply:
        """Change what is sent of a room's settings; needs manage_room."""
        room_id = call.path["room_id"]
        address = await self.door.reach_for_writing(room_id, call.user_id, now_ms=call.now_ms)
        await self.pool.read(room_id, governing.may_manage, call.user_id, now_ms=call.now_ms)
        fields = cast(RoomFields, call.body.model_dump(exclude_unset=True, exclude={"reason"}))
        if address.kind != "community" and ("name" in fields or "is_public" in fields):
            raise errors.ConflictError("Only communities have a name of their own and can be public.")
        async with self.directory.database.write() as writer:
            room, before, after = await rooms.change(
                writer, room_id, fields, by=call.user_id, origin=call.origin, now_ms=call.now_ms
            )
        if after:
            await self.pool.write(
                room_id,
                governing.record_update,
                call.user_id,
                before,
                after,
                reason=call.body.reason,
                now_ms=call.now_ms,
            )
        return Reply(room_views.room(room))

    async def delete(self, call: Call[Why, Nothing]) -> Reply:
        """End a room for good and everybody's membership with it; for its owner."""
        room_id = call.path["room_id"]
        await self.door.reach_for_freeing(room_id, call.user_id, now_ms=call.now_ms)
        await self.pool.write(room_id, governing.close, call.user_id, reason=call.body.reason, now_ms=call.now_ms)
        async with self.directory.database.write() as writer:
            await rooms.delete(writer, room_id, by=call.user_id, origin=call.origin, now_ms=call.now_ms)
        return Reply(status=204)

    async def hand_over(self, call: Call[HandOver, Nothing]) -> Reply:
        """Make another member the owner; for the owner, who stays in as a member."""
        room_id, heir = call.path["room_id"], UserId(call.body.user_id)
        await self.door.reach_for_writing(room_id, call.user_id, now_ms=call.now_ms)
        await self.pool.read(room_id, governing.may_hand_over, call.user_id, heir, now_ms=call.now_ms)
        await self._refuse_heir(heir, call.user_id)
        await self.pool.write(
            room_id, governing.hand_over, call.user_id, heir, reason=call.body.reason, now_ms=call.now_ms
        )
        return Reply(room_views.room(await self._follow_owner(room_id, call.now_ms)))

    async def _refuse_heir(self, heir: UserId, owner_id: UserId) -> None:
        profile = (await self.directory.profiles.load([heir])).get(heir)
        if profile is None or profile.is_bot or profile.is_deleted:
            raise errors.ConflictError("Only a person can own a room.")
        async with self.directory.database.read() as reader:
            count = await rooms.count_owned(reader, heir)
        if heir != owner_id and count >= self.rooms_owned_max:
            raise errors.ConflictError(f"They own {self.rooms_owned_max} rooms, which is the limit.")

    async def _follow_owner(self, room_id: RoomId, now_ms: int) -> Room:
        """Write into the registry whom the shard calls its owner; a crash before this is mended by repeating the act.

        Two who pass the room on at once may get here in another order than they did it in, so whoever wrote looks
        once more.
        """
        room = await self.entrance.registered(room_id)
        while (owner_id := await self.pool.read(room_id, governing.owner)) != room.owner_id and owner_id is not None:
            async with self.directory.database.write() as writer:
                room = await rooms.update(writer, room_id, {"owner_id": owner_id}, now_ms=now_ms)
        return room

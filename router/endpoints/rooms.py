"""Finding, making, entering and leaving rooms."""

from dataclasses import dataclass

from directory import invites, members, room_pages, rooms
from directory.directory import Directory
from directory.errors import RoomNotFoundError
from directory.rooms import Room, RoomAddress
from ids import RoomId, UserId
from router import cursors, founding
from router.doors import People, RoomDoor
from router.table import Call, Reply, Route
from router.views import people as people_views
from router.views import rooms as room_views
from router.views import shape as shape_views
from router.views.people import MemberPageView
from router.views.rooms import InviteView, OwnRoomPageView, PublicRoomPageView, RoomWithChannelsView
from router.wire.fields import Nothing, PageQuery
from router.wire.rooms import CreateInvite, CreateRoom
from shard import errors
from shard.acts import joining, shaping
from shard.pool import ShardPool

ROOM = "/v1/rooms/{room_id}"


@dataclass(frozen=True, slots=True)
class Rooms:
    """The endpoints and what they need."""

    directory: Directory
    pool: ShardPool
    door: RoomDoor
    people: People
    rooms_owned_max: int
    room_members_max: int
    page_size_max: int

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag = "rooms"
        return (
            Route("GET", "/v1/rooms", self.mine, "My rooms", tag, OwnRoomPageView, query=PageQuery),
            Route(
                "POST", "/v1/rooms", self.create, "Create a community", tag, RoomWithChannelsView, 201, CreateRoom,
                refusals=(409,),
            ),
            Route("GET", "/v1/rooms/public", self.public, "Public rooms", tag, PublicRoomPageView, query=PageQuery),
            Route("GET", "/v1/rooms/by-name/{name}", self.by_name, "A room by name", tag, RoomWithChannelsView),
            Route("GET", ROOM, self.one, "A room", tag, RoomWithChannelsView),
            Route("POST", ROOM + "/join", self.join, "Join a public room", tag, RoomWithChannelsView, refusals=(409,)),
            Route("POST", ROOM + "/leave", self.leave, "Leave a room", tag, None, 204, refusals=(409,)),
            Route("GET", ROOM + "/members", self.members, "List members", tag, MemberPageView, query=PageQuery),
            Route("POST", ROOM + "/invites", self.invite, "Create an invite", tag, InviteView, 201, CreateInvite),
            Route("GET", "/v1/invites/{code}", self.look_at_invite, "Look at an invite", tag, InviteView),
            Route(
                "POST", "/v1/invites/{code}/use", self.use_invite, "Join by an invite", tag, RoomWithChannelsView,
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
        answer: OwnRoomPageView = {
            "rooms": [room_views.own_room(row) for row in page],
            "next_cursor": cursors.write(page[-1].joined_at, page[-1].id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def public(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List public communities, most members first."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 2)
        after = room_pages.START if place is None else (place[0], place[1])
        async with self.directory.database.read() as reader:
            rows = await room_pages.public(reader, after=after, limit=limit + 1)
        page = rows[:limit]
        answer: PublicRoomPageView = {
            "rooms": [room_views.public_room(row) for row in page],
            "next_cursor": cursors.write(page[-1].member_count, page[-1].id) if len(rows) > limit else None,
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
        return await self._shown(await self.door.reach(call.path["room_id"]), call.user_id, call.now_ms)

    async def by_name(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return a community by its name, to whom may see it."""
        async with self.directory.database.read() as reader:
            try:
                room = await rooms.find_by_name(reader, call.path["name"])
            except RoomNotFoundError:
                raise errors.NotFoundError("room") from None
        return await self._shown(await self.door.reach(room.id), call.user_id, call.now_ms)

    async def _shown(self, address: RoomAddress, user_id: UserId, now_ms: int) -> Reply:
        is_member = True
        try:
            channels = await self.pool.read(address.room_id, shaping.list_channels, user_id, now_ms=now_ms)
        except errors.NotFoundError:
            if not address.is_public:
                raise
            is_member, channels = False, []
        room = await self._registered(address.room_id)
        answer: RoomWithChannelsView = {
            "room": room_views.room(room),
            "is_member": is_member,
            "channels": [shape_views.channel(room.id, channel) for channel in channels],
        }
        return Reply(answer)

    async def _registered(self, room_id: RoomId) -> Room:
        async with self.directory.database.read() as reader:
            return await rooms.find(reader, room_id)

    async def join(self, call: Call[Nothing, Nothing]) -> Reply:
        """Join a public community; whoever is in already stays in."""
        address = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        if not address.is_public or address.kind != "community":
            # Whether a private room exists is its members' business, and they need not join.
            await self.pool.read(address.room_id, joining.membership, call.user_id, now_ms=call.now_ms)
        await self._enter(address.room_id, call.user_id, call.now_ms)
        return await self._shown(address, call.user_id, call.now_ms)

    async def _enter(self, room_id: RoomId, user_id: UserId, now_ms: int) -> bool:
        """Let someone into the shard, which decides, then write it into the index, which repeating mends."""
        room = await self._registered(room_id)
        members_max = min(room.max_members or self.room_members_max, self.room_members_max)
        if room.member_count >= members_max and not await self.pool.read(room_id, joining.is_member, user_id):
            raise errors.ConflictError(f"This room has its {members_max} members.")
        is_new = await self.pool.write(room_id, joining.join, user_id, now_ms=now_ms)
        async with self.directory.database.write() as writer:
            await members.add(writer, room_id, user_id, joined_at=now_ms)
        return is_new

    async def leave(self, call: Call[Nothing, Nothing]) -> Reply:
        """Leave a room; its owner cannot. Whoever is out of a public room stays out."""
        address = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        was_in = await self.pool.write(address.room_id, joining.leave, call.user_id, now_ms=call.now_ms)
        async with self.directory.database.write() as writer:
            # A crash between the two stores leaves the index behind; repeating mends it.
            was_in |= await members.remove(writer, address.room_id, call.user_id)
        if not was_in and not address.is_public:
            raise errors.NotFoundError("room")
        return Reply(status=204)

    async def members(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List a room's members by id, to its members."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 1)
        address = await self.door.reach(call.path["room_id"])
        rows = await self.pool.read(
            address.room_id,
            joining.list_members,
            call.user_id,
            after=None if place is None else UserId(place[0]),
            limit=limit + 1,
            now_ms=call.now_ms,
        )
        page = rows[:limit]
        answer: MemberPageView = {
            "members": [people_views.member(row) for row in page],
            "users": await self.people.of(row.user_id for row in page),
            "next_cursor": cursors.write(page[-1].user_id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def invite(self, call: Call[CreateInvite, Nothing]) -> Reply:
        """Create an invite; needs create_invite."""
        address = await self.door.reach(call.path["room_id"])
        await self.pool.read(address.room_id, joining.may_invite, call.user_id, now_ms=call.now_ms)
        lifetime = call.body.expires_in_seconds
        async with self.directory.database.write() as writer:
            row = await invites.create(
                writer,
                address.room_id,
                by=call.user_id,
                max_uses=call.body.max_uses,
                expires_at=None if lifetime is None else call.now_ms + lifetime * 1000,
                now_ms=call.now_ms,
            )
            room = await rooms.find(writer, address.room_id)
        return Reply(room_views.invite(row, room.display_name), 201)

    async def look_at_invite(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return an invite that works, and where it leads."""
        async with self.directory.database.read() as reader:
            row = await invites.look_at(reader, call.path["code"], now_ms=call.now_ms)
            room = await rooms.find(reader, row.room_id)
        return Reply(room_views.invite(row, room.display_name))

    async def use_invite(self, call: Call[Nothing, Nothing]) -> Reply:
        """Join the room of an invite; a use that lets nobody in is not counted."""
        code = call.path["code"]
        async with self.directory.database.write() as writer:
            row = await invites.use(writer, code, now_ms=call.now_ms)
        address, is_new = None, False
        try:
            address = await self.door.reach(row.room_id)
            self.door.refuse_read_only(address)
            is_new = await self._enter(row.room_id, call.user_id, call.now_ms)
        finally:
            if not is_new:
                async with self.directory.database.write() as writer:
                    await invites.give_back(writer, code)
        return await self._shown(address, call.user_id, call.now_ms)

"""Coming into a room and going from it, across both stores: the shard decides, the directory's index follows."""

from dataclasses import dataclass

from directory import members, rooms
from directory.directory import Directory
from directory.rooms import Room, RoomAddress
from ids import RoomId, UserId
from router.views import rooms as room_views
from router.views import shape as shape_views
from router.views.rooms import RoomWithChannelsView
from shard import errors
from shard.acts import joining, shaping
from shard.acts.joining import Gift
from shard.pool import ShardPool


@dataclass(frozen=True, slots=True)
class Entrance:
    """Lets people in, and keeps the index of who is where in step with the shards."""

    directory: Directory
    pool: ShardPool
    room_members_max: int

    async def enter(self, room_id: RoomId, user_id: UserId, *, gift: Gift | None = None, now_ms: int) -> bool:
        """Let someone in and return whether they were out.

        Raises ConflictError for a room that is full, and ForbiddenError for the banned.
        """
        await self.refuse_full(room_id, user_id)
        is_new = await self.pool.write(room_id, joining.join, user_id, gift=gift, now_ms=now_ms)
        await self.follow(room_id, user_id)
        return is_new

    async def refuse_full(self, room_id: RoomId, user_id: UserId) -> None:
        """Raise ConflictError for a room that has all the members it may have, unless this is one of them."""
        room = await self.registered(room_id)
        members_max = min(room.max_members or self.room_members_max, self.room_members_max)
        if room.member_count >= members_max and not await self.pool.read(room_id, joining.is_member, user_id):
            raise errors.ConflictError(f"This room has its {members_max} members.")

    async def follow(self, room_id: RoomId, user_id: UserId) -> bool:
        """Write into the index whether someone is in and what they are called there; return whether it was behind.

        A crash before this leaves the index behind, and repeating the act mends it. Two acts upon one person may get
        here in another order than they were done in, so whoever wrote looks once more.
        """
        was_behind, is_first = False, True
        written = None
        while (standing := await self.pool.read(room_id, joining.standing, user_id)) != written or is_first:
            written, is_first = standing, False
            async with self.directory.database.write() as writer:
                if standing is None:
                    was_behind |= await members.remove(writer, room_id, user_id)
                else:
                    was_behind |= await members.put(
                        writer, room_id, user_id, joined_at=standing.joined_at, nickname=standing.nickname
                    )
        return was_behind

    async def registered(self, room_id: RoomId) -> Room:
        """Return what the directory has of a room; raises RoomNotFoundError."""
        async with self.directory.database.read() as reader:
            return await rooms.find(reader, room_id)

    async def shown(self, address: RoomAddress, user_id: UserId, *, now_ms: int) -> RoomWithChannelsView:
        """Return a room as somebody sees it; raises NotFoundError for strangers to one that is not public."""
        is_member = True
        try:
            channels = await self.pool.read(address.room_id, shaping.list_channels, user_id, now_ms=now_ms)
        except errors.NotFoundError:
            if not address.is_public:
                raise
            is_member, channels = False, []
        room = await self.registered(address.room_id)
        return {
            "room": room_views.room(room),
            "is_member": is_member,
            "channels": [shape_views.channel(room.id, channel) for channel in channels],
        }

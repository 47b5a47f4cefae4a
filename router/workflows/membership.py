"""Workflows of membership, across both stores: the shard decides, the directory's index follows."""

from collections.abc import Sequence
from dataclasses import dataclass

from directory import invites, members, rooms
from directory.directory import Directory
from directory.invites import Invite
from directory.rooms import Room, RoomAddress
from ids import RoomId, UserId
from router.schemas import channels as channel_schemas
from router.schemas import rooms as room_schemas
from router.schemas.rooms import RoomWithChannelsView
from shard import errors
from shard.actions import channels as channel_actions
from shard.actions import members as member_actions
from shard.actions import rooms as room_actions
from shard.actions.members import Gift
from shard.engine.pool import ShardPool
from shard.event_types import AuditAction


@dataclass(frozen=True, slots=True)
class Entrance:
    """Joining of rooms, and synchronization of the directory's membership index with the shards."""

    directory: Directory
    pool: ShardPool
    room_members_max: int

    async def enter(self, room_id: RoomId, user_id: UserId, *, gift: Gift | None = None, now_ms: int) -> bool:
        """Make a user a member and return whether they were not one before.

        Raises ConflictError for a room that is full, and ForbiddenError for banned users.
        """
        await self.refuse_full(room_id, user_id)
        is_new = await self.pool.write(room_id, member_actions.join, user_id, gift=gift, now_ms=now_ms)
        await self.update_index(room_id, user_id, now_ms=now_ms)
        return is_new

    async def refuse_full(self, room_id: RoomId, user_id: UserId) -> None:
        """Raise ConflictError for a room with its maximum of members, unless the user is one of them."""
        room = await self.registered(room_id)
        members_max = min(room.max_members or self.room_members_max, self.room_members_max)
        if room.member_count >= members_max and not await self.pool.read(room_id, member_actions.is_member, user_id):
            raise errors.ConflictError(f"This room has its {members_max} members.")

    async def update_index(self, room_id: RoomId, user_id: UserId, *, now_ms: int) -> bool:
        """Write a user's membership and nickname into the index; return whether the index was behind.

        A crash before this leaves the index behind, and repeating the request repairs it. Two acts on one user may
        arrive here in another order than they were committed in, so the shard is read again after each write. Invites
        of a user who is no longer a member end with it.
        """
        was_behind, is_first = False, True
        written = None
        while (standing := await self.pool.read(room_id, member_actions.standing, user_id)) != written or is_first:
            written, is_first = standing, False
            if standing is None:
                await self._note_lapse(room_id, user_id, now_ms)
            async with self.directory.database.write() as writer:
                if standing is None:
                    was_behind |= await members.remove(writer, room_id, user_id)
                    await invites.revoke_of_maker(writer, room_id, user_id, now_ms=now_ms)
                else:
                    was_behind |= await members.put(
                        writer, room_id, user_id, joined_at=standing.joined_at, nickname=standing.nickname
                    )
        return was_behind

    async def _note_lapse(self, room_id: RoomId, user_id: UserId, now_ms: int) -> None:
        """Write into the room's audit log which invites are about to end with their maker's membership."""
        async with self.directory.database.read() as reader:
            codes = await invites.usable_codes(reader, room_id, user_id, now_ms=now_ms)
        if codes:
            maker, facts = ("member", user_id), {"codes": codes}
            action, reason = AuditAction.INVITE_REVOKED, "Who made them is in the room no more."
            await self.pool.write(
                room_id, room_actions.record_invite, None, action, maker, facts, reason=reason, now_ms=now_ms
            )

    async def living(self, room_id: RoomId, found: Sequence[Invite], *, now_ms: int) -> list[Invite]:
        """Return those invites of a room whose makers have been in it ever since, and may invite now.

        A crash can keep an invite that should have ended, and a right can be lost: the shard decides at every use.
        """
        made = [(invite.created_by, invite.created_at) for invite in found]
        are_living = await self.pool.read(room_id, member_actions.living_makers, made, now_ms=now_ms)
        return [invite for invite, is_living in zip(found, are_living, strict=True) if is_living]

    async def registered(self, room_id: RoomId) -> Room:
        """Return the directory's row of a room; raises RoomNotFoundError."""
        async with self.directory.database.read() as reader:
            return await rooms.find(reader, room_id)

    async def view(self, address: RoomAddress, user_id: UserId, *, now_ms: int) -> RoomWithChannelsView:
        """Return a room as a user sees it; raises NotFoundError for strangers to one that is not public."""
        is_member = True
        try:
            channels = await self.pool.read(address.room_id, channel_actions.list_channels, user_id, now_ms=now_ms)
        except errors.NotFoundError:
            if not address.is_public:
                raise
            is_member, channels = False, []
        room = await self.registered(address.room_id)
        return {
            "room": room_schemas.room(room),
            "is_member": is_member,
            "channels": [channel_schemas.channel(room.id, channel) for channel in channels],
        }

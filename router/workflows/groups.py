"""Workflows of group membership, across both stores: the shard decides, the directory follows.

After a crash between the two, repeating the request repairs the difference.
"""

from collections.abc import Collection

from directory import directs, group_owners, members, rooms
from directory.client_info import ClientInfo
from directory.directory import Directory
from directory.errors import RoomNotFoundError
from ids import RoomId, UserId
from router.workflows.membership import Entrance
from shard.actions import groups
from shard.actions import members as member_actions
from shard.errors import ConflictError


async def add(
    entrance: Entrance, room_id: RoomId, actor_id: UserId, user_id: UserId, *, members_max: int, now_ms: int
) -> None:
    """Add a user to a group; a member is not added again.

    Raises the errors of `groups.add` and, once the actor is known to have the right to add, those of `refuse_bots` and
    `directs.require_welcome`.
    """
    pool, directory = entrance.pool, entrance.directory
    if await pool.read(room_id, groups.may_add, actor_id, user_id, now_ms=now_ms):
        await refuse_bots(directory, [user_id])
        async with directory.database.read() as reader:
            await directs.require_welcome(reader, actor_id, [user_id])
        await pool.write(room_id, groups.add, actor_id, user_id, members_max=members_max, now_ms=now_ms)
    await entrance.update_index(room_id, user_id, now_ms=now_ms)


async def refuse_bots(directory: Directory, user_ids: Collection[UserId]) -> None:
    """Raise ConflictError when one of these users is a bot: a group must never be left to bots alone."""
    profiles = await directory.profiles.load(user_ids)
    if any(profile.is_bot for profile in profiles.values()):
        raise ConflictError("Bots are not for groups. Let them into a community, or open a direct chat with them.")


async def leave(entrance: Entrance, room_id: RoomId, user_id: UserId, *, client: ClientInfo, now_ms: int) -> bool:
    """Remove a user who leaves a group and return whether they were a member; the group is deleted with its last
    member."""
    present = await entrance.pool.read(room_id, member_actions.present_members)
    async with entrance.directory.database.read() as reader:
        able = await group_owners.able(reader, present, now_ms=now_ms)
    was_in = await entrance.pool.write(room_id, groups.leave, user_id, able, now_ms=now_ms)
    async with entrance.directory.database.read() as reader:
        was_in |= await members.find(reader, room_id, user_id) is not None
    if was_in:
        # The index of members comes last: while it has this user, a repeated request repairs the rest.
        await _mirror(entrance, room_id, user_id, client=client, now_ms=now_ms)
        await entrance.update_index(room_id, user_id, now_ms=now_ms)
    return was_in


async def _mirror(entrance: Entrance, room_id: RoomId, user_id: UserId, *, client: ClientInfo, now_ms: int) -> None:
    """Write the owner of a group into the registry, or delete a group without members.

    Two members who leave at once may arrive here in another order than they left in, so the shard is read again after
    each write.
    """
    written = None
    while (standing := await entrance.pool.read(room_id, groups.standing)) != written:
        written = standing
        try:
            async with entrance.directory.database.write() as writer:
                if standing.is_empty:
                    await rooms.delete(writer, room_id, by=user_id, client=client, now_ms=now_ms)
                    return
                await rooms.update(writer, room_id, {"owner_id": standing.owner_id}, now_ms=now_ms)
        except RoomNotFoundError:  # another member who left at the same moment was the last one
            return

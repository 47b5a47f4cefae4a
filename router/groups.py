"""Coming into a group and going from it, across both stores: the shard decides, the directory follows.

Whatever a crash leaves between them is mended by repeating the act.
"""

from collections.abc import Collection

from directory import directs, members, rooms
from directory.directory import Directory
from directory.errors import RoomNotFoundError
from directory.origins import Origin
from ids import RoomId, UserId
from router.entering import Entrance
from shard.acts import grouping
from shard.errors import ConflictError


async def add(
    entrance: Entrance, room_id: RoomId, actor_id: UserId, user_id: UserId, *, members_max: int, now_ms: int
) -> None:
    """Let somebody into a group; nothing happens to whoever is in.

    Raises what `grouping.add` and, once the actor is known to have a say, `refuse_bots` and `directs.require_welcome`
    raise.
    """
    pool, directory = entrance.pool, entrance.directory
    if await pool.read(room_id, grouping.may_add, actor_id, user_id, now_ms=now_ms):
        await refuse_bots(directory, [user_id])
        async with directory.database.read() as reader:
            await directs.require_welcome(reader, actor_id, [user_id])
        await pool.write(room_id, grouping.add, actor_id, user_id, members_max=members_max, now_ms=now_ms)
    await entrance.follow(room_id, user_id)


async def refuse_bots(directory: Directory, user_ids: Collection[UserId]) -> None:
    """Raise ConflictError when one of these users is a bot: a group must never be left to bots alone."""
    profiles = await directory.profiles.load(user_ids)
    if any(profile.is_bot for profile in profiles.values()):
        raise ConflictError("Bots are not for groups. Let them into a community, or open a direct chat with them.")


async def leave(entrance: Entrance, room_id: RoomId, user_id: UserId, *, origin: Origin, now_ms: int) -> bool:
    """Let somebody out of a group and return whether they were in; with the last one the group ends."""
    was_in = await entrance.pool.write(room_id, grouping.leave, user_id, now_ms=now_ms)
    async with entrance.directory.database.read() as reader:
        was_in |= await members.find(reader, room_id, user_id) is not None
    if was_in:
        # The index of members comes last: as long as it has this person, their repeating mends the rest.
        await _mirror(entrance, room_id, user_id, origin=origin, now_ms=now_ms)
        await entrance.follow(room_id, user_id)
    return was_in


async def _mirror(entrance: Entrance, room_id: RoomId, user_id: UserId, *, origin: Origin, now_ms: int) -> None:
    """Write down who owns a group now, or that nobody does.

    Two who leave at once may get here in another order than they left in, so whoever wrote looks once more.
    """
    written = None
    while (standing := await entrance.pool.read(room_id, grouping.standing)) != written:
        written = standing
        try:
            async with entrance.directory.database.write() as writer:
                if standing.is_empty:
                    await rooms.delete(writer, room_id, by=user_id, origin=origin, now_ms=now_ms)
                    return
                await rooms.update(writer, room_id, {"owner_id": standing.owner_id}, now_ms=now_ms)
        except RoomNotFoundError:  # somebody who left at the same moment was the last one
            return

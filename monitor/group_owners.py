"""Groups whose owner cannot act pass to another member, as when the owner leaves.

The state is the list of work: whatever ended the owner's account, and wherever a crash cut this short, the next run
finds the group, because the directory still has its owner.
"""

import logging
from collections.abc import Callable

from database.errors import DatabaseError
from directory import group_owners, rooms
from directory.directory import Directory
from directory.errors import RoomNotFoundError
from directory.group_owners import Ownerless
from shard.actions import groups, members
from shard.actions import rooms as room_actions
from shard.engine.pool import ShardPool
from shard.errors import ShardError

log = logging.getLogger(__name__)


class GroupOwners:
    """The work, some groups at a time."""

    def __init__(self, directory: Directory, pool: ShardPool, clock: Callable[[], int]) -> None:
        self._directory = directory
        self._pool = pool
        self._clock = clock

    async def run(self) -> None:
        """Pass on the groups whose owner cannot act; one that cannot be changed now is tried again later."""
        async with self._directory.database.read() as reader:
            found = await group_owners.find(reader, now_ms=self._clock())
        for group in found:
            try:
                await self._pass_on(group)
            except (ShardError, DatabaseError, RoomNotFoundError) as error:
                log.warning("a group could not be passed on", extra={"room_id": group.room_id, "reason": str(error)})

    async def _pass_on(self, group: Ownerless) -> None:
        present = await self._pool.read(group.room_id, members.present_members)
        async with self._directory.database.read() as reader:
            able = await group_owners.able(reader, present, now_ms=self._clock())
        await self._pool.write(group.room_id, groups.replace_owner, group.owner_id, able, now_ms=self._clock())
        written = group.owner_id
        # Somebody may pass it on at the same time, so the shard is read again after each write.
        while (owner_id := await self._pool.read(group.room_id, room_actions.owner)) not in (None, written):
            written = owner_id
            async with self._directory.database.write() as writer:
                await rooms.update(writer, group.room_id, {"owner_id": owner_id}, now_ms=self._clock())

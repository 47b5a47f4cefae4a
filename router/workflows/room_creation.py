"""Workflow of room creation, across both stores, so that a crash at any point leaves a whole room or none.

The registry row says `creating`, the shard appears whole under its name, the row says `active`. A room that a crash
leaves in between is finished or undone at start-up: the existence of the shard's file decides.
"""

import asyncio
import logging
from collections.abc import Awaitable, Collection, Sequence
from weakref import WeakValueDictionary

from directory import directs, members, rooms
from directory.client_info import NO_CLIENT, ClientInfo
from directory.directory import Directory
from directory.directs import Pair
from directory.rooms import Room
from ids import RoomId, UserId
from shard import errors
from shard.actions import groups
from shard.actions import members as member_actions
from shard.actions import rooms as room_actions
from shard.actions.channels import ChannelDraft
from shard.engine.pool import ShardPool
from shard.tables.channels import ChannelRow

log = logging.getLogger(__name__)


async def found_community(
    directory: Directory,
    pool: ShardPool,
    *,
    name: str,
    owner_id: UserId,
    display_name: str | None = None,
    description: str | None = None,
    is_public: bool = False,
    channels: Sequence[ChannelDraft] = room_actions.DEFAULT_CHANNELS,
    rooms_max: int | None = None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> tuple[Room, list[ChannelRow]]:
    """Create a community with its channels and its owner as member.

    Raises RoomNameTakenError, BadRoomNameError, TooManyRoomsError, and without space StorageFullError or
    ShardFullError; nothing of the room is left then.
    """
    async with directory.database.write() as writer:
        room = await rooms.register(
            writer,
            kind="community",
            name=name,
            display_name=display_name or name,
            owner_id=owner_id,
            description=description,
            is_public=is_public,
            rooms_max=rooms_max,
            now_ms=now_ms,
        )
    making = pool.create(room.id, room_actions.found_room, room.kind, owner_id, channels, now_ms=now_ms)
    made = await _made(directory, room.id, making)
    return await _open(directory, pool, room.id, [owner_id], client, now_ms), made


async def found_group(
    directory: Directory,
    pool: ShardPool,
    *,
    owner_id: UserId,
    others: Collection[UserId],
    display_name: str | None = None,
    rooms_max: int | None = None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> tuple[Room, list[ChannelRow]]:
    """Create a group of a user and others, each of whom must accept messages from the user.

    Raises the errors of `directs.require_welcome`, TooManyRoomsError, and without space as `found_community`.
    """
    async with directory.database.write() as writer:
        await directs.require_welcome(writer, owner_id, others)
        room = await rooms.register(
            writer, kind="group", display_name=display_name, owner_id=owner_id, rooms_max=rooms_max, now_ms=now_ms
        )
    making = pool.create(room.id, groups.found_group, owner_id, others, now_ms=now_ms)
    made = await _made(directory, room.id, making)
    return await _open(directory, pool, room.id, [owner_id, *others], client, now_ms), made


class DirectChats:
    """Direct chats, one for each pair of users. A request while the chat is being created waits, and then finds it."""

    def __init__(self, directory: Directory, pool: ShardPool) -> None:
        self._directory = directory
        self._pool = pool
        self._locks: WeakValueDictionary[Pair, asyncio.Lock] = WeakValueDictionary()

    async def open(
        self, user_id: UserId, other: UserId, *, client: ClientInfo = NO_CLIENT, now_ms: int
    ) -> tuple[RoomId, bool]:
        """Return the chat of two users and whether it is new. An existing one is always returned to either.

        Raises the errors of `directs.require_welcome` and `directs.register`, and without space as `found_community`.
        """
        two = directs.pair(user_id, other)
        async with self._locks.setdefault(two, asyncio.Lock()):
            room_id = await self._standing(two, now_ms)
            if room_id is not None:
                return room_id, False
            async with self._directory.database.write() as writer:
                await directs.require_welcome(writer, user_id, [other])
                room = await directs.register(writer, two, opened_by=user_id, now_ms=now_ms)
            making = self._pool.create(room.id, groups.found_direct, user_id, other, now_ms=now_ms)
            await _made(self._directory, room.id, making)
            await _open(self._directory, self._pool, room.id, two, client, now_ms)
            return room.id, True

    async def _standing(self, two: Pair, now_ms: int) -> RoomId | None:
        """Return a pair's chat if it is complete; one that a crash left half-made is repaired first."""
        async with self._directory.database.read() as reader:
            found = await directs.find(reader, two)
        if found is None or found[1] != "creating":
            return None if found is None else found[0]
        if not await _mend(self._directory, self._pool, found[0], now_ms):
            raise errors.BrokenShardError(found[0], "its making was not finished")
        async with self._directory.database.read() as reader:
            found = await directs.find(reader, two)
        return None if found is None else found[0]


async def _made(directory: Directory, room_id: RoomId, making: Awaitable[list[ChannelRow]]) -> list[ChannelRow]:
    try:
        return await making
    except Exception:
        # A crash here is repaired at start-up; an error is repaired at once, so that the name is free again.
        async with directory.database.write() as writer:
            await rooms.forget(writer, room_id)
        raise


async def _open(
    directory: Directory, pool: ShardPool, room_id: RoomId, user_ids: Sequence[UserId], client: ClientInfo, now_ms: int
) -> Room:
    async with directory.database.write() as writer:
        await members.add_many(writer, room_id, user_ids, joined_at=now_ms)
        return await rooms.activate(writer, room_id, schema_version=pool.schema_version, now_ms=now_ms, client=client)


async def mend(directory: Directory, pool: ShardPool, *, now_ms: int) -> int:
    """Finish or undo every room that a crash left half-made, and return their number.

    A room whose shard exists but cannot be read is left as it is and logged: an operator has to inspect it.
    """
    count = 0
    while True:
        async with directory.database.read() as reader:
            unfinished = await rooms.unfinished(reader)
        mended = [room for room in unfinished if await _mend(directory, pool, room.id, now_ms)]
        count += len(mended)
        # The list has one page; rooms that cannot be repaired stay on it.
        if not mended or len(unfinished) < rooms.PAGE_MAX:
            return count


async def _mend(directory: Directory, pool: ShardPool, room_id: RoomId, now_ms: int) -> bool:
    try:
        user_ids = await pool.read(room_id, member_actions.present_members) if pool.has(room_id) else None
    except errors.ShardError as error:
        facts = {"room_id": room_id, "reason": str(error)}
        log.error("a half-made room has a shard that cannot be read", extra=facts)  # noqa: TRY400
        return False
    except Exception:  # an operator has to look; the server starts, with every other room
        log.exception("a half-made room could not be mended", extra={"room_id": room_id})
        return False
    if user_ids is None:
        pool.discard_unfinished(room_id)
        async with directory.database.write() as writer:
            await rooms.forget(writer, room_id)
    else:
        await _open(directory, pool, room_id, user_ids, NO_CLIENT, now_ms)
    log.warning("mended a half-made room", extra={"room_id": room_id, "undone": user_ids is None})
    return True

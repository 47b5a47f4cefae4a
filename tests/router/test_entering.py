"""The index of who is where follows the shards, in whatever order two acts upon one person get to it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from directory import members, users
from directory.rooms import Room
from ids import UserId
from rookery.composition import Stores, open_stores
from router import founding
from router.entering import Entrance
from shard.acts import joining, moderating
from tests.router.serving import Place

NOW_MS = 1_790_000_000_000


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    async with open_stores(Place(tmp_path).settings()) as stores:
        yield stores


async def found(stores: Stores) -> tuple[Room, UserId]:
    """Make a room and somebody who is not in it."""
    async with stores.directory.database.write() as writer:
        owner, guest = (await users.ensure_placeholders(writer, ["owner", "guest"], now_ms=NOW_MS)).values()
    room, _ = await founding.found_community(stores.directory, stores.pool, name="den", owner_id=owner, now_ms=NOW_MS)
    return room, guest


async def index(stores: Stores, room: Room, user_id: UserId) -> members.Member | None:
    async with stores.directory.database.read() as reader:
        return await members.find(reader, room.id, user_id)


async def test_a_crash_between_the_stores_is_mended_by_repeating(stores: Stores) -> None:
    """Somebody who is in the shard but not in the index, or the other way round, is so no more after the same act."""
    room, guest = await found(stores)
    entrance = Entrance(stores.directory, stores.pool, 10)
    await stores.pool.write(room.id, joining.join, guest, now_ms=NOW_MS + 5)
    await stores.pool.write(room.id, moderating.rename, guest, guest, "G", reason=None, now_ms=NOW_MS)
    assert not await entrance.enter(room.id, guest, now_ms=NOW_MS + 9)
    kept = await index(stores, room, guest)
    assert kept is not None
    assert (kept.joined_at, kept.nickname) == (NOW_MS + 5, "G")
    await stores.pool.write(room.id, joining.leave, guest, now_ms=NOW_MS)
    assert await entrance.follow(room.id, guest)
    assert not await entrance.follow(room.id, guest)
    assert await index(stores, room, guest) is None


async def test_whoever_writes_late_looks_once_more(stores: Stores) -> None:
    """What was read before another act, and is written after it, does not stay in the index."""
    room, guest = await found(stores)
    entrance = Entrance(stores.directory, stores.pool, 10)
    await stores.pool.write(room.id, joining.join, guest, now_ms=NOW_MS)
    async with stores.directory.database.write():
        late = asyncio.create_task(entrance.follow(room.id, guest))
        await asyncio.sleep(0.1)  # it has read that the guest is in, and waits for its turn to write
        await stores.pool.write(room.id, joining.leave, guest, now_ms=NOW_MS)
    await late
    assert await index(stores, room, guest) is None
    async with stores.directory.database.write():
        late = asyncio.create_task(entrance.follow(room.id, guest))
        await asyncio.sleep(0.1)
        await stores.pool.write(room.id, joining.join, guest, now_ms=NOW_MS)
    await late
    assert await index(stores, room, guest) is not None

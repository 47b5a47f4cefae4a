"""The index of who is where follows the shards, in whatever order two acts upon one person get to it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from directory import global_bans, invites, members, placeholders, users
from directory.errors import InviteNotUsableError
from directory.rooms import Room
from ids import UserId
from rookery.composition import Stores, open_stores
from router.workflows import room_creation
from router.workflows.membership import Entrance
from shard.actions import members as member_actions
from shard.actions import moderation
from tests.router.serving import Place

NOW_MS = 1_790_000_000_000


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    async with open_stores(Place(tmp_path).settings()) as stores:
        yield stores


async def found(stores: Stores) -> tuple[Room, UserId]:
    """Make a room and somebody who is not in it."""
    async with stores.directory.database.write() as writer:
        owner, guest = (await placeholders.create(writer, ["owner", "guest"], now_ms=NOW_MS)).values()
    room, _ = await room_creation.found_community(
        stores.directory, stores.pool, name="den", owner_id=owner, now_ms=NOW_MS
    )
    return room, guest


async def index(stores: Stores, room: Room, user_id: UserId) -> members.Member | None:
    async with stores.directory.database.read() as reader:
        return await members.find(reader, room.id, user_id)


async def test_a_crash_between_the_stores_is_mended_by_repeating(stores: Stores) -> None:
    """Somebody who is in the shard but not in the index, or the other way round, is so no more after the same act."""
    room, guest = await found(stores)
    entrance = Entrance(stores.directory, stores.pool, 10)
    await stores.pool.write(room.id, member_actions.join, guest, now_ms=NOW_MS + 5)
    await stores.pool.write(room.id, moderation.rename, guest, guest, "G", reason=None, now_ms=NOW_MS)
    assert not await entrance.enter(room.id, guest, now_ms=NOW_MS + 9)
    kept = await index(stores, room, guest)
    assert kept is not None
    assert (kept.joined_at, kept.nickname) == (NOW_MS + 5, "G")
    await stores.pool.write(room.id, member_actions.leave, guest, now_ms=NOW_MS)
    assert await entrance.update_index(room.id, guest, now_ms=NOW_MS)
    assert not await entrance.update_index(room.id, guest, now_ms=NOW_MS)
    assert await index(stores, room, guest) is None


async def test_whoever_writes_late_looks_once_more(stores: Stores) -> None:
    """What was read before another act, and is written after it, does not stay in the index."""
    room, guest = await found(stores)
    entrance = Entrance(stores.directory, stores.pool, 10)
    await stores.pool.write(room.id, member_actions.join, guest, now_ms=NOW_MS)
    async with stores.directory.database.write():
        late = asyncio.create_task(entrance.update_index(room.id, guest, now_ms=NOW_MS))
        await asyncio.sleep(0.1)  # it has read that the guest is in, and waits for its turn to write
        await stores.pool.write(room.id, member_actions.leave, guest, now_ms=NOW_MS)
    await late
    assert await index(stores, room, guest) is None
    async with stores.directory.database.write():
        late = asyncio.create_task(entrance.update_index(room.id, guest, now_ms=NOW_MS))
        await asyncio.sleep(0.1)
        await stores.pool.write(room.id, member_actions.join, guest, now_ms=NOW_MS)
    await late
    assert await index(stores, room, guest) is not None


@pytest.mark.security
async def test_a_crash_keeps_no_invite_alive(stores: Stores) -> None:
    """Who left, with a crash before their invites ended, and came back, has none of the old ones."""
    room, guest = await found(stores)
    entrance = Entrance(stores.directory, stores.pool, 10)
    await entrance.enter(room.id, guest, now_ms=NOW_MS)
    async with stores.directory.database.write() as writer:
        invite = await invites.create(writer, room.id, by=guest, now_ms=NOW_MS)
    assert await entrance.living(room.id, [invite], now_ms=NOW_MS) == [invite]
    await stores.pool.write(room.id, member_actions.leave, guest, now_ms=NOW_MS + 1)
    assert await entrance.living(room.id, [invite], now_ms=NOW_MS + 1) == []
    await stores.pool.write(room.id, member_actions.join, guest, now_ms=NOW_MS + 2)
    assert await entrance.living(room.id, [invite], now_ms=NOW_MS + 2) == []


@pytest.mark.security
async def test_who_may_not_act_here_lets_nobody_in(stores: Stores) -> None:
    """An invite of somebody suspended, or banned from the server, is not usable until that ends."""
    room, guest = await found(stores)
    async with stores.directory.database.write() as writer:
        invite = await invites.create(writer, room.id, by=guest, now_ms=NOW_MS)
        await invites.refuse_barred_maker(writer, invite, now_ms=NOW_MS)
        await users.set_status(writer, guest, "suspended", now_ms=NOW_MS)
        with pytest.raises(InviteNotUsableError):
            await invites.refuse_barred_maker(writer, invite, now_ms=NOW_MS)
        await users.set_status(writer, guest, "active", now_ms=NOW_MS)
        await global_bans.add(writer, guest, reason="spam", by=None, expires_at=NOW_MS + 5, now_ms=NOW_MS)
        with pytest.raises(InviteNotUsableError):
            await invites.refuse_barred_maker(writer, invite, now_ms=NOW_MS + 4)
        await invites.refuse_barred_maker(writer, invite, now_ms=NOW_MS + 5)

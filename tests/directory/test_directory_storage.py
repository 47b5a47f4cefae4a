"""How much everyone stores: admitted against a quota, and put right by what the shards say."""

import asyncio
from typing import Any

import pytest

from directory import errors, rooms, storage
from directory.database import Database
from directory.storage import LOOK_EVERY_MS, SETTLES_AFTER_MS, FileRoom
from ids import RoomId, UserId

NOW_MS = 1_760_000_000_000
MAX = 100


@pytest.fixture
async def second(database: Database, world: Any) -> RoomId:
    """Another room."""
    async with database.write() as writer:
        return (await rooms.register(writer, kind="group", owner_id=world.bob.id, now_ms=NOW_MS)).id


async def reserve(
    database: Database, user_id: UserId, room_id: RoomId, size_bytes: int, *, now_ms: int = NOW_MS
) -> int:
    async with database.write() as writer:
        return await storage.reserve(writer, user_id, room_id, size_bytes, user_bytes_max=MAX, now_ms=now_ms)


async def used(database: Database, user_id: UserId) -> int:
    async with database.read() as reader:
        return await storage.used(reader, user_id)


async def take(database: Database, now_ms: int, *, limit: int = 10) -> list[FileRoom]:
    async with database.write() as writer:
        return [*await storage.take_due(writer, limit=limit, now_ms=now_ms)]


async def recount(database: Database, room_id: RoomId, usage: dict[UserId, int], *, now_ms: int) -> None:
    async with database.write() as writer:
        await storage.recount(writer, room_id, usage, now_ms=now_ms)


async def test_a_quota_is_over_all_rooms(database: Database, world: Any, second: RoomId) -> None:
    """What one stores in every room counts together up to the last byte, and one byte more is refused."""
    alice, bob = world.alice.id, world.bob.id
    assert await used(database, alice) == 0
    assert await reserve(database, alice, world.lean.id, 60) == 60
    assert await reserve(database, alice, second, 39) == 99
    for room_id in (world.lean.id, second):
        with pytest.raises(errors.QuotaExceededError) as caught:
            await reserve(database, alice, room_id, 2)
        assert (caught.value.used_bytes, caught.value.size_bytes, caught.value.bytes_max) == (99, 2, MAX)
    assert await reserve(database, alice, second, 1) == MAX
    assert await reserve(database, bob, second, MAX) == MAX
    async with database.write() as writer:
        await storage.release(writer, second, {alice: 40, bob: 1_000})
        await storage.release(writer, second, {})
    assert (await used(database, alice), await used(database, bob)) == (60, 0)


async def test_many_at_once_do_not_exceed_it_together(database: Database, world: Any) -> None:
    """Of forty uploads asked for side by side exactly as many are admitted as there is room for."""
    asked = (reserve(database, world.alice.id, world.lean.id, 9) for _ in range(40))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    admitted = sorted(answer for answer in answers if isinstance(answer, int))
    assert admitted == [9 * number for number in range(1, 12)]
    assert all(isinstance(answer, (int, errors.QuotaExceededError)) for answer in answers)
    assert await used(database, world.alice.id) == 99


async def test_a_room_is_due_a_day_after_its_oldest_upload(database: Database, world: Any, second: RoomId) -> None:
    """Rooms come when they are due, the longest overdue first, and again a day later if nobody says otherwise."""
    lean, due_at = world.lean.id, NOW_MS + LOOK_EVERY_MS
    await reserve(database, world.alice.id, lean, 1)
    await reserve(database, world.alice.id, lean, 1, now_ms=NOW_MS + 50)
    await reserve(database, world.bob.id, second, 1, now_ms=NOW_MS + 10)
    assert await take(database, due_at - 1) == []
    assert await take(database, due_at) == [FileRoom(lean, "", is_deleted=False)]
    assert await take(database, due_at + 10) == [FileRoom(second, "", is_deleted=False)]
    assert await take(database, due_at + LOOK_EVERY_MS + 10, limit=1) == [FileRoom(lean, "", is_deleted=False)]
    async with database.write() as writer:
        await storage.go_on(writer, lean, place="rooms/1/x", due_at=5)
        await rooms.activate(writer, second, schema_version=1, now_ms=NOW_MS)
        await rooms.delete(writer, second, by=None, now_ms=NOW_MS)
    assert await take(database, due_at + LOOK_EVERY_MS + 10) == [
        FileRoom(lean, "rooms/1/x", is_deleted=False),
        FileRoom(second, "", is_deleted=True),
    ]


async def test_the_shard_is_the_truth(database: Database, world: Any, second: RoomId) -> None:
    """Counting anew makes a room's rows what its shard says, more or less, new or gone, and no other room's."""
    alice, bob, lean = world.alice.id, world.bob.id, world.lean.id
    for user_id, room_id in ((alice, lean), (alice, second), (bob, lean)):
        await reserve(database, user_id, room_id, 10)
    later = NOW_MS + SETTLES_AFTER_MS
    await recount(database, lean, {alice: 33, UserId(12345): 9}, now_ms=later)
    assert (await used(database, alice), await used(database, bob)) == (43, 0)
    await recount(database, second, {bob: 7}, now_ms=later)
    assert (await used(database, alice), await used(database, bob)) == (33, 7)


async def test_what_was_just_reserved_is_not_counted_away(database: Database, world: Any) -> None:
    """A shard that does not know of an upload yet takes nothing from what was reserved for it a moment ago."""
    alice, lean = world.alice.id, world.lean.id
    await reserve(database, alice, lean, 10)
    await recount(database, lean, {alice: 3}, now_ms=NOW_MS + SETTLES_AFTER_MS - 1)
    assert await used(database, alice) == 10
    await recount(database, lean, {alice: 3}, now_ms=NOW_MS + SETTLES_AFTER_MS)
    assert await used(database, alice) == 3


async def test_an_empty_room_is_left_alone(database: Database, world: Any) -> None:
    """A room in which nobody stored anything for a day is looked through no more, until somebody uploads again."""
    lean, later = world.lean.id, NOW_MS + 2 * LOOK_EVERY_MS
    await reserve(database, world.alice.id, lean, 10)
    for now_ms in (NOW_MS, later, later + LOOK_EVERY_MS):
        async with database.read() as reader:
            assert await storage.has_files(reader, lean)
        await recount(database, lean, {}, now_ms=now_ms)
    async with database.read() as reader:
        assert not await storage.has_files(reader, lean)
    assert await take(database, later * 2) == []
    await reserve(database, world.alice.id, lean, 10, now_ms=later)
    async with database.read() as reader:
        assert await storage.has_files(reader, lean)

"""What is kept in memory: exact, bounded, and never older than an acknowledged commit."""

import asyncio
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from directory import errors, rooms, sessions, users
from directory.caches import ProfileCache, Recent
from directory.database import SCHEMA, Database
from directory.directory import Directory
from ids import RoomId, UserId

NOW_MS = 1_760_000_000_000


def test_recent_is_bounded() -> None:
    """The entry that was not asked for longest leaves first."""
    recent: Recent[int, str] = Recent(2)
    recent.keep(1, "one", read_at=recent.generation)
    recent.keep(2, "two", read_at=recent.generation)
    assert recent.get(1) == "one"
    recent.keep(3, "three", read_at=recent.generation)
    assert [recent.get(key) for key in (1, 2, 3)] == ["one", None, "three"]


async def test_rooms(directory: Directory, world: Any) -> None:
    """An address is kept until its room changes, and no longer; unknown and deleted rooms are not found."""
    cache, lean = directory.rooms, world.lean
    assert cache.peek(lean.id) is None
    address = await cache.load(lean.id)
    assert (address.room_id, address.kind, address.state, address.database_id, address.owner_id) == (
        lean.id,
        "community",
        "active",
        str(lean.id),
        world.alice.id,
    )
    async with directory.database.write() as writer:
        await users.update_profile(writer, world.alice.id, {"bio": "x"}, now_ms=NOW_MS)
    assert cache.peek(lean.id) is address
    async with directory.database.write() as writer:
        await rooms.set_full(writer, lean.id, is_full=True, now_ms=NOW_MS)
    assert cache.peek(lean.id) is None
    assert (await cache.load(lean.id)).state == "readonly"
    async with directory.database.write() as writer:
        await rooms.delete(writer, lean.id, by=None, now_ms=NOW_MS)
    for gone in (lean.id, RoomId(1)):
        with pytest.raises(errors.RoomNotFoundError):
            await cache.load(gone)


async def test_profiles_take_one_read(directory: Directory, world: Any) -> None:
    """A page's profiles are read together, only those that are not known, and unknown ids are left out."""
    cache = directory.profiles
    alice = (await cache.load([world.alice.id]))[world.alice.id]
    found = await cache.load([world.alice.id, world.bob.id, UserId(1), world.bob.id])
    assert list(found) == [world.alice.id, world.bob.id]
    assert found[world.alice.id] is alice
    async with directory.database.write() as writer:
        await users.update_profile(writer, world.bob.id, {"display_name": "Bobby"}, now_ms=NOW_MS)
    assert cache.peek(world.alice.id) is alice
    assert cache.peek(world.bob.id) is None
    assert (await cache.load([world.bob.id]))[world.bob.id].display_name == "Bobby"


async def test_a_rollback_forgets_nothing(directory: Directory, world: Any) -> None:
    """A change that was not committed leaves the cache as it is."""
    address = await directory.rooms.load(world.lean.id)

    async def fail() -> None:
        async with directory.database.write() as writer:
            await rooms.set_full(writer, world.lean.id, is_full=True, now_ms=NOW_MS)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert directory.rooms.peek(world.lean.id) is address
    assert (await directory.rooms.load(world.lean.id)).state == "active"


async def test_a_load_that_raced_with_a_commit_is_not_kept(path: Path, directory: Directory, world: Any) -> None:
    """A load that read before a commit and ends after it does not put the old value back."""
    lone = await Database.open(path, SCHEMA, now_ms=NOW_MS, readers=1)
    cache = ProfileCache(lone)
    read, go_on = threading.Event(), threading.Event()

    def hold_after_reading(_cursor: Any, sql: str, _bindings: Any) -> bool:
        if sql == "ROLLBACK":  # the first statement after the block
            read.set()
            assert go_on.wait(10)
        return True

    reader = cast(Any, lone._readers[0]._proxy._conn).connection
    reader.exec_trace = hold_after_reading
    loading = asyncio.create_task(cache.load([world.bob.id]))
    assert await asyncio.to_thread(read.wait, 10)
    async with lone.write() as writer:
        await users.update_profile(writer, world.bob.id, {"display_name": "New"}, now_ms=NOW_MS)
    go_on.set()
    assert (await loading)[world.bob.id].display_name == "bob"
    assert cache.peek(world.bob.id) is None
    assert (await cache.load([world.bob.id]))[world.bob.id].display_name == "New"
    assert cache.peek(world.bob.id) is not None
    await lone.close()


async def test_what_another_process_changed(path: Path, directory: Directory, world: Any) -> None:
    """After changed_elsewhere the caches know nothing that the command line changed beside the server."""
    async with directory.database.write() as writer:
        _, session = await sessions.start(writer, world.bob.id, session_ms=1_000, now_ms=NOW_MS)
    await directory.rooms.load(world.lean.id)
    await directory.profiles.load([world.bob.id])
    assert await directory.sessions.load(session.token_hash, now_ms=NOW_MS) is not None
    assert not await directory.database.changed_elsewhere()
    assert directory.rooms.peek(world.lean.id) is not None
    beside = await Database.open(path, SCHEMA, now_ms=NOW_MS)
    async with beside.write() as writer:
        await users.set_status(writer, world.bob.id, "suspended", now_ms=NOW_MS)
    await beside.close()
    assert await directory.database.changed_elsewhere()
    assert directory.rooms.peek(world.lean.id) is None
    assert directory.profiles.peek(world.bob.id) is None
    assert directory.sessions.peek(session.token_hash, now_ms=NOW_MS) is None
    assert await directory.sessions.load(session.token_hash, now_ms=NOW_MS) is None

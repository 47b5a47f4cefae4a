"""The pool's bounds: queues, open shards, idle rooms, closing; whatever is refused left nothing and may come again."""

import asyncio
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from shard.engine import files
from shard.engine.pool import ShardPool
from shard.errors import ShardBusyError
from tests.shard import stage
from tests.shard.gates import Gate


async def test_a_full_queue_refuses_and_a_retry_is_stored(tmp_path: Path) -> None:
    """A send beyond the queue's bound is refused at once and stores nothing; repeated later, it is stored."""
    async with stage.opened(tmp_path, queue_max=5) as it:
        room = await it.found()
        async with Gate().held(it, room):
            waiting = [asyncio.ensure_future(it.send(room, str(number))) for number in range(5)]
            await asyncio.sleep(0.01)
            with pytest.raises(ShardBusyError):
                await it.send(room, "too many")
        await asyncio.gather(*waiting)
        assert await it.texts(room) == ["0", "1", "2", "3", "4"]
        await it.send(room, "too many")
        assert await it.texts(room) == ["0", "1", "2", "3", "4", "too many"]


async def test_reads_have_a_bound_of_their_own(tmp_path: Path) -> None:
    """Reads beyond their queue's bound are refused while writes go on."""
    async with stage.opened(tmp_path, queue_max=2) as it:
        room = await it.found()
        gate = Gate()
        held = asyncio.ensure_future(it.pool.read(room.id, gate.hold))
        await asyncio.sleep(0.02)
        waiting = [asyncio.ensure_future(it.texts(room)) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(ShardBusyError):
            await it.texts(room)
        await it.send(room, "written")
        gate.open()
        assert await asyncio.gather(held, *waiting) == [None, ["written"], ["written"]]


async def test_no_page_waits_for_a_search(tmp_path: Path) -> None:
    """While a search takes its time, pages of the same room are read."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        gate = Gate()
        searching = asyncio.ensure_future(it.pool.search(10, room.id, gate.hold))
        await asyncio.sleep(0.02)
        assert await asyncio.wait_for(it.texts(room), 2) == []
        assert not searching.done()
        gate.open()
        await searching


async def test_when_all_open_shards_are_busy_another_room_waits_its_turn(tmp_path: Path) -> None:
    """A room is refused while every shard that may be open is in use, and served as soon as one is idle."""
    async with stage.opened(tmp_path, open_max=1) as it:
        one, other = await it.found(1, members=()), await it.found(2, members=())
        async with Gate().held(it, one):
            with pytest.raises(ShardBusyError):
                await it.send(other, "early", user_id=stage.OWNER)
            assert it.pool.open_count == 1
        await it.rest()
        await it.send(other, "late", user_id=stage.OWNER)
        await it.rest()
        assert await it.texts(one) == []


async def test_rooms_that_share_few_places_keep_all_they_were_told(tmp_path: Path) -> None:
    """Five rooms over two open shards, under concurrent load, keep every message in order."""
    async with stage.opened(tmp_path, open_max=2) as it:
        rooms = [await it.found(number) for number in range(1, 6)]
        await it.rest()

        async def talk(room: stage.Room) -> None:
            for number in range(30):
                await stage.insist(partial(it.send, room, str(number), nonce=str(number)))
                assert it.pool.open_count <= 2

        await asyncio.gather(*(talk(room) for room in rooms))
        for room in rooms:
            await it.rest()
            assert await it.texts(room) == [str(number) for number in range(30)]
            assert [message.content for message in it.messages(room)] == [str(number) for number in range(30)]


async def test_a_room_is_never_busy_with_its_own_closing(tmp_path: Path) -> None:
    """A room that is used again while its evicted connections close is served, not refused."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        for number in range(250):
            await asyncio.gather(it.send(room, str(number)), it.texts(room), it.rows(room, "SELECT 1"))
            it.pool._retire(room.id)
        assert len(await it.texts(room)) == 250


async def test_an_idle_shard_is_closed_and_opened_again(tmp_path: Path) -> None:
    """A room that nobody uses for a while gives its connections back, and is there when somebody comes."""
    async with stage.opened(tmp_path, idle_close_seconds=0.1) as it:
        room = await it.found()
        await it.send(room, "before")
        log = files.path_of(tmp_path, room.id).with_suffix(".db-wal")
        assert log.exists()
        await stage.until(lambda: it.pool.open_count == 0 and not log.exists())
        assert await it.texts(room) == ["before"]
        await it.send(room, "after")
        assert await it.texts(room) == ["before", "after"]


async def test_a_busy_shard_is_not_closed_as_idle(tmp_path: Path) -> None:
    """A room with a task under way stays open however long the task takes."""
    async with stage.opened(tmp_path, idle_close_seconds=0.02) as it:
        room = await it.found()
        async with Gate().held(it, room):
            await asyncio.sleep(0.1)
            assert it.pool.open_count == 1
        await stage.until(lambda: it.pool.open_count == 0)


async def test_closing_finishes_what_is_queued(tmp_path: Path) -> None:
    """Everything queued when the pool closes is done and answered, and what comes later is refused."""
    async with stage.opened(tmp_path, batch_max=3) as it:
        room = await it.found()
        sends = [asyncio.ensure_future(it.send(room, str(number))) for number in range(50)]
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(it.pool.close())
        await asyncio.sleep(0)
        with pytest.raises(ShardBusyError):
            await it.send(room, "late")
        await closing
        assert all(send.done() for send in sends)
        assert (await asyncio.gather(*sends))[-1].message.content == "49"
        assert not any(thread.is_alive() for thread in it.pool._threads)
    assert not files.path_of(tmp_path, room.id).with_suffix(".db-wal").exists()
    async with stage.opened(tmp_path) as it:
        assert await it.texts(room) == [str(number) for number in range(50)]


async def test_rooms_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """A room whose writer is held up leaves the others their threads."""
    async with stage.opened(tmp_path, writers=2) as it:
        slow, quick = await it.found(1), await it.found(2)
        async with Gate().held(it, slow):
            await asyncio.wait_for(it.send(quick, "at once"), 2)
            assert await asyncio.wait_for(it.texts(slow), 2) == []


async def test_a_read_sees_all_that_was_acknowledged_before_it(tmp_path: Path) -> None:
    """Whatever a send has returned, every read begun later has."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()

        async def talk(name: str) -> None:
            for number in range(20):
                sent = await it.send(room, f"{name}{number}")
                assert sent.message.content in await it.texts(room)

        await asyncio.gather(*(talk(name) for name in "abcd"))


async def test_a_flood_over_many_rooms_leaks_no_connection(tmp_path: Path) -> None:
    """After random traffic with evictions the pool holds no more files open than before it."""
    dice = random.Random(7)
    async with stage.opened(tmp_path, open_max=3) as it:
        rooms = [await it.found(number) for number in range(1, 9)]
        for room_id in list(it.pool._entries):
            it.pool._retire(room_id)
        await stage.until(lambda: it.pool.open_count == 0)
        before = stage.open_files(tmp_path)
        for _ in range(150):
            room = dice.choice(rooms)
            await asyncio.gather(stage.result_of(it.send(room, "x")), stage.result_of(it.texts(room)))
        for room_id in list(it.pool._entries):
            it.pool._retire(room_id)
        await stage.until(lambda: stage.open_files(tmp_path) <= before)


async def test_a_pool_needs_a_running_loop(tmp_path: Path) -> None:
    """A pool made outside an event loop is refused at once."""
    with pytest.raises(RuntimeError):
        await asyncio.to_thread(
            ShardPool,
            tmp_path,
            stage.MIGRATIONS,
            limits=replace(stage.LIMITS),
            clock=lambda: 0,
            publish=lambda _room_id, _events: None,
        )

"""Optimizing a room during sends: the speed of freeing space, and the latency of a message meanwhile.

A message every few milliseconds, acknowledged after its sync, first undisturbed and then beside the optimizer.
"""

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path
from statistics import median

from bench.figures import Figure
from config import settings as config
from directory import users
from ids import ChannelId, RoomId, UserId
from monitor.optimizer import STEP_SECONDS_MAX, Optimized, Optimizer
from rookery import composition
from rookery.composition import Stores, now_ms
from router.workflows import room_creation
from shard import inspections
from shard.actions import messages
from shard.engine.connections import Writer
from shard.tables.messages import Draft

MESSAGES = 60_000
BATCH = 250
PAUSE_SECONDS = 0.004
AIM_MS = STEP_SECONDS_MAX * 1_000
UNDISTURBED_SECONDS = 8.0


def measure(folder: Path) -> list[Figure]:
    """Fill a room, erase three quarters of it, and optimize it."""
    settings = config.load(None, environ={"ROOKERY_SERVER_DATA_DIR": str(folder)})
    return asyncio.run(_measure(settings))


async def _measure(settings: config.Settings) -> list[Figure]:
    async with composition.open_stores(settings) as stores:
        room_id, channel_id, owner = await _fill(stores)
        alone = await _talk(stores, room_id, channel_id, owner, until=asyncio.sleep(UNDISTURBED_SECONDS))
        began = time.perf_counter()
        tidying = asyncio.create_task(Optimizer(stores.directory, stores.pool, now_ms).optimize(room_id))
        beside = await _talk(stores, room_id, channel_id, owner, until=tidying)
        seconds = time.perf_counter() - began
        done: Optimized = tidying.result()
        seen = await stores.pool.read(room_id, inspections.measure, composition.shards_folder(settings))
    p99s = _percentile(beside, 99) / _percentile(alone, 99)
    return [
        Figure("space given back while people talk", done.freed_bytes / 1e6, "MB"),
        Figure("the same, each second", done.freed_bytes / 1e6 / seconds, "MB/s"),
        Figure("free space left in the file", seen.freelist_bytes / 1e6, "MB"),
        Figure("longest step, its wait and sync included", done.longest_seconds * 1e3, "ms", at_most=AIM_MS),
        Figure("steps", done.steps),
        Figure("a message, alone: median", median(alone) * 1e3, "ms"),
        Figure("a message, alone: p99", _percentile(alone, 99) * 1e3, "ms"),
        Figure("a message, alone: longest", max(alone) * 1e3, "ms"),
        Figure("a message, beside tidying up: median", median(beside) * 1e3, "ms"),
        Figure("a message, beside tidying up: p99", _percentile(beside, 99) * 1e3, "ms"),
        Figure("a message, beside tidying up: longest", max(beside) * 1e3, "ms"),
        Figure("p99 beside tidying up, as a multiple of alone", p99s),
    ]


async def _fill(stores: Stores) -> tuple[RoomId, ChannelId, UserId]:
    async with stores.directory.database.write() as writer:
        owner = await users.create(writer, username="owner", now_ms=now_ms())
    room, channels = await room_creation.found_community(
        stores.directory, stores.pool, name="bench", owner_id=owner.id, now_ms=now_ms()
    )
    words = "much longer than what people write, so that there is much to give back " * 40
    for begin in range(0, MESSAGES, BATCH):
        drafts = [Draft(f"{number} {words} {number * 7_919}") for number in range(begin, begin + BATCH)]
        asked = (owner.id, channels[0].id)
        await asyncio.gather(
            *(stores.pool.write(room.id, messages.send_message, *asked, draft, now_ms=now_ms()) for draft in drafts)
        )

    def erase(writer: Writer, remainder: int) -> None:
        writer.run("DELETE FROM messages WHERE id / 3 % 40 = ?", (remainder,))

    for remainder in range(30):
        await stores.pool.write(room.id, erase, remainder)
    return room.id, channels[0].id, owner.id


async def _talk(
    stores: Stores,
    room_id: RoomId,
    channel_id: ChannelId,
    owner: UserId,
    *,
    until: Awaitable[object],
) -> list[float]:
    """Send messages until some other work is done, and return the latency of each."""
    waiting = asyncio.ensure_future(until)
    times: list[float] = []
    while not waiting.done():
        began = time.perf_counter()
        draft = Draft(f"said at {began} while something goes on")
        await stores.pool.write(room_id, messages.send_message, owner, channel_id, draft, now_ms=now_ms())
        times.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE_SECONDS)
    return times


def _percentile(times: list[float], percent: int) -> float:
    return sorted(times)[min(len(times) - 1, len(times) * percent // 100)]

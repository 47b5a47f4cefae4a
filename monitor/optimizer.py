"""Optimization of rooms in use: one small step of a room's writer after another, with pauses.

The size of a step follows how long the last one took, waiting, commit and sync included, so that no message waits for
more than STEP_SECONDS_MAX on a disk that is as fast as it was a moment ago.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from directory import shards
from directory.directory import Directory
from directory.shards import Shard
from ids import RoomId
from shard.actions import archive
from shard.engine import maintenance
from shard.engine.maintenance import Step
from shard.engine.pool import ShardPool
from sqlite import PAGE_BYTES

STEP_SECONDS: Final = 0.008
"""Target time of a step: short, because a fast disk could write many messages in it."""
STEP_SECONDS_MAX: Final = 0.05
"""Longest time that a step may hold a room's writer; a longer one is followed by one of a quarter of its size.

The aim is `STEP_SECONDS`.
"""
PAGES_FIRST: Final = 16
PAGES_MAX: Final = 2_048
"""Pages that one step moves."""
REST: Final = 1.0
"""The pause after a step, as a multiple of its time: the room's writer has half of the time for messages."""
REST_SECONDS_MIN: Final = 0.002
"""The shortest pause after a step."""
FREE_BYTES_MIN: Final = 1_048_576
"""Smallest free space that is worth moving pages: the next messages use less."""
FREE_PERCENT_MIN: Final = 10
"""Likewise, in percent of the shard's size; the larger of both counts."""
LOG_BYTES_MAX: Final = 67_108_864
"""A longer log (four times what a commit moves by itself) means that a reader kept it from being moved."""
OPTIMIZE_EVERY_MS: Final = 7 * 86_400_000
MESSAGES_MIN: Final = 1_000
"""Messages of the smallest room that is worth optimizing."""

Progress = Callable[[int, int], Awaitable[None]]
"""Receives the work done so far, and the total."""


@dataclass(slots=True)
class Optimized:
    """Result of optimizing a room: bytes given back, steps taken, and how long the longest held the room's writer."""

    freed_bytes: int = 0
    steps: int = 0
    longest_seconds: float = 0.0
    is_log_settled: bool = False


def needs_optimizing(shard: Shard, now_ms: int) -> bool:
    """Tell whether a shard is worth optimizing, as far as its last measurement shows it."""
    if shard.state not in ("active", "readonly") or shard.quarantined_at is not None or shard.problem is not None:
        return False
    is_long_ago = shard.tidied_at is None or abs(now_ms - shard.tidied_at) >= OPTIMIZE_EVERY_MS
    is_due = is_long_ago and shard.last_seq != shard.tidied_seq and shard.message_count >= MESSAGES_MIN
    return is_due or has_free_space(shard) or shard.wal_bytes > LOG_BYTES_MAX


def has_free_space(shard: Shard) -> bool:
    """Tell whether a file has so many free pages that it should be made smaller."""
    return shard.freelist_bytes >= max(FREE_BYTES_MIN, shard.size_bytes * FREE_PERCENT_MIN // 100)


class Optimizer:
    """Optimizations of rooms, through the pool with their writers."""

    def __init__(self, directory: Directory, pool: ShardPool, clock: Callable[[], int]) -> None:
        self._directory = directory
        self._pool = pool
        self._clock = clock

    def is_here(self, room_id: RoomId) -> bool:
        """Tell whether a room can be optimized without being woken from object storage."""
        return not self._pool.is_away(room_id)

    async def optimize(self, room_id: RoomId, progress: Progress | None = None) -> Optimized:
        """Optimize a shard, merge its search index, give free pages back, and cut its log; of a full one, drop the
        empty rows of deleted messages too.

        It can be cancelled between any two steps. Raises ShardError.
        """
        done = Optimized()
        await self._drop(room_id, done)
        await self._timed(done, self._pool.write(room_id, maintenance.optimize))
        await self._merge(room_id, done)
        await self._give_back(room_id, done, progress)
        await self._pool.write(room_id, maintenance.settle_log)
        done.is_log_settled = True
        async with self._directory.database.write() as writer:
            await shards.note_tidied(writer, room_id, now_ms=self._clock())
        return done

    async def _drop(self, room_id: RoomId, done: Optimized) -> None:
        """Drop the empty rows of deleted messages, if the room is full."""
        async with self._directory.database.read() as reader:
            shard = await shards.find(reader, room_id)
        last: int | None = 0 if shard.level == "full" else None
        while last is not None:
            began = time.perf_counter()
            last = await self._pool.write(room_id, archive.drop_deleted, last)
            await self._rest(done, time.perf_counter() - began)

    async def _merge(self, room_id: RoomId, done: Optimized) -> None:
        """Merge all segments of one level of the search index into one."""
        pages, is_first = PAGES_FIRST, True
        while True:
            step, seconds = await self._timed(
                done, self._pool.write(room_id, maintenance.merge_index, pages, begin=is_first)
            )
            if not step.left:
                return
            pages, is_first = _next(pages, seconds), False

    async def _give_back(self, room_id: RoomId, done: Optimized, progress: Progress | None) -> None:
        free = total = await self._pool.read(room_id, maintenance.free_pages)
        size, pages = await self._pool.read(room_id, maintenance.file_pages), PAGES_FIRST
        while free:
            step, seconds = await self._timed(done, self._pool.write(room_id, maintenance.give_back, pages))
            if step.left >= free:
                return
            # Together with free pages, pages of pointers to them are removed (sqlite.org/fileformat.html, 1.8).
            size_before, size = size, await self._pool.read(room_id, maintenance.file_pages)
            done.freed_bytes += (size_before - size) * PAGE_BYTES
            free, pages = step.left, _next(pages, seconds)
            if progress is not None:
                await progress(total - free, total)

    async def _timed(self, done: Optimized, work: Awaitable[Step]) -> tuple[Step, float]:
        """Await a step and pause; return the step with the seconds that it took in all."""
        began = time.perf_counter()
        step = await work
        seconds = time.perf_counter() - began
        await self._rest(done, seconds)
        return step, seconds

    async def _rest(self, done: Optimized, seconds: float) -> None:
        done.steps += 1
        done.longest_seconds = max(done.longest_seconds, seconds)
        await asyncio.sleep(max(REST_SECONDS_MIN, seconds * REST))


def _next(pages: int, seconds: float) -> int:
    """Return the pages of the next step, after one of `pages` that took `seconds`."""
    if seconds > STEP_SECONDS_MAX:
        return max(1, pages // 4)
    if seconds > STEP_SECONDS:
        return max(1, pages // 2)
    return min(PAGES_MAX, pages * 2) if seconds < STEP_SECONDS / 2 else pages

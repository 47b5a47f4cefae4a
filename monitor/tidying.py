"""Tidies rooms up while people talk in them: one small step of a room's writer after another, with pauses between.

How large a step is follows how long the last one took, waiting, commit and sync included, so that no message waits for
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
from shard import tidying
from shard.pool import ShardPool
from shard.tidying import Step
from sqlite import PAGE_BYTES

STEP_SECONDS: Final = 0.008
"""What a step aims at: a fast disk makes many messages of it."""
STEP_SECONDS_MAX: Final = 0.05
"""No step may stop a room's writers for longer; one that did is followed by one of a quarter."""
PAGES_FIRST: Final = 16
PAGES_MAX: Final = 2_048
REST: Final = 1.0
"""After a step nothing is done for as long as it took, so that the room's writer is half its own."""
REST_SECONDS_MIN: Final = 0.002
FREE_BYTES_MIN: Final = 1_048_576
"""Less free space is not worth moving pages for: the next messages take it."""
FREE_PERCENT_MIN: Final = 10
LOG_BYTES_MAX: Final = 67_108_864
"""A longer log (four times what a commit moves by itself) means that somebody read while it should have been moved."""
OPTIMIZE_EVERY_MS: Final = 7 * 86_400_000
MESSAGES_MIN: Final = 1_000
"""A room with fewer messages has nothing to optimize."""

Progress = Callable[[int, int], Awaitable[None]]
"""Told how much is done, of how much."""


@dataclass(slots=True)
class Tidied:
    """What was done: bytes given back, steps taken, and how long the longest of them held the room's writer."""

    freed_bytes: int = 0
    steps: int = 0
    longest_seconds: float = 0.0
    is_log_settled: bool = False


def is_untidy(shard: Shard, now_ms: int) -> bool:
    """Tell whether a shard is worth tidying up, as far as its last measurement shows it."""
    if shard.state not in ("active", "readonly") or shard.quarantined_at is not None or shard.problem is not None:
        return False
    is_long_ago = shard.tidied_at is None or abs(now_ms - shard.tidied_at) >= OPTIMIZE_EVERY_MS
    is_due = is_long_ago and shard.last_seq != shard.tidied_seq and shard.message_count >= MESSAGES_MIN
    return is_due or has_free_space(shard) or shard.wal_bytes > LOG_BYTES_MAX


def has_free_space(shard: Shard) -> bool:
    """Tell whether a file has so many free pages that it should be made smaller."""
    return shard.freelist_bytes >= max(FREE_BYTES_MIN, shard.size_bytes * FREE_PERCENT_MIN // 100)


class Tidying:
    """Tidies rooms up, by the pool that their writers are in."""

    def __init__(self, directory: Directory, pool: ShardPool, clock: Callable[[], int]) -> None:
        self._directory = directory
        self._pool = pool
        self._clock = clock

    def is_here(self, room_id: RoomId) -> bool:
        """Tell whether a room can be tidied up without being brought back from object storage for it."""
        return not self._pool.is_away(room_id)

    async def tidy(self, room_id: RoomId, progress: Progress | None = None) -> Tidied:
        """Optimize a shard, merge its search index, give free pages back, and cut its log.

        It can be cancelled between any two steps. Raises ShardError.
        """
        done = Tidied()
        await self._timed(done, self._pool.write(room_id, tidying.optimize))
        await self._merge(room_id, done)
        await self._give_back(room_id, done, progress)
        await self._pool.write(room_id, tidying.settle_log)
        done.is_log_settled = True
        async with self._directory.database.write() as writer:
            await shards.note_tidied(writer, room_id, now_ms=self._clock())
        return done

    async def _merge(self, room_id: RoomId, done: Tidied) -> None:
        """Merge segments of the search index, those of one level into one; all of them only where it is asked for."""
        pages, is_first = PAGES_FIRST, True
        while True:
            step, seconds = await self._timed(
                done, self._pool.write(room_id, tidying.merge_index, pages, begin=is_first)
            )
            if not step.left:
                return
            pages, is_first = _next(pages, seconds), False

    async def _give_back(self, room_id: RoomId, done: Tidied, progress: Progress | None) -> None:
        free = total = await self._pool.read(room_id, tidying.free_pages)
        size, pages = await self._pool.read(room_id, tidying.file_pages), PAGES_FIRST
        while free:
            step, seconds = await self._timed(done, self._pool.write(room_id, tidying.give_back, pages))
            if step.left >= free:
                return
            # With free pages go those that say where the others are (sqlite.org/fileformat.html, 1.8).
            size_before, size = size, await self._pool.read(room_id, tidying.file_pages)
            done.freed_bytes += (size_before - size) * PAGE_BYTES
            free, pages = step.left, _next(pages, seconds)
            if progress is not None:
                await progress(total - free, total)

    async def _timed(self, done: Tidied, doing: Awaitable[Step]) -> tuple[Step, float]:
        """Do a step and rest; return it with how long the whole of it took."""
        began = time.perf_counter()
        step = await doing
        seconds = time.perf_counter() - began
        done.steps += 1
        done.longest_seconds = max(done.longest_seconds, seconds)
        await asyncio.sleep(max(REST_SECONDS_MIN, seconds * REST))
        return step, seconds


def _next(pages: int, seconds: float) -> int:
    """Return how many pages the next step takes, after one of so many that took so long."""
    if seconds > STEP_SECONDS_MAX:
        return max(1, pages // 4)
    if seconds > STEP_SECONDS:
        return max(1, pages // 2)
    return min(PAGES_MAX, pages * 2) if seconds < STEP_SECONDS / 2 else pages

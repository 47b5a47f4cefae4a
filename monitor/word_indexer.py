"""Indexing of older messages in open rooms whose word index was begun anew, one small step after another.

A room that is not open waits: a search reads its messages without the index meanwhile, and opens it. The size of a step
follows how long the last one took, as in `monitor/optimizer.py`.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from directory.directory import Directory
from ids import RoomId
from monitor.isolation import Isolation
from shard.engine import word_index
from shard.engine.pool import ShardPool
from shard.errors import ShardError

log = logging.getLogger(__name__)

STEP_SECONDS: Final = 0.01
"""Target time of a step: every message that is sent meanwhile waits for one of them at most."""
ROWS_FIRST: Final = 50
ROWS_MIN: Final = 10
"""Messages of the smallest step."""
REST: Final = 1.0
"""The pause after a step, as a multiple of its time: the room's writer has half of the time for messages."""
VISIT_SECONDS: Final = 2.0
"""Time for one room before the next one has its turn."""
WORK: Final = "word index"
"""The name of this work among the failures."""


class WordIndexer:
    """Indexes the older messages of open rooms; one run at a time."""

    def __init__(self, directory: Directory, pool: ShardPool, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._clock = clock
        self._isolation = Isolation(directory)

    async def run(self) -> None:
        """Give each room that waits a turn, until none does; a room that cannot be written to is left for later."""
        rooms = self._pool.unindexed()
        while rooms:
            finished = [room_id for room_id in rooms if await self._visit(room_id)]
            rooms = [room_id for room_id in rooms if room_id not in finished]

    async def _visit(self, room_id: RoomId) -> bool:
        """Give a room its turn, and return whether it is done with in this run."""
        now_ms = self._clock()
        if await self._isolation.waits(WORK, room_id, now_ms=now_ms) or self._pool.is_away(room_id):
            return True
        is_unfinished = False
        async with self._isolation.guarded(WORK, room_id, room_id, now_ms=now_ms):
            try:
                is_unfinished = await self._index(room_id)
            except ShardError as error:
                log.warning("a room's words are not indexed yet", extra={"room_id": room_id, "reason": str(error)})
        return not is_unfinished

    async def _index(self, room_id: RoomId) -> bool:
        """Index messages of a room for its turn, and return whether more wait."""
        rows, ends_at = ROWS_FIRST, time.monotonic() + VISIT_SECONDS
        while time.monotonic() < ends_at:
            step = await self._pool.write(room_id, word_index.index_older, rows)
            if not step.left:
                self._pool.indexed(room_id)
                log.info("a room's words are indexed", extra={"room_id": room_id})
                return False
            if step.seconds > STEP_SECONDS:
                rows = max(ROWS_MIN, rows // 2)
            elif step.seconds < STEP_SECONDS / 2:
                rows = min(word_index.ROWS_MAX, rows * 2)
            await asyncio.sleep(step.seconds * REST)
        return True

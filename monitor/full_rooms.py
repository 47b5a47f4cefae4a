"""Full rooms between two rounds: closed as soon as a write found no space, opened as soon as deletions made some.

The monitor's rounds find the same later; this only looks sooner, into the few rooms in which something happened.
"""

import logging
import time
from collections.abc import Sequence
from typing import Final

from database.errors import DatabaseError
from directory.errors import DirectoryError
from ids import RoomId
from monitor.optimizer import Optimizer
from monitor.sizes import SizeWalk
from shard.engine.pool import ShardPool
from shard.errors import ShardError
from shard.event_types import EventType
from shard.rows import Event

log = logging.getLogger(__name__)

FREEING: Final = frozenset({EventType.MESSAGE_DELETED, EventType.CHANNEL_DELETED, EventType.HISTORY_DELETED})
OPTIMIZE_EVERY_SECONDS: Final = 60.0
"""Interval between two optimizations of one full room in which things are deleted: of a large one each takes long."""


class FullRooms:
    """The rooms to look into; `publish` receives every commit."""

    def __init__(self, pool: ShardPool, walk: SizeWalk, optimizer: Optimizer) -> None:
        self._pool = pool
        self._walk = walk
        self._optimizer = optimizer
        self._freed: set[RoomId] = set()
        self._optimized_at: dict[RoomId, float] = {}

    def publish(self, room_id: RoomId, events: Sequence[Event]) -> None:
        """Note a full room in which a commit deleted something."""
        if self._pool.space.is_full(room_id) and any(event.type in FREEING for event in events):
            self._freed.add(room_id)

    async def run(self) -> None:
        """Measure the rooms in which a write found no space or something was deleted, and optimize them if that can
        help: a full one that was freed, and one that is not full although its writes found no space."""
        short, freed = self._pool.space.take_short(), self._freed
        self._freed = set()
        now = time.monotonic()
        self._optimized_at = {
            room_id: at for room_id, at in self._optimized_at.items() if now - at < OPTIMIZE_EVERY_SECONDS
        }
        for room_id in short | freed:
            try:
                await self._look(room_id, is_freed=room_id in freed)
            except (ShardError, DatabaseError, DirectoryError) as error:
                # The next round does it.
                log.warning("a full room could not be measured", extra={"room_id": room_id, "reason": str(error)})

    async def _look(self, room_id: RoomId, *, is_freed: bool) -> None:
        is_full = (await self._walk.measure(room_id)).level == "full"
        if is_full is not is_freed:
            # Until the pool knows that a room is full, `publish` misses what is deleted in it: look once more.
            self._freed |= {room_id} if is_full else set()
            return
        if room_id in self._optimized_at:
            self._freed |= {room_id} if is_freed else set()
            return
        self._optimized_at[room_id] = time.monotonic()
        if not is_freed:
            log.warning("a write found no space in a room that is not full", extra={"room_id": room_id})
        await self._optimizer.optimize(room_id)
        await self._walk.measure(room_id)

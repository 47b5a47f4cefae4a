"""Maintenance after a monitor's round: check the integrity of a few shards, and optimize a few.

Shards are checked in turn, those never checked first. One monitor maintains at a time, beside the rounds, so that a
shard of ten gigabytes delays no alert.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from directory import shards
from directory.directory import Directory
from directory.errors import RoomNotFoundError
from ids import RoomId
from monitor.integrity import SEARCH_SECONDS, Checked, IntegrityCheck
from monitor.isolation import Isolation
from monitor.lock import Lock
from monitor.optimizer import Optimized, Optimizer
from monitor.sizes import Tally
from shard.errors import ShardBusyError, ShardError

log = logging.getLogger(__name__)

CHECKED_PER_ROUND: Final = 5
"""Shards that are checked after a round: 1,440 in a day of rounds every five minutes."""
OPTIMIZED_PER_ROUND: Final = 3
"""Shards that are optimized after a round."""
CHECK: Final = "check"
OPTIMIZE: Final = "optimize"
"""The names of this work among the failures."""


@dataclass(slots=True)
class Maintained:
    """Results of one run of maintenance, by shard."""

    checked: list[Checked] = field(default_factory=list)
    optimized: dict[RoomId, Optimized] = field(default_factory=dict)


class Maintenance:
    """Checks and optimizations of shards.

    Without an optimizer, because another process has the pool with the writers, nothing is written to shards.
    """

    def __init__(
        self,
        directory: Directory,
        integrity_check: IntegrityCheck,
        optimizer: Optimizer | None,
        lock: Lock,
        clock: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._integrity_check = integrity_check
        self._optimizer = optimizer
        self._lock = lock
        self._clock = clock
        self._isolation = Isolation(directory)

    async def run(self, tally: Tally) -> Maintained | None:
        """Maintain the shards that a round's walk listed, and return the results; None while another monitor does.

        Raises DatabaseError.
        """
        with self._lock.acquire() as is_mine:
            if not is_mine:
                return None
            done = Maintained()
            for room_id in await self._rooms_to_check(tally):
                await self._check(room_id, done)
            if self._optimizer is not None:
                due = [room_id for room_id in tally.to_optimize if not await self._waits(room_id)]
                for room_id in filter(self._optimizer.is_here, due[:OPTIMIZED_PER_ROUND]):
                    await self._optimize(self._optimizer, room_id, done)
            return done

    async def _rooms_to_check(self, tally: Tally) -> Sequence[RoomId]:
        """Return shards in quarantine whose files were replaced, then those that were checked longest ago."""
        async with self._directory.database.read() as reader:
            oldest = await shards.least_examined(reader, limit=CHECKED_PER_ROUND)
        return [*tally.replaced[:CHECKED_PER_ROUND], *(shard.room_id for shard in oldest)]

    async def _check(self, room_id: RoomId, done: Maintained) -> None:
        is_checked = False
        async with self._isolation.guarded(CHECK, room_id, room_id, now_ms=self._clock()):
            try:
                done.checked.append(await self._integrity_check.check(room_id, search_seconds=SEARCH_SECONDS))
                is_checked = True
            except (ShardBusyError, RoomNotFoundError) as error:
                log.info("a shard could not be looked through", extra={"room_id": room_id, "reason": str(error)})
        if not is_checked:
            async with self._directory.database.write() as writer:
                # It counts as checked, or the same shard would be chosen every time.
                await shards.note_examined(writer, room_id, now_ms=self._clock())

    async def _waits(self, room_id: RoomId) -> bool:
        return await self._isolation.waits(OPTIMIZE, room_id, now_ms=self._clock())

    async def _optimize(self, optimizer: Optimizer, room_id: RoomId, done: Maintained) -> None:
        async with self._isolation.guarded(OPTIMIZE, room_id, room_id, now_ms=self._clock()):
            try:
                done.optimized[room_id] = await optimizer.optimize(room_id)
            except ShardError as error:
                log.warning("a shard could not be tidied up", extra={"room_id": room_id, "reason": str(error)})

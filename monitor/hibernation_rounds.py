"""Puts rooms away that nobody has used for long, a few at a time, and does what operators' commands ask of the server.

What is idle is read from the directory, so a round that is cut short is done again by the next one.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from directory import hibernations, room_orders
from directory.directory import Directory
from directory.errors import DirectoryError
from directory.room_orders import Order
from ids import RoomId
from monitor.hibernating import Hibernating, NotIdleError
from objects.errors import ObjectError, StoreUnavailableError
from shard import rooms
from shard.errors import ShardError, WakingError
from shard.pool import ShardPool

log = logging.getLogger(__name__)

ROOMS_AT_ONCE: Final = 10
"""Rooms that one round puts away: a clock that is wrong does little harm before it is seen."""
LEAP_MS: Final = 3_600_000
"""A clock that gained or lost more than this between two rounds was set: how long rooms were idle is not known then."""
LEAP_REST_SECONDS: Final = 3_600.0
"""How long nothing is put away after the clock was set, so that an error of it is found before it costs anything."""
WAKE_TRIES: Final = 60
"""How often an order waits for a room that is on its way back: ten minutes."""


class HibernationRounds:
    """Goes round when asked; `idle_ms` is for how long a room is unused before it is put away, 0 is never."""

    def __init__(
        self,
        directory: Directory,
        pool: ShardPool,
        hibernating: Hibernating,
        *,
        idle_ms: int,
        clock: Callable[[], int],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._pool = pool
        self._hibernating = hibernating
        self._idle_ms = idle_ms
        self._clock = clock
        self._ticks = ticks
        self._seen = clock() - ticks() * 1_000
        self._rests_until = 0.0

    async def begin(self) -> None:
        """Forget what was asked of an earlier server: nobody waits for it any more."""
        async with self._directory.database.write() as writer:
            await room_orders.forget_all(writer)

    async def run(self) -> int:
        """Put rooms away that are idle, remove what is left of those that are back, and return how many were put away.

        What fails is told, and done by a later round.
        """
        count = 0
        try:
            await self._directory.rooms.flush(now_ms=self._clock())
            for room_id in await self._idle():
                count += await self._try(room_id)
            await self._hibernating.clear()
        except (ObjectError, DirectoryError) as error:
            log.warning("hibernating is put off", extra={"reason": str(error)})
        return count

    async def _idle(self) -> list[RoomId]:
        if not self._idle_ms or self._was_clock_set():
            return []
        async with self._directory.database.read() as reader:
            return await hibernations.idle(reader, before_ms=self._clock() - self._idle_ms, limit=ROOMS_AT_ONCE)

    def _was_clock_set(self) -> bool:
        ticks = self._ticks()
        seen = self._clock() - ticks * 1_000
        if abs(seen - self._seen) > LEAP_MS:
            self._rests_until = ticks + LEAP_REST_SECONDS
            log.warning("the clock was set: no room is hibernated for an hour")
        self._seen = seen
        return ticks < self._rests_until

    async def _try(self, room_id: RoomId) -> bool:
        try:
            away = await self._hibernating.hibernate(room_id)
        except StoreUnavailableError:
            raise
        except (NotIdleError, ShardError, ObjectError, OSError) as error:
            facts = {"room_id": room_id, "reason": str(error)}
            log.info("a room is not hibernated", extra=facts)
            async with self._directory.database.write() as writer:
                await hibernations.put_off(writer, room_id, before_ms=self._clock() - self._idle_ms)
            return False
        log.info("a room was hibernated", extra={"room_id": room_id, "bytes": away.file_bytes, "kept": away.size_bytes})
        return True

    async def obey(self) -> int:
        """Do what commands asked for, and return how many orders there were."""
        async with self._directory.database.read() as reader:
            orders = await room_orders.unfilled(reader)
        await asyncio.gather(*map(self._fill, orders))
        return len(orders)

    async def _fill(self, order: Order) -> None:
        problem = ""
        try:
            await (self.put_away if order.wanted == "hibernate" else self.bring_back)(order.room_id)
        except NotIdleError as error:
            problem = f"The room stays where it is: {error}."
        except (ShardError, ObjectError, DirectoryError) as error:
            problem = str(error)
        async with self._directory.database.write() as writer:
            await room_orders.fill(writer, order, problem)

    async def put_away(self, room_id: RoomId) -> None:
        """Put a room away, unless it is; raises what `Hibernating.hibernate` raises."""
        await self._hibernating.hibernate(room_id)

    async def bring_back(self, room_id: RoomId) -> None:
        """Bring a room back by asking it for something; raises ShardError."""
        for number in range(WAKE_TRIES):
            try:
                await self._pool.read(room_id, rooms.one)
            except WakingError:
                if number == WAKE_TRIES - 1 or not self._pool.gates.is_shut(room_id):
                    raise
            else:
                return

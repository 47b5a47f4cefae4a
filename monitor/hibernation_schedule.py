"""The schedule of hibernation: idle rooms, a few at a time, and the rooms that operators' commands order.

Idle rooms are read from the directory, so the next round does the work that an interrupted one left.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from database.errors import DatabaseError
from directory import hibernations, room_orders
from directory.directory import Directory
from directory.errors import DirectoryError
from directory.room_orders import Order
from ids import RoomId
from monitor.hibernator import Hibernator, NotIdleError
from monitor.isolation import Isolation, describe
from objects.errors import ObjectError, StoreUnavailableError
from shard.engine import identity
from shard.engine.pool import ShardPool
from shard.errors import ShardError, WakingError

log = logging.getLogger(__name__)

ROOMS_AT_ONCE: Final = 10
"""Rooms that one round hibernates: few, so that a wrong clock does little harm before it is noticed."""
CLOCK_JUMP_MS: Final = 3_600_000
"""A clock that gained or lost more than this between two rounds was set: idle times are unknown then.

No room is hibernated for `CLOCK_JUMP_PAUSE_SECONDS`.
"""
CLOCK_JUMP_PAUSE_SECONDS: Final = 3_600.0
"""Pause of hibernation after the clock was set, so that a wrong time is noticed before."""
WAKE_TRIES: Final = 60
"""Tries of an order to read from a room that is being woken: ten minutes."""
WORK: Final = "hibernation"
"""The name of this work among the failures."""


class HibernationSchedule:
    """Rounds of hibernation; a room is idle when it was unused for `idle_ms`, 0 is never."""

    def __init__(
        self,
        directory: Directory,
        pool: ShardPool,
        hibernator: Hibernator,
        *,
        idle_ms: int,
        clock: Callable[[], int],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._pool = pool
        self._hibernator = hibernator
        self._idle_ms = idle_ms
        self._clock = clock
        self._ticks = ticks
        self._clock_offset_ms = clock() - ticks() * 1_000
        self._paused_until = 0.0
        self._isolation = Isolation(directory)

    async def discard_orders(self) -> None:
        """Discard the orders of commands to an earlier server: none of them waits any more."""
        async with self._directory.database.write() as writer:
            await room_orders.forget_all(writer)

    async def run(self) -> int:
        """Hibernate idle rooms, remove the old objects of rooms that were woken, and return how many were hibernated.

        A failure is logged, and a later round tries again.
        """
        count = 0
        try:
            await self._directory.rooms.flush(now_ms=self._clock())
            for room_id in await self._idle():
                async with self._isolation.guarded(WORK, room_id, room_id, now_ms=self._clock()):
                    count += await self._try_hibernating(room_id)
            await self._hibernator.remove_unneeded()
        except (ObjectError, DatabaseError, DirectoryError) as error:
            log.warning("hibernating is put off", extra={"reason": str(error)})
        return count

    async def _idle(self) -> list[RoomId]:
        if not self._idle_ms or self._was_clock_set():
            return []
        async with self._directory.database.read() as reader:
            return await hibernations.idle(reader, before_ms=self._clock() - self._idle_ms, limit=ROOMS_AT_ONCE)

    def _was_clock_set(self) -> bool:
        ticks = self._ticks()
        offset_ms = self._clock() - ticks * 1_000
        if abs(offset_ms - self._clock_offset_ms) > CLOCK_JUMP_MS:
            self._paused_until = ticks + CLOCK_JUMP_PAUSE_SECONDS
            log.warning("the clock was set: no room is hibernated for an hour")
        self._clock_offset_ms = offset_ms
        return ticks < self._paused_until

    async def _try_hibernating(self, room_id: RoomId) -> bool:
        try:
            hibernated = await self._hibernator.hibernate(room_id)
        except StoreUnavailableError:
            raise
        except (NotIdleError, ShardError, ObjectError, OSError) as error:
            facts = {"room_id": room_id, "reason": str(error)}
            log.info("a room is not hibernated", extra=facts)
            await self._put_off(room_id)
            return False
        except Exception:
            await self._put_off(room_id)
            raise
        facts = {"room_id": room_id, "bytes": hibernated.file_bytes, "kept": hibernated.size_bytes}
        log.info("a room was hibernated", extra=facts)
        return True

    async def _put_off(self, room_id: RoomId) -> None:
        async with self._directory.database.write() as writer:
            await hibernations.put_off(writer, room_id, before_ms=self._clock() - self._idle_ms)

    async def execute_orders(self) -> int:
        """Execute the orders of commands, and return their count."""
        async with self._directory.database.read() as reader:
            orders = await room_orders.unfilled(reader)
        await asyncio.gather(*map(self._execute, orders))
        return len(orders)

    async def _execute(self, order: Order) -> None:
        problem = ""
        try:
            await (self.hibernate if order.wanted == "hibernate" else self.wake)(order.room_id)
        except NotIdleError as error:
            problem = f"The room stays where it is: {error}."
        except (ShardError, ObjectError, DatabaseError, DirectoryError) as error:
            problem = str(error)
        except Exception as error:  # the command that waits is answered, and other orders are executed
            log.exception("an order failed", extra={"room_id": order.room_id, "wanted": order.wanted})
            problem = describe(error)
        async with self._directory.database.write() as writer:
            await room_orders.fill(writer, order, problem)

    async def hibernate(self, room_id: RoomId) -> None:
        """Hibernate a room, unless it is hibernated; raises the errors of `Hibernator.hibernate`."""
        await self._hibernator.hibernate(room_id)

    async def wake(self, room_id: RoomId) -> None:
        """Wake a room by reading from it; raises ShardError."""
        for number in range(WAKE_TRIES):
            try:
                await self._pool.read(room_id, identity.one)
            except WakingError:
                if number == WAKE_TRIES - 1 or not self._pool.suspensions.is_shut(room_id):
                    raise
            else:
                return

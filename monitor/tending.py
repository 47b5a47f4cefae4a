"""What a monitor does after its round and takes its time for: looks a few shards through, and tidies a few up.

Shards are looked through in turns, those never looked through first. One monitor tends at a time, beside the rounds, so
that a shard of ten gigabytes delays no alert.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from directory import shards
from directory.directory import Directory
from ids import RoomId
from monitor import turns
from monitor.examining import SEARCH_SECONDS, Examined, Examining
from monitor.sizes import Tally
from monitor.tidying import Tidied, Tidying
from shard.errors import ShardBusyError, ShardError

log = logging.getLogger(__name__)

EXAMINED_AT_ONCE: Final = 5
"""Shards that are looked through after a round: 1,440 in a day of rounds every five minutes."""
TIDIED_AT_ONCE: Final = 3
"""Shards that are tidied up after a round."""


@dataclass(slots=True)
class Tended:
    """What was done."""

    examined: list[Examined] = field(default_factory=list)
    tidied: dict[RoomId, Tidied] = field(default_factory=dict)


class Tending:
    """Tends the fleet; without `tidying`, where the pool with the rooms' writers is another process's, nothing is
    written to shards."""

    def __init__(
        self, directory: Directory, examining: Examining, tidying: Tidying | None, lock: Path, clock: Callable[[], int]
    ) -> None:
        self._directory = directory
        self._examining = examining
        self._tidying = tidying
        self._lock = lock
        self._clock = clock

    async def go(self, tally: Tally) -> Tended | None:
        """Do what a round left to do, and return it; None when another monitor is tending. Raises DirectoryError."""
        with turns.taken(self._lock) as is_mine:
            if not is_mine:
                return None
            done = Tended()
            for room_id in await self._next(tally):
                await self._examine(room_id, done)
            if self._tidying is not None:
                for room_id in filter(self._tidying.is_here, tally.untidy[:TIDIED_AT_ONCE]):
                    await self._tidy(self._tidying, room_id, done)
            return done

    async def _next(self, tally: Tally) -> Sequence[RoomId]:
        """Return whom to look through: shards in quarantine that were replaced, and whose turn it is."""
        async with self._directory.database.read() as reader:
            turn = await shards.least_examined(reader, limit=EXAMINED_AT_ONCE)
        return [*tally.changed[:EXAMINED_AT_ONCE], *(shard.room_id for shard in turn)]

    async def _examine(self, room_id: RoomId, done: Tended) -> None:
        try:
            done.examined.append(await self._examining.examine(room_id, search_seconds=SEARCH_SECONDS))
        except ShardBusyError as error:
            log.info("a shard could not be looked through", extra={"room_id": room_id, "reason": str(error)})
            async with self._directory.database.write() as writer:
                # Its turn is over, or nobody else would have one.
                await shards.note_examined(writer, room_id, now_ms=self._clock())

    async def _tidy(self, tidying: Tidying, room_id: RoomId, done: Tended) -> None:
        try:
            done.tidied[room_id] = await tidying.tidy(room_id)
        except ShardError as error:
            log.warning("a shard could not be tidied up", extra={"room_id": room_id, "reason": str(error)})

"""Keeps the pool to what the directory says of shards: how far each may grow, and who is in quarantine.

A full room takes nothing but what frees space, which the door sees to. That may need space first, since a deletion
leaves an event: SQLite's own limit makes way for it, however large the room was when it was closed.

The directory's changes are hints, those of another process included; the rows are read anew after each.
"""

from typing import Final

from directory import shards
from directory.changes import Change, EverythingChanged, RoomChanged
from directory.shards import Bound
from rookery.composition import Stores, hard_limit

FULL_PERCENT: Final = 150
"""How far a full room may grow by what is deleted from it, in percent of what it had."""


class ShardTerms:
    """Listens to the directory; `refresh` is called now and then, and costs nothing while nothing changed."""

    def __init__(self, stores: Stores, size_limit_bytes: int) -> None:
        self._stores = stores
        self._size_limit_bytes = size_limit_bytes
        self._is_stale = True
        stores.directory.database.listen(self._hear)

    def _hear(self, change: Change) -> None:
        self._is_stale |= isinstance(change, RoomChanged | EverythingChanged)

    async def refresh(self) -> None:
        """Read the rows again if something may have changed."""
        if not self._is_stale:
            return
        self._is_stale = False
        try:
            async with self._stores.directory.database.read() as reader:
                bounds = await shards.bounds(reader)
                quarantined = await shards.quarantined(reader)
        except BaseException:
            self._is_stale = True
            raise
        self._stores.pool.limit({room_id: self._limit(bound) for room_id, bound in bounds.items()})
        self._stores.pool.quarantine(quarantined)

    def _limit(self, bound: Bound) -> int:
        limit_bytes = hard_limit(bound.size_limit_bytes or self._size_limit_bytes)
        return limit_bytes if bound.full_bytes is None else max(limit_bytes, bound.full_bytes * FULL_PERCENT // 100)

"""Limits of shards: the size bounds and the quarantines of the directory, applied to the pool.

Room access ensures that a full room accepts only requests that free space. These may need space first, since a
deletion adds an event: SQLite's own limit leaves room for it, regardless of the size at which the room was closed.

The directory's changes are hints, those of another process included; the rows are read anew after each.
"""

from typing import Final

from database.database import EverythingChanged
from directory import shards
from directory.changes import Change, RoomChanged
from directory.shards import Bound
from monitor import levels
from rookery.composition import Stores, hard_limit
from shard.engine.space import Limit

FULL_PERCENT: Final = 150
"""Growth that deletions in a full room may cause, in percent of its size."""


class ShardLimits:
    """A listener of the directory; its periodic task `refresh` costs nothing while nothing changed."""

    def __init__(self, stores: Stores, size_limit_bytes: int) -> None:
        self._stores = stores
        self._size_limit_bytes = size_limit_bytes
        self._is_stale = True
        stores.directory.database.listen(self._note)

    def _note(self, change: Change) -> None:
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

    def _limit(self, bound: Bound) -> Limit:
        size_limit_bytes = bound.size_limit_bytes or self._size_limit_bytes
        hard, full_bytes = hard_limit(size_limit_bytes), levels.opens_below(size_limit_bytes)
        if bound.full_bytes is None:
            return Limit(hard, full_bytes)
        return Limit(max(hard, bound.full_bytes * FULL_PERCENT // 100), full_bytes, is_full=True)

"""Keeps the pool to what the directory says of shards: who has a limit of its own, and who is in quarantine.

The directory's changes are hints, those of another process included; the rows are read anew after each.
"""

from directory import shards
from directory.changes import Change, EverythingChanged, RoomChanged
from rookery.composition import Stores, hard_limit


class ShardTerms:
    """Listens to the directory; `refresh` is called now and then, and costs nothing while nothing changed."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
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
                limits = await shards.limits(reader)
                quarantined = await shards.quarantined(reader)
        except BaseException:
            self._is_stale = True
            raise
        self._stores.pool.limit({room_id: hard_limit(own) for room_id, own in limits.items()})
        self._stores.pool.quarantine(quarantined)

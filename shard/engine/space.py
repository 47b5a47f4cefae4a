"""Space for rooms: the size limit of each, the rooms whose writes found none, and the disk."""

from collections.abc import Mapping
from typing import NamedTuple

from ids import RoomId
from shard.engine.files import Bounds


class Limit(NamedTuple):
    """The bound of a room that differs from that of most; `is_full` as the monitor judged it last."""

    size_bytes_max: int
    full_bytes: int | None = None
    is_full: bool = False


class Space:
    """The space that rooms have, as the event loop knows it; `short` are rooms in which a write found none."""

    def __init__(self, common: Bounds) -> None:
        self._common = common
        self.limits: Mapping[RoomId, Limit] = {}
        self.short: set[RoomId] = set()
        self.is_disk_full = False
        """Set by the server's look at the disk: what makes rooms larger is refused then."""

    def bounds(self, room_id: RoomId) -> Bounds:
        """Return the bounds of a room's writer."""
        own = self.limits.get(room_id)
        if own is None:
            return self._common
        return self._common._replace(size_bytes_max=own.size_bytes_max, full_bytes=own.full_bytes)

    def is_full(self, room_id: RoomId) -> bool:
        """Tell whether a room was full when it was measured last."""
        own = self.limits.get(room_id)
        return own is not None and own.is_full

    def take_short(self) -> set[RoomId]:
        """Return the rooms in which a write found no space since the last call."""
        short, self.short = self.short, set()
        return short

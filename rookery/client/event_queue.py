"""Queue of received happenings, bounded in bytes, each with the positions that taking it leads to."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rookery.client.errors import ClosedError
from rookery.client.events import Happening, Ready

PAUSE_BYTES: Final = 1_048_576
"""Of frames whose happenings wait: from here on nothing more is read unless a request waits for its answer."""
BYTES_MAX: Final = 8_388_608
"""With this many waiting only answers are received; the rest comes later, by resuming."""
ITEM_BYTES: Final = 256
"""Memory of an item beside its part of the frame."""


@dataclass(frozen=True, slots=True)
class Item:
    """A happening to take, if it is one. `positions` are those that change with it, None for a removed room."""

    happening: Happening | None
    positions: Mapping[str, int | None]
    size: int


class EventQueue:
    """A queue that knows how many bytes wait in it, and the error that ends it."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._has_items = asyncio.Event()
        self._error: Exception | None = None
        self.size = 0

    @property
    def is_full(self) -> bool:
        """Return whether nothing more should be read, unless a request waits for its answer."""
        return self.size > PAUSE_BYTES

    def put(self, happening: Happening | None, positions: Mapping[str, int | None], size: int) -> None:
        """Add the content of a frame, or of its part of `size` bytes."""
        self._items.append(Item(happening, positions, size + ITEM_BYTES))
        self.size += size + ITEM_BYTES
        self._has_items.set()

    async def take(self) -> Item:
        """Return the next item, as soon as there is one; raises the error that ended the queue."""
        while not self._items:
            if self._error is not None:
                raise self._error
            self._has_items.clear()
            await self._has_items.wait()
        item = self._items.popleft()
        self.size -= item.size
        return item

    def forget(self, room_id: str) -> None:
        """Drop the items of a room."""
        items, self._items, self.size = self._items, deque(), 0
        for item in items:
            if isinstance(item.happening, Ready):
                positions = {other: position for other, position in item.positions.items() if other != room_id}
                self.put(item.happening, positions, item.size - ITEM_BYTES)
            elif room_id not in item.positions and getattr(item.happening, "room_id", None) != room_id:
                self.put(item.happening, item.positions, item.size - ITEM_BYTES)

    def end(self, error: Exception) -> None:
        """Raise an error from now on where there is nothing to take; ClosedError drops what there is."""
        if isinstance(error, ClosedError):
            self._items.clear()
            self.size = 0
        self._error = error
        self._has_items.set()

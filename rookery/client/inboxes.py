"""What was heard and nobody has taken yet, within bounds, with the places that one has once it is taken."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rookery.client.errors import ClosedError
from rookery.client.happenings import Happening, Ready

PAUSE_BYTES: Final = 1_048_576
"""Of frames whose happenings wait: from here on nothing more is read unless somebody waits for an answer."""
BYTES_MAX: Final = 8_388_608
"""With this many waiting only answers are taken in, for whoever waits for one; the rest comes later, by resuming."""
ITEM_BYTES: Final = 256
"""What an item weighs beside its part of the frame."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something to take. `places` are those that change with it, None for a room that is heard no more."""

    happening: Happening | None
    places: Mapping[str, int | None]
    size: int


class Inbox:
    """A queue that knows how much waits in it, and why nothing more will come."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._came = asyncio.Event()
        self._error: Exception | None = None
        self.size = 0

    @property
    def is_full(self) -> bool:
        """Whether to read on only for whoever waits for an answer."""
        return self.size > PAUSE_BYTES

    def put(self, happening: Happening | None, places: Mapping[str, int | None], size: int) -> None:
        """Add what came in a frame, or in its part of `size` bytes."""
        self._items.append(Item(happening, places, size + ITEM_BYTES))
        self.size += size + ITEM_BYTES
        self._came.set()

    async def take(self) -> Item:
        """Return the next item, as soon as there is one; raises why there will be none."""
        while not self._items:
            if self._error is not None:
                raise self._error
            self._came.clear()
            await self._came.wait()
        item = self._items.popleft()
        self.size -= item.size
        return item

    def forget(self, room_id: str) -> None:
        """Drop what waits of a room."""
        items, self._items, self.size = self._items, deque(), 0
        for item in items:
            if isinstance(item.happening, Ready):
                places = {other: place for other, place in item.places.items() if other != room_id}
                self.put(item.happening, places, item.size - ITEM_BYTES)
            elif room_id not in item.places and getattr(item.happening, "room_id", None) != room_id:
                self.put(item.happening, item.places, item.size - ITEM_BYTES)

    def end(self, error: Exception) -> None:
        """Raise this from now on where there is nothing to take; after ClosedError there is nothing."""
        if isinstance(error, ClosedError):
            self._items.clear()
            self.size = 0
        self._error = error
        self._came.set()

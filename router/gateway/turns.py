"""Whoever is told of the past takes turns, and gives way to a crowd that connects: `ready` must not wait for others'
history."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

AT_ONCE: Final = 16
"""Clients that are told of the past in one turn of the loop: the others wait, and what happens now does not."""
CROWD: Final = 16
"""So many who connect within BUSY_SECONDS are a crowd."""
BUSY_SECONDS: Final = 0.1
"""How long after a crowd connected others may be expected to."""
GIVES_WAY_SECONDS: Final = 0.05
"""How long each turn waits then: some 300 blocks a second are told all the same."""


class Turns:
    """One is taken for each block of the log that is told to one client."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)
        self._clock = asyncio.get_running_loop().time
        self._came_at: deque[float] = deque(maxlen=CROWD)

    def come(self) -> None:
        """Note that somebody connected."""
        self._came_at.append(self._clock())

    @property
    def _is_crowded(self) -> bool:
        return len(self._came_at) == CROWD and self._clock() - self._came_at[0] < BUSY_SECONDS

    @asynccontextmanager
    async def taken(self, *, gives_way: bool) -> AsyncIterator[None]:
        """Hold a turn; who `gives_way` waits a little in it while a crowd connects."""
        async with self._free:
            if gives_way and self._is_crowded:
                await asyncio.sleep(GIVES_WAY_SECONDS)
            yield

"""Whoever is told of the past takes turns, and gives way to who connects: `ready` must not wait for others' history."""

import asyncio
from typing import Final

AT_ONCE: Final = 16
"""Clients that are told of the past in one turn of the loop: the others wait, and what happens now does not."""
BUSY_SECONDS: Final = 0.1
"""How long after somebody connected others may be expected to."""
GIVES_WAY_SECONDS: Final = 0.05
"""How long each turn waits then: some 300 blocks a second are told all the same."""


class Turns:
    """Held for each block of the past that is told, as an asynchronous context."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)
        self._clock = asyncio.get_running_loop().time
        self._came_at = -BUSY_SECONDS

    def come(self) -> None:
        """Note that somebody connected."""
        self._came_at = self._clock()

    async def __aenter__(self) -> None:
        await self._free.acquire()
        if self._clock() - self._came_at < BUSY_SECONDS:
            try:
                await asyncio.sleep(GIVES_WAY_SECONDS)
            except BaseException:
                self._free.release()
                raise

    async def __aexit__(self, *_error: object) -> None:
        self._free.release()

"""Throttle of replays: at most 16 clients are sent a block of the log at a time, and slower while many connect, so that
`ready` does not wait for others' history."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

REPLAYS_MAX: Final = 16
"""Clients that are sent a block in one turn of the loop: the others wait, and live events do not."""
CROWD: Final = 16
"""Connections within BUSY_SECONDS that make a crowd."""
BUSY_SECONDS: Final = 0.1
"""Time after a crowd connected in which more connections are expected."""
GIVES_WAY_SECONDS: Final = 0.05
"""Pause of each block while a crowd connects: some 300 blocks a second are sent all the same."""


class ReplayThrottle:
    """Slots for replays: one is held for each block of the log that is sent to one client."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(REPLAYS_MAX)
        self._clock = asyncio.get_running_loop().time
        self._connected_at: deque[float] = deque(maxlen=CROWD)

    def note_connection(self) -> None:
        """Note that a client connected."""
        self._connected_at.append(self._clock())

    @property
    def _is_crowded(self) -> bool:
        return len(self._connected_at) == CROWD and self._clock() - self._connected_at[0] < BUSY_SECONDS

    @asynccontextmanager
    async def slot(self, *, gives_way: bool) -> AsyncIterator[None]:
        """Hold a slot; with `gives_way`, pause in it first while a crowd connects."""
        async with self._slots:
            if gives_way and self._is_crowded:
                await asyncio.sleep(GIVES_WAY_SECONDS)
            yield

"""A gate that blocks the thread of a queue, so that the tasks queued meanwhile are done in one batch."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shard.engine.connections import Reader
from tests.shard.stage import Room, Stage, until


class Gate:
    """An act that lasts until the gate is opened."""

    def __init__(self) -> None:
        self._is_held = threading.Event()
        self._is_open = threading.Event()

    def open(self) -> None:
        self._is_open.set()

    def hold(self, _reader: Reader) -> None:
        """Wait on the thread of the queue."""
        self._is_held.set()
        assert self._is_open.wait(timeout=60)

    @asynccontextmanager
    async def held(self, it: Stage, room: Room) -> AsyncIterator[None]:
        """Block the room's write queue for the block."""
        holding = asyncio.ensure_future(it.pool.write(room.id, self.hold))
        await until(self._is_held.is_set)
        try:
            yield
        finally:
            self.open()
            await holding

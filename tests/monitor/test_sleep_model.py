"""Putting a room away and bringing it back at any moment loses and doubles nothing, for whoever writes or listens."""

import asyncio
import contextlib
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from ids import RoomId
from monitor.hibernator import NotIdleError
from router.gateway.event_buffer import BlockCache
from router.gateway.live_room import LiveRoom
from router.gateway.metrics import GatewayMetrics
from shard.errors import UnavailableError
from shard.rows import Event, Message
from tests.monitor import sleepers
from tests.monitor.sleepers import Bed
from tests.router.listening import Listener
from tests.shard.stage import until

P = ParamSpec("P")
T = TypeVar("T")

SEEDS = range(max(4, int(os.environ.get("ROOKERY_CRASH_CYCLES", "0")) // 4))
ACTS = 60
LISTENERS = 3


class Model:
    """What the room ought to say, and those who listen to it."""

    def __init__(self, bed: Bed, room: LiveRoom, chance: random.Random) -> None:
        self.bed = bed
        self.room = room
        self.chance = chance
        self.said: dict[int, str] = {}
        self.messages: list[Message] = []
        self.sleeps = 0
        self.start = bed.events[-1].seq
        self.listeners = [Listener(bed.owner_id) for _ in range(LISTENERS)]
        for listener in self.listeners:
            listener.come(room, self.start)

    async def send(self) -> None:
        message = await self._insist(self.bed.send, f"message {len(self.said)}")
        self.said[message.id] = message.content
        self.messages.append(message)

    async def edit(self) -> None:
        if self.messages:
            message = self.messages.pop(self.chance.randrange(len(self.messages)))
            text = f"{message.content}, edited"
            await self._insist(self.bed.edit, message, text)
            self.said[message.id] = text

    async def read(self) -> None:
        known = dict(self.said)
        found = await self._insist(self.bed.texts)
        assert len(found) >= len(known)

    async def hibernate(self) -> None:
        with contextlib.suppress(NotIdleError, UnavailableError):
            await self.bed.hibernator.hibernate(self.bed.room_id)
            self.sleeps += 1

    async def come_and_go(self) -> None:
        listener = self.chance.choice(self.listeners)
        place = listener.place(self.start)
        listener.go(self.room)
        await asyncio.sleep(self.chance.uniform(0, 0.02))
        if listener.connection is None:
            listener.come(self.room, place, resumes=True)

    async def _insist(self, act: Callable[P, Awaitable[T]], *arguments: P.args, **options: P.kwargs) -> T:
        """Do an act as a client does that is told to come back: one that was refused was not done."""
        while True:
            try:
                return await act(*arguments, **options)
            except UnavailableError:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("seed", SEEDS)
async def test_sleeping_at_any_moment_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    """Between sends, edits, reads and listeners that come and go, a room sleeps and wakes, and nobody can tell."""
    chance = random.Random(seed)
    rooms: list[LiveRoom] = []

    def publish(_room_id: RoomId, events: Sequence[Event]) -> None:
        for room in rooms:
            if events:
                room.publish(events)

    async with sleepers.made(tmp_path, publish=publish) as bed:
        room = LiveRoom(bed.room_id, bed.stores.pool, BlockCache(), GatewayMetrics(lambda: bed.now_ms))
        rooms.append(room)
        await bed.send("first")
        model = Model(bed, room, chance)
        acts = (model.send, model.send, model.send, model.edit, model.read, model.hibernate, model.come_and_go)
        tasks = []
        for _ in range(ACTS):
            act = chance.choice(acts)
            tasks.append(asyncio.ensure_future(act()))
            # Whoever asks ends a hibernation that has begun: now and then it comes to its end.
            if act == model.hibernate and chance.random() < 0.5:
                await asyncio.gather(*tasks)
            await asyncio.sleep(chance.choice((0, 0, 0, 0.02, 0.1)))
        await asyncio.gather(*tasks)
        await bed.hibernator.hibernate(bed.room_id)
        await model.send()
        assert await bed.texts() == ["first", *(model.said[number] for number in sorted(model.said))]
        numbers = [event.seq for event in bed.events]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "the log went on without a gap"
        for listener in model.listeners:
            await until(lambda one=listener: one.place(model.start) == numbers[-1])  # type: ignore[misc]
            heard = [event["seq"] for event in listener.events()]
            assert len(set(heard)) == len(heard)
        assert model.sleeps, "it slept at least once meanwhile"
        room.close()

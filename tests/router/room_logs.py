"""A live room over a log that the test writes itself, and what its listeners hear."""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any, cast

import pytest

from ids import ChannelId, RoomId, UserId
from router.gateway import broadcast
from router.gateway.event_buffer import BlockCache
from router.gateway.live_room import LiveRoom
from router.gateway.metrics import GatewayMetrics
from shard.actions import gateway
from shard.actions.gateway import Watch
from shard.engine.pool import ShardPool
from shard.errors import ShardBusyError
from shard.rows import Event
from shard.visibility import Audience
from tests.router.listening import Listener
from tests.shard.stage import until

__all__ = ["ANNA", "BEN", "HIDDEN", "OPEN", "SEES_ALL", "SEES_OPEN", "Log", "heard", "log", "room"]

ANNA, BEN = UserId(12), UserId(13)
OPEN, HIDDEN = ChannelId(1), ChannelId(2)
SEES_OPEN = Audience(frozenset({OPEN}), frozenset({OPEN}), is_told_of_bans=False)
SEES_ALL = Audience(frozenset({OPEN, HIDDEN}), frozenset({OPEN, HIDDEN}), is_told_of_bans=True)


class Log:
    """A shard of which the test decides what it has, what everybody sees, and whether it answers."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.first = 1
        self.audiences = {ANNA: SEES_OPEN, BEN: SEES_OPEN}
        self.is_broken = False
        self.held: asyncio.Event | None = None
        self.replays: list[tuple[int, int]] = []

    async def read(self, _room_id: RoomId, act: Any, *arguments: Any) -> Any:
        answer = self._watch(*arguments) if act is gateway.watch else self._replay(*arguments)
        if self.held is not None:
            await self.held.wait()
        await asyncio.sleep(0)
        if self.is_broken:
            raise ShardBusyError("broken")
        return answer

    def _watch(self, user_ids: Collection[UserId]) -> Watch:
        seen = {user_id: self.audiences[user_id] for user_id in user_ids if user_id in self.audiences}
        return Watch(seen, self.first if self.events else 0, self.events[-1].seq if self.events else 0)

    def _replay(self, after: int, until_: int) -> list[Event]:
        self.replays.append((after, until_))
        return [event for event in self.events if max(after, self.first - 1) < event.seq <= until_]

    def append(
        self, count: int = 1, type_: str = "message.created", channel_id: ChannelId | None = OPEN
    ) -> list[Event]:
        """Commit some events and return them."""
        seq = self.events[-1].seq if self.events else 0
        added = [Event(seq + at, type_, channel_id, ANNA, {}, None, 0) for at in range(1, count + 1)]
        self.events += added
        return added


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def room(log: Log, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LiveRoom]:
    monkeypatch.setattr(broadcast, "RETRY_SECONDS", 0.01)
    room = LiveRoom(RoomId(7), cast(ShardPool, log), BlockCache(), GatewayMetrics(lambda: 0))
    yield room
    room.close()


async def heard(listener: Listener, count: int) -> list[int]:
    """Wait until somebody has heard so many events, and a moment longer; return their numbers."""
    await until(lambda: len(listener.events()) >= count)
    await asyncio.sleep(0.03)
    return [event["seq"] for event in listener.events()]

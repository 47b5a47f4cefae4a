"""Event buffer of a room: no words that are not there any more; and the throttle of replays."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager

from ids import ChannelId, MessageId, RoomId, UserId
from router.gateway import replay_throttle
from router.gateway.event_buffer import BlockCache, EventBuffer
from router.gateway.replay_throttle import ReplayThrottle
from shard.rows import Event


def event(seq: int, type_: str) -> Event:
    return Event(seq, type_, ChannelId(1), UserId(1), {"seq": seq}, None, 0, MessageId(seq))


async def none(_after: int, _until: int) -> list[Event]:
    return []


async def test_a_commit_that_takes_words_away_leaves_none_of_them_in_the_tail() -> None:
    """What was said before a deletion is read anew, also where both are of one commit; what follows it is at hand."""
    buffer = EventBuffer(RoomId(1), BlockCache(), none)
    buffer.add([event(1, "message.created")])
    edition = buffer.edition
    told = buffer.add([event(2, "message.created"), event(3, "message.deleted"), event(4, "message.created")])
    assert [one.seq for one in told] == [2, 3, 4]
    assert buffer.edition != edition
    assert buffer.recent(0) is None
    assert buffer.recent(1) is None
    recent = buffer.recent(2)
    assert recent is not None
    assert [one.seq for one in recent] == [3, 4]
    buffer.add([event(5, "message.created")])
    recent = buffer.recent(2)
    assert recent is not None
    assert [one.seq for one in recent] == [3, 4, 5]


async def seconds_of(turn: AbstractAsyncContextManager[None]) -> float:
    began = time.monotonic()
    async with turn:
        return time.monotonic() - began


async def test_the_past_gives_way_to_a_crowd_that_connects() -> None:
    """While many connect each turn waits a little, never for good; for few it does not, nor does what is no past."""
    mine = ReplayThrottle()
    for _ in range(replay_throttle.CROWD - 1):
        mine.note_connection()
    assert await seconds_of(mine.slot(gives_way=True)) < replay_throttle.GIVES_WAY_SECONDS
    mine.note_connection()
    assert await seconds_of(mine.slot(gives_way=False)) < replay_throttle.GIVES_WAY_SECONDS
    for _ in range(replay_throttle.CROWD):
        mine.note_connection()
    assert await seconds_of(mine.slot(gives_way=True)) >= replay_throttle.GIVES_WAY_SECONDS
    await asyncio.sleep(replay_throttle.BUSY_SECONDS)
    assert await seconds_of(mine.slot(gives_way=True)) < replay_throttle.GIVES_WAY_SECONDS


async def test_so_many_are_told_of_the_past_at_once_and_the_others_wait() -> None:
    """A turn that ended, whatever way, is somebody else's."""
    mine = ReplayThrottle()
    goes_on = asyncio.Event()

    async def hold() -> None:
        async with mine.slot(gives_way=True):
            held.append(1)
            await goes_on.wait()

    held: list[int] = []
    tasks = [asyncio.ensure_future(hold()) for _ in range(replay_throttle.REPLAYS_MAX + 2)]
    await asyncio.sleep(0.02)
    assert len(held) == replay_throttle.REPLAYS_MAX
    tasks[0].cancel()
    await asyncio.sleep(0.02)
    assert len(held) == replay_throttle.REPLAYS_MAX + 1
    goes_on.set()
    await asyncio.gather(*tasks[1:])
    assert len(held) == replay_throttle.REPLAYS_MAX + 2

"""What a room's tape keeps as it was published: no words that are not there any more; and who is told of it when."""

import asyncio
import time

import pytest

from ids import ChannelId, MessageId, RoomId, UserId
from router.gateway import turns
from router.gateway.tapes import Library, Tape
from router.gateway.turns import Turns
from shard.rows import Event


def event(seq: int, type_: str) -> Event:
    return Event(seq, type_, ChannelId(1), UserId(1), {"seq": seq}, None, 0, MessageId(seq))


async def none(_after: int, _until: int) -> list[Event]:
    return []


async def test_a_commit_that_takes_words_away_leaves_none_of_them_in_the_tail() -> None:
    """What was said before a deletion is read anew, also where both are of one commit; what follows it is at hand."""
    tape = Tape(RoomId(1), Library(), none)
    tape.add([event(1, "message.created")])
    edition = tape.edition
    told = tape.add([event(2, "message.created"), event(3, "message.deleted"), event(4, "message.created")])
    assert [one.seq for one in told] == [2, 3, 4]
    assert tape.edition != edition
    assert tape.recent(0) is None
    assert tape.recent(1) is None
    recent = tape.recent(2)
    assert recent is not None
    assert [one.seq for one in recent] == [3, 4]
    tape.add([event(5, "message.created")])
    recent = tape.recent(2)
    assert recent is not None
    assert [one.seq for one in recent] == [3, 4, 5]


async def test_the_past_gives_way_to_who_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    """While clients connect each turn waits a little, never for good; at most so many are taken at once."""
    monkeypatch.setattr(turns, "GIVES_WAY_SECONDS", 0.05)
    mine = Turns()
    began = time.monotonic()
    for _ in range(100):
        async with mine:
            pass
    assert time.monotonic() - began < 0.05
    mine.come()
    began = time.monotonic()
    async with mine:
        pass
    assert time.monotonic() - began >= 0.05
    held = [asyncio.ensure_future(mine.__aenter__()) for _ in range(turns.AT_ONCE + 1)]
    await asyncio.sleep(0.2)
    assert [one.done() for one in held] == [True] * turns.AT_ONCE + [False]
    await mine.__aexit__()
    await held[-1]

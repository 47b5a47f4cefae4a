"""Searches for what many messages nearly have, in an archived room whose channels were busy at the same time."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from shard.actions.search import BEGINNING, Newest, SearchRequest
from shard.history import search
from shard.search import match, query
from tests.shard import twins
from tests.shard.stage import ANNA, BEN
from tests.shard.twins import DAY_MS, Side, Twins

MESSAGES, EVERY = 600, 97
TICK_SECONDS = 0.001
"""How much later it is at each look at the clock: a search looks at it once for each message."""


@pytest.fixture
async def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Twins]:
    """Open two rooms in which two channels had "C" all the time and "C#" seldom; one is archived."""
    twins.shrink(monkeypatch, most=400)
    async with twins.twins(tmp_path) as opened:
        for number in range(MESSAGES):
            words = f"C# {number}" if number % EVERY == 0 else f"C {number}"
            await opened.send(words, user_id=ANNA, channel=("general", "flat")[number % 2])
        opened.wait(40 * DAY_MS)
        assert (await opened.archived.archive()).segments_made >= 2
        yield opened


@pytest.fixture(autouse=True)
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each look at the clock cost a millisecond, whatever the machine."""
    now = 0.0

    def monotonic() -> float:
        nonlocal now
        now += TICK_SECONDS
        return now

    for module in (match, search):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=monotonic))


async def walk(side: Side, text: str) -> tuple[list[str], int]:
    """Return everything that is found, and the requests that it took."""
    request = SearchRequest(query=query.parse(text), limit=25, seconds=0.05, deadline_seconds=10.0)
    found: list[str] = []
    for number in range(1, 1_000):
        page = await side.searches.search_room(side.room.id, BEN, request, now_ms=side.stage.now_ms)
        found += [message.content for message in page.messages]
        if page.next_place is None:
            return found, number
        assert isinstance(page.next_place, Newest)
        assert page.next_place < (request.place if isinstance(request.place, Newest) else BEGINNING)
        request = replace(request, place=page.next_place)
    raise AssertionError("the search does not end")


async def test_segments_that_overlap_are_not_searched_again_at_every_cut(both: Twins) -> None:
    """A search that runs out of time often finds the same in an archived room, in a small multiple of the requests."""
    plain, live = await walk(both.plain, "C#")
    archived, requests = await walk(both.archived, "C#")
    assert archived == plain
    assert len(plain) == -(-MESSAGES // EVERY)
    assert live > 4
    assert requests <= 3 * live

"""Rooms with more segments than one answer looks into: what lies far back is reached, page by page."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ids import MessageId
from objects.errors import ObjectNotFoundError
from shard.actions.search import SearchRequest
from shard.archive import manifest
from shard.history import merge
from shard.rows import Message
from shard.search import query
from tests.shard import twins
from tests.shard.stage import ANNA, OWNER
from tests.shard.twins import DAY_MS, Side, Twins

FIRST, LAST = 2, 57
"""The messages that call the owner and have the rare word; between them are more segments than are named at once."""


@pytest.fixture
async def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Twins]:
    """Open two rooms of 60 messages, of which one has archived 55 in ten segments; an answer knows of three."""
    twins.shrink(monkeypatch)
    monkeypatch.setattr(manifest, "PAGE_MAX", 3)
    monkeypatch.setattr(merge, "ASKED_MAX", 2)
    async with twins.twins(tmp_path) as opened:
        for number in range(60):
            told = f" moss <@{OWNER}>" if number in (FIRST, LAST) else ""
            await opened.send(f"rook {number}{told}", user_id=ANNA, nonce=f"n{number}")
        opened.wait(40 * DAY_MS)
        assert (await opened.archived.archive()).segments_made >= 9
        yield opened


async def mentioned(side: Side) -> list[Message]:
    """Return everything that calls the owner, read as a client does, two at a time."""
    found: list[Message] = []
    before: MessageId | None = None
    while True:
        page = await side.history.list_mentions(side.room.id, OWNER, before=before, limit=2, now_ms=side.stage.now_ms)
        found += page.rows
        if page.edge is None:
            return found
        assert before is None or page.edge < before
        before = MessageId(page.edge)


async def test_mentions_are_found_however_far_back(both: Twins) -> None:
    """What calls somebody is found behind many segments that have nothing of the kind, by going on at the edge."""
    plain = await mentioned(both.plain)
    assert len(plain) == 2
    assert await mentioned(both.archived) == plain


@pytest.mark.parametrize("text", ["moss", "rook"])
async def test_searches_find_however_far_back(both: Twins, text: str) -> None:
    """A rare word is found behind many segments that do not have it, and a common one in all of them."""
    found = [await _searched(side, text) for side in both.sides]
    assert len(found[0]) == (2 if text == "moss" else 60)
    assert found[1] == found[0]


async def _searched(side: Side, text: str) -> list[MessageId]:
    request = SearchRequest(query=query.parse(text), limit=7, seconds=5.0, deadline_seconds=10.0)
    found = []
    while True:
        page = await side.searches.search_room(side.room.id, OWNER, request, now_ms=side.stage.now_ms)
        found += [message.id for message in page.messages]
        if page.next_place is None:
            return found
        assert page.next_place < request.place
        request = replace(request, place=page.next_place)


async def test_exports_take_everything_along(both: Twins) -> None:
    """An export goes on behind the segments that one answer knows of, and has every message once."""
    found = [await _exported(side) for side in both.sides]
    assert len(found[0]) == 60
    assert found[1] == found[0]


async def _exported(side: Side) -> list[Message]:
    found: list[Message] = []
    after = MessageId(0)
    while True:
        page = await side.history.export_messages(side.room.id, OWNER, after=after, limit=50, now_ms=side.stage.now_ms)
        found += page.rows
        if page.edge is not None:
            assert page.edge > after
            after = MessageId(page.edge)
        elif len(page.rows) < 50:
            return found
        else:
            after = page.rows[-1].id


async def test_a_search_begins_anew_when_a_segment_was_replaced(both: Twins) -> None:
    """A search that was told of a segment just before it was written anew finds what it would find a moment later."""
    side, (plain, _) = both.archived, both.sides
    expected = await _searched(plain, "rook")
    await side.archiver.cache.clear()
    opened = side.store.open
    gone: list[str] = []

    def replaced(key: str, *more: Any) -> Any:
        if not gone:
            gone.append(key)
            raise ObjectNotFoundError(key)
        return opened(key, *more)

    side.store.open = replaced  # type: ignore[method-assign,assignment]
    assert await _searched(side, "rook") == expected
    assert gone

"""The word index of another release: begun anew, built again in the background, and nothing missed meanwhile."""

from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

import sqlite
import word_forms
from ids import RoomId
from migrations import engine
from monitor.word_indexer import WORK, WordIndexer
from shard.actions import messages
from shard.actions.search import SearchRequest
from shard.archive import manifest
from shard.engine import files, word_index
from shard.engine.connections import Reader, Writer
from shard.search import query
from shard.text import tokens
from tests.monitor.fleets import Fleet, fleet_in
from tests.shard import finding, stage, twins
from tests.shard.finding import Shard
from tests.shard.twins import DAY_MS, Side

TEXTS = ["Чебышёв was first", "café au lait", "plain words", "thanks🤗", "日本語", "κόσμος and plain"]
ASKED = {
    "чебышев": [0], "cafe": [1], "plain": [2, 5], "🤗": [3], "thanks": [3], "本語": [4], "κοσμος -x": [5], "pl*": [2, 5]
}  # fmt: skip


def find_all(shard: Shard) -> None:
    """Search for each of ASKED, in one page and in pages of one message."""
    for text, numbers in ASKED.items():
        wanted = [TEXTS[number] for number in reversed(numbers)]
        assert shard.find(text) == wanted
        assert [one.content for page in shard.walk(text, limit=1) for one in page.messages] == wanted


def age(writer: Writer) -> None:
    """Make of a shard's index one of an older release, which has other words."""
    writer.run("UPDATE messages SET search_text = 'otherwise'")
    writer.run("UPDATE room SET folding = 'older'")


def indexed(reader: Reader) -> list[int]:
    """Return the ids of the messages in the index, and check that it has what they say."""
    reader.all("INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)")
    return [row[0] for row in reader.all("SELECT id FROM messages_fts_docsize ORDER BY id")]


def test_an_index_of_another_release_is_begun_anew(tmp_path: Path) -> None:
    """At the next open the index is empty and the release is noted; step by step, newest first, all is indexed; what
    is sent, edited and deleted meanwhile is right, and every search finds all of it at every step."""
    with finding.opened(tmp_path) as shard:
        said = shard.say(*TEXTS, "gone", "becomes plain")
        age(shard.writer)
    path = files.path_of(tmp_path, RoomId(1))
    connection, writer = files.open_writer(path, RoomId(1), stage.MIGRATIONS, now_ms=stage.NOW_MS, check=False)
    try:
        again = Shard(connection, writer, shard.room)
        assert (indexed(writer), word_index.unindexed_until(writer)) == ([], said[-1])
        find_all_and(again, ["becomes plain"])
        messages.edit_message(writer, stage.ANNA, shard.room.general, said[-1], "became чебышёв", now_ms=stage.NOW_MS)
        messages.delete_message(writer, stage.ANNA, shard.room.general, said[-2], now_ms=stage.NOW_MS)
        writer.settle()
        (new,) = again.say("new café")
        assert again.find("cafe") == ["new café", "café au lait"]
        assert again.find("чебышев") == ["became чебышёв", TEXTS[0]]
        assert indexed(writer) == [said[-1], new]
        steps = 0
        while word_index.index_older(writer, 2).left:
            steps += 1
            assert indexed(writer)
            assert again.find("cafe") == ["new café", "café au lait"]
            assert again.find("gone") == []
            assert again.find("plain") == [TEXTS[5], TEXTS[2]]
        assert steps >= 3
        assert word_index.unindexed_until(writer) == 0
        assert indexed(writer) == [*said[:6], said[7], new]
        assert not word_index.is_outdated(writer)
    finally:
        connection.close()


def find_all_and(shard: Shard, more: list[str]) -> None:
    """Search for `plain`, which the messages in `more` have too, and for all the others."""
    assert shard.find("plain") == [*more, TEXTS[5], TEXTS[2]]
    for text, numbers in ASKED.items():
        if "pl" not in text:
            assert shard.find(text) == [TEXTS[number] for number in reversed(numbers)]


def test_a_room_of_the_first_schema_is_indexed_again(tmp_path: Path) -> None:
    """The migration keeps every message, and the first open has all of them wait for the index."""
    path = files.path_of(tmp_path, RoomId(1))
    migrations = stage.MIGRATIONS
    before = next(number for number, one in enumerate(migrations) if one.name == "folding")
    connection = sqlite.create(path, sqlite.SHARD_APPLICATION_ID)
    engine.apply(connection, migrations[:before], now_ms=0)
    connection.execute("INSERT INTO room (one, room_id, kind, owner_id, created_at) VALUES (1, 1, 'community', 7, 0)")
    connection.execute(
        "INSERT INTO channels (id, name, type, position, created_by, created_at) VALUES (5, 'general', 'text', 0, 7, 0)"
    )
    for row in enumerate(TEXTS, 10):
        connection.execute(
            "INSERT INTO messages (id, channel_id, user_id, content, created_at) VALUES (?1, 5, 7, ?2, 0)", row
        )
        connection.execute("INSERT INTO messages_fts (rowid, words) VALUES (?, ?)", row)
    connection.close()
    connection, writer = files.open_writer(path, RoomId(1), migrations, now_ms=0, check=True)
    assert word_index.unindexed_until(writer) == 15
    assert word_index.index_older(writer, 100).left == 0
    assert indexed(writer) == [10, 11, 12, 13, 14, 15]
    found = writer.all("SELECT rowid FROM messages_fts WHERE messages_fts MATCH 'чебышев'")
    assert found == [(10,)]
    connection.close()


def test_an_empty_room_waits_for_nothing(tmp_path: Path) -> None:
    """A new room has its release, and no message that waits."""
    with finding.opened(tmp_path) as shard:
        assert (word_index.is_outdated(shard.writer), word_index.unindexed_until(shard.writer)) == (False, 0)


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet_in(tmp_path) as made:
        yield made


async def test_open_rooms_are_indexed_in_the_background(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each open room that waits is indexed to its end; one that fails is set aside, and the others are done."""
    pool = fleet.stores.pool
    rooms = [await fleet.found(f"room-{number}") for number in range(3)]
    for room_id in rooms:
        await fleet.say(room_id, count=30)
    for room_id in rooms[:2]:
        await pool.write(room_id, age)
    await fleet.close_shards()
    for room_id in rooms:
        await pool.read(room_id, word_index.unindexed_until)
    assert pool.unindexed() == rooms[:2]
    step = word_index.index_older

    def fail(writer: Writer, limit: int) -> word_index.Step:
        if writer.room_id == rooms[0]:
            raise apsw.SQLError("planted")
        return step(writer, min(limit, 7))

    monkeypatch.setattr(word_index, "index_older", fail)
    indexer = WordIndexer(fleet.stores.directory, pool, fleet.clock)
    await indexer.run()
    assert pool.unindexed() == rooms[:1]
    assert len(await pool.write(rooms[1], indexed)) >= 30
    assert await indexer._isolation.waits(WORK, rooms[0], now_ms=fleet.clock())
    monkeypatch.setattr(word_index, "index_older", step)
    fleet.clock.now_ms += 7 * DAY_MS
    await indexer.run()
    assert pool.unindexed() == []
    assert len(await pool.write(rooms[0], indexed)) >= 30


@pytest.fixture
async def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Side]:
    """Open a room whose archive has words as another release folded them: none beyond ASCII."""
    twins.shrink(monkeypatch)
    async with twins.side(tmp_path) as opened:
        for number in range(4):
            for text in TEXTS:
                opened.stage.now_ms += 1_000
                await opened.stage.send(opened.room, text, nonce=f"{number} {text}")
        opened.stage.now_ms += 40 * DAY_MS
        with monkeypatch.context() as patch:
            patch.setattr(word_forms, "VERSION", "older")
            patch.setattr(tokens, "to_index", lambda content: None if content.isascii() else "otherwise")
            patch.setattr(word_index, "is_outdated", lambda reader: False)
            await opened.archive()
        yield opened


async def found(side: Side, text: str) -> list[str]:
    """Return the words of what a search finds."""
    request = SearchRequest(query=query.parse(text), limit=100, seconds=60.0, deadline_seconds=60.0)
    page = await side.searches.search_room(side.room.id, stage.OWNER, request, now_ms=side.stage.now_ms)
    return [message.content for message in page.messages]


async def test_segments_of_another_release_hide_nothing(side: Side) -> None:
    """A search reads such segments without their index and their filter; the archiver builds them again."""
    assert {one.folding for one in await twins.segments(side)} == {"older"}
    for text, numbers in ASKED.items():
        assert await found(side, text) == [TEXTS[number] for number in reversed(numbers)] * 4
    before = await twins.every(side)
    outcome = await side.archive()
    assert outcome.segments_rewritten == len(await twins.segments(side)) >= 3
    assert {one.folding for one in await twins.segments(side)} == {word_forms.VERSION}
    assert await side.stage.pool.read(side.room.id, manifest.to_rewrite) is None
    assert await twins.every(side) == before
    for text, numbers in ASKED.items():
        assert await found(side, text) == [TEXTS[number] for number in reversed(numbers)] * 4
    assert (await side.archive()).segments_rewritten == 0

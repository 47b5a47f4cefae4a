"""Acts that keep a shard's file tidy: they change nothing that was said, and each does a little."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import sqlite
from shard import inspections
from shard.engine import maintenance
from shard.engine.connections import Reader, Writer
from tests.migrations.test_shard_plans import QUERIES, plan, slow_steps
from tests.shard import stage
from tests.shard.stage import MIGRATIONS, Room, Stage

MESSAGES = 12_000


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage.opened(tmp_path) as opened:
        yield opened


async def talk(made: Stage, count: int = 400, length: int = 200) -> Room:
    room = await made.found()
    for begin in range(0, count, 500):
        wanted = range(begin, min(begin + 500, count))
        await asyncio.gather(*(made.send(room, f"{number} moss " + "twig " * (length // 5)) for number in wanted))
    return room


def erase(writer: Writer) -> None:
    writer.run("DELETE FROM messages WHERE id % 4 <> 0")


def said(reader: Reader) -> list[tuple[object, ...]]:
    """Return all that a shard has to say."""
    return [
        row
        for table in ("messages", "events", "channels", "members")
        for row in reader.all(f"SELECT * FROM {table} ORDER BY 1")
    ]


async def sizes(made: Stage, room: Room) -> inspections.Measures:
    return await made.pool.read(room.id, inspections.measure, made.folder)


async def test_free_pages_go_back_in_steps_and_nothing_else_changes(made: Stage) -> None:
    """Step by step the file loses its free pages, each step no more than it may, and says what it said before."""
    room = await talk(made)
    await made.pool.write(room.id, erase)
    before, words = await sizes(made, room), await made.pool.read(room.id, said)
    assert before.freelist_bytes > 20 * sqlite.PAGE_BYTES
    free = before.freelist_bytes // sqlite.PAGE_BYTES
    while free:
        step = await made.pool.write(room.id, maintenance.give_back, 7)
        assert free - 7 <= step.left < free
        free = step.left
    after = await sizes(made, room)
    assert after.freelist_bytes == 0
    assert after.size_bytes <= before.size_bytes - before.freelist_bytes
    assert await made.pool.read(room.id, said) == words
    assert inspections.inspect(made.folder, room.id, MIGRATIONS).problems == ()


async def test_the_search_index_becomes_one_segment(made: Stage) -> None:
    """Merged to its end the index has fewer segments, finds the same, and a further merge has nothing to do."""
    room = await made.found()
    for number in range(40):
        await made.send(room, f"twig {number} moss")

    def segments(reader: Reader) -> int:
        return len(reader.all("SELECT DISTINCT segid FROM messages_fts_idx"))

    def found(reader: Reader) -> list[tuple[object, ...]]:
        return reader.all("SELECT rowid FROM messages_fts WHERE messages_fts MATCH 'moss'")

    before, hits = await made.pool.read(room.id, segments), await made.pool.read(room.id, found)
    step = await made.pool.write(room.id, maintenance.merge_index, 4, begin=True)
    steps = 1
    while step.left:
        step = await made.pool.write(room.id, maintenance.merge_index, 4, begin=False)
        steps += 1
    assert 1 < steps < 100
    assert await made.pool.read(room.id, segments) == 1 < before
    assert await made.pool.read(room.id, found) == hits
    assert len(hits) == 40


async def test_the_log_is_cut_by_the_writer_unless_somebody_reads(made: Stage) -> None:
    """After the act the log is empty; while a reader needs it, it stays, nobody waits, and writing goes on."""
    room = await talk(made, 50)
    assert (await sizes(made, room)).wal_bytes > 0
    await made.pool.write(room.id, maintenance.settle_log)
    assert (await sizes(made, room)).wal_bytes == 0
    await made.send(room, "before")
    reader = sqlite.connect(made.folder / f"{room.id}.db", read_only=True)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM messages").fetchall()
    await made.send(room, "while somebody reads")
    async with asyncio.timeout(2):
        await made.pool.write(room.id, maintenance.settle_log)
    assert (await sizes(made, room)).wal_bytes > 0
    await made.send(room, "after")
    reader.close()
    await made.pool.write(room.id, maintenance.settle_log)
    assert (await sizes(made, room)).wal_bytes == 0


async def test_plans_hold_after_optimizing(made: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the planner's figures every common query still has its index; kept for small tables too, some lose it."""
    room, other = await talk(made, MESSAGES, 20), await made.found(2, members=())

    async def lost(room: Room) -> list[str]:
        await made.pool.write(room.id, maintenance.optimize)
        connection = sqlite.connect(made.folder / f"{room.id}.db", read_only=True)
        assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'").fetchone() == (1,)
        plans = {name: (plan(connection, sql), path) for name, (sql, path) in QUERIES.items()}
        connection.close()
        return [
            name
            for name, (steps, path) in plans.items()
            if slow_steps(steps) or not any(path in step for step in steps)
        ]

    def drawn(reader: Reader) -> set[object]:
        return {name for (name,) in reader.all("SELECT DISTINCT tbl FROM sqlite_stat1")}

    assert await lost(room) == await lost(other) == []
    assert "messages" in await made.pool.read(room.id, drawn)
    monkeypatch.setattr(maintenance, "ANALYZED_ROWS_MIN", 0)
    third = await made.found(3, members=())
    assert "page of members" in await lost(third)


async def test_a_small_room_is_optimized_too(made: Stage) -> None:
    """A room in which nothing was said yet can be optimized, merged and cut like any other."""
    room = await made.found()
    for _ in range(2):
        await made.pool.write(room.id, maintenance.optimize)
        assert not (await made.pool.write(room.id, maintenance.merge_index, 16, begin=True)).left
        assert (await made.pool.write(room.id, maintenance.give_back, 16)).left == 0


async def test_tables_add_up_to_the_file(made: Stage) -> None:
    """The bytes of all tables, indexes with their tables, are those of the file without its free pages."""
    room = await talk(made, 50)
    await made.pool.write(room.id, maintenance.settle_log)
    found = inspections.measure_tables(made.folder, room.id, MIGRATIONS)
    seen = await sizes(made, room)
    maps = seen.size_bytes // sqlite.PAGE_BYTES // 400 * sqlite.PAGE_BYTES + 2 * sqlite.PAGE_BYTES
    total = sum(table.size_bytes for table in found)
    assert seen.size_bytes - seen.freelist_bytes - maps <= total <= seen.size_bytes
    assert {"messages", "events", "messages_fts_data"} <= {table.name for table in found}
    assert [table.size_bytes for table in found] == sorted((table.size_bytes for table in found), reverse=True)


async def test_looking_through_can_be_stopped(made: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks a shard through stops soon after it is told to."""
    monkeypatch.setattr(inspections, "STOP_STEPS", 500)
    room = await talk(made)
    with pytest.raises(inspections.StoppedError):
        inspections.inspect(made.folder, room.id, MIGRATIONS, is_stopped=lambda: True)
    with pytest.raises(inspections.StoppedError):
        inspections.measure_tables(made.folder, room.id, MIGRATIONS, is_stopped=lambda: True)

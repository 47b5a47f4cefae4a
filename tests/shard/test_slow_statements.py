"""Slow statements: logged with their text and no value, counted, and not more often than an operator reads."""

import logging
import time
from pathlib import Path

import pytest

import sqlite
from database.database import Database
from directory.changes import Change
from directory.database import SCHEMA
from shard.engine.connections import Reader
from tests.shard import stage

LONG = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300000) SELECT sum(x + ?) FROM n"
SECRET = 4_242_424_242


@pytest.fixture(autouse=True)
def slow(monkeypatch: pytest.MonkeyPatch) -> sqlite.SlowStatements:
    """What is slow from five milliseconds on, counted from nothing."""
    found = sqlite.slow_statements
    monkeypatch.setattr(found, "threshold_seconds", 0.005)
    monkeypatch.setattr(found, "counts", {"directory": 0, "shards": 0})
    monkeypatch.setattr(found, "_lines", 0)
    return found


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage() == "a statement was slow"]


async def test_a_slow_statement_of_a_room_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, slow: sqlite.SlowStatements
) -> None:
    """The line has the room, the time and the text; a quick statement beside it is not told."""

    def act(reader: Reader) -> None:
        reader.one("SELECT 1")
        reader.one(LONG, (SECRET,))
        reader.one("SELECT 2")

    async with stage.opened(tmp_path) as it:
        room = await it.found()
        slow.counts["shards"] = 0
        caplog.clear()
        await it.pool.read(room.id, act)
        (line,) = [record for record in lines(caplog) if vars(record)["sql"] == LONG]
    facts = vars(line)
    assert (facts["store"], facts["room_id"], facts["seconds"] >= 0.005) == ("shards", room.id, True)
    assert str(SECRET) not in str(facts)
    assert slow.counts["shards"] >= 1


async def test_a_slow_statement_of_the_directory_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Central stores are watched too."""
    database: Database[Change] = await Database.open(tmp_path / "directory.db", SCHEMA, now_ms=1)
    async with database.read() as reader:
        await reader.fetch_all(LONG, (SECRET,))
    await database.close()
    found = [vars(record)["store"] for record in lines(caplog) if vars(record)["sql"] == LONG]
    assert found == ["directory"]


def test_lines_are_few_and_the_count_is_whole(
    caplog: pytest.LogCaptureFixture, slow: sqlite.SlowStatements, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a thousand slow statements in a minute ten are logged, and all are counted."""
    monkeypatch.setattr(time, "monotonic", lambda: 1_000_000.0)
    for _ in range(1_000):
        slow.note("shards", "SELECT 1", 1.0)
    assert len(lines(caplog)) == sqlite.SLOW_LINES_MAX
    assert slow.counts["shards"] == 1_000


async def test_no_threshold_is_no_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, slow: sqlite.SlowStatements
) -> None:
    """With 0 nothing is watched."""
    slow.threshold_seconds = 0.0
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        await it.pool.read(room.id, lambda reader: reader.one(LONG, (1,)))
    assert (lines(caplog), slow.counts["shards"]) == ([], 0)

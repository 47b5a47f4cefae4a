"""The highest id of a shard: what the numbers go on above after a restart, wherever the clock stands then."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import ids
import sqlite
from migrations import engine
from shard.engine import identity
from shard.engine.connections import Reader
from tests.shard import stage

NOT_OF_THE_SEQUENCE = {
    "audit_log": "numbered from 1 on without gaps, as its chain of hashes goes",
    "webhooks": "the directory's: of an incoming one it is also the user that its messages are by",
    "messages_fts_data": "FTS5's own pages",
    "messages_fts_docsize": "FTS5's own, by the ids of messages",
}
"""Tables with an id that the writer's sequence did not give out, and whose numbers these are."""


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[apsw.Connection]:
    connection = sqlite.create_plain(tmp_path / "1.db", sqlite.SHARD_APPLICATION_ID)
    engine.apply(connection, stage.MIGRATIONS, now_ms=stage.NOW_MS)
    connection.pragma("foreign_keys", 0)
    yield connection
    connection.close()


def unlisted(shard: apsw.Connection) -> set[str]:
    """Return the tables with an id that neither the list nor the exceptions name."""
    rows = shard.execute(
        "SELECT t.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' AND c.name = 'id'"
    )
    return {name for (name,) in rows} - {table for table, _ in identity.ID_COLUMNS} - NOT_OF_THE_SEQUENCE.keys()


def test_every_table_with_ids_is_listed(shard: apsw.Connection) -> None:
    """A table whose ids the sequence gives out counts when the highest is asked for, or the reason is named here."""
    assert unlisted(shard) == set()
    named = {name for (name,) in shard.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert named >= NOT_OF_THE_SEQUENCE.keys()


def test_a_new_table_has_to_be_listed(shard: apsw.Connection) -> None:
    """A table with ids that nobody entered into the list is found."""
    shard.execute("CREATE TABLE polls (id INTEGER PRIMARY KEY, title TEXT NOT NULL) STRICT")
    assert unlisted(shard) == {"polls"}


@pytest.mark.parametrize(("table", "column"), identity.ID_COLUMNS)
def test_the_highest_id_counts_wherever_it_is(shard: apsw.Connection, table: str, column: str) -> None:
    """An id of any listed column is never given out again."""
    reader = Reader(shard, ids.RoomId(1))
    assert identity.last_id(reader) == ids.at(0)
    columns = ", ".join(name for _, name, *_ in shard.pragma("table_info", table) or ())
    shard.execute(f"DROP TABLE {table}")
    shard.execute(f"CREATE TABLE {table} ({columns})")
    shard.execute(f"INSERT INTO {table} ({column}) VALUES (?)", (ids.at(stage.NOW_MS),))
    assert identity.last_id(reader) == ids.at(stage.NOW_MS)

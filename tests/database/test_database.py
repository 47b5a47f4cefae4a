"""The file, its transactions, and what a cancelled task leaves of them."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import apsw
import pytest

import sqlite
from database import errors
from database.connections import Connection
from database.database import EverythingChanged
from directory.changes import Change, RoomChanged, UserChanged
from directory.database import SCHEMA, Database, Reader
from ids import RoomId, UserId
from migrations import engine

NOW_MS = 1_760_000_000_000


async def insert(database: Database, *names: str) -> None:
    async with database.write() as writer:
        for name in names:
            await writer.execute(
                "INSERT INTO users (id, username, created_at, updated_at) VALUES (?, ?, 0, 0)",
                (await writer.next_id(NOW_MS), name),
            )


async def names(database: Database) -> list[str]:
    async with database.read() as reader:
        return [row[0] for row in await reader.fetch_all("SELECT username FROM users ORDER BY id")]


class Gate:
    """Stops a connection's thread at the statement that starts with `sql`, until opened."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._reached, self._opened = threading.Event(), threading.Event()

    def trace(self, _cursor: Any, sql: str, _bindings: Any) -> bool:
        if sql.startswith(self._sql):
            self._reached.set()
            assert self._opened.wait(10)
        return True

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._reached.wait, 10)

    def open(self) -> None:
        self._opened.set()


@contextmanager
def traced(connection: Connection, trace: Any) -> Iterator[None]:
    real = cast(Any, connection._proxy._conn).connection
    real.exec_trace = trace
    try:
        yield
    finally:
        real.exec_trace = None


async def test_open_makes_the_file_once_and_keeps_it(path: Path) -> None:
    """A second open finds the rows of the first, and no draft is left beside the file."""
    first = await Database.open(path, SCHEMA, now_ms=NOW_MS)
    await insert(first, "alice")
    await first.close()
    second = await Database.open(path, SCHEMA, now_ms=NOW_MS)
    assert await names(second) == ["alice"]
    await second.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_open_by_two_at_once(path: Path) -> None:
    """Two processes that find no file make one directory between them."""
    one, other = await asyncio.gather(*(Database.open(path, SCHEMA, now_ms=NOW_MS) for _ in range(2)))
    await insert(one, "alice")
    assert await names(other) == ["alice"]
    await one.close()
    await other.close()


@pytest.mark.parametrize("kind", ["shard", "text"])
def test_open_refuses_another_file(path: Path, kind: str) -> None:
    """A shard or a text file in the directory's place is left as it is."""
    if kind == "shard":
        sqlite.create(path, sqlite.SHARD_APPLICATION_ID).close()
    else:
        path.write_text("This is a letter, not a database. " * 100)
    before = path.read_bytes()
    with pytest.raises(errors.WrongDatabaseError):
        asyncio.run(Database.open(path, SCHEMA, now_ms=NOW_MS))
    assert path.read_bytes() == before


async def test_open_refuses_a_newer_schema(path: Path, tmp_path: Path) -> None:
    """A directory of a newer release is not touched."""
    folder = tmp_path / "newer"
    folder.mkdir()
    for file in engine.CENTRAL_FOLDER.glob("*.sql"):
        (folder / file.name).write_text(file.read_text())
    (folder / f"{len(engine.load(folder)) + 1:04d}_next.sql").write_text("CREATE TABLE next_year (id INTEGER) STRICT;")
    await (await Database.open(path, replace(SCHEMA, migrations_folder=folder), now_ms=NOW_MS)).close()
    with pytest.raises(engine.DatabaseTooNewError):
        await Database.open(path, SCHEMA, now_ms=NOW_MS)


async def test_write_is_whole_or_nothing(database: Database) -> None:
    """An exception takes back every row of the block, and the next write goes on."""
    with pytest.raises(errors.ConstraintError):
        await insert(database, "alice", "no spaces")
    await insert(database, "bob")
    assert await names(database) == ["bob"]


async def test_a_refused_write_is_taken_back_beside_other_statements(database: Database) -> None:
    """A statement beside which a write is taken back spoils neither that nor the next one."""
    # The driver refuses every question from another thread while a statement runs: the loser of a race got a 500, and
    # the next writer too, whose transaction began within the one that was left open.
    real = cast(Any, database._writer._proxy._conn).connection
    real.create_scalar_function("pause", lambda: time.sleep(0.1))

    async def pause(seconds_before: float) -> None:
        await asyncio.sleep(seconds_before)
        await database._writer.fetch_all("SELECT pause()")

    async def be_refused() -> None:
        async with database.write() as writer:
            try:
                await writer.execute("INSERT INTO users (id, username, created_at, updated_at) VALUES (1, 'a b', 0, 0)")
            finally:
                # One runs while the taking back is asked for, and one begins right after it.
                pauses.extend(asyncio.create_task(pause(seconds)) for seconds in (0, 0.05))
                await asyncio.sleep(0.01)

    pauses: list[asyncio.Task[None]] = []
    with pytest.raises(errors.ConstraintError):
        await be_refused()
    await asyncio.gather(*pauses)
    await insert(database, "bob")
    assert await names(database) == ["bob"]


async def test_a_reader_sees_one_snapshot(database: Database) -> None:
    """What is committed during a read is not seen by it."""
    async with database.read() as reader:
        assert await reader.fetch_all("SELECT username FROM users") == []
        await insert(database, "alice")
        assert await reader.fetch_all("SELECT username FROM users") == []
    assert await names(database) == ["alice"]


async def test_a_reader_cannot_write(database: Database) -> None:
    """The connection refuses what the types would have refused."""
    async with database.read() as reader:
        with pytest.raises(apsw.ReadOnlyError):
            await reader.fetch_all("DELETE FROM users")


async def test_a_reader_ends_with_its_block(database: Database) -> None:
    """A reader kept beyond its snapshot raises instead of reading in somebody else's."""
    kept: list[Reader] = []
    async with database.read() as reader:
        kept.append(reader)
        await reader.fetch_one("SELECT 1")
    with pytest.raises(RuntimeError, match="after its transaction"):
        await kept[0].fetch_one("SELECT 1")


async def test_changes_follow_the_commit_in_order(database: Database) -> None:
    """Listeners are called with what was told, in order, and not before the commit."""
    heard: list[object] = []
    database.listen(heard.append)
    async with database.write() as writer:
        writer.tell(UserChanged(UserId(1)))
        writer.tell(RoomChanged(RoomId(2)))
        assert heard == []
    assert heard == [UserChanged(UserId(1)), RoomChanged(RoomId(2))]


async def test_a_rollback_tells_nobody(database: Database) -> None:
    """What did not happen makes nothing stale."""
    heard: list[object] = []
    database.listen(heard.append)

    async def fail() -> None:
        async with database.write() as writer:
            writer.tell(UserChanged(UserId(1)))
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert heard == []


@pytest.mark.parametrize(("statement", "expected"), [("INSERT", []), ("COMMIT", ["alice", "bob"])])
async def test_cancel_during(database: Database, statement: str, expected: list[str]) -> None:
    """Cancelled in a statement nothing is kept; cancelled in the COMMIT everything is, and is told."""
    gate = Gate(statement)
    heard: list[Change] = []
    database.listen(heard.append)

    async def work() -> None:
        async with database.write() as writer:
            writer.tell(UserChanged(UserId(1)))
            for number, name in enumerate(("alice", "bob"), start=1):
                await writer.execute(
                    "INSERT INTO users (id, username, created_at, updated_at) VALUES (?, ?, 0, 0)", (number, name)
                )

    with traced(database._writer, gate.trace):
        task = asyncio.create_task(work())
        await gate.reached()
        task.cancel()
        await asyncio.sleep(0.01)
        gate.open()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await names(database) == expected
    assert len(heard) == len(expected) / 2
    async with asyncio.timeout(5):
        await insert(database, "carol")
    assert await names(database) == [*expected, "carol"]


async def test_cancel_anywhere(database: Database) -> None:
    """Whenever a task is cancelled, its pair of rows is there or not, and the lock is free again."""
    for turns in range(60):
        task = asyncio.create_task(insert(database, f"one_{turns}", f"two_{turns}"))
        for _ in range(turns // 2):
            await asyncio.sleep(0.0001 * (turns % 7))
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        assert task.done()
    found = await names(database)
    assert {name[4:] for name in found if name.startswith("one")} == {
        name[4:] for name in found if name.startswith("two")
    }
    async with asyncio.timeout(5):
        await insert(database, "carol")


async def test_cancelled_reads_give_their_connection_back(database: Database) -> None:
    """Readers that were cancelled do not use up the read connections."""
    for _ in range(5):
        task = asyncio.create_task(names(database))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    async with asyncio.timeout(5):
        await asyncio.gather(*(names(database) for _ in range(5)))


async def test_a_full_disk_is_said_clearly(database: Database) -> None:
    """When SQLite cannot grow the file the write raises StorageFullError, keeps nothing, and later writes go on."""
    await database._writer.fetch_all("PRAGMA max_page_count = 1")
    with pytest.raises(errors.StorageFullError):
        await insert(database, *(f"user_{number}" for number in range(2_000)))
    assert await names(database) == []
    await database._writer.fetch_all("PRAGMA max_page_count = 1000000")
    await insert(database, "alice")
    assert await names(database) == ["alice"]


async def test_a_failing_commit_is_unknown(database: Database) -> None:
    """An I/O error in COMMIT is no success and no clean failure: the caches forget everything."""
    heard: list[Change] = []
    database.listen(heard.append)

    def fail(_cursor: Any, sql: str, _bindings: Any) -> bool:
        if sql == "COMMIT":
            raise apsw.IOError("the disk is gone")
        return True

    with traced(database._writer, fail), pytest.raises(errors.CommitUnknownError):
        await insert(database, "alice")
    assert heard == [EverythingChanged()]
    await insert(database, "bob")
    assert await names(database) == ["bob"]


async def test_the_schema_has_the_last_word(database: Database) -> None:
    """A value that breaks a CHECK is a ConstraintError that names the rule."""
    with pytest.raises(errors.ConstraintError, match="CHECK"):
        await insert(database, "a")


async def test_another_process_holds_the_lock(database: Database, path: Path) -> None:
    """A write that cannot begin because another process writes is DatabaseBusyError, and works afterwards."""
    other = sqlite.connect(path)
    await database._writer.fetch_all("PRAGMA busy_timeout = 10")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(errors.DatabaseBusyError):
        await insert(database, "alice")
    other.execute("ROLLBACK")
    other.close()
    await insert(database, "alice")
    assert await names(database) == ["alice"]


async def test_changed_elsewhere(database: Database, path: Path) -> None:
    """Only commits of others count, once each, even with our own commits around them."""
    heard: list[Change] = []
    database.listen(heard.append)
    beside = await Database.open(path, SCHEMA, now_ms=NOW_MS)
    await insert(database, "alice")
    assert not await database.changed_elsewhere()
    assert heard == []
    await insert(beside, "bob")
    await insert(database, "carol")
    assert await database.changed_elsewhere()
    assert heard == [EverythingChanged()]
    assert not await database.changed_elsewhere()
    await beside.close()


async def test_ids_of_two_processes_never_meet(database: Database, path: Path) -> None:
    """Numbers are given out once over all processes, and grow even when a clock is a day behind."""
    beside = await Database.open(path, SCHEMA, now_ms=NOW_MS)
    given: list[int] = []
    for turn in range(6):
        async with (database if turn % 2 else beside).write() as writer:
            given += await writer.next_ids(NOW_MS - 86_400_000 * turn, 3)
    await beside.close()
    assert given == sorted(set(given))
    assert len(given) == 18

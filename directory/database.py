"""The directory's file: one write connection under a lock, a few read connections, one snapshot for each use.

A function that takes a Reader cannot write, and a Reader's connection refuses to. Nothing is told to anybody before
it is committed, and a commit is never torn by a cancelled task.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

import apsw

import ids
import sqlite
from directory import errors
from directory.changes import Change, EverythingChanged
from directory.connections import Connection, Parameters, Row, to_the_end
from migrations import engine

READERS: Final = 2
"""Reads are short and mostly answered by the caches; more connections would cost memory, not buy speed."""


class Reader:
    """Answers questions in one snapshot; usable until its `async with` ends."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection

    @property
    def connection(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("this reader or writer was used after its transaction ended")
        return self._connection

    async def fetch_one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Return the first row, or None; the statement runs to its end."""
        rows = await self.connection.fetch_all(sql, parameters)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return every row; the statement bounds how many."""
        return await self.connection.fetch_all(sql, parameters)

    def end(self) -> None:
        """Refuse further use."""
        self._connection = None


class Writer(Reader):
    """Changes the directory inside the one write transaction that there is at a time."""

    __slots__ = ("callbacks", "changes")

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.changes: list[Change] = []
        self.callbacks: list[Callable[[], None]] = []

    async def execute(self, sql: str, parameters: Parameters = ()) -> None:
        """Run one statement without result."""
        await self.connection.fetch_all(sql, parameters)

    async def execute_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Run one statement for each row of parameters, in one go."""
        await self.connection.execute_many(sql, rows)

    async def next_ids(self, now_ms: int, count: int = 1) -> range:
        """Give out snowflakes that no process has given out before, whatever the clocks do."""
        row = await self.fetch_one(
            "UPDATE snowflakes SET last_id = max(last_id + 1, ?) + ? WHERE one = 1 RETURNING last_id",
            (ids.at(now_ms), count - 1),
        )
        assert row is not None
        return range(row[0] - count + 1, row[0] + 1)

    async def next_id(self, now_ms: int) -> int:
        """Give out one snowflake."""
        return (await self.next_ids(now_ms))[0]

    def tell(self, change: Change) -> None:
        """Let the caches forget what this change makes stale, once it is committed."""
        self.changes.append(change)

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Run a callback after the commit, in order; never after a rollback. It must not raise."""
        self.callbacks.append(callback)


class Database:
    """The open file. Made by `Database.open`, and closed once nobody uses it any more."""

    def __init__(self, writer: Connection, readers: list[Connection], data_version: int) -> None:
        self._writer = writer
        self._readers = readers
        self._free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        for reader in readers:
            self._free.put_nowait(reader)
        self._lock = asyncio.Lock()
        self._data_version = data_version
        self._listeners: list[Callable[[Change], None]] = []

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        now_ms: int,
        migrations_folder: Path = engine.CENTRAL_FOLDER,
        readers: int = READERS,
        size_bytes_max: int | None = None,
    ) -> Self:
        """Open the directory's file, made if missing and migrated if behind.

        Raises WrongDatabaseError for a file that is something else, and what `engine.apply` raises.
        """
        opened = [await Connection.open(lambda: _prepare(path, migrations_folder, now_ms, size_bytes_max))]
        try:
            for _ in range(readers):
                opened += [await Connection.open(lambda: sqlite.connect(path, read_only=True))]
            version = await opened[0].fetch_all("PRAGMA data_version")
        except BaseException:
            for connection in opened:
                await connection.close()
            raise
        return cls(opened[0], opened[1:], version[0][0])

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Have a listener told of every committed change, in commit order."""
        self._listeners.append(listener)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """Lend a Reader of one snapshot; waits while all read connections are lent."""
        connection = await self._free.get()
        reader = Reader(connection)
        try:
            await connection.fetch_all("BEGIN")
            yield reader
        finally:
            reader.end()
            try:
                await to_the_end(connection.roll_back())
            finally:
                self._free.put_nowait(connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Writer]:
        """Lend the Writer: all of the block is committed when it ends, or nothing of it when it raises.

        Raises DirectoryBusyError when another process holds the write lock for long, StorageFullError when the disk
        is full, and CommitUnknownError when it fails in the commit.
        """
        async with self._lock:
            writer = Writer(self._writer)
            try:
                await self._writer.fetch_all("BEGIN IMMEDIATE")
                yield writer
                writer.end()
                await to_the_end(self._commit(writer))
            except BaseException:
                writer.end()
                await to_the_end(self._writer.roll_back())
                raise

    async def _commit(self, writer: Writer) -> None:
        try:
            await self._writer.fetch_all("COMMIT")
        except apsw.Error as error:
            self.announce(EverythingChanged())
            raise errors.CommitUnknownError from error
        for change in writer.changes:
            self.announce(change)
        for callback in writer.callbacks:
            callback()

    def announce(self, change: Change) -> None:
        """Tell every listener of a change that stands."""
        for listener in self._listeners:
            listener(change)

    async def ping(self) -> None:
        """Read from the file; raises whatever keeps it from being read."""
        async with self.read() as reader:
            await reader.fetch_one("SELECT count(*) FROM migrations")

    async def changed_elsewhere(self) -> bool:
        """Say whether another process committed since the last call, and let the caches forget everything if so."""
        rows = await self._writer.fetch_all("PRAGMA data_version")
        changed: bool = rows[0][0] != self._data_version
        if changed:
            self._data_version = rows[0][0]
            self.announce(EverythingChanged())
        return changed

    async def close(self) -> None:
        """Wait for the write in hand, then close every connection."""
        async with self._lock:
            for _ in self._readers:
                await self._free.get()
            for connection in (*self._readers, self._writer):
                await connection.close()


def _prepare(path: Path, migrations_folder: Path, now_ms: int, size_bytes_max: int | None) -> apsw.Connection:
    if not path.exists():
        _create(path)
    try:
        connection = sqlite.connect(path, size_bytes_max=size_bytes_max)
    except apsw.NotADBError as error:
        raise errors.WrongDatabaseError(path, "it is no SQLite database") from error
    try:
        found = connection.pragma("application_id")
        if found != sqlite.DIRECTORY_APPLICATION_ID:
            raise errors.WrongDatabaseError(path, f"its application id is {found:#x}")
        engine.apply(connection, engine.load(migrations_folder), now_ms=now_ms)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    """Make the file under another name first: it appears whole, or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        sqlite.create(draft, sqlite.DIRECTORY_APPLICATION_ID).close()
        with contextlib.suppress(FileExistsError):  # another process was faster, and made the same
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    sqlite.sync_folder(path.parent)

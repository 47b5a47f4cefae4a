"""The file of a central store: one write connection under a lock, a few read connections, one snapshot for each use.

A function that takes a Reader cannot write, and a Reader's connection refuses to. Changes are published only after
their commit, and a cancelled task never cuts a commit short.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, Self, TypeVar

import apsw

import ids
import sqlite
from database import errors
from database.connections import Connection, Parameters, Row, to_the_end
from migrations import engine

C = TypeVar("C")
"""The changes of a store: values that name the facts a commit made stale."""

READERS: Final = 2
"""Reads of one database at once; others wait.

Reads are short and mostly answered by the caches; more connections would cost memory, not buy speed.
"""


@dataclass(frozen=True, slots=True)
class Schema:
    """A kind of database file: the name of its store in messages, its application id, its migrations, and the pure
    functions of its queries by their names in SQL."""

    store: str
    application_id: int
    migrations_folder: Path
    functions: Mapping[str, Callable[..., int]] = field(default_factory=dict)

    def add_functions(self, connection: apsw.Connection) -> apsw.Connection:
        """Make the functions known to a connection, and return it."""
        for name, function in self.functions.items():
            connection.create_scalar_function(name, function, deterministic=True)
        return connection


@dataclass(frozen=True, slots=True)
class EverythingChanged:
    """A commit of another process, or one with unknown outcome: everything cached is stale."""


class Reader:
    """A reader of one snapshot; usable until its `async with` ends."""

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


class Writer(Reader, Generic[C]):
    """The writer of the one write transaction that is open at a time."""

    __slots__ = ("changes",)

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.changes: list[C] = []

    async def execute(self, sql: str, parameters: Parameters = ()) -> None:
        """Run one statement without result."""
        await self.connection.fetch_all(sql, parameters)

    async def execute_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Run one statement for each row of parameters, in one hop to the thread."""
        await self.connection.execute_many(sql, rows)

    async def next_ids(self, now_ms: int, count: int = 1) -> range:
        """Allocate snowflakes that no process has allocated before, even when clocks step back.

        They are counted in the table `snowflakes`, which a store that allocates ids has in its schema.
        """
        row = await self.fetch_one(
            "UPDATE snowflakes SET last_id = max(last_id + 1, ?) + ? WHERE one = 1 RETURNING last_id",
            (ids.at(now_ms), count - 1),
        )
        assert row is not None
        return range(row[0] - count + 1, row[0] + 1)

    async def next_id(self, now_ms: int) -> int:
        """Allocate one snowflake."""
        return (await self.next_ids(now_ms))[0]

    def tell(self, change: C) -> None:
        """Publish a change to every listener once it is committed."""
        self.changes.append(change)


class Database(Generic[C]):
    """The open file. Made by `Database.open`, and closed once nothing uses it any more."""

    def __init__(self, writer: Connection, readers: list[Connection], data_version: int) -> None:
        self._writer = writer
        self._readers = readers
        self._free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        for reader in readers:
            self._free.put_nowait(reader)
        self._lock = asyncio.Lock()
        self._data_version = data_version
        self._listeners: list[Callable[[C | EverythingChanged], None]] = []

    @classmethod
    async def open(
        cls,
        path: Path,
        schema: Schema,
        *,
        now_ms: int,
        readers: int = READERS,
        size_bytes_max: int | None = None,
    ) -> Self:
        """Open a store's file, made if missing and migrated if behind.

        Raises WrongDatabaseError for a file that is something else, and the errors of `engine.apply`.
        """
        store = schema.store

        def connect() -> apsw.Connection:
            return schema.add_functions(sqlite.connect(path, read_only=True))

        opened = [await Connection.open(lambda: _prepare(path, schema, now_ms, size_bytes_max), store=store)]
        try:
            for _ in range(readers):
                opened += [await Connection.open(connect, store=store)]
            version = await opened[0].fetch_all("PRAGMA data_version")
        except BaseException:
            for connection in opened:
                await connection.close()
            raise
        return cls(opened[0], opened[1:], version[0][0])

    def listen(self, listener: Callable[[C | EverythingChanged], None]) -> None:
        """Call a listener with every committed change, in commit order."""
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
    async def write(self) -> AsyncIterator[Writer[C]]:
        """Lend the Writer: all of the block is committed when it ends, or nothing of it when it raises.

        Raises DatabaseBusyError when another process holds the write lock for long, StorageFullError when the disk is
        full, and CommitUnknownError when it fails in the commit.
        """
        async with self._lock:
            writer: Writer[C] = Writer(self._writer)
            try:
                await self._writer.fetch_all("BEGIN IMMEDIATE")
                yield writer
                writer.end()
                await to_the_end(self._commit(writer))
            except BaseException:
                writer.end()
                await to_the_end(self._writer.roll_back())
                raise

    async def _commit(self, writer: Writer[C]) -> None:
        try:
            await self._writer.fetch_all("COMMIT")
        except apsw.Error as error:
            self.announce(EverythingChanged())
            raise errors.CommitUnknownError from error
        for change in writer.changes:
            self.announce(change)

    def announce(self, change: C | EverythingChanged) -> None:
        """Call every listener with a committed change."""
        for listener in self._listeners:
            listener(change)

    async def ping(self) -> None:
        """Read from the file; raises the error that prevents it."""
        async with self.read() as reader:
            await reader.fetch_one("SELECT count(*) FROM migrations")

    async def changed_elsewhere(self) -> bool:
        """Return whether another process committed since the last call; if so, all caches are invalidated."""
        rows = await self._writer.fetch_all("PRAGMA data_version")
        changed: bool = rows[0][0] != self._data_version
        if changed:
            self._data_version = rows[0][0]
            self.announce(EverythingChanged())
        return changed

    async def close(self) -> None:
        """Wait for the write under way, then close every connection."""
        async with self._lock:
            for _ in self._readers:
                await self._free.get()
            for connection in (*self._readers, self._writer):
                await connection.close()


def _prepare(path: Path, schema: Schema, now_ms: int, size_bytes_max: int | None) -> apsw.Connection:
    if not path.exists():
        _create(path, schema.application_id)
    try:
        connection = sqlite.connect(path, size_bytes_max=size_bytes_max)
    except apsw.NotADBError as error:
        raise errors.WrongDatabaseError(schema.store, path, "it is no SQLite database") from error
    try:
        found = connection.pragma("application_id")
        if found != schema.application_id:
            raise errors.WrongDatabaseError(schema.store, path, f"its application id is {found:#x}")
        engine.apply(connection, engine.load(schema.migrations_folder), now_ms=now_ms)
        schema.add_functions(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path, application_id: int) -> None:
    """Create the file under another name first, so that it appears complete or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        sqlite.create(draft, application_id).close()
        with contextlib.suppress(FileExistsError):  # another process was faster, and made the same
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    sqlite.sync_folder(path.parent)

"""Opening of database files: the only caller of apsw.Connection, and the only list of pragmas.

Two copies of SQLite in one process do not see each other's POSIX locks (sqlite.org/howtocorrupt.html, 2.2-2.3),
so the copy inside apsw is the only one that ever opens a file of ours, and nothing else opens, reads or closes a
live database file, its -wal or its -shm: closing one drops every lock that this process holds on it.
"""

import codecs
import contextlib
import errno
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import apsw

log = logging.getLogger(__name__)

VERSION_MIN: Final = (3, 51, 3)
"""Before 3.51.3 a WAL reset could corrupt the file (present since 3.7.0)."""

DIRECTORY_APPLICATION_ID: Final = 0x526B4479
SHARD_APPLICATION_ID: Final = 0x526B5368
SEGMENT_APPLICATION_ID: Final = 0x526B5367
BUSY_TIMEOUT_MS: Final = 5_000
"""Time that one process waits for another's lock (the command line beside a running server). Beyond it 503 `busy`."""

WAL_PAGES_MAX: Final = 8_000
"""A commit that leaves the log longer than this (16 MB) moves it into the database.

SQLite's default (4 MB) made one commit in eighty wait for 30 to 120 ms; with 16 MB the longest took 8 ms, because hot
pages are moved once instead of four times.
"""

PRAGMAS: Final = {
    # First, because the next ones may have to wait for another process that opens or closes the file.
    "busy_timeout": str(BUSY_TIMEOUT_MS),
    # Readers continue while the writer commits.
    "journal_mode": "WAL",
    # NORMAL syncs only at checkpoints: a power cut then takes acknowledged rows with it.
    "synchronous": "FULL",
    "foreign_keys": "ON",
    # A crafted schema may not call functions with side effects.
    "trusted_schema": "OFF",
    # A damaged page is reported when it is read, before it does harm.
    "cell_size_check": "ON",
    "wal_autocheckpoint": str(WAL_PAGES_MAX),
    # The log gives its disk space back after a burst.
    "journal_size_limit": str(16 * 1024 * 1024),
    "temp_store": "MEMORY",
}


class OldSQLiteError(RuntimeError):
    """The SQLite inside apsw has known faults that lose data."""


def version() -> str:
    """Return the version of the SQLite that opens our files."""
    return apsw.sqlite_lib_version()


def refuse_old_sqlite() -> None:
    """Raise OldSQLiteError below VERSION_MIN; called once at start-up."""
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < VERSION_MIN:
        wanted = ".".join(map(str, VERSION_MIN))
        raise OldSQLiteError(
            f"SQLite {apsw.sqlite_lib_version()} can corrupt databases in WAL mode; {wanted} or newer is needed. "
            "Run: pip install --upgrade apsw"
        )


PAGE_BYTES: Final = 2_048
"""Half of SQLite's default: a message in a room of its own changes 13 pages, each written whole to the log."""


def connect(
    path: Path,
    *,
    cache_kib: int = 2_000,
    read_only: bool = False,
    keeps_mode: bool = False,
    size_bytes_max: int | None = None,
) -> apsw.Connection:
    """Open an existing database file with every pragma set; above `size_bytes_max` a write raises apsw.FullError.

    A `read_only` connection refuses to write by pragma, not by open mode: in WAL mode a reader must be able to
    write the shared-memory file. With `keeps_mode` a file in another journal mode stays in it: a copy made by VACUUM
    INTO is in none with a log, and to change that writes its first page, with syncs. Raises apsw.CantOpenError when
    the file is missing, apsw.NotADBError when it is something else, with `keeps_mode` at the first read.
    """
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        # Plans never depend on bound values: what EXPLAIN shows in a test is what runs, and no statement is prepared
        # again because its values changed, which took 6 of the 10 microseconds of a permission check.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        for name, value in PRAGMAS.items():
            if name != "journal_mode" or not keeps_mode:
                connection.pragma(name, value)
        connection.pragma("cache_size", -cache_kib)
        if size_bytes_max is not None:
            connection.pragma("max_page_count", size_bytes_max // PAGE_BYTES)
        if read_only:
            connection.pragma("query_only", "ON")
    except BaseException:
        connection.close()
        raise
    return connection


def create(path: Path, application_id: int) -> apsw.Connection:
    """Make a new database file in WAL mode and open it; raises FileExistsError when the file is there."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        _begin(connection, application_id)
    finally:
        connection.close()
    return connect(path)


def _begin(connection: apsw.Connection, application_id: int) -> None:
    # All must stand before the first page is written.
    connection.pragma("page_size", PAGE_BYTES)
    connection.pragma("auto_vacuum", "INCREMENTAL")
    connection.pragma("application_id", application_id)


def image(application_id: int, fill: Callable[[apsw.Connection], object]) -> bytes:
    """Return the bytes of a database as `create` makes them, in memory, once `fill` has written its first content."""
    connection = apsw.Connection(":memory:")
    try:
        _begin(connection, application_id)
        fill(connection)
        return connection.serialize("main")
    finally:
        connection.close()


def restore_image(connection: apsw.Connection, content: bytes) -> None:
    """Make an image the content of a new database, by one transaction of its connection."""
    source = apsw.Connection(":memory:")
    try:
        source.deserialize("main", content)
        with connection.backup("main", source, "main") as copying:
            copying.step()
    finally:
        source.close()


def back_up(connection: apsw.Connection, path: Path) -> None:
    """Copy a database, as it is at one moment, into a new file, which the caller syncs; others may write meanwhile.

    Raises FileExistsError when the file is there.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    made = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        made.pragma("synchronous", "OFF")
        with made.backup("main", connection, "main") as copying:
            copying.step()
    finally:
        made.close()


SEGMENT_PAGE_BYTES: Final = 4_096
"""A segment is read, not written: larger pages make its trees flat."""


def create_plain(path: Path, application_id: int) -> apsw.Connection:
    """Create a database file that one connection writes once and that is renamed into place when complete: without a
    log, without syncs. Raises FileExistsError when the file is there."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.pragma("page_size", SEGMENT_PAGE_BYTES)
    connection.pragma("application_id", application_id)
    connection.pragma("journal_mode", "OFF")
    connection.pragma("synchronous", "OFF")
    connection.pragma("trusted_schema", "OFF")
    connection.pragma("temp_store", "MEMORY")
    connection.pragma("busy_timeout", BUSY_TIMEOUT_MS)
    return connection


def connect_unshared(path: Path) -> apsw.Connection:
    """Open a file that no other connection knows of, such as a fresh copy, to change it: without a log, without
    syncs."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        for name, value in (("journal_mode", "OFF"), ("synchronous", "OFF"), ("trusted_schema", "OFF")):
            connection.pragma(name, value)
    except BaseException:
        connection.close()
        raise
    return connection


def open_immutable(path: Path, *, vfs: str, cache_kib: int) -> apsw.Connection:
    """Open a file that never changes, through a VFS of ours: no locks, no log. Raises the errors of apsw."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(f"file:{quote(str(path))}?immutable=1", flags=flags, vfs=vfs)
    try:
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        for name, value in (("query_only", "ON"), ("trusted_schema", "OFF"), ("cell_size_check", "ON")):
            connection.pragma(name, value)
        connection.pragma("temp_store", "MEMORY")
        connection.pragma("cache_size", -cache_kib)
    except BaseException:
        connection.close()
        raise
    return connection


def hold_alone(connection: apsw.Connection) -> None:
    """Move all content into the database's one file, and keep others from opening it until this connection is closed.

    Leaving WAL mode needs every other connection closed, in every process. Raises apsw.BusyError when one is open.
    """
    connection.pragma("locking_mode", "EXCLUSIVE")
    if connection.pragma("journal_mode", "DELETE") != "delete":
        raise apsw.BusyError("another connection has the file open")
    # The lock is kept from the first transaction on.
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("COMMIT")


def connect_unchanging(path: Path) -> apsw.Connection:
    """Open an unchanging file, such as a fresh copy, to read it: no locks, no log beside it."""
    connection = apsw.Connection(
        f"file:{quote(str(path))}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    )
    try:
        for name, value in (("query_only", "ON"), ("trusted_schema", "OFF"), ("cell_size_check", "ON")):
            connection.pragma(name, value)
    except BaseException:
        connection.close()
        raise
    return connection


SLOW_LINES_MAX: Final = 10
"""Slow statements that are logged in a minute; the others are only counted."""


class SlowStatements:
    """The statements that took longer than a threshold, 0 for none: a log line with the text, never with a value."""

    def __init__(self) -> None:
        self.threshold_seconds = 0.0
        self.counts = {"directory": 0, "shards": 0}
        self._minute = 0
        self._lines = 0

    def note(self, store: str, sql: str, seconds: float, **facts: object) -> None:
        """Count a slow statement, and log it; from any thread."""
        self.counts[store] = self.counts.get(store, 0) + 1
        minute = int(time.monotonic() // 60)
        self._lines = self._lines + 1 if minute == self._minute else 1
        self._minute = minute
        if self._lines <= SLOW_LINES_MAX:
            told = {"store": store, "seconds": round(seconds, 3), "sql": " ".join(sql.split())[:1000], **facts}
            log.warning("a statement was slow", extra=told)


slow_statements: Final = SlowStatements()
"""Those of this process: connections are opened in many places, and one threshold holds for all."""

DAMAGE: Final = "\ufffd\ufdd0"
"""Stands for each run of bytes of a text that is no UTF-8. The second character is one that Unicode reserves (a
noncharacter), so that no text that somebody wrote looks like this."""


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return DAMAGE, error.end


codecs.register_error("rookery-damage", _mark)


def fetch_damaged(connection: apsw.Connection, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Return the rows of a reading statement of which some texts are no UTF-8: they have DAMAGE where they are not.

    SQLite hands out the bytes of a text as they lie on the disk, and one flipped bit makes them unreadable. Raises
    UnicodeDecodeError for a statement that writes, which cannot be executed again.
    """
    width = _width_of_reading(connection, sql, parameters)
    names = [f"c{number}" for number in range(width)]
    values = ", ".join(f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END" for name in names)
    kinds = ", ".join(f"typeof({name}) = 'text'" for name in names)
    raw = f"WITH raw({', '.join(names)}) AS MATERIALIZED ({sql}) SELECT {values}, {kinds} FROM raw"  # noqa: S608
    rows: list[tuple[Any, ...]] = connection.execute(raw, parameters).fetchall()
    return [
        tuple(
            value.decode(errors="rookery-damage") if is_text else value
            for value, is_text in zip(row[:width], row[width:], strict=True)
        )
        for row in rows
    ]


def _width_of_reading(connection: apsw.Connection, sql: str, parameters: Sequence[Any]) -> int:
    """Return the number of columns of a statement, without executing it."""
    found: list[int] = []

    def look(cursor: apsw.Cursor, _sql: str, _bindings: Any) -> bool:
        found.append(len(cursor.get_description()) if cursor.is_readonly else 0)
        return False

    cursor = connection.cursor()
    cursor.exec_trace = look
    with contextlib.suppress(apsw.ExecTraceAbort):
        cursor.execute(sql, parameters)
    if found != [0]:
        return found[0]
    raise UnicodeDecodeError("utf-8", b"", 0, 0, "a text in the file is no UTF-8")


def sync_folder(folder: Path) -> None:
    """Make the names inside a folder durable (after a file was created in it or renamed into it)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class KeyCounts:
    """Counts of keys in a file that is unlinked at once: memory stays the same for any number of them."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory(prefix="rookery-counts-") as folder:
            self._connection = create_plain(Path(folder) / "counts", 0)
        self._connection.execute("CREATE TABLE counts (key BLOB PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID")
        self._connection.execute("BEGIN")

    def add(self, key: bytes) -> int:
        """Count a key, and return how often it was counted by now; raises OSError without space in the system's folder
        for temporary files."""
        sql = "INSERT INTO counts VALUES (?, 1) ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count"
        try:
            ((count,),) = self._connection.execute(sql, (key,)).fetchall()
        except (apsw.FullError, apsw.IOError) as error:
            raise OSError(errno.ENOSPC, "no space left for temporary files", tempfile.gettempdir()) from error
        assert isinstance(count, int)
        return count

    def close(self) -> None:
        """Give the file back to the system."""
        self._connection.close()

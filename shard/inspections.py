"""Read-only inspection of shards: nothing is migrated, repaired, moved or written.

For the operator's commands, which run beside a server: reading takes no lock, and the one check that needs the room's
write lock holds it for FTS_CHECK_SECONDS at most.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import apsw

import sqlite
from ids import RoomId
from migrations import engine
from migrations.engine import Migration
from shard.engine import files, identity, maintenance, texts
from shard.engine.connections import Reader
from shard.engine.maintenance import Table
from shard.errors import BrokenShardError, ShardBusyError
from shard.tables import audit
from shard.tables.audit import Entry, Filter

FINDINGS_MAX: Final = 5
"""Findings reported by one check; a damaged file has thousands."""
FTS_CHECK_SECONDS: Final = 1.0
"""Seconds for which a room's writes may wait while its search index is compared with its messages."""
FTS_CHECK_STEPS: Final = 1_000
STOP_STEPS: Final = 50_000
"""Steps of SQLite between two calls of `is_stopped`: some milliseconds."""


class StoppedError(Exception):
    """The caller stopped the inspection."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """The findings about a shard: its problems, the migrations that it lacks, the time of its last write, and whether
    its archive names segments, None where a damaged file was not asked.

    `damage` is what is wrong with single rows and with the search index: the room can go on with it.
    """

    problems: tuple[str, ...]
    damage: tuple[str, ...]
    pending: tuple[Migration, ...]
    written_at: int
    is_search_checked: bool
    has_segments: bool | None


@dataclass(frozen=True, slots=True)
class Measures:
    """The size of a shard; `wal_bytes` is not in `size_bytes`."""

    size_bytes: int
    wal_bytes: int
    freelist_bytes: int
    message_count: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Record:
    """The state of a room's audit log: its length, the newest hash, and the first changed row's number."""

    entries: int
    head: bytes
    broken_at: int | None


class Stored(NamedTuple):
    """An object that a room's archive names, with its digest and size when it was stored."""

    key: str
    sha256: str
    size_bytes: int


def room_ids(folder: Path) -> list[RoomId]:
    """Return the rooms that have a file in the folder, by id; other files are ignored."""
    names = (path.stem for path in folder.glob("*.db"))
    return sorted(RoomId(int(name)) for name in names if name.isascii() and name.isdecimal())


def room_of(folder: Path, room_id: RoomId, migrations: Sequence[Migration]) -> RoomId | None:
    """Return the room that the file under a room's name belongs to; None where it cannot be read."""
    try:
        with _opened(folder, room_id, migrations):
            return room_id
    except BrokenShardError as error:
        return None if error.belongs_to is None else RoomId(error.belongs_to)
    except ShardBusyError:
        return None


def is_sound_without_log(folder: Path, room_id: RoomId) -> bool:
    """Tell whether a room's file has a log, and is sound and the room's own without it; nothing is changed."""
    path = files.path_of(folder, room_id)
    if _log_bytes(path) == 0:
        return False
    try:
        connection = sqlite.connect_unchanging(path)
        try:
            room = identity.one(Reader(connection, room_id))
            return room is not None and room.room_id == room_id and connection.pragma("quick_check", 1) == "ok"
        finally:
            connection.close()
    except apsw.Error:
        return False


def pending(folder: Path, room_id: RoomId, migrations: Sequence[Migration]) -> tuple[Migration, ...]:
    """Return the migrations that a shard still lacks; raises BrokenShardError and ShardBusyError."""
    with _opened(folder, room_id, migrations) as (connection, _reader):
        return engine.pending(connection, migrations)


def verify_audit(folder: Path, room_id: RoomId, migrations: Sequence[Migration]) -> Record:
    """Verify the hash chain of a room's audit log; raises BrokenShardError and ShardBusyError."""
    with _opened(folder, room_id, migrations) as (_connection, reader):
        if not _has_table(reader, "audit_log"):
            return Record(0, audit.FIRST_HASH, None)
        return Record(*audit.head(reader), audit.verify(reader))


def read_audit(
    folder: Path, room_id: RoomId, migrations: Sequence[Migration], wanted: Filter, *, limit: int
) -> list[Entry]:
    """Return the newest rows of a room's audit log; raises BrokenShardError and ShardBusyError."""
    with _opened(folder, room_id, migrations) as (_connection, reader):
        return audit.newest(reader, wanted, limit=limit) if _has_table(reader, "audit_log") else []


def stored(folder: Path, room_id: RoomId, migrations: Sequence[Migration]) -> list[Stored]:
    """Return the objects that a room's archive names; raises BrokenShardError and ShardBusyError."""
    with _opened(folder, room_id, migrations) as (_connection, reader):
        if not _has_table(reader, "segments"):
            return []
        return [Stored(*row) for row in reader.all("SELECT object_key, sha256, size_bytes FROM segments ORDER BY id")]


def stored_files(folder: Path, room_id: RoomId, migrations: Sequence[Migration]) -> list[Stored]:
    """Return the files of a room's messages, archived ones included; raises BrokenShardError and ShardBusyError."""
    with _opened(folder, room_id, migrations) as (_connection, reader):
        found = [
            Stored(*row)
            for table, where in (("message_attachments", " WHERE state = 'attached'"), ("archived_attachments", ""))
            if _has_table(reader, table)
            for row in reader.all(f"SELECT object_key, sha256, size_bytes FROM {table}{where}")  # noqa: S608
        ]
        return sorted(found)


def _has_table(reader: Reader, name: str) -> bool:
    """Return whether a shard has a table: an old shard may not be migrated yet."""
    return reader.one("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (name,)) is not None


def inspect(
    folder: Path,
    room_id: RoomId,
    migrations: Sequence[Migration],
    *,
    search_seconds: float = FTS_CHECK_SECONDS,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Inspection:
    """Inspect a whole shard; its writes may wait for `search_seconds`, while the search index is compared.

    Raises BrokenShardError when it cannot be opened, ShardBusyError when it is locked, and StoppedError soon after
    `is_stopped` returns true; it is called on the caller's thread.
    """
    with _opened(folder, room_id, migrations, is_stopped) as (connection, reader):
        problems = _pages(reader) + _references(reader)
        row = reader.one("SELECT created_at FROM events ORDER BY seq DESC LIMIT 1")
        is_checked, has_segments, damage = False, None, [] if problems else _texts(reader)
        if not problems:
            has_segments = _has_table(reader, "segments") and reader.one("SELECT 1 FROM segments LIMIT 1") is not None
            is_checked, found = _search(connection, search_seconds)
            damage += found
        lacking = engine.pending(connection, migrations)
        written_at = int(row[0]) if row else 0
        return Inspection(tuple(problems), tuple(damage), lacking, written_at, is_checked, has_segments)


def measure(reader: Reader, folder: Path) -> Measures:
    """Return the size of a shard; runs as a read of the pool."""
    row = reader.one(
        "SELECT (SELECT page_count FROM pragma_page_count), (SELECT freelist_count FROM pragma_freelist_count), "
        "(SELECT page_size FROM pragma_page_size), (SELECT coalesce(sum(message_count), 0) FROM channels), "
        "(SELECT coalesce(max(seq), 0) FROM events)"
    )
    assert row is not None
    pages, free_pages, page_bytes, message_count, last_seq = row
    wal_bytes = _log_bytes(files.path_of(folder, reader.room_id))
    return Measures(pages * page_bytes, wal_bytes, free_pages * page_bytes, message_count, last_seq)


def survey(folder: Path, room_id: RoomId, migrations: Sequence[Migration]) -> tuple[Measures, int]:
    """Return the size of a shard and the version of its schema, on a connection of its own.

    Raises BrokenShardError and ShardBusyError.
    """
    with _opened(folder, room_id, migrations) as (connection, reader):
        lacking = engine.pending(connection, migrations)
        version = lacking[0].version - 1 if lacking else migrations[-1].version
        return measure(reader, folder), version


def measure_tables(
    folder: Path, room_id: RoomId, migrations: Sequence[Migration], *, is_stopped: Callable[[], bool] = lambda: False
) -> list[Table]:
    """Return the size of each table of a shard; raises as `inspect` does."""
    with _opened(folder, room_id, migrations, is_stopped) as (_connection, reader):
        return maintenance.tables(reader)


def _log_bytes(path: Path) -> int:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:  # nobody has the room open, or a server has just closed it
        return 0


@contextmanager
def _opened(
    folder: Path, room_id: RoomId, migrations: Sequence[Migration], is_stopped: Callable[[], bool] = lambda: False
) -> Iterator[tuple[apsw.Connection, Reader]]:
    path = files.path_of(folder, room_id)
    has_log = _log_bytes(path) > 0
    connection, reader, is_behind = files.open_reader(path, room_id, migrations, keeps_mode=True)
    try:
        if has_log:
            # A log that a crash left is evidence: closing must not copy it into the database.
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        if is_behind:
            _guard(reader)
        connection.set_progress_handler(is_stopped, STOP_STEPS)
        yield connection, reader
    except apsw.InterruptError:
        raise StoppedError from None
    except apsw.Error as error:
        explained = files.translate(error, room_id)
        raise (BrokenShardError(room_id, str(error)) if explained is error else explained) from error
    finally:
        connection.close()


def _guard(reader: Reader) -> None:
    room = identity.one(reader)
    found = None if room is None else room.room_id
    if found != reader.room_id:
        raise BrokenShardError(reader.room_id, f"its file belongs to room {found or 'no one'}", belongs_to=found)


def _pages(reader: Reader) -> list[str]:
    rows = reader.all(f"PRAGMA quick_check({FINDINGS_MAX})")
    return [f"its file is damaged: {_line(row[0])}" for row in rows if row[0] != "ok"]


def _line(text: str) -> str:
    """Return a finding on one line; quick_check returns several lines in one row."""
    return " ".join(text.split())


def _references(reader: Reader) -> list[str]:
    rows = reader.all(
        'SELECT "table", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2 LIMIT ?', (FINDINGS_MAX,)
    )
    return [f"{count} rows of {table} point to missing rows of {parent}" for table, parent, count in rows]


def _texts(reader: Reader) -> list[str]:
    """Return the tables that have texts which are no UTF-8: SQLite itself stores and checks bytes."""
    found = []
    for table, columns in texts.tables(reader).items():
        count = texts.count_undecodable(reader, table, columns)
        if count:
            found.append(f"{count} {'row' if count == 1 else 'rows'} of {table} cannot be read as text")
    return found


def _search(connection: apsw.Connection, seconds: float) -> tuple[bool, list[str]]:
    """Compare the search index with the messages; return whether there was time for it, and the findings.

    FTS5 has this check as an INSERT (sqlite.org/fts5.html, 6.4), which needs the write lock but writes nothing.
    The pages of the index are checked by quick_check.
    """
    ends_at = time.monotonic() + seconds
    connection.pragma("query_only", "OFF")
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.set_progress_handler(lambda: time.monotonic() > ends_at, FTS_CHECK_STEPS)
        connection.execute("INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)")
    except (apsw.InterruptError, apsw.BusyError):
        return False, []
    except apsw.CorruptError:
        return True, ["its search index does not match its messages"]
    finally:
        connection.set_progress_handler(None)
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.pragma("query_only", "ON")
    return True, []

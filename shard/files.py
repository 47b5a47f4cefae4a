"""A shard's file: where it is, how it comes to be whole, and how it is opened only for the room it belongs to."""

import ctypes
import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import apsw

import ids
import sqlite
from migrations import engine
from shard import rooms
from shard.connections import Reader, Writer
from shard.errors import BrokenShardError, ShardBusyError, ShardFullError

T = TypeVar("T")

READER_CACHE_KIB = 512
"""Page cache of one connection: a busy room's newest pages; the kernel caches the rest for all rooms."""

WRITER_CACHE_KIB = 2_000
"""Page cache of a writing connection: the places in its indexes that the next messages will change."""


class Bounds(NamedTuple):
    """What a writing connection may use: disk for the database, None without a limit, and memory for its pages."""

    size_bytes_max: int | None = None
    cache_kib: int = WRITER_CACHE_KIB


UNBOUNDED = Bounds()

CHECK_PAGES_MAX = 65_536
"""A shard above this (256 MB) is not checked page by page on reopening; the monitor's rotation does that."""


def path_of(folder: Path, room_id: ids.RoomId) -> Path:
    """Return where a room's shard is."""
    return folder / f"{room_id}.db"


def create(
    folder: Path,
    room_id: ids.RoomId,
    migrations: Sequence[engine.Migration],
    found: Callable[[Writer], T],
    *,
    now_ms: int,
) -> T:
    """Make a shard and return what `found` made of it.

    The file appears whole under its name or not at all: it is built beside, synced, and renamed. Raises
    FileExistsError for a shard that is already there, ShardFullError without space, and BrokenShardError when the
    disk fails.
    """
    path = path_of(folder, room_id)
    if path.exists():
        raise FileExistsError(f"{path} already exists")
    building = path.with_suffix(".new")
    _discard(building)
    try:
        result = _build(building, room_id, migrations, found, now_ms)
        building.rename(path)
        sqlite.sync_folder(folder)
    except BaseException as error:
        _discard(building)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ShardFullError("There is no space left to create a room.") from error
        _raise_explained(error, room_id)
        raise
    return result


def _build(
    path: Path,
    room_id: ids.RoomId,
    migrations: Sequence[engine.Migration],
    found: Callable[[Writer], T],
    now_ms: int,
) -> T:
    connection = sqlite.create(path, sqlite.SHARD_APPLICATION_ID)
    try:
        # Nothing is promised before the rename, so one sync at the end (the close's checkpoint) serves all.
        connection.pragma("synchronous", "OFF")
        engine.apply(connection, migrations, now_ms=now_ms)
        connection.execute("BEGIN IMMEDIATE")
        writer = Writer(connection, room_id, ids.Sequence(room_id))
        result = found(writer)
        writer.settle()
        connection.execute("COMMIT")
        connection.pragma("synchronous", "FULL")
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        connection.close()
    return result


def discard_unfinished(folder: Path, room_id: ids.RoomId) -> None:
    """Remove what a killed process left of a shard that was being made."""
    _discard(path_of(folder, room_id).with_suffix(".new"))


def _discard(building: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        building.with_name(building.name + suffix).unlink(missing_ok=True)


def open_writer(
    path: Path,
    room_id: ids.RoomId,
    migrations: Sequence[engine.Migration],
    *,
    now_ms: int,
    check: bool,
    bounds: Bounds = UNBOUNDED,
) -> tuple[apsw.Connection, Writer]:
    """Open a shard for writing: the right room's, migrated, and with `check` looked through for damage.

    Raises BrokenShardError with the reason when the file is missing, damaged, another room's or from a newer
    release, ShardBusyError when another process holds it, ShardFullError when a migration finds no space.
    """
    connection = _connect(path, room_id, read_only=False, bounds=bounds)
    reader = Reader(connection, room_id)
    with _refusing(connection, room_id):
        engine.apply(connection, migrations, now_ms=now_ms)
        _guard(reader, room_id)
        if check:
            _check(connection, room_id)
        _settle_log(connection, is_suspect=check)
        last_id = rooms.last_id(reader)
    return connection, Writer(connection, room_id, ids.Sequence(last_id))


def open_reader(
    path: Path, room_id: ids.RoomId, migrations: Sequence[engine.Migration]
) -> tuple[apsw.Connection, Reader, bool]:
    """Open a reading connection, and tell whether a writer must migrate the shard before it is used.

    Raises BrokenShardError and ShardBusyError as `open_writer` does.
    """
    connection = _connect(path, room_id, read_only=True, bounds=Bounds(cache_kib=READER_CACHE_KIB))
    reader = Reader(connection, room_id)
    with _refusing(connection, room_id):
        is_behind = bool(engine.pending(connection, migrations))
        if not is_behind:
            _guard(reader, room_id)
    return connection, reader, is_behind


@contextmanager
def _refusing(connection: apsw.Connection, room_id: ids.RoomId) -> Iterator[None]:
    """Close a connection that turns out to be unusable, and say why in this package's words."""
    try:
        yield
    except BaseException as error:
        connection.close()
        _raise_explained(error, room_id)
        raise


def _raise_explained(error: BaseException, room_id: ids.RoomId) -> None:
    # A busy or full disk under a migration is what it is without one.
    cause = error.cause if isinstance(error, engine.MigrationFailedError) else error
    if isinstance(cause, apsw.Error):
        explained = translate(cause, room_id)
        if explained is cause:  # until a shard is open, an error in SQL is a fault of its file, not of ours
            explained = BrokenShardError(room_id, f"its file cannot be used ({cause})")
        raise explained from error
    if isinstance(error, engine.MigrationError):
        raise BrokenShardError(room_id, str(error)) from error


def _connect(path: Path, room_id: ids.RoomId, *, read_only: bool, bounds: Bounds) -> apsw.Connection:
    if not path.is_file():
        raise BrokenShardError(room_id, "its file is missing; restore it from a backup")
    try:
        connection = sqlite.connect(
            path, cache_kib=bounds.cache_kib, read_only=read_only, size_bytes_max=bounds.size_bytes_max
        )
    except apsw.Error as error:
        _raise_explained(error, room_id)
        raise
    with _refusing(connection, room_id):
        if connection.pragma("application_id") != sqlite.SHARD_APPLICATION_ID:
            raise BrokenShardError(room_id, "its file is not a shard")
    return connection


def _guard(reader: Reader, room_id: ids.RoomId) -> None:
    room = rooms.one(reader)
    if room is None:
        raise BrokenShardError(room_id, "its file was never finished")
    if room.room_id != room_id:
        raise BrokenShardError(room_id, f"its file belongs to room {room.room_id}")


def _check(connection: apsw.Connection, room_id: ids.RoomId) -> None:
    pages = connection.pragma("page_count")
    if pages > CHECK_PAGES_MAX:
        return
    finding = connection.pragma("quick_check", 1)
    if finding != "ok":
        raise BrokenShardError(room_id, f"its file is damaged ({finding}); restore it from a backup")


def _settle_log(connection: apsw.Connection, *, is_suspect: bool) -> None:
    """Make durable what a crash left in the log, before a repeated nonce acknowledges it without writing.

    A log whose sync failed is `is_suspect`: rows that only the page cache has would, after a power cut, cut off all
    that follows them. It is emptied into the database, and begun anew with a commit, which syncs the emptying too.
    """
    if is_suspect:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        connection.execute("UPDATE room SET one = 1")
    else:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)


def has_moved(connection: apsw.Connection) -> bool:
    """Tell whether another file, or none, stands by now where this connection's file was opened."""
    answer = ctypes.c_int()
    connection.file_control("main", apsw.SQLITE_FCNTL_HAS_MOVED, ctypes.addressof(answer))
    return bool(answer.value)


def translate(error: apsw.Error, room_id: ids.RoomId) -> Exception:
    """Return what a SQLite error outside a commit means to whoever asked."""
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return ShardBusyError("Another process is writing to this room.")
    if isinstance(error, apsw.FullError):
        return ShardFullError("There is no space left to write to this room.")
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
        return BrokenShardError(room_id, f"its file is damaged ({error}); restore it from a backup")
    if isinstance(error, apsw.CantOpenError):
        return BrokenShardError(room_id, f"its file cannot be opened ({error})")
    if isinstance(error, (apsw.IOError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.FormatError)):
        return BrokenShardError(room_id, f"the disk refused ({error})")
    return error

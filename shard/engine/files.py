"""Files of shards: their paths, their creation, and connections to them, each for the room that the file belongs to."""

import ctypes
import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import apsw

import ids
import sqlite
from migrations import engine
from shard.engine import branches, identity, word_index
from shard.engine.connections import Reader, Writer
from shard.errors import BrokenShardError, ShardBusyError, ShardFullError

log = logging.getLogger(__name__)
T = TypeVar("T")

READER_CACHE_KIB = 512
"""Page cache of one connection: a busy room's newest pages; the kernel caches the rest for all rooms."""

WRITER_CACHE_KIB = 2_000
"""Page cache of a writing connection: the pages of its indexes that the next messages will change."""


class Bounds(NamedTuple):
    """Bounds of a writing connection: disk for the database, None without a limit, and memory for its pages.

    A room that uses `full_bytes` counts as full.
    """

    size_bytes_max: int | None = None
    cache_kib: int = WRITER_CACHE_KIB
    full_bytes: int | None = None


UNBOUNDED = Bounds()

CHECK_PAGES_MAX = 65_536
"""A shard above this (256 MB) is not checked page by page on reopening; the monitor's rotation does that."""


def path_of(folder: Path, room_id: ids.RoomId) -> Path:
    """Return the path of a room's shard."""
    return folder / f"{room_id}.db"


def create(
    folder: Path,
    room_id: ids.RoomId,
    migrations: Sequence[engine.Migration],
    initialize: Callable[[Writer], T],
    *,
    now_ms: int,
    generator: ids.Generator | None = None,
) -> T:
    """Make a shard and return the result of `initialize`; its ids come from the generator of this process.

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
        result = _build(building, room_id, migrations, initialize, now_ms, generator)
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
    initialize: Callable[[Writer], T],
    now_ms: int,
    generator: ids.Generator | None,
) -> T:
    connection = sqlite.create(path, sqlite.SHARD_APPLICATION_ID)
    try:
        # Nothing is promised before the rename, so one sync at the end (the close's checkpoint) serves all.
        connection.pragma("synchronous", "OFF")
        sqlite.restore_image(connection, _empty(tuple(migrations)))
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE migrations SET applied_at = ?", (now_ms,))
        writer = Writer(connection, room_id, ids.Sequence(room_id, generator))
        result = initialize(writer)
        writer.settle()
        branches.adopt(writer, branches.identity_of(path))
        word_index.adopt(writer)
        connection.execute("COMMIT")
        connection.pragma("synchronous", "FULL")
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        connection.close()
    return result


@lru_cache(maxsize=1)
def _empty(migrations: tuple[engine.Migration, ...]) -> bytes:
    """Return a shard without a room, migrated: to migrate each new file took three quarters of its creation."""
    return sqlite.image(sqlite.SHARD_APPLICATION_ID, lambda connection: engine.apply(connection, migrations, now_ms=0))


def discard_unfinished(folder: Path, room_id: ids.RoomId) -> None:
    """Remove the unfinished shard of a killed process."""
    _discard(path_of(folder, room_id).with_suffix(".new"))


def _discard(building: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        building.with_name(building.name + suffix).unlink(missing_ok=True)


def open_writer(
    path: Path,
    room_id: ids.RoomId,
    migrations: Sequence[engine.Migration],
    *,
    now_ms: int,
    check: bool,
    bounds: Bounds = UNBOUNDED,
    generator: ids.Generator | None = None,
) -> tuple[apsw.Connection, Writer]:
    """Open a shard for writing: the right room's, migrated, and with `check` checked for damage. Its ids come from the
    generator of this process.

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
        writer = Writer(connection, room_id, ids.Sequence(identity.last_id(reader), generator))
        writer.full_bytes = bounds.full_bytes
        _continue_log(connection, writer, path, now_ms=now_ms)
        if word_index.is_outdated(writer):
            with connection:
                word_index.renew(writer)
    return connection, writer


def _continue_log(connection: apsw.Connection, writer: Writer, path: Path, *, now_ms: int) -> None:
    """Begin a branch of the log when the file is a copy of the one in which it was continued last."""
    identity_now = branches.identity_of(path)
    is_copy = branches.is_copy(writer, identity_now)
    if not is_copy and not branches.is_unknown(writer):
        return
    try:
        with connection:
            if is_copy:
                branches.begin(writer, now_ms=now_ms)
            branches.adopt(writer, identity_now)
    except apsw.FullError:
        if is_copy:
            raise
        # A room can be read on a full disk. It names its file at another open.
        log.info("a room does not name its file yet", extra={"room_id": writer.room_id})
    if is_copy:
        log.warning("a room was restored: its log begins a new branch", extra={"room_id": writer.room_id})


def open_reader(
    path: Path, room_id: ids.RoomId, migrations: Sequence[engine.Migration], *, keeps_mode: bool = False
) -> tuple[apsw.Connection, Reader, bool]:
    """Open a reading connection, and tell whether a writer must migrate the shard before it is used, begin a branch of
    the log of a copy, or begin the word index anew. With `keeps_mode` a copy stays in the journal mode that it is in.

    Raises BrokenShardError and ShardBusyError as `open_writer` does.
    """
    bounds = Bounds(cache_kib=READER_CACHE_KIB)
    connection = _connect(path, room_id, read_only=True, keeps_mode=keeps_mode, bounds=bounds)
    reader = Reader(connection, room_id)
    with _refusing(connection, room_id):
        is_behind = bool(engine.pending(connection, migrations))
        if not is_behind:
            _guard(reader, room_id)
            is_behind = branches.is_copy(reader, branches.identity_of(path)) or word_index.is_outdated(reader)
    return connection, reader, is_behind


@contextmanager
def _refusing(connection: apsw.Connection, room_id: ids.RoomId) -> Iterator[None]:
    """Close a connection that is unusable, and raise the reason as an error of this package."""
    try:
        yield
    except BaseException as error:
        # The log of a file that is refused may be another one's: closing must not move it into the database.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.close()
        _raise_explained(error, room_id)
        raise


def _raise_explained(error: BaseException, room_id: ids.RoomId) -> None:
    # A busy or full disk during a migration is the same error as at any other time.
    cause = error.cause if isinstance(error, engine.MigrationFailedError) else error
    if isinstance(cause, apsw.Error):
        explained = translate(cause, room_id)
        if explained is cause:  # until a shard is open, an error in SQL is a fault of its file, not of ours
            explained = BrokenShardError(room_id, f"its file cannot be used ({cause})")
        raise explained from error
    if isinstance(error, engine.MigrationError):
        raise BrokenShardError(room_id, str(error)) from error


def _connect(
    path: Path, room_id: ids.RoomId, *, read_only: bool, keeps_mode: bool = False, bounds: Bounds
) -> apsw.Connection:
    if not path.is_file():
        raise BrokenShardError(room_id, "its file is missing; restore it from a backup")
    try:
        connection = sqlite.connect(
            path,
            cache_kib=bounds.cache_kib,
            read_only=read_only,
            keeps_mode=keeps_mode,
            size_bytes_max=bounds.size_bytes_max,
        )
    except apsw.Error as error:
        _raise_explained(error, room_id)
        raise
    with _refusing(connection, room_id):
        if connection.pragma("application_id") != sqlite.SHARD_APPLICATION_ID:
            raise BrokenShardError(room_id, "its file is not a shard")
    return connection


def _guard(reader: Reader, room_id: ids.RoomId) -> None:
    room = identity.one(reader)
    if room is None:
        raise BrokenShardError(room_id, "its file was never finished")
    if room.room_id != room_id:
        raise BrokenShardError(room_id, f"its file belongs to room {room.room_id}", belongs_to=room.room_id)


def _check(connection: apsw.Connection, room_id: ids.RoomId) -> None:
    pages = connection.pragma("page_count")
    if pages > CHECK_PAGES_MAX:
        return
    finding = connection.pragma("quick_check", 1)
    if finding != "ok":
        raise BrokenShardError(room_id, f"its file is damaged ({finding}); restore it from a backup")


def _settle_log(connection: apsw.Connection, *, is_suspect: bool) -> None:
    """Sync the rows that a crash left in the log, before a repeated nonce acknowledges one of them without writing.

    A log whose sync failed is `is_suspect`: rows that only the page cache has would, after a power cut, cut off all
    that follows them. It is emptied into the database, and begun anew with a commit, which syncs the emptying too.
    """
    if is_suspect:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        connection.execute("UPDATE room SET one = 1")
    else:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)


def has_moved(connection: apsw.Connection) -> bool:
    """Tell whether the path of this connection's file names another file by now, or none."""
    answer = ctypes.c_int()
    connection.file_control("main", apsw.SQLITE_FCNTL_HAS_MOVED, ctypes.addressof(answer))
    return bool(answer.value)


def translate(error: apsw.Error, room_id: ids.RoomId) -> Exception:
    """Return the error of this package for a SQLite error outside a commit."""
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return ShardBusyError("Another process is writing to this room.")
    if isinstance(error, apsw.FullError):
        return ShardFullError("There is no space left to write to this room.")
    if isinstance(error, apsw.IOError) and getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_SHMSIZE:
        return ShardFullError("There is no space left to open this room, not even to read it.")
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
        return BrokenShardError(room_id, f"its file is damaged ({error}); restore it from a backup")
    if isinstance(error, apsw.CantOpenError):
        return BrokenShardError(room_id, f"its file cannot be opened ({error})")
    if isinstance(error, (apsw.IOError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.FormatError)):
        return BrokenShardError(room_id, f"the disk refused ({error})")
    return error

"""Dumps of a shard into one compressed file, while no other connection, of any process, has the shard's file open.

A dump has the whole room: the log was moved into the file, and the copy was checked before it was compressed. The
shard's own file does not change until `remove` deletes it.
"""

import errno
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import apsw
import zstandard

import sqlite
from ids import RoomId
from migrations import engine
from shard.engine import files, identity
from shard.engine.connections import Reader
from shard.errors import BrokenShardError, ShardBusyError, ShardFullError

COMPRESSION_LEVEL: Final = 3
"""Of 1 to 22. Here 50 MB of chat became 15 MB in 0.5 s; level 6 took twice as long for a twentieth less."""
CHUNK_BYTES: Final = 1_048_576
"""Bytes that are compressed between two looks at whether to stop."""
STEPS: Final = 100_000
"""Virtual machine steps between two checks whether to stop: some milliseconds."""
HOLD_MS: Final = 250
"""Time for another process to close the file; if it is still open then, the room is not hibernated."""
COPY: Final = ".copy"
PACKED: Final = ".packed"
WAKING: Final = ".waking"
LEFT: Final = ".left"
LEFT_MS: Final = 604_800_000
"""Time for which an unexpected file of a hibernated room is kept after it was set aside: a week."""
BESIDE: Final = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite keeps beside a database."""


class StoppedError(Exception):
    """The dump was stopped by `StillShard.stop`; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A packed shard: its path, size and hash, and those of the file in it; hashes are SHA-256 in hexadecimal."""

    path: Path
    size_bytes: int
    sha256: str
    file_bytes: int
    file_sha256: str
    last_seq: int


class StillShard:
    """A shard's file under an exclusive lock; `stop` may be called from any thread, the rest from one at a time."""

    def __init__(
        self, folder: Path, room_id: RoomId, migrations: Sequence[engine.Migration], clock: Callable[[], int]
    ) -> None:
        self.room_id = room_id
        self._folder = folder
        self._path = files.path_of(folder, room_id)
        self._migrations = migrations
        self._clock = clock
        self._connection: apsw.Connection | None = None
        self._lock = threading.Lock()
        self._is_stopped = False

    def hold(self) -> Reader:
        """Lock the file for this process alone, migrate it, and return a reader of it.

        Raises ShardBusyError when another connection has it open, and the errors of opening a shard.
        """
        with self._lock, self._explained():
            self._refuse_stopped()
            now_ms = self._clock()
            self._connection, reader = files.open_writer(
                self._path, self.room_id, self._migrations, now_ms=now_ms, check=False
            )
            self._connection.set_progress_handler(lambda: self._is_stopped, STEPS)
            # Requests that wait for the room must not wait for another process as well.
            self._connection.set_busy_timeout(HOLD_MS)
            sqlite.hold_alone(self._connection)
            return reader

    def pack(self) -> Packed:
        """Copy the shard, check the copy, and compress it.

        Raises StoppedError, BrokenShardError for a damaged shard, and ShardFullError without space for both.
        """
        copy, packed = self._beside(COPY), self._beside(PACKED)
        with self._lock, self._explained():
            self._refuse_stopped()
            assert self._connection is not None, "the shard is held first"
            for leftover in (copy, packed):
                leftover.unlink(missing_ok=True)
            self._connection.execute("VACUUM INTO ?", (str(copy),))
            _forget_file(copy)
            last_seq = self._check_copy(copy)
            with copy.open("rb") as source, packed.open("xb") as target:
                read, written = _Counted(source), _Counted(target)
                compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True)
                with compressor.stream_writer(written, closefd=False) as compressing:  # type: ignore[arg-type]
                    while chunk := read.read(CHUNK_BYTES):
                        self._refuse_stopped()
                        compressing.write(chunk)
            copy.unlink()
            return Packed(packed, written.count, written.sha256, read.count, read.sha256, last_seq)

    def _check_copy(self, copy: Path) -> int:
        """Check all of a copy, and return the last number of its log."""
        connection = sqlite.connect_unchanging(copy)
        try:
            connection.set_progress_handler(lambda: self._is_stopped, STEPS)
            finding = connection.pragma("quick_check", 1)
            if finding != "ok":
                raise BrokenShardError(self.room_id, f"its file is damaged ({finding}); restore it from a backup")
            guard(connection, self.room_id)
            row = Reader(connection, self.room_id).one("SELECT coalesce(max(seq), 0) FROM events")
            return 0 if row is None else int(row[0])
        finally:
            connection.close()

    def remove(self) -> None:
        """Delete the shard's file for good: the dump is the room now. Raises OSError."""
        with self._lock:
            self._path.unlink()
            sqlite.sync_folder(self._folder)

    def stop(self) -> None:
        """End the work under way soon, and refuse to begin any other."""
        self._is_stopped = True

    def release(self) -> None:
        """Unlock the file, and remove the leftovers of the dump."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.set_progress_handler(None)
                # Nothing is left to write: at worst, the next connection has to read a journal.
                with suppress(apsw.Error):
                    connection.close()
            for kind in (COPY, PACKED):
                with suppress(OSError):  # a file that remains is removed at the next start
                    self._beside(kind).unlink(missing_ok=True)

    def _beside(self, kind: str) -> Path:
        return self._path.with_suffix(kind)

    def _refuse_stopped(self) -> None:
        if self._is_stopped:
            raise StoppedError

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Translate errors of the disk and of SQLite into errors of this package."""
        try:
            yield
        except OSError as error:
            raise explained(error, self.room_id) from error
        except apsw.Error as error:
            if isinstance(error, apsw.InterruptError) or self._is_stopped:
                raise StoppedError from error
            if isinstance(error, (apsw.BusyError, apsw.LockedError)):
                raise ShardBusyError("Another process has this room's file open.") from error
            translated = files.translate(error, self.room_id)
            if translated is error:
                translated = BrokenShardError(self.room_id, f"its file cannot be used ({error})")
            raise translated from error


class _Counted:
    """A file whose bytes are counted and hashed as they are read or written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.count = 0

    def read(self, size: int, /) -> bytes:
        chunk = self._file.read(size)
        self._note(chunk)
        return chunk

    def write(self, chunk: bytes, /) -> int:
        self._note(chunk)
        return self._file.write(chunk)

    def _note(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self.count += len(chunk)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _forget_file(copy: Path) -> None:
    """Have the copy continue the log in whatever file it is unpacked to: it is the room itself, moved."""
    connection = sqlite.connect_unshared(copy)
    try:
        connection.execute("UPDATE room SET file_identity = NULL")
    finally:
        connection.close()


def guard(connection: apsw.Connection, room_id: RoomId) -> None:
    """Raise BrokenShardError unless an open database is the shard of this room."""
    if connection.pragma("application_id") != sqlite.SHARD_APPLICATION_ID:
        raise BrokenShardError(room_id, "its file is not a shard")
    room = identity.one(Reader(connection, room_id))
    if room is None or room.room_id != room_id:
        raise BrokenShardError(room_id, f"its file belongs to room {'no one' if room is None else room.room_id}")


def explained(error: OSError, room_id: RoomId) -> Exception:
    """Return the error of this package for an error of the disk."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ShardFullError("There is no space left to hibernate or wake this room.")
    return BrokenShardError(room_id, f"the disk refused ({error.strerror})")


def discard_left(folder: Path, *, now_ms: int) -> None:
    """Remove the unfinished files of killed processes, and files that were set aside long ago; none may be in use."""
    for kind in (COPY, PACKED, WAKING):
        for leftover in folder.glob(f"*{kind}*"):
            leftover.unlink(missing_ok=True)
    for leftover in folder.glob(f"*{LEFT}"):
        if leftover.stat().st_ctime * 1_000 < now_ms - LEFT_MS:
            leftover.unlink(missing_ok=True)


def has_file(folder: Path, room_id: RoomId) -> bool:
    """Tell whether a room's file exists."""
    return files.path_of(folder, room_id).exists()


def set_aside(folder: Path, room_id: RoomId) -> Path | None:
    """Rename the file of a hibernated room, and return its new path, None if there was no file; it must not be open.

    Either a crash left it, and it equals the object, or an operator put it there, and it must not be lost.
    """
    path = files.path_of(folder, room_id)
    if not path.exists():
        return None
    kept = path.with_suffix(LEFT)
    path.replace(kept)
    discard_beside(path)
    sqlite.sync_folder(folder)
    return kept


def discard_beside(path: Path) -> None:
    """Remove a log whose file is gone: SQLite would apply it to another file of the same name."""
    for kind in BESIDE:
        path.with_name(path.name + kind).unlink(missing_ok=True)

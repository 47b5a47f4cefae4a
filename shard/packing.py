"""Puts a shard into one compressed file, while nobody else has its own file open, in this process or another.

What is packed is the whole room: the log was moved into the file, and the copy was read through before it was
compressed. Nothing of the shard's own file changes, until `remove` takes it away.
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
from shard import files, rooms
from shard.connections import Reader
from shard.errors import BrokenShardError, ShardBusyError, ShardFullError

COMPRESSION_LEVEL: Final = 3
"""Of 1 to 22. Here 50 MB of chat became 15 MB in 0.5 s; level 6 took twice as long for a twentieth less."""
CHUNK_BYTES: Final = 1_048_576
STEPS: Final = 100_000
"""Virtual machine steps between two looks at whether to stop: some milliseconds."""
HOLD_MS: Final = 250
"""How long another process may take to close the file, before the room stays where it is."""
COPY: Final = ".copy"
PACKED: Final = ".packed"
WAKING: Final = ".waking"
LEFT: Final = ".left"
LEFT_MS: Final = 604_800_000
"""How long a file is kept that stood where a hibernated room has none: a week."""
BESIDE: Final = ("-wal", "-shm", "-journal")
"""What SQLite puts beside a file."""


class StoppedError(Exception):
    """Packing was stopped by `StillShard.stop`; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A packed shard: where and what it is, and what the shard's file in it is; hashes are SHA-256 in hexadecimal."""

    path: Path
    size_bytes: int
    sha256: str
    file_bytes: int
    file_sha256: str
    last_seq: int


class StillShard:
    """A shard's file that nobody else can open; `stop` may be called from any thread, the rest from one at a time."""

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
        """Take the file, migrated, and return who answers questions about it.

        Raises ShardBusyError when somebody else has it open, and what opening a shard raises.
        """
        with self._lock, self._explained():
            self._refuse_stopped()
            now_ms = self._clock()
            self._connection, reader = files.open_writer(
                self._path, self.room_id, self._migrations, now_ms=now_ms, check=False
            )
            self._connection.set_progress_handler(lambda: self._is_stopped, STEPS)
            # Who waits for the room is not to wait for another process.
            self._connection.set_busy_timeout(HOLD_MS)
            sqlite.hold_alone(self._connection)
            return reader

    def pack(self) -> Packed:
        """Copy the shard, look the copy through, and compress it.

        Raises StoppedError, BrokenShardError for a damaged shard, and ShardFullError without space for both.
        """
        copy, packed = self._beside(COPY), self._beside(PACKED)
        with self._lock, self._explained():
            self._refuse_stopped()
            assert self._connection is not None, "the shard is held first"
            for left in (copy, packed):
                left.unlink(missing_ok=True)
            self._connection.execute("VACUUM INTO ?", (str(copy),))
            last_seq = self._look_through(copy)
            with copy.open("rb") as source, packed.open("xb") as target:
                read, written = _Counted(source), _Counted(target)
                compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True)
                with compressor.stream_writer(written, closefd=False) as compressing:  # type: ignore[arg-type]
                    while chunk := read.read(CHUNK_BYTES):
                        self._refuse_stopped()
                        compressing.write(chunk)
            copy.unlink()
            return Packed(packed, written.count, written.sha256, read.count, read.sha256, last_seq)

    def _look_through(self, copy: Path) -> int:
        """Read a copy through, and return the last number of its log."""
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
        """Take the shard's file away, for good: what was packed is the room now. Raises OSError."""
        with self._lock:
            self._path.unlink()
            sqlite.sync_folder(self._folder)

    def stop(self) -> None:
        """Have what is under way end soon, and nothing begin."""
        self._is_stopped = True

    def let_go(self) -> None:
        """Let others open the file again, and remove what packing left."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.set_progress_handler(None)
                with suppress(
                    apsw.Error
                ):  # nothing is left to write: at worst the next to open it looks into a journal
                    connection.close()
            for kind in (COPY, PACKED):
                with suppress(OSError):  # one that stays is removed at the next start
                    self._beside(kind).unlink(missing_ok=True)

    def _beside(self, kind: str) -> Path:
        return self._path.with_suffix(kind)

    def _refuse_stopped(self) -> None:
        if self._is_stopped:
            raise StoppedError

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise a disk's and SQLite's errors in this package's words."""
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
    """A file whose bytes are counted and hashed as they pass."""

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


def guard(connection: apsw.Connection, room_id: RoomId) -> None:
    """Raise BrokenShardError unless an open database is the shard of this room."""
    if connection.pragma("application_id") != sqlite.SHARD_APPLICATION_ID:
        raise BrokenShardError(room_id, "its file is not a shard")
    room = rooms.one(Reader(connection, room_id))
    if room is None or room.room_id != room_id:
        raise BrokenShardError(room_id, f"its file belongs to room {'no one' if room is None else room.room_id}")


def explained(error: OSError, room_id: RoomId) -> Exception:
    """Return what an error of the disk means to whoever waits for a room."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ShardFullError("There is no space left to hibernate or wake this room.")
    return BrokenShardError(room_id, f"the disk refused ({error.strerror})")


def discard_left(folder: Path, *, now_ms: int) -> None:
    """Remove what killed processes left half-packed and half-woken, and what was set aside long ago; nobody may be at
    it."""
    for kind in (COPY, PACKED, WAKING):
        for left in folder.glob(f"*{kind}*"):
            left.unlink(missing_ok=True)
    for left in folder.glob(f"*{LEFT}"):
        if left.stat().st_ctime * 1_000 < now_ms - LEFT_MS:
            left.unlink(missing_ok=True)


def has_file(folder: Path, room_id: RoomId) -> bool:
    """Tell whether a room's file stands."""
    return files.path_of(folder, room_id).exists()


def set_aside(folder: Path, room_id: RoomId) -> Path | None:
    """Take the file of a room that is hibernated out of the way, and return where it is then, None if there was none;
    nobody may have it open.

    A crash left it, and then it is the same as the object, or an operator put it there, and then it must not be lost.
    """
    path = files.path_of(folder, room_id)
    if not path.exists():
        return None
    left = path.with_suffix(LEFT)
    path.replace(left)
    discard_beside(path)
    sqlite.sync_folder(folder)
    return left


def discard_beside(path: Path) -> None:
    """Remove a log that belongs to no file any more: beside another file it would change that."""
    for kind in BESIDE:
        path.with_name(path.name + kind).unlink(missing_ok=True)

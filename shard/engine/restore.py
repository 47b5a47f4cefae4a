"""Restoration of a packed shard: it is unpacked beside its place, compared, and renamed to it, whole and durable.

The bytes are compared by SHA-256 with those that were checked when they were packed: no other file gets the name.
"""

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import apsw
import zstandard

import sqlite
from ids import RoomId
from shard.engine import dump, files
from shard.errors import BrokenShardError

SYNC_BYTES: Final = 8_388_608
"""Bytes written between two syncs, which run beside the writing: little is left to sync at the end."""


class Unpacker:
    """The bytes of a packed shard as they are unpacked, counted and compared. Raises BrokenShardError."""

    def __init__(self, room_id: RoomId, *, file_bytes: int, file_sha256: str) -> None:
        self._room_id = room_id
        self._file_bytes = file_bytes
        self._file_sha256 = file_sha256
        self._count = 0
        self._digest = hashlib.sha256()
        self._decompressing = zstandard.ZstdDecompressor().decompressobj()

    def take(self, chunk: bytes) -> bytes:
        """Unpack the next bytes of the packed shard, and return them."""
        try:
            data = self._decompressing.decompress(chunk)
        except zstandard.ZstdError as error:
            raise self.damaged(str(error)) from error
        self._count += len(data)
        if self._count > self._file_bytes:
            raise self.damaged("it has more bytes than were packed")
        self._digest.update(data)
        return data

    def compare(self) -> None:
        """Compare all that was unpacked with the room's file as it was packed."""
        if self._count != self._file_bytes:
            raise self.damaged("bytes are missing")
        if self._digest.hexdigest() != self._file_sha256:
            raise self.damaged("its SHA-256 is another")

    def damaged(self, fault: str) -> BrokenShardError:
        """Return the error for an object whose bytes are not those of the room."""
        return BrokenShardError(self._room_id, f"it is hibernated, and its object is damaged ({fault})")


class RestoredFile:
    """A shard's file on its way to its place; used by one thread at a time.

    Raises BrokenShardError as `unpacker` does and when the disk fails, ShardFullError without space.
    """

    def __init__(self, folder: Path, room_id: RoomId, unpacker: Unpacker) -> None:
        self._folder = folder
        self._room_id = room_id
        self._unpacker = unpacker
        self._path = files.path_of(folder, room_id)
        self._unfinished = self._path.with_suffix(dump.WAKING)
        self._file: BinaryIO | None = None
        self._unsynced = 0
        self._sync_thread = ThreadPoolExecutor(1, thread_name_prefix="shard-wake-sync")
        self._sync: Future[None] | None = None

    def write(self, chunk: bytes) -> None:
        """Write the next bytes of the packed shard."""
        data = self._unpacker.take(chunk)
        try:
            self._write(data)
        except OSError as error:
            raise dump.explained(error, self._room_id) from error

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._unfinished.unlink(missing_ok=True)
            descriptor = os.open(self._unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            self._file = os.fdopen(descriptor, "wb", buffering=0)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._unsynced += len(data)
        if self._unsynced >= SYNC_BYTES and (self._sync is None or self._sync.done()):
            self._settle_sync()
            self._unsynced = 0
            self._sync = self._sync_thread.submit(os.fdatasync, self._file.fileno())

    def _settle_sync(self) -> None:
        if self._sync is not None:
            sync, self._sync = self._sync, None
            sync.result()

    def finish(self) -> None:
        """Rename the shard to its place, once it is whole, compared and durable."""
        self._unpacker.compare()
        assert self._file is not None, "a shard has bytes"
        try:
            self._settle_sync()
            os.fsync(self._file.fileno())
            self._file.close()
            self._guard()
            dump.discard_beside(self._path)
            self._unfinished.rename(self._path)
            sqlite.sync_folder(self._folder)
        except OSError as error:
            raise dump.explained(error, self._room_id) from error

    def _guard(self) -> None:
        try:
            connection = sqlite.connect_unchanging(self._unfinished)
            try:
                dump.guard(connection, self._room_id)
            finally:
                connection.close()
        except apsw.Error as error:
            raise self._unpacker.damaged(str(error)) from error

    def discard(self) -> None:
        """Stop, and remove a file that was not renamed to its place."""
        self._sync_thread.shutdown()
        if self._file is not None:
            with suppress(OSError):  # it is removed now, or at the next start
                self._file.close()
                self._unfinished.unlink(missing_ok=True)

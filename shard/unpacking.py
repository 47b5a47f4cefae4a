"""Brings a packed shard back: it is unpacked beside its place, compared, and put there whole, durably.

The bytes are those that were read through when they were packed, by their SHA-256: nothing else gets the name.
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
from shard import files, packing
from shard.errors import BrokenShardError

SYNC_BYTES: Final = 8_388_608
"""So much is written between two syncs, which go on beside the writing: at the end little is left to wait for."""


class Unpacking:
    """What comes out of a packed shard, counted and compared with what went in. Raises BrokenShardError."""

    def __init__(self, room_id: RoomId, *, file_bytes: int, file_sha256: str) -> None:
        self._room_id = room_id
        self._file_bytes = file_bytes
        self._file_sha256 = file_sha256
        self._count = 0
        self._digest = hashlib.sha256()
        self._decompressing = zstandard.ZstdDecompressor().decompressobj()

    def take(self, chunk: bytes) -> bytes:
        """Return what the next bytes of the packed shard unpack to."""
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
        """Return when everything came out that went in."""
        if self._count != self._file_bytes:
            raise self.damaged("bytes are missing")
        if self._digest.hexdigest() != self._file_sha256:
            raise self.damaged("its SHA-256 is another")

    def damaged(self, fault: str) -> BrokenShardError:
        """Return the error for bytes that are not the room's."""
        return BrokenShardError(self._room_id, f"it is hibernated, and its object is damaged ({fault})")


class Placing:
    """A shard's file on its way to its place; used by one thread at a time.

    Raises BrokenShardError as `unpacking` does and when the disk fails, ShardFullError without space.
    """

    def __init__(self, folder: Path, room_id: RoomId, unpacking: Unpacking) -> None:
        self._folder = folder
        self._room_id = room_id
        self._unpacking = unpacking
        self._path = files.path_of(folder, room_id)
        self._waking = self._path.with_suffix(packing.WAKING)
        self._file: BinaryIO | None = None
        self._unsynced = 0
        self._syncing = ThreadPoolExecutor(1, thread_name_prefix="shard-wake-sync")
        self._sync: Future[None] | None = None

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the packed shard."""
        data = self._unpacking.take(chunk)
        try:
            self._write(data)
        except OSError as error:
            raise packing.explained(error, self._room_id) from error

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._waking.unlink(missing_ok=True)
            descriptor = os.open(self._waking, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            self._file = os.fdopen(descriptor, "wb", buffering=0)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._unsynced += len(data)
        if self._unsynced >= SYNC_BYTES and (self._sync is None or self._sync.done()):
            self._settle_sync()
            self._unsynced = 0
            self._sync = self._syncing.submit(os.fdatasync, self._file.fileno())

    def _settle_sync(self) -> None:
        if self._sync is not None:
            sync, self._sync = self._sync, None
            sync.result()

    def finish(self) -> None:
        """Give the shard its place, once all its bytes came: whole, compared, and durable."""
        self._unpacking.compare()
        assert self._file is not None, "a shard has bytes"
        try:
            self._settle_sync()
            os.fsync(self._file.fileno())
            self._file.close()
            self._guard()
            packing.discard_beside(self._path)
            self._waking.rename(self._path)
            sqlite.sync_folder(self._folder)
        except OSError as error:
            raise packing.explained(error, self._room_id) from error

    def _guard(self) -> None:
        try:
            connection = sqlite.connect_unchanging(self._waking)
            try:
                packing.guard(connection, self._room_id)
            finally:
                connection.close()
        except apsw.Error as error:
            raise self._unpacking.damaged(str(error)) from error

    def discard(self) -> None:
        """End: what is not in its place by now never gets there."""
        self._syncing.shutdown()
        if self._file is not None:
            with suppress(OSError):  # it is removed now, or at the next start
                self._file.close()
                self._waking.unlink(missing_ok=True)

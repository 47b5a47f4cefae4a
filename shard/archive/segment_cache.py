"""A cache of segments on local disk: fetched when needed, verified whenever read, removed when others need the space.

A file in the cache is a segment's object, compared with its SHA-256, unpacked, with a checksum for each page beside it.
Everything here may be removed at any time: it is fetched again.
"""

import asyncio
import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Concatenate, Final, ParamSpec, TypeVar

import apsw
import zstandard

import sqlite
from ids import RoomId
from objects.errors import CorruptObjectError, ObjectError, ObjectNotFoundError, StoreUnavailableError
from objects.store import Store
from shard.archive import checksum_vfs, segment_files
from shard.archive.checksum_vfs import DamagedError
from shard.archive.manifest import Segment
from shard.engine.connections import Reader
from shard.errors import ArchiveUnavailableError

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

OPEN_MAX: Final = 64
"""Segments that are open at once: three descriptors and a page cache each."""
CACHE_KIB: Final = 1_024
"""Page cache of an open segment: its newest pages and the upper parts of its trees."""
FETCHES_MAX: Final = 4
"""Segments that are fetched at once; others wait."""
_PIECE: Final = 4 * 1024 * 1024
"""Bytes that are unpacked and written at a time."""


class _Open:
    """An open segment; one query at a time."""

    def __init__(self, connection: apsw.Connection, room_id: RoomId) -> None:
        self.connection = connection
        self.reader = Reader(connection, room_id)
        self.lock = threading.Lock()


class SegmentCache:
    """The cache of segments, which are queried here, and fetched where they are not cached; lives on one event loop."""

    def __init__(self, store: Store, folder: Path, *, bytes_max: int, threads: int = 2) -> None:
        self._store = store
        self._folder = folder
        self._bytes_max = bytes_max
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="segments")
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(FETCHES_MAX)
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._lock = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sizes = _found(folder)
        self.on_loss: Callable[[RoomId], None] = lambda _room_id: None
        """Called with each room of which a segment was missed, or was damaged."""

    async def ask(
        self,
        room_id: RoomId,
        segment: Segment,
        act: Callable[Concatenate[Reader, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a query in a segment. Raises ArchiveUnavailableError when its object cannot be fetched now."""

        def answer() -> T:
            return self._answer(room_id, segment, lambda reader: act(reader, *args, **kwargs))

        loop = asyncio.get_running_loop()
        is_fresh = False
        while True:
            if segment.sha256 not in self._sizes:
                await self._fetch_for(room_id, segment)
                is_fresh = True
            try:
                return await loop.run_in_executor(self._executor, answer)
            except apsw.ConnectionClosedError:
                continue  # it was closed to make room for others, just before the query
            except (apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.CantOpenError, DamagedError) as error:
                await self._discard_damaged(segment, error)
                if is_fresh:
                    raise ArchiveUnavailableError(segment.object_key) from error

    async def _discard_damaged(self, segment: Segment, error: Exception) -> None:
        """Discard a copy that is damaged or gone; the object itself may be whole."""
        log.warning("a cached segment is fetched again", extra={"key": segment.object_key, "reason": str(error)})
        await self.forget(segment)

    async def forget(self, segment: Segment) -> None:
        """Remove the copy of a segment; a later query fetches it again."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._discard, segment.sha256)

    async def clear(self) -> None:
        """Forget every segment."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._make_space, self._bytes_max)

    async def copy(self, segment: Segment, target: Path) -> None:
        """Copy a segment's file to another path, comparing every page: reads of the copy compare nothing.

        Raises ArchiveUnavailableError, and OSError when it cannot be written.
        """
        is_fresh = False
        while True:
            if segment.sha256 not in self._sizes:
                await self._fetch(segment)
                is_fresh = True
            source = self._path(segment.sha256)
            try:
                await asyncio.get_running_loop().run_in_executor(self._executor, checksum_vfs.copy, source, target)
            except DamagedError as error:
                await self._discard_damaged(segment, error)
                if is_fresh:
                    raise ArchiveUnavailableError(segment.object_key) from error
            else:
                return

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.db"

    def _answer(self, room_id: RoomId, segment: Segment, act: Callable[[Reader], T]) -> T:
        found = self._opened(room_id, segment)
        with found.lock:
            return act(found.reader)

    def _opened(self, room_id: RoomId, segment: Segment) -> _Open:
        with self._lock:
            found = self._open.get(segment.sha256)
            if found is None:
                found = self._open[segment.sha256] = self._connect(room_id, segment)
            self._open.move_to_end(segment.sha256)
            if segment.sha256 in self._sizes:
                self._sizes.move_to_end(segment.sha256)
            oldest = next(iter(self._open)) if len(self._open) > OPEN_MAX else None
        if oldest is not None:
            self._close(oldest)
        return found

    def _connect(self, room_id: RoomId, segment: Segment) -> _Open:
        path = self._path(segment.sha256)
        checksum_vfs.expect(path, checksum_vfs.sums_of(path))
        found = _Open(sqlite.open_immutable(path, vfs=checksum_vfs.VFS, cache_kib=CACHE_KIB), room_id)
        format_, channel_id, first_id, until_id, count = segment_files.guard(found.reader)
        is_right = format_ in segment_files.FORMATS_READ and channel_id == segment.channel_id and count > 0
        if not is_right or until_id != segment.until_id or first_id > segment.first_id:
            found.connection.close()
            raise DamagedError("it is not the segment that the manifest names")
        return found

    async def _fetch_for(self, room_id: RoomId, segment: Segment) -> None:
        try:
            await self._fetch(segment)
        except ArchiveUnavailableError as error:
            if not isinstance(error.__cause__, StoreUnavailableError):
                self.on_loss(room_id)
            raise

    async def _fetch(self, segment: Segment) -> None:
        """Fetch a segment, once for all queries that wait for it."""
        task = self._fetching.get(segment.sha256)
        if task is None:
            task = self._fetching[segment.sha256] = asyncio.create_task(self._fetch_alone(segment))
            task.add_done_callback(lambda _: self._fetching.pop(segment.sha256, None))
        await asyncio.shield(task)

    async def _fetch_alone(self, segment: Segment) -> None:
        async with self._slots:
            if segment.file_bytes > min(self._bytes_max, segment_files.FILE_BYTES_MAX):
                raise ArchiveUnavailableError(segment.object_key)
            await asyncio.get_running_loop().run_in_executor(self._executor, self._make_space, segment.file_bytes)
            try:
                async with self._store.open(segment.object_key) as reading:
                    if reading.head.content.sha256 != segment.sha256:
                        raise CorruptObjectError(segment.object_key, "it is another object than the manifest names")
                    await self._unpack(segment, reading.chunks)
            except (ObjectError, zstandard.ZstdError, OSError) as error:
                retryable = isinstance(error, StoreUnavailableError | ObjectNotFoundError)
                log.log(
                    logging.WARNING if retryable else logging.ERROR,
                    "a segment cannot be read",
                    extra={"key": segment.object_key, "reason": str(error)},
                )
                raise ArchiveUnavailableError(segment.object_key) from error

    async def _unpack(self, segment: Segment, chunks: AsyncIterator[bytes]) -> None:
        """Write a segment's file; it gets its name only after all of it was compared."""
        path = self._path(segment.sha256)
        incoming = path.with_suffix(".incoming")
        loop = asyncio.get_running_loop()
        try:
            with incoming.open("wb") as file:
                unpacking = _Unpacking(file, segment.file_bytes)
                # A chunk is unpacked while the next one is fetched.
                added: asyncio.Future[None] | None = None
                async for chunk in chunks:
                    if added is not None:
                        await added
                    added = loop.run_in_executor(self._executor, unpacking.add, chunk)
                if added is not None:
                    await added
                await loop.run_in_executor(self._executor, unpacking.finish)
            path.with_suffix(checksum_vfs.SUFFIX).write_bytes(unpacking.sums.packed())
            incoming.rename(path)
        finally:
            incoming.unlink(missing_ok=True)
        with self._lock:
            self._sizes[segment.sha256] = segment.file_bytes

    def _make_space(self, size_bytes: int) -> None:
        while True:
            with self._lock:
                if not self._sizes or sum(self._sizes.values()) + size_bytes <= self._bytes_max:
                    return
                oldest = next(iter(self._sizes))
            self._discard(oldest)

    def _discard(self, sha256: str) -> None:
        """Close and remove a segment's file."""
        self._close(sha256)
        with self._lock:
            self._sizes.pop(sha256, None)
            path = self._path(sha256)
            for each in (path, path.with_suffix(checksum_vfs.SUFFIX)):
                each.unlink(missing_ok=True)

    def _close(self, sha256: str) -> None:
        with self._lock:
            found = self._open.pop(sha256, None)
        if found is not None:
            with found.lock:
                found.connection.close()
            checksum_vfs.forget(self._path(sha256))

    async def close(self) -> None:
        """Cancel fetches under way and close every segment."""
        for task in [*self._fetching.values()]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ArchiveUnavailableError):
                await task
        for sha256 in [*self._open]:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._close, sha256)
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)


class _Unpacking:
    """The bytes of a segment as they are unpacked, counted, and summed into checksums."""

    def __init__(self, file: BinaryIO, file_bytes: int) -> None:
        self.sums = checksum_vfs.Sums()
        self._file = file
        self._left = file_bytes
        self._decompressor = zstandard.ZstdDecompressor().decompressobj(write_size=_PIECE)

    def add(self, chunk: bytes) -> None:
        """Unpack the next bytes of the object; raises CorruptObjectError when there are too many."""
        self._write(self._decompressor.decompress(chunk))

    def finish(self) -> None:
        """Raise CorruptObjectError when bytes are missing."""
        if self._left or not self._decompressor.eof:
            raise CorruptObjectError("a segment", f"{self._left} of its unpacked bytes are missing")
        self._file.flush()

    def _write(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise CorruptObjectError("a segment", "it has more bytes than the manifest says")
        self.sums.add(data)
        self._file.write(data)


def _found(folder: Path) -> "OrderedDict[str, int]":
    """Return the sizes of an earlier process's files, by SHA-256, least recently used first; remove unfinished ones."""
    for unfinished in folder.glob("*.incoming"):
        unfinished.unlink(missing_ok=True)
    files = [(path.stat().st_mtime_ns, path.stem, path.stat().st_size) for path in folder.glob("*.db")]
    return OrderedDict((name, size_bytes) for _, name, size_bytes in sorted(files))

"""The object store in a folder of a local disk: an object is one file, which appears whole and never changes.

A file begins with one line that describes the object, so that no second file or attribute can be lost or differ:
`rookery-object 1 <size> <sha256> <type>`. Its modification time is the time at which it was stored.
"""

import contextlib
import fcntl
import itertools
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import sqlite
from objects import contents, folders, keys
from objects.errors import (
    BadContentError,
    CorruptObjectError,
    ObjectExistsError,
    ObjectNotFoundError,
    StoreUnavailableError,
)
from objects.store import LIST_MAX, Content, Head, Reading, SignedUpload, Source, Store
from objects.threads import Threads

_INCOMING: Final = ".incoming"
_LINE_BYTES_MAX: Final = 512
_LINE: Final = re.compile(rb"rookery-object 1 (\d{1,12}) ([0-9a-f]{64}) ([!-~]+(?: [!-~]+)*)\n")
NAMES_AT_ONCE: Final = 50_000
"""Names of one folder that a walk over all keys holds in memory; it reads the folder again for each such part."""
_PLACE_ATTEMPTS: Final = 10
"""Tries to make folders that a deletion elsewhere keeps removing as empty."""


def open_store(folder: Path, *, threads: int = 4, operations_max: int = 256) -> "DiskStore":
    """Open the store in a folder, made where it is missing, and remove the unfinished files of killed processes.

    At most `operations_max` puts, reads and others are under way at once, on so many threads.
    Raises StoreFullError and StoreUnavailableError.
    """
    try:
        with contents.disk_faults():
            incoming = folder / _INCOMING
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            incoming.mkdir(mode=0o700, exist_ok=True)
            for path in incoming.iterdir():
                _remove_abandoned(path)
    except StoreUnavailableError as error:
        message = f"{folder} cannot be used as a folder of objects. {error}"
        raise StoreUnavailableError(message, retry_after_seconds=error.retry_after_seconds) from error
    return DiskStore(folder, Threads("objects-disk", count=threads, operations_max=operations_max))


def _remove_abandoned(path: Path) -> None:
    """Remove a half-written file unless a living process, this or another, is writing it and holds its lock."""
    with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


class DiskStore(Store):
    """Objects in a folder; clients access them through the router, by paths that objects.signatures signs."""

    def __init__(self, folder: Path, threads: Threads) -> None:
        self._folder = folder
        self._threads = threads

    async def put(self, key: str, source: Source, content: Content) -> None:
        keys.check(key)
        incoming = _Incoming(self._folder, key)
        with self._threads.operation():
            try:
                await self._threads.run(incoming.begin, content)
                await contents.receive(source, content, incoming.write, self._threads)
                await self._threads.run(incoming.publish)
            finally:
                await self._threads.run(incoming.discard)

    @contextlib.asynccontextmanager
    async def open(self, key: str, *, start: int = 0, size_bytes: int | None = None) -> AsyncIterator[Reading]:
        keys.check(key)
        opened = _Opened(self._folder, key)
        with self._threads.operation():
            try:
                head = await self._threads.run(opened.begin, start)
                rest = max(head.content.size_bytes - start, 0)
                length = rest if size_bytes is None else min(size_bytes, rest)
                async with contextlib.aclosing(contents.give(opened, head, length, self._threads)) as chunks:
                    yield Reading(head, chunks)
            finally:
                await self._threads.run(opened.close)

    async def head(self, key: str) -> Head:
        async with self.open(key) as reading:
            return reading.head

    async def list(self, prefix: str, *, after: str = "", limit: int = LIST_MAX) -> Sequence[str]:
        keys.check_prefix(prefix)
        keys.check_prefix(after)
        assert 1 <= limit <= LIST_MAX
        with self._threads.operation():
            return await self._threads.run(self._page, prefix, after, limit)

    def _page(self, prefix: str, after: str, limit: int) -> Sequence[str]:
        with contents.disk_faults():
            return list(itertools.islice(folders.walk(self._folder, prefix, after, at_once=limit), limit))

    async def pages(self, prefix: str, *, after: str = "", limit: int = LIST_MAX) -> AsyncIterator[Sequence[str]]:
        keys.check_prefix(prefix)
        keys.check_prefix(after)
        # One walk for all pages: a walk for each would read all names of a folder again for every thousand.
        walk = folders.walk(self._folder, prefix, after, at_once=NAMES_AT_ONCE)
        with self._threads.operation():
            while page := await self._threads.run(self._take, walk, limit):
                yield page

    def _take(self, walk: Iterator[str], limit: int) -> Sequence[str]:
        with contents.disk_faults():
            return list(itertools.islice(walk, limit))

    async def delete(self, key: str) -> None:
        keys.check(key)
        with self._threads.operation():
            await self._threads.run(self._remove, key)

    def _remove(self, key: str) -> None:
        path = folders.path_of(self._folder, key)
        with contents.disk_faults():
            try:
                path.unlink()
                sqlite.sync_folder(path.parent)
            except FileNotFoundError:
                return
        for folder in path.relative_to(self._folder).parents[:-1]:
            try:
                (self._folder / folder).rmdir()
            except OSError:
                return  # It is not empty, so those above are not either.

    async def forget_unfinished(self, *, after_days: int) -> bool:
        return True  # `open_store` removes them, without waiting for days.

    def sign_put(self, key: str, content: Content, *, now_ms: int, expires_at: int) -> SignedUpload | None:
        return None

    def sign_get(self, key: str, *, filename: str, content_type: str, now_ms: int, expires_at: int) -> str | None:
        return None

    async def close(self) -> None:
        await self._threads.close()


class _Incoming:
    """A file that is being written, under a temporary name and a lock that tells it from an abandoned one."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._key = key
        self._path = folder
        self._file: BinaryIO | None = None

    def begin(self, content: Content) -> None:
        with contents.disk_faults():
            while self._file is None:
                descriptor, name = tempfile.mkstemp(dir=self._folder / _INCOMING)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                # A process that is just opening the store may have removed it as abandoned.
                if os.fstat(descriptor).st_nlink:
                    self._path, self._file = Path(name), os.fdopen(descriptor, "wb")
                else:
                    os.close(descriptor)
        self.write(f"rookery-object 1 {content.size_bytes} {content.sha256} {content.content_type}\n".encode())

    def write(self, chunk: bytes) -> None:
        assert self._file is not None
        with contents.disk_faults():
            self._file.write(chunk)

    def publish(self) -> None:
        """Link the whole file to its path, durably. Raises ObjectExistsError."""
        assert self._file is not None
        path = folders.path_of(self._folder, self._key)
        with contents.disk_faults():
            self._file.flush()
            os.fsync(self._file.fileno())
            if not any(self._is_placed(path) for _ in range(_PLACE_ATTEMPTS)):
                raise StoreUnavailableError(f"The folder of {self._key} keeps vanishing.", retry_after_seconds=1)
            # Every folder up to the root, because another writer may have made one and not synced it yet.
            for folder in (path.parent, *path.parent.relative_to(self._folder).parents):
                with contextlib.suppress(FileNotFoundError):
                    sqlite.sync_folder(self._folder / folder)

    def _is_placed(self, path: Path) -> bool:
        # A deletion may remove an empty folder at the same time.
        with contextlib.suppress(FileNotFoundError):
            _make_folders(path.parent)
            try:
                path.hardlink_to(self._path)
            except FileExistsError:
                raise ObjectExistsError(self._key) from None
            return True
        return False

    def discard(self) -> None:
        """Remove the temporary name; a published file keeps its other name."""
        if self._file is not None:
            # A file that cannot be removed or closed now is removed when the store is opened again.
            with contextlib.suppress(OSError):
                self._path.unlink()
            with contextlib.suppress(OSError):
                self._file.close()


def _make_folders(folder: Path) -> None:
    """Make a folder and its parents for their owner alone; `parents=True` would make the parents for everyone."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        _make_folders(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


class _Opened:
    """A file that is being read."""

    def __init__(self, folder: Path, key: str) -> None:
        self._key = key
        self._path = folders.path_of(folder, key)
        self._file: BinaryIO | None = None

    def begin(self, start: int) -> Head:
        """Open it at byte `start` of the object. Raises ObjectNotFoundError, CorruptObjectError."""
        with contents.disk_faults():
            try:
                self._file = self._path.open("rb")
            except FileNotFoundError:
                raise ObjectNotFoundError(self._key) from None
            line = self._file.readline(_LINE_BYTES_MAX)
            found = os.fstat(self._file.fileno())
            content = self._read_line(line)
            if found.st_size != len(line) + content.size_bytes:
                size_bytes = found.st_size - len(line)
                raise CorruptObjectError(self._key, f"it has {size_bytes} bytes instead of {content.size_bytes}")
            self._file.seek(len(line) + start)
        return Head(self._key, content, found.st_mtime_ns // 1_000_000)

    def _read_line(self, line: bytes) -> Content:
        if found := _LINE.fullmatch(line):
            size_bytes, sha256, content_type = found.groups()
            with contextlib.suppress(BadContentError):
                return Content(content_type.decode(), int(size_bytes), sha256.decode())
        raise CorruptObjectError(self._key, "its first line is not that of an object")

    def read(self, size: int, /) -> bytes:
        assert self._file is not None
        with contents.disk_faults():
            return self._file.read(size)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

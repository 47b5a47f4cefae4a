"""A SQLite VFS that compares each page of a local segment file with its checksum whenever it is read.

The checksums are made when the whole file is compared with its SHA-256. So a bit that flips on the disk, at any time,
makes that read fail (apsw.IOError); damaged data is never returned.
"""

import threading
import zlib
from array import array
from pathlib import Path
from typing import Final

import apsw

import sqlite

VFS: Final = "rookery-checked"
PAGE_BYTES: Final = sqlite.SEGMENT_PAGE_BYTES
SUFFIX: Final = ".sums"
"""Suffix of the file of checksums beside a segment file."""


class Sums:
    """The checksums of a file's pages, computed as its bytes are written, in order."""

    def __init__(self) -> None:
        self._sums = array("I")
        self._rest = b""

    def add(self, chunk: bytes) -> None:
        """Add the next bytes of the file."""
        data = self._rest + chunk if self._rest else chunk
        whole = len(data) - len(data) % PAGE_BYTES
        view = memoryview(data)
        self._sums.extend(zlib.crc32(view[at : at + PAGE_BYTES]) for at in range(0, whole, PAGE_BYTES))
        self._rest = data[whole:]

    def packed(self) -> bytes:
        """Return the checksums as bytes, followed by a checksum of themselves."""
        body = self._sums.tobytes()
        return body + zlib.crc32(body).to_bytes(4, "little")


def unpacked(packed: bytes) -> "array[int] | None":
    """Return the checksums of a file, None when they are damaged themselves."""
    body, own = packed[:-4], packed[-4:]
    if len(packed) < 8 or len(body) % 4 or zlib.crc32(body).to_bytes(4, "little") != own:
        return None
    return array("I", body)


class DamagedError(Exception):
    """A file is gone, or does not agree with its checksums."""


def sums_of(path: Path) -> "array[int]":
    """Return the checksums beside a file; raises DamagedError when they are damaged, or the file has another size."""
    try:
        sums = unpacked(path.with_suffix(SUFFIX).read_bytes())
        size_bytes = path.stat().st_size
    except OSError as error:
        raise DamagedError("it is gone") from error
    if sums is None or size_bytes != len(sums) * PAGE_BYTES:
        raise DamagedError("its checksums are damaged")
    return sums


def copy(path: Path, target: Path) -> None:
    """Copy a file, comparing every page; raises DamagedError, and OSError when the copy cannot be written."""
    sums = sums_of(path)
    try:
        source = path.open("rb")
    except OSError as error:
        raise DamagedError("it is gone") from error
    with source, target.open("wb") as file:
        for number, expected in enumerate(sums):
            page = source.read(PAGE_BYTES)
            if zlib.crc32(page) != expected:
                raise DamagedError(f"page {number} is not what was stored")
            file.write(page)


_expected: "dict[str, array[int]]" = {}
_lock = threading.Lock()


def expect(path: Path, sums: "array[int]") -> None:
    """Register the checksums of a file, before it is opened."""
    with _lock:
        _expected[str(path)] = sums


def forget(path: Path) -> None:
    """Forget the checksums of a file that is closed."""
    with _lock:
        _expected.pop(str(path), None)


class _CheckedVFS(apsw.VFS):
    def __init__(self) -> None:
        super().__init__(VFS, "")

    def xOpen(self, name: "str | apsw.URIFilename | None", flags: list[int]) -> "_CheckedFile":  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        sums = _expected.get(path)
        if sums is None:
            raise apsw.CantOpenError(f"nobody said what {path} is to be")
        return _CheckedFile(name, flags, sums)


class _CheckedFile(apsw.VFSFile):
    def __init__(self, name: "str | apsw.URIFilename | None", flags: list[int], sums: "array[int]") -> None:
        super().__init__("", name, flags)
        self._sums = sums

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        first = offset // PAGE_BYTES
        count = -(-(offset + amount) // PAGE_BYTES) - first
        data = super().xRead(count * PAGE_BYTES, first * PAGE_BYTES)
        for number in range(count):
            page = data[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]
            if first + number >= len(self._sums) or zlib.crc32(page) != self._sums[first + number]:
                raise apsw.IOError(f"page {first + number} is not what was stored")
        begin = offset - first * PAGE_BYTES
        return data if len(data) == amount else data[begin : begin + amount]


_vfs = _CheckedVFS()

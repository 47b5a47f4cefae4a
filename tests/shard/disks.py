"""Disks that fail, fill up, die or forget what was not synced: SQLite's own file layer with a test in between."""
# ruff: noqa: N802 - the methods of a file layer have SQLite's names

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

Fault = Callable[[str, Path], None]
"""Called with the operation and the file before it is done; raising makes the operation fail."""


def failing(code: int) -> Exception:
    """Return the error that SQLite makes of a result code."""
    return apsw.exception_for(code)


class Nth:
    """Fails one operation: the `number`-th (from 1), and with `lasting` every one after it until `heal`."""

    def __init__(self, operation: str, number: int, code: int, *, lasting: bool = False) -> None:
        self._operation = operation
        self._number = number
        self._code = code
        self._is_lasting = lasting
        self._is_healed = False
        self.seen = 0

    def __call__(self, operation: str, path: Path) -> None:
        if operation != self._operation:
            return
        self.seen += 1
        is_due = self.seen >= self._number if self._is_lasting else self.seen == self._number
        if is_due and not self._is_healed:
            raise failing(self._code)

    @property
    def was_reached(self) -> bool:
        return self.seen >= self._number

    def heal(self) -> None:
        self._is_healed = True


class _Durable:
    """The content of a file after a power cut: a failed sync loses its data for good, as on Linux."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        self._pending: list[tuple[int, bytes | None]] = []

    def write(self, offset: int, data: bytes) -> None:
        self._pending.append((offset, data))

    def truncate(self, size: int) -> None:
        self._pending.append((size, None))

    def sync(self) -> None:
        for offset, data in self._pending:
            if data is None:
                del self.content[offset:]
            else:
                self.content.extend(bytes(max(0, offset - len(self.content))))
                self.content[offset : offset + len(data)] = data
        self._pending.clear()

    def forget(self) -> None:
        self._pending.clear()


class _File(apsw.VFSFile):
    def __init__(self, disk: "Disk", name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "temporary")
        self._disk = disk
        super().__init__("unix", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.fault("xRead", self._path)
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:
        self._disk.fault("xWrite", self._path)
        super().xWrite(data, offset)
        with self._disk.changing(self._path) as durable:
            durable.write(offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        self._disk.fault("xTruncate", self._path)
        super().xTruncate(size)
        with self._disk.changing(self._path) as durable:
            durable.truncate(size)

    def xSync(self, flags: int) -> None:
        try:
            self._disk.fault("xSync", self._path)
            super().xSync(flags)
        except apsw.Error:
            with self._disk.changing(self._path) as durable:
                durable.forget()
            raise
        with self._disk.changing(self._path) as durable:
            durable.sync()

    def excepthook(self, *_error: object) -> bool:
        return True


class Disk(apsw.VFS):
    """SQLite's file layer for every connection opened while it is `inserted`."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._lock = threading.Lock()
        self._files: dict[Path, _Durable] = {}
        super().__init__("disk-under-test", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        with self._lock:
            self._files.pop(Path(filename), None)

    def excepthook(self, *_error: object) -> bool:
        return True

    def remember(self, path: Path) -> None:
        """Take the content of a file that nobody has open as durable."""
        self._files[path] = _Durable(path.read_bytes())

    @contextmanager
    def changing(self, path: Path) -> Iterator[_Durable]:
        with self._lock:
            yield self._files.setdefault(path, _Durable(b""))

    def after_power_cut(self, source: Path, folder: Path) -> None:
        """Write the files of `source` into `folder` as they would be found if the power went now."""
        with self._lock:
            images = {
                path.name: bytes(durable.content) for path, durable in self._files.items() if path.parent == source
            }
        folder.mkdir()
        for name, content in images.items():
            (folder / name).write_bytes(content)


def nothing_fails(_operation: str, _path: Path) -> None:
    """The fault of a disk without one."""


@contextmanager
def inserted(fault: Fault = nothing_fails) -> Iterator[Disk]:
    """Put a disk under every connection opened inside; all must be closed before it ends."""
    disk = Disk(fault)
    try:
        yield disk
    finally:
        apsw.set_default_vfs("unix")
        disk.unregister()

"""The lock of a monitor: a file that one process at a time locks; the system unlocks it when the process ends.

The directory's transactions prevent duplicate results of two monitors; this lock prevents duplicate work.

Such files look as if they were left behind, and are removed by hand while a process holds them. So whoever holds one
also shares a lock of the shards' folder, which nobody can remove: a missing file is made anew only while no process has
any share in the folder.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Lock:
    """The lock of one kind of work: its file, and the folder of the shards that all kinds share."""

    path: Path
    folder: Path

    @contextmanager
    def acquire(self) -> Iterator[bool]:
        """Try to hold the lock until the block ends, without waiting, and yield whether it was free."""
        with ExitStack() as held:
            yield self._is_taken(held)

    def _is_taken(self, held: ExitStack) -> bool:
        """Take the lock until `held` is closed, and tell whether that was possible."""
        guard = _opened(held, self.folder)
        if not self.path.exists():
            if not _got(guard, fcntl.LOCK_EX):
                return False
            self.path.touch(mode=0o600)
        if not _got(guard, fcntl.LOCK_SH):
            return False
        try:
            file = _opened(held, self.path)
        except FileNotFoundError:  # it was removed in this moment
            return False
        return _got(file, fcntl.LOCK_EX) and self._is_there(file)

    def _is_there(self, file: int) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(file), self.path.stat())
        return False


def _opened(held: ExitStack, path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    held.callback(os.close, descriptor)
    return descriptor


def _got(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""The lock of a monitor: a file that one process at a time locks; the system unlocks it when the process ends.

The directory's transactions prevent duplicate results of two monitors; this lock prevents duplicate work.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def acquire(path: Path) -> Iterator[bool]:
    """Try to hold the lock until the block ends, without waiting, and yield whether it was free."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True

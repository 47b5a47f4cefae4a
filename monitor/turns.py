"""One monitor at a time: whoever holds the lock file goes round, and the system lets go of it however a process ends.

The directory's transactions keep two monitors from doubling anything; this keeps them from doing it all twice.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def taken(path: Path) -> Iterator[bool]:
    """Try to take the turn until the block ends, and lend whether it was free."""
    with path.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True

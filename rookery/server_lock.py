"""The lock of the one server of a data folder: on the folder itself, however it is reached.

A lock of a file ends nothing when the file is removed: the next server makes another file and locks that. The folder
cannot be removed from under its server, and is the same under every name: a link, a bind mount, another container. The
file is locked too, because it is all that releases before this one know.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

NAME: Final = "server.lock"
TRIES: Final = 10
"""Tries to lock, 10 ms apart: commands that ask whether a server runs hold the lock for some microseconds."""


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Try to hold the lock while the block lasts, and yield whether it was free.

    The system unlocks it at any end of the process, also a crash.
    """
    with ExitStack() as stack:
        descriptors = [
            _opened(stack, folder, os.O_RDONLY | os.O_DIRECTORY),
            _opened(stack, folder / NAME, os.O_RDWR | os.O_CREAT),
        ]
        yield all(_got_in_time(descriptor) for descriptor in descriptors)


def is_held(folder: Path) -> bool:
    """Return whether a server runs on the folder now."""
    with ExitStack() as stack:
        for path in (folder, folder / NAME):
            try:
                descriptor = _opened(stack, path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            if not _got(descriptor, fcntl.LOCK_SH):
                return True
    return False


def _opened(stack: ExitStack, path: Path, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    stack.callback(os.close, descriptor)
    return descriptor


def _got_in_time(descriptor: int) -> bool:
    for _ in range(TRIES):
        if _got(descriptor, fcntl.LOCK_EX):
            return True
        time.sleep(0.01)
    return False


def _got(descriptor: int, kind: int) -> bool:
    """Try to lock a descriptor, until it is closed, and tell whether it was free."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

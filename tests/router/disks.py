"""Small disks, really mounted, for tests of what happens when they are full."""

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, *, megabytes: int = 3) -> Iterator[Path]:
    """Mount a small disk on a folder, or skip where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"rookery", str(folder).encode(), b"tmpfs", 0, f"size={megabytes}m".encode()) != 0:
        pytest.skip("a full disk needs a small one, and mounting it needs root")
    try:
        yield folder
    finally:
        assert libc.umount(str(folder).encode()) == 0

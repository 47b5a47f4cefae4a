"""Bounds of this process: memory returned to the system, runs of the garbage collector, and open files.

glibc raises its threshold for returning large blocks each time one is freed, so a few hashed passwords (19 MiB each)
would stay with the process for ever, and every thread may have a heap of its own. Fixed bounds took the server from 97
to 59 MiB after its first registration.
"""

import ctypes
import gc
import resource
from typing import Final

# The parameters' numbers in glibc's malloc.h.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8

BLOCK_BYTES_MAX: Final = 1 << 20
"""Larger blocks are mappings of their own, returned when they are freed."""
HEAPS_MAX: Final = 2
"""Heaps of the C library, which otherwise makes some for each thread."""

YOUNG_MAX: Final = 20_000
"""New objects between two runs of the cycle collector; Python's own 700 are some hundred requests."""
YOUNG_ROUNDS: Final = 50
OLD_ROUNDS: Final = 100

FILES_WANTED: Final = 65_536
FILES_PER_SHARD: Final = 8
"""Database and log of a writing, a reading and a searching connection, the index they share, and one to spare."""


def return_freed() -> bool:
    """Set the memory bounds for this process; False where the C library has none (musl, macOS)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_MMAP_THRESHOLD, BLOCK_BYTES_MAX), (_TRIM_THRESHOLD, BLOCK_BYTES_MAX), (_ARENA_MAX, HEAPS_MAX))
    taken = [mallopt(parameter, value) == 1 for parameter, value in settings]
    return all(taken)


def collect_seldom() -> None:
    """Exclude existing objects from the runs of Python's cycle collector, and make the runs rarer.

    Few objects here are garbage in cycles, and many live long: when 10,000 clients reconnected at once, two fifths of
    the processor time went into runs over objects that existed already.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, YOUNG_ROUNDS, OLD_ROUNDS)


def raise_file_limit() -> int:
    """Raise the soft limit of open files as far as the hard one and FILES_WANTED allow, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return FILES_WANTED if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def shards_that_fit(files_max: int) -> int:
    """Return how many shards may be open with so many files: half are theirs, the other half is for clients.

    Never less than 4, or nothing would work at all.
    """
    return max(4, files_max // 2 // FILES_PER_SHARD)

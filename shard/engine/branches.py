"""Branches of a shard's log: a file that was restored from a copy goes on with numbers that no earlier branch gave out.

Each follower of the log keeps the number of the last event. After a restore the old numbers would come again for other
events, and the follower would miss those without notice. So a new branch begins with the present time in milliseconds
as its number: far above what any branch counted to, and above every earlier restore. The log is complete from there on
only, which followers can handle already.
"""

import ctypes
import os
import struct
from pathlib import Path
from typing import Final

from shard.engine.connections import Reader, Writer
from shard.event_types import EventType

_AT_FDCWD: Final = -100
_STATX_BTIME: Final = 0x800
_STATX_BYTES: Final = 256
_MASK_AT, _BIRTH_AT = 0, 80
_libc = ctypes.CDLL(None, use_errno=True)


def identity_of(path: Path) -> str:
    """Return an identity of a shard's file that no copy of it has: its inode number, and the time of its creation where
    the system tells it, because inode numbers are used again. Raises FileNotFoundError.

    The file is not opened: closing it would drop the locks of this process. The layout is that of statx(2).
    """
    inode = path.stat().st_ino
    if not hasattr(_libc, "statx"):
        return str(inode)
    found = ctypes.create_string_buffer(_STATX_BYTES)
    failed = _libc.statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, found)
    if failed or not struct.unpack_from("I", found, _MASK_AT)[0] & _STATX_BTIME:
        return str(inode)
    seconds, nanoseconds = struct.unpack_from("qI", found, _BIRTH_AT)
    return f"{inode}:{seconds}.{nanoseconds:09}"


def is_unknown(reader: Reader) -> bool:
    """Tell whether the shard does not name its file yet: it was migrated or unpacked."""
    return _identity(reader) is None


def is_copy(reader: Reader, identity: str) -> bool:
    """Tell whether a file is another one than that in which the log was continued last."""
    known = _identity(reader)
    return known is not None and known != identity


def _identity(reader: Reader) -> str | None:
    row = reader.one("SELECT file_identity FROM room")
    return None if row is None else row[0]


def adopt(writer: Writer, identity: str) -> None:
    """Name the file in which the log is continued."""
    writer.run("UPDATE room SET file_identity = ?", (identity,))


def begin(writer: Writer, *, now_ms: int) -> None:
    """Begin a branch with the event `room.restored`, which followers find when the next one is published."""
    row = writer.one("SELECT coalesce(max(seq), 0) FROM events")
    assert row is not None
    last_seq = int(row[0])
    seq = max(now_ms, last_seq + 1)
    writer.run(
        "INSERT INTO events (seq, type, payload, created_at) VALUES (?, ?, json_object('last_seq', ?), ?)",
        (seq, EventType.ROOM_RESTORED, last_seq, now_ms),
    )
    writer.run("UPDATE room SET branch_seq = ?1, first_seq = ?1", (seq,))

"""Fingerprints of a shard's files, which show without opening them whether anything was written since the last one.

Only their sizes and times are read. A live database file is never opened for it: closing it would drop its locks.
"""

import os
from pathlib import Path
from typing import Final, NamedTuple

from ids import RoomId
from shard.engine.files import path_of

SETTLES_AFTER_MS: Final = 2_000
"""Two writes within one tick of the file system's clock leave the same time: a file written just now may be written
again and keep its fingerprint."""


class Fingerprint(NamedTuple):
    """A fingerprint: `text` changes with every write; `written_at` is in milliseconds UTC by the system's clock.

    The directory keeps `text` as `seen_as`.
    """

    text: str
    written_at: int

    def is_settled(self, now_ms: int) -> bool:
        """Tell whether every write from now on will change the fingerprint."""
        return abs(now_ms - self.written_at) > SETTLES_AFTER_MS


def take(folder: Path, room_id: RoomId) -> Fingerprint | None:
    """Return the fingerprint of a shard's files now; None when the shard has no file."""
    path = str(path_of(folder, room_id))
    try:
        database = os.stat(path)  # noqa: PTH116 - a Path takes twice the time, and there may be 100,000
    except FileNotFoundError:
        return None
    try:
        log = os.stat(f"{path}-wal")  # noqa: PTH116
    except FileNotFoundError:
        return Fingerprint(_text(database), database.st_mtime_ns // 1_000_000)
    return Fingerprint(f"{_text(database)} {_text(log)}", max(database.st_mtime_ns, log.st_mtime_ns) // 1_000_000)


def _text(found: os.stat_result) -> str:
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"

"""How a shard's files look from outside: enough to tell that nothing was written since, without opening them.

Only their sizes and times are read. A live database file is never opened for it: closing it would drop its locks.
"""

import os
from pathlib import Path
from typing import Final, NamedTuple

from ids import RoomId
from shard.files import path_of

SETTLES_AFTER_MS: Final = 2_000
"""Two writes within one tick of the file system's clock leave one time: what was written just now may be written to
again and look the same."""


class Footprint(NamedTuple):
    """`seen_as` differs as soon as something is written; `written_at` is in milliseconds UTC by the system's clock."""

    seen_as: str
    written_at: int

    def is_settled(self, now_ms: int) -> bool:
        """Tell whether whatever is written from now on will show."""
        return abs(now_ms - self.written_at) > SETTLES_AFTER_MS


def look(folder: Path, room_id: RoomId) -> Footprint | None:
    """Return how a shard's files look now; None when the shard has no file."""
    path = str(path_of(folder, room_id))
    try:
        database = os.stat(path)  # noqa: PTH116 - a Path takes twice the time, and there may be 100,000
    except FileNotFoundError:
        return None
    try:
        log = os.stat(f"{path}-wal")  # noqa: PTH116
    except FileNotFoundError:
        return Footprint(_text(database), database.st_mtime_ns // 1_000_000)
    return Footprint(f"{_text(database)} {_text(log)}", max(database.st_mtime_ns, log.st_mtime_ns) // 1_000_000)


def _text(found: os.stat_result) -> str:
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"

"""Free space on the disk of the data folder: a reserve for reading and deleting, alerts, and the state for clients.

Opening a room needs a little space, also to read it (32 KiB of shared memory), and so do sign-ins and deletions. So a
reserve file takes some of the disk while there is enough. When less than that is free it is removed, and messages are
refused from then on: what it frees is for everything else. It is made again when there is space.
"""

import logging
import os
from pathlib import Path
from typing import Final

from directory import alerts
from directory.alerts import Change, Sink
from directory.directory import Directory
from directory.shards import Level

log = logging.getLogger(__name__)

RESERVE: Final = "disk.reserve"
"""The reserve file in the data folder."""
RESERVE_BYTES_MAX: Final = 67_108_864
"""Bytes of the reserve: enough to open two thousand rooms."""
RESERVE_PERCENT: Final = 1
"""Likewise, in percent of the disk; the smaller of both counts."""
REFILL_FACTOR: Final = 3
"""Multiple of the reserve that must be free until it is made again, so that the state does not change every second."""


class DiskSpace:
    """The free space, as `look` found it last; the level is `warn` below `warn_bytes`, and `full` without a reserve."""

    def __init__(self, folder: Path, warn_bytes: int) -> None:
        self._folder = folder
        self._warn_bytes = warn_bytes
        self.level: Level = "ok"
        self.free_bytes = 0

    @property
    def is_full(self) -> bool:
        return self.level == "full"

    def describe(self) -> str:
        """Return the state in words: "ok", or what is wrong."""
        free = f"{self.free_bytes:,} bytes are free"
        if self.is_full:
            return f"full: {free}, so messages are refused; reading and deleting go on"
        return "ok" if self.level == "ok" else f"low: {free}"

    def look(self) -> Level:
        """Measure, give up the reserve or make it again, and return the level; one line is logged for each change.

        Raises OSError when the folder is missing.
        """
        wanted = self._measure()
        is_full = self.free_bytes < (wanted * REFILL_FACTOR if self.is_full else wanted)
        if is_full:
            self._give_up()
        elif not self._fill(wanted):
            is_full = self.is_full
        before = self.level
        self.level = "full" if is_full else "warn" if self.free_bytes < self._warn_bytes else "ok"
        if self.level != before:
            self._log()
        return self.level

    def prepare(self) -> None:
        """Give up the reserve if the disk is full, before anything is opened; raises as `look`."""
        if self._measure() > self.free_bytes:
            self._give_up()

    def _measure(self) -> int:
        """Read the free space, and return the bytes that the reserve should have."""
        found = os.statvfs(self._folder)
        self.free_bytes = found.f_bavail * found.f_frsize
        return min(RESERVE_BYTES_MAX, found.f_blocks * found.f_frsize * RESERVE_PERCENT // 100)

    def _give_up(self) -> None:
        reserve = self._folder / RESERVE
        if reserve.exists():
            reserve.unlink()
            log.warning("the reserve of the disk was given up", extra={"path": str(reserve)})

    def _fill(self, wanted: int) -> bool:
        """Make the reserve if it is missing; return whether it is there."""
        reserve = self._folder / RESERVE
        if reserve.exists() or not wanted:
            return True
        if self.free_bytes < wanted * 2:
            return False
        descriptor = os.open(reserve, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, wanted)
        except OSError as error:
            reserve.unlink()
            log.warning("the reserve of the disk cannot be made", extra={"reason": str(error)})
            return False
        finally:
            os.close(descriptor)
        return True

    def _log(self) -> None:
        facts = {"folder": str(self._folder), "free_bytes": self.free_bytes}
        if self.is_full:
            log.error("the disk is full: messages are refused, reading and deleting go on", extra=facts)
        elif self.level == "warn":
            log.warning("little space is left on the disk", extra=facts)
        else:
            log.info("the disk has space again", extra=facts)


async def judge(directory: Directory, space: DiskSpace, warn_bytes: int, sinks: tuple[Sink, ...], now_ms: int) -> int:
    """Raise an alert when the disk reached another level than the last alert told; return the count of alerts."""
    async with directory.database.write() as writer:
        before = await alerts.latest(writer, None, "disk")
        previous: Level = "ok" if before is None else before.level
        if space.level == previous:
            return 0
        change = Change(None, "disk", space.level, previous, space.free_bytes, warn_bytes)
        await alerts.raise_all(writer, [change], sinks, now_ms=now_ms)
        return 1

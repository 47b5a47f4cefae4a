"""Repair of a damaged room: what can be read is salvaged into a new file, which takes the place of the damaged one.

The room is in quarantine meanwhile, so that a running server closes it; all others are served. The damaged file is
kept. At every moment the room's name has the old file or the new one, whole.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlite
from directory import shards
from directory.directory import Directory
from ids import RoomId
from migrations.engine import Migration
from monitor.integrity import IntegrityCheck
from shard.engine import files, salvage
from shard.engine.salvage import Connection, Report
from shard.errors import BrokenShardError, ShardBusyError

CLOSE_SECONDS_MAX: Final = 30.0
"""Time for other processes to close the room's file: a server does within a second."""
LOOK_SECONDS: Final = 0.1
"""Interval of the tries to hold the file alone."""
REASON: Final = "it is being repaired"


@dataclass(frozen=True, slots=True)
class Repaired:
    """Result of a repair: what was salvaged, where the damaged file is, and the problems of the new one.

    `kept` is None for a dry run, which changes nothing.
    """

    report: Report
    kept: Path | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Repair:
    """The repair of rooms in a folder; `kept_folder` takes the damaged files."""

    directory: Directory
    folder: Path
    kept_folder: Path
    migrations: Sequence[Migration]
    check: IntegrityCheck
    clock: Callable[[], int]

    async def run(
        self, room_id: RoomId, *, is_dry: bool, progress: Callable[[str], None] = lambda _table: None
    ) -> Repaired:
        """Repair a room, or only say what would be salvaged; killed at any moment, it may be run again.

        Raises RoomNotFoundError, ShardBusyError when another process keeps the file open, BrokenShardError when it
        cannot be repaired, DatabaseError and OSError.
        """
        async with self.directory.database.write() as writer:
            before = await shards.find(writer, room_id)
            if before.state == "hibernated":
                raise BrokenShardError(room_id, "it is hibernated: its object is the room")
            if before.quarantined_at is None:
                await shards.quarantine(writer, room_id, REASON, seen_as=None, now_ms=self.clock())
        try:
            repaired = await self._replace(room_id, is_dry=is_dry, progress=progress)
        except BaseException:
            await self._restore_state(room_id, before.quarantined_at is not None)
            raise
        if is_dry:
            await self._restore_state(room_id, before.quarantined_at is not None)
            return repaired
        checked = await self.check.release(room_id, force=False, by=None)
        return Repaired(repaired.report, repaired.kept, () if checked is None else checked.problems)

    async def _restore_state(self, room_id: RoomId, was_quarantined: bool) -> None:
        if not was_quarantined:
            async with self.directory.database.write() as writer:
                await shards.release(writer, room_id)

    async def _replace(self, room_id: RoomId, *, is_dry: bool, progress: Callable[[str], None]) -> Repaired:
        path, made = files.path_of(self.folder, room_id), files.path_of(self.folder, room_id).with_suffix(".new")
        files.discard_unfinished(self.folder, room_id)
        held = await self._hold(path, room_id)
        try:
            report = await asyncio.to_thread(salvage.salvage, held, made, room_id, self.migrations, progress=progress)
            if is_dry:
                return Repaired(report, None)
            self.kept_folder.mkdir(mode=0o700, exist_ok=True)
            kept = self.kept_folder / f"{room_id}-{self.clock()}.db"
            os.link(path, kept)
            sqlite.sync_folder(self.kept_folder)
            made.rename(path)
            sqlite.sync_folder(self.folder)
            return Repaired(report, kept)
        finally:
            held.close()
            files.discard_unfinished(self.folder, room_id)

    async def _hold(self, path: Path, room_id: RoomId) -> Connection:
        """Open the file once nobody else has it open."""
        ends_at = asyncio.get_running_loop().time() + CLOSE_SECONDS_MAX
        while (held := await asyncio.to_thread(salvage.try_hold, path, room_id)) is None:
            if asyncio.get_running_loop().time() > ends_at:
                raise ShardBusyError("Another process keeps this room's file open.")
            await asyncio.sleep(LOOK_SECONDS)
        return held

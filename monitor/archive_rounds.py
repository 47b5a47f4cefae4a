"""Takes the archiver around the rooms: those that are near their size limit, those with deletions to make true, and all
others in turn. It also removes objects that no room names, and those of deleted rooms."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from directory import room_pages, shards
from directory.directory import Directory
from directory.errors import DirectoryError
from directory.room_pages import ListedRoom
from directory.shards import Level
from ids import RoomId
from monitor.archiving import Archiver, Outcome, Progress
from objects.errors import ObjectError, ObjectNotFoundError
from shard import segments
from shard.acts import archiving
from shard.errors import ShardError
from shard.rows import Event

log = logging.getLogger(__name__)

ROOMS_PER_ROUND: Final = 20
"""Rooms that one round visits in turn; each is opened for it."""
PRESSED: Final[tuple[Level, ...]] = ("full", "critical")
"""Rooms of these levels do not wait for their turn; so many of each, the largest first, as are visited in turn."""
HINTS_MAX: Final = 1_000
"""Rooms remembered in which something was deleted; others wait for their turn."""
ORPHAN_MS: Final = 86_400_000
"""An object that no room names stays for a day: another process may be about to name it."""

SWEEP_EVERY_MS: Final = 86_400_000
"""How often all objects are compared with what rooms name."""
UNFINISHED_DAYS: Final = 7
"""Days after which the store itself removes what a killed process left of a large upload."""

_KEY: Final = re.compile(r"archive/([1-9][0-9]{0,18})/.+")


@dataclass(frozen=True, slots=True)
class Limits:
    """The size in bytes of a full room that has no limit of its own, and the percentage of a room's limit from which on
    history moves; 0 is never."""

    size_bytes_max: int
    pressure_percent: int


class ArchiveRounds:
    """One round after the other; `publish` tells it of commits."""

    def __init__(self, directory: Directory, archiver: Archiver, limits: Limits) -> None:
        self._directory = directory
        self._archiver = archiver
        self._limits = limits
        self._after = RoomId(0)
        self._hinted: set[RoomId] = set()
        self._swept_at = archiver.clock()
        self._has_asked = False

    def publish(self, room_id: RoomId, events: Sequence[Event]) -> None:
        """Look at a commit for what was deleted by it: archived messages of it are to leave their objects."""
        if len(self._hinted) < HINTS_MAX and any(event.type == "message.deleted" for event in events):
            self._hinted.add(room_id)

    async def run(self) -> list[Outcome]:
        """Visit the rooms that are nearly full and the next of all; return what was done where something was."""
        await self._keep_store_tidy()
        hinted, self._hinted = self._hinted, set()
        async with self._directory.database.read() as reader:
            page = await room_pages.all_rooms(reader, after=self._after, limit=ROOMS_PER_ROUND)
            pressed = [
                shard.room_id
                for level in PRESSED
                for shard in await shards.largest(reader, level, limit=ROOMS_PER_ROUND)
                if shard.state in ("active", "readonly")
            ]
        self._after = page[-1].id if len(page) == ROOMS_PER_ROUND else RoomId(0)
        outcomes = [await self.work_on(room_id) for room_id in pressed]
        outcomes += [await self.visit(room) for room in page if room.id not in pressed]
        seen = {*pressed, *(room.id for room in page)}
        again = [room_id for room_id in hinted - seen if await self._has_hidden(room_id)]
        outcomes += [await self._archiver.visit(room_id) for room_id in again]
        return [outcome for outcome in outcomes if outcome != Outcome(outcome.room_id)]

    async def _keep_store_tidy(self) -> None:
        """Ask the store once to forget uploads that were never finished, and look once a day for what nobody names."""
        try:
            if not self._has_asked:
                self._has_asked = True
                await self._archiver.store.forget_unfinished(after_days=UNFINISHED_DAYS)
            if not self._after and self._archiver.clock() - self._swept_at >= SWEEP_EVERY_MS:
                self._swept_at = self._archiver.clock()
                await self.sweep()
        except (ObjectError, ShardError) as error:
            log.warning("object storage could not be tidied up", extra={"reason": str(error)})

    async def _has_hidden(self, room_id: RoomId) -> bool:
        if self._archiver.pool.is_away(room_id):
            return False  # no room is put away before this is done
        try:
            return await self._archiver.pool.read(room_id, segments.to_rewrite) is not None
        except ShardError as error:
            log.warning("a room cannot be asked for its archive", extra={"room_id": room_id, "reason": str(error)})
            return False

    async def visit(
        self, room: ListedRoom, *, under_pressure: bool = False, progress: Progress = lambda _count: None
    ) -> Outcome:
        """Do what is to be done in one room."""
        if room.state in ("creating", "hibernated"):
            return Outcome(room.id)
        if room.state == "deleted":
            return await self._clear(room.id)
        return await self.work_on(room.id, under_pressure=under_pressure, progress=progress)

    async def work_on(
        self, room_id: RoomId, *, under_pressure: bool = False, progress: Progress = lambda _count: None
    ) -> Outcome:
        """Move what is due in a room that is there, near its limit or `under_pressure` whatever its policy says."""
        try:
            async with self._directory.database.read() as reader:
                shard = await shards.find(reader, room_id)
            used = await self._archiver.pool.read(room_id, archiving.used_bytes)
        except (DirectoryError, ShardError) as error:
            return Outcome(room_id, error=str(error))
        limit_bytes = shard.size_limit_bytes or self._limits.size_bytes_max
        percent = self._limits.pressure_percent
        is_near = bool(percent) and used * 100 >= percent * limit_bytes
        return await self._archiver.visit(room_id, under_pressure=under_pressure or is_near, progress=progress)

    async def _clear(self, room_id: RoomId) -> Outcome:
        """Remove the objects of a deleted room."""
        count = 0
        try:
            async for page in self._archiver.store.pages(f"archive/{room_id}/"):
                for key in page:
                    await self._archiver.store.delete(key)
                    count += 1
        except ObjectError as error:
            return Outcome(room_id, objects_removed=count, error=str(error))
        return Outcome(room_id, objects_removed=count)

    async def sweep(self) -> int:
        """Remove objects of a day ago that no room names, which crashes left, and return how many these were."""
        count, now_ms = 0, self._archiver.clock()
        async for page in self._archiver.store.pages("archive/"):
            by_room: dict[RoomId, list[str]] = {}
            for key in page:
                if found := _KEY.fullmatch(key):
                    by_room.setdefault(RoomId(int(found[1])), []).append(key)
            for room_id, keys in by_room.items():
                try:
                    count += await self._sweep_room(room_id, keys, now_ms - ORPHAN_MS)
                except (ShardError, ObjectNotFoundError, BlockingIOError) as error:
                    facts = {"room_id": room_id, "reason": str(error)}
                    log.warning("a room's objects are swept another time", extra=facts)
        return count

    async def _sweep_room(self, room_id: RoomId, keys: Sequence[str], before_ms: int) -> int:
        """Remove those objects that a room does not name and that were stored before a time; return their count."""
        if self._archiver.pool.is_away(room_id) or not self._archiver.pool.has(room_id):
            return 0  # it is looked at when it is back, and one whose file is missing may be restored
        count = 0
        # A visit may be about to name what a crash left: none is under way until these are gone.
        with self._archiver.alone(room_id):
            named = await self._archiver.pool.read(room_id, segments.keys, keys)
            for key in keys:
                if key not in named and (await self._archiver.store.head(key)).stored_at < before_ms:
                    log.warning("an object that no room names is removed", extra={"key": key})
                    await self._archiver.store.delete(key)
                    count += 1
        return count

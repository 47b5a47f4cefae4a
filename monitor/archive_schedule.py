"""The schedule of the archiver: rooms near their size limit, rooms with deletions in their archive, all others in turn.

It also removes objects that no room names, and those of deleted rooms.
"""

import logging
import re
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from database.errors import DatabaseError
from directory import room_pages, shards
from directory.directory import Directory
from directory.errors import DirectoryError
from directory.room_pages import ListedRoom
from directory.shards import Level
from ids import RoomId
from monitor.archiver import Archiver, Outcome, Progress
from monitor.isolation import Isolation
from objects.errors import ObjectError, StoreUnavailableError
from shard.archive import manifest
from shard.engine import maintenance
from shard.errors import ShardError
from shard.event_types import EventType
from shard.rows import Event

log = logging.getLogger(__name__)

ROOMS_PER_ROUND: Final = 20
"""Rooms that one round visits in turn; each is opened for it."""
URGENT_LEVELS: Final[tuple[Level, ...]] = ("full", "critical")
"""Rooms of these levels do not wait for their turn: ROOMS_PER_ROUND of each, the largest first."""
HINTS_MAX: Final = 1_000
"""Rooms with deleted messages that are remembered; others wait for their turn."""
ORPHAN_MS: Final = 86_400_000
"""An object that no room names stays for a day: another process may be about to name it."""

ORPHANS_EVERY_MS: Final = 86_400_000
"""Time between two comparisons of all objects with those that rooms name."""
UNFINISHED_DAYS: Final = 7
"""Days after which the store itself removes the parts of an upload that a killed process left."""

WORK: Final = "archive"
"""The name of this work among the failures."""
UNEXPECTED: Final = "it failed unexpectedly; the log and rookery doctor say more"

_KEY: Final = re.compile(r"archive/([1-9][0-9]{0,18})/.+")


@dataclass(frozen=True, slots=True)
class Limits:
    """Size limit in bytes of a room without one of its own, and the percentage of a room's limit from which on its
    history is archived; 0 is never."""

    size_bytes_max: int
    pressure_percent: int


class ArchiveSchedule:
    """Visits of rooms, a few in each round; `publish` receives every commit."""

    def __init__(self, directory: Directory, archiver: Archiver, limits: Limits) -> None:
        self._directory = directory
        self._archiver = archiver
        self._limits = limits
        self._after = RoomId(0)
        self._hinted: set[RoomId] = set()
        self._orphans_removed_at = archiver.clock()
        self._has_expired_uploads = False
        self._isolation = Isolation(directory)

    def publish(self, room_id: RoomId, events: Sequence[Event]) -> None:
        """Note a room in which a commit deleted messages: archived ones must be removed from their objects."""
        if len(self._hinted) < HINTS_MAX and any(event.type == EventType.MESSAGE_DELETED for event in events):
            self._hinted.add(room_id)

    async def run(self) -> list[Outcome]:
        """Visit the rooms that are nearly full and the next of all others; return the outcomes that changed a room."""
        await self._clean_store()
        hinted, self._hinted = self._hinted, set()
        async with self._directory.database.read() as reader:
            page = await room_pages.all_rooms(reader, after=self._after, limit=ROOMS_PER_ROUND)
            urgent = [
                shard.room_id
                for level in URGENT_LEVELS
                for shard in await shards.largest(reader, level, limit=ROOMS_PER_ROUND)
                if shard.state in ("active", "readonly")
            ]
        self._after = page[-1].id if len(page) == ROOMS_PER_ROUND else RoomId(0)
        outcomes = [await self.archive_room(room_id) for room_id in urgent if not await self._waits(room_id)]
        outcomes += [
            await self.visit(room) for room in page if room.id not in urgent and not await self._waits(room.id)
        ]
        visited = {*urgent, *(room.id for room in page)}
        outcomes += [await self._visit_changed(room_id) for room_id in hinted - visited]
        effective = [outcome for outcome in outcomes if outcome != Outcome(outcome.room_id)]
        for outcome in effective:
            log.info("a room was archived", extra=asdict(outcome))
        return effective

    async def _waits(self, room_id: RoomId) -> bool:
        return await self._isolation.waits(WORK, room_id, now_ms=self._archiver.clock())

    async def _visit_changed(self, room_id: RoomId) -> Outcome:
        """Archive a room in which messages were deleted, if that concerns its archive."""
        if await self._waits(room_id):
            return Outcome(room_id)
        return await self._apart(room_id, self._purge(room_id))

    async def _purge(self, room_id: RoomId) -> Outcome:
        return await self._archiver.visit(room_id) if await self._has_hidden(room_id) else Outcome(room_id)

    async def _clean_store(self) -> None:
        """Ask the store to expire unfinished uploads, once per start, and remove orphaned objects, once a day."""
        try:
            if not self._has_expired_uploads:
                self._has_expired_uploads = True
                await self._archiver.store.forget_unfinished(after_days=UNFINISHED_DAYS)
            if not self._after and self._archiver.clock() - self._orphans_removed_at >= ORPHANS_EVERY_MS:
                self._orphans_removed_at = self._archiver.clock()
                await self.remove_orphans()
        except (ObjectError, ShardError) as error:
            log.warning("object storage could not be tidied up", extra={"reason": str(error)})
        except Exception:  # rooms are visited all the same, and the store is tidied up another day
            log.exception("object storage could not be tidied up")

    async def _has_hidden(self, room_id: RoomId) -> bool:
        if self._archiver.pool.is_away(room_id):
            return False  # a room is not hibernated before its segments are rewritten
        try:
            return await self._archiver.pool.read(room_id, manifest.to_rewrite) is not None
        except ShardError as error:
            log.warning("a room cannot be asked for its archive", extra={"room_id": room_id, "reason": str(error)})
            return False

    async def visit(
        self, room: ListedRoom, *, under_pressure: bool = False, progress: Progress = lambda _count: None
    ) -> Outcome:
        """Archive a room, or remove the objects of a deleted one."""
        if room.state in ("creating", "hibernated"):
            return Outcome(room.id)
        if room.state == "deleted":
            return await self._remove_all(room.id)
        return await self.archive_room(room.id, under_pressure=under_pressure, progress=progress)

    async def archive_room(
        self, room_id: RoomId, *, under_pressure: bool = False, progress: Progress = lambda _count: None
    ) -> Outcome:
        """Archive an active room; near its limit, or with `under_pressure`, regardless of its policy.

        An unexpected error sets the room aside for a time; it is archived all the same when asked for here.
        """
        return await self._apart(room_id, self._archive(room_id, under_pressure=under_pressure, progress=progress))

    async def _apart(self, room_id: RoomId, visit: Awaitable[Outcome]) -> Outcome:
        """Await a visit; an unexpected error is its outcome."""
        outcomes = [Outcome(room_id, error=UNEXPECTED)]
        async with self._isolation.guarded(WORK, room_id, room_id, now_ms=self._archiver.clock()):
            outcomes.append(await visit)
        return outcomes[-1]

    async def _archive(self, room_id: RoomId, *, under_pressure: bool, progress: Progress) -> Outcome:
        try:
            async with self._directory.database.read() as reader:
                shard = await shards.find(reader, room_id)
            used = await self._archiver.pool.read(room_id, maintenance.used_bytes)
        except (DatabaseError, DirectoryError, ShardError) as error:
            return Outcome(room_id, error=str(error))
        limit_bytes = shard.size_limit_bytes or self._limits.size_bytes_max
        percent = self._limits.pressure_percent
        is_near = bool(percent) and used * 100 >= percent * limit_bytes
        return await self._archiver.visit(room_id, under_pressure=under_pressure or is_near, progress=progress)

    async def _remove_all(self, room_id: RoomId) -> Outcome:
        """Remove the objects of a deleted room."""
        return await self._apart(room_id, self._remove_objects(room_id))

    async def _remove_objects(self, room_id: RoomId) -> Outcome:
        count = 0
        try:
            async for page in self._archiver.store.pages(f"archive/{room_id}/"):
                for key in page:
                    await self._archiver.store.delete(key)
                    count += 1
        except ObjectError as error:
            return Outcome(room_id, objects_removed=count, error=str(error))
        return Outcome(room_id, objects_removed=count)

    async def remove_orphans(self) -> int:
        """Remove objects older than a day that no room names, left by crashes, and return their count."""
        count, now_ms = 0, self._archiver.clock()
        async for page in self._archiver.store.pages("archive/"):
            by_room: dict[RoomId, list[str]] = {}
            for key in page:
                if found := _KEY.fullmatch(key):
                    by_room.setdefault(RoomId(int(found[1])), []).append(key)
            for room_id, keys in by_room.items():
                try:
                    count += await self._remove_orphans_of(room_id, keys, now_ms - ORPHAN_MS)
                except StoreUnavailableError:
                    raise
                except (ShardError, ObjectError, BlockingIOError) as error:
                    facts = {"room_id": room_id, "reason": str(error)}
                    log.warning("a room's objects are swept another time", extra=facts)
                except Exception:  # whatever it is, the objects of other rooms are swept
                    log.exception("a room's objects are swept another time", extra={"room_id": room_id})
        return count

    async def _remove_orphans_of(self, room_id: RoomId, keys: Sequence[str], before_ms: int) -> int:
        """Remove those objects that a room does not name and that were stored before a time; return their count."""
        if self._archiver.pool.is_away(room_id) or not self._archiver.pool.has(room_id):
            return 0  # a hibernated room has its turn after it woke, and one whose file is missing may be restored
        count = 0
        # A visit may be about to name an orphaned object, so none may be under way during the removal.
        with self._archiver.locked(room_id):
            named = await self._archiver.pool.read(room_id, manifest.keys, keys)
            for key in keys:
                if key not in named and (await self._archiver.store.head(key)).stored_at < before_ms:
                    log.warning("an object that no room names is removed", extra={"key": key})
                    await self._archiver.store.delete(key)
                    count += 1
        return count

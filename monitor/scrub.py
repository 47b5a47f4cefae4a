"""The scrub of object storage: all objects in turn, a few rooms at a time, existence always and bytes by a budget.

A segment, a hibernated room and a file lie in object storage alone. What is lost there was found by whoever needed it;
the scrub finds it while a backup still has it. It changes nothing. A room in which a request missed an object comes
first.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from directory import alerts, hibernations, scrubs, shards
from directory.alerts import Change, Sink
from directory.directory import Directory
from directory.errors import RoomNotFoundError
from directory.shards import Level
from ids import RoomId
from migrations.engine import Migration
from monitor import object_check
from monitor.isolation import Isolation
from objects.errors import StoreUnavailableError
from objects.store import Store
from shard import inspections
from shard.errors import UnavailableError
from shard.inspections import Stored

log = logging.getLogger(__name__)

ROOMS_AT_ONCE: Final = 20
"""Rooms of one run: with a run a minute, 28,800 a day."""
REST_MS: Final = 86_400_000
"""Time after which the objects of a room are compared again, at the earliest: a bucket may charge for what is read."""
LIMIT: Final = 1
"""The limit in alerts of lost objects, which have no size limit."""
SCRUB: Final = "scrub"


@dataclass(slots=True)
class ScrubStats:
    """Counts since the start, and the state of all rooms at the last run; times in milliseconds UTC."""

    objects: int = 0
    bytes: int = 0
    lost: int = 0
    oldest_at: int = 0


class Scrub:
    """The scrub; `bytes_max` is the budget of a run, 0 for existence alone."""

    def __init__(
        self,
        directory: Directory,
        archive: Store,
        files: Store,
        folder: Path,
        migrations: Sequence[Migration],
        sinks: Sequence[Sink],
        clock: Callable[[], int],
        *,
        bytes_max: int,
    ) -> None:
        self._directory = directory
        self._archive = archive
        self._files = files
        self._folder = folder
        self._migrations = migrations
        self._sinks = tuple(sinks)
        self._clock = clock
        self._bytes_max = bytes_max
        self._hinted: dict[RoomId, None] = {}
        self._isolation = Isolation(directory)
        self.stats = ScrubStats()

    def hint(self, room_id: RoomId) -> None:
        """Have a room looked at soon, because a request missed an object of it."""
        self._hinted[room_id] = None

    async def run_hinted(self) -> None:
        """Look for the objects of rooms that were hinted at; raises DatabaseError."""
        while self._hinted:
            room_id, _ = self._hinted.popitem()
            await self._scrub_apart(room_id, bytes_max=self._bytes_max)

    async def run(self) -> None:
        """Scrub the rooms that were longest left out; raises DatabaseError.

        A store that does not answer ends the run: nothing is called lost while nobody can be asked.
        """
        now_ms, left = self._clock(), self._bytes_max
        async with self._directory.database.read() as reader:
            due = await scrubs.due(reader, before_ms=now_ms - REST_MS, limit=ROOMS_AT_ONCE)
        for room_id in due:
            try:
                left -= await self._scrub_apart(room_id, bytes_max=left)
            except StoreUnavailableError as error:
                log.warning("object storage could not be scrubbed", extra={"reason": str(error)})
                break
        async with self._directory.database.read() as reader:
            self.stats.oldest_at, self.stats.lost = await scrubs.state(reader)

    async def _scrub_apart(self, room_id: RoomId, *, bytes_max: int) -> int:
        """Scrub a room as `scrub` does; an unexpected error is logged, and the next rooms are scrubbed."""
        read_bytes = -1
        async with self._isolation.guarded(SCRUB, room_id, room_id, now_ms=self._clock()):
            read_bytes = await self.scrub(room_id, bytes_max=bytes_max)
        if read_bytes < 0:
            async with self._directory.database.write() as writer:
                # It has had its turn, or the same room would be chosen every time.
                await scrubs.note_visited(writer, room_id, now_ms=self._clock())
        return max(0, read_bytes)

    async def scrub(self, room_id: RoomId, *, bytes_max: int) -> int:
        """Look for all objects of a room, read some up to a number of bytes, and return the bytes that were read.

        Raises StoreUnavailableError and DatabaseError.
        """
        archived, files = await self._named(room_id)
        problems: dict[Stored, str] = {}
        read_bytes = 0
        for store, named, prefix in ((self._archive, archived, ""), (self._files, files, f"rooms/{room_id}/")):
            deep = _chosen(named, bytes_max - read_bytes)
            shallow = [one for one in named if one not in deep]
            if prefix and shallow:
                shallow = await object_check.unlisted(store, prefix, shallow)
            problems |= await object_check.problems(store, shallow, is_deep=False)
            problems |= await object_check.problems(store, list(deep), is_deep=True)
            read_bytes += sum(one.size_bytes for one in deep)
            self.stats.objects += len(named)
        self.stats.bytes += read_bytes
        if problems:
            # What was rewritten, woken or deleted meanwhile is not needed any more.
            archived, files = await self._named(room_id)
            problems = {one: problem for one, problem in problems.items() if one in archived or one in files}
        await self._note(room_id, problems)
        return read_bytes

    async def _named(self, room_id: RoomId) -> tuple[list[Stored], list[Stored]]:
        """Return the objects of a room in the archive, and its files; none of a room that cannot be read."""
        async with self._directory.database.read() as reader:
            asleep = await hibernations.find_asleep(reader, room_id)
        if asleep is not None:
            return [object_check.of_hibernation(asleep)], []
        try:
            return await asyncio.to_thread(self._of_shard, room_id)
        except UnavailableError:
            return [], []

    def _of_shard(self, room_id: RoomId) -> tuple[list[Stored], list[Stored]]:
        of_room = (self._folder, room_id, self._migrations)
        return inspections.stored(*of_room), inspections.stored_files(*of_room)

    async def _note(self, room_id: RoomId, problems: dict[Stored, str]) -> None:
        lost = None
        if problems:
            first, problem = next(iter(problems.items()))
            count = len(problems)
            lost = f"{count} {'object' if count == 1 else 'objects'} in object storage amiss: {first.key} {problem}"
        now_ms = self._clock()
        async with self._directory.database.write() as writer:
            before = await scrubs.note(writer, room_id, lost, now_ms=now_ms)
            if (before is None) == (lost is None):
                return
            try:
                shard = await shards.find(writer, room_id)
            except RoomNotFoundError:
                return
            levels: tuple[Level, Level] = ("ok", "critical") if lost is None else ("critical", "ok")
            change = Change(room_id, "damage", *levels, shard.used_bytes, LIMIT, lost)
            await alerts.raise_all(writer, [change], self._sinks, now_ms=now_ms)
        if lost is not None:
            log.error("objects of a room are lost", extra={"room_id": room_id, "reason": lost})


def _chosen(named: Sequence[Stored], bytes_max: int) -> frozenset[Stored]:
    """Return objects of at most so many bytes: all that follow one by chance, so that each has its turn."""
    begin = random.randrange(len(named)) if named else 0  # noqa: S311 - no secret
    chosen: list[Stored] = []
    for one in (*named[begin:], *named[:begin]):
        bytes_max -= one.size_bytes
        if bytes_max < 0:
            break
        chosen.append(one)
    return frozenset(chosen)

"""Looks shards through, a few each round so that all have their turn, and puts a damaged one into quarantine.

A room in quarantine answers 503 with the reason until its file was replaced by a sound one, or an operator lets it out;
every other room goes on. Where many shards turn out to be damaged it is the disk or this program that is at fault, and
rooms are not closed one after the other.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from directory import alerts, shards
from directory.alerts import Change, Sink
from directory.database import Writer
from directory.directory import Directory
from directory.origins import NOWHERE, Origin
from directory.shards import Level, Shard
from ids import RoomId, UserId
from migrations.engine import Migration
from shard import footprints, inspections
from shard.errors import BrokenShardError, ShardBusyError
from shard.inspections import FTS_CHECK_SECONDS
from shard.tidying import Table

log = logging.getLogger(__name__)

QUARANTINED_MAX: Final = 10
"""Shards that are in quarantine at once; what is found beyond is alerted only."""
SEARCH_SECONDS: Final = 0.05
"""How long a round may have a room's writes wait while its search index is compared; a larger index is left out."""
NO_LIMIT: Final = 1
"""An alert of damage has no limit to tell."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What was seen: what is wrong, and whether nobody is let in for it; `left_out` is what there was no time for."""

    room_id: RoomId
    problems: tuple[str, ...]
    is_quarantined: bool
    left_out: str | None = None


class Examining:
    """Looks shards through, on threads; they stop soon after whoever waits for one is cancelled."""

    def __init__(
        self,
        directory: Directory,
        folder: Path,
        migrations: Sequence[Migration],
        sinks: Sequence[Sink],
        clock: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._folder = folder
        self._migrations = migrations
        self._sinks = tuple(sinks)
        self._clock = clock

    async def examine(self, room_id: RoomId, *, search_seconds: float = FTS_CHECK_SECONDS) -> Examined:
        """Look a shard through: pages, references, search index. A damaged one is put into quarantine; one that was in
        it and is sound is let out. Raises RoomNotFoundError and ShardBusyError."""
        async with self._directory.database.read() as reader:
            await shards.find(reader, room_id)
        footprint = footprints.look(self._folder, room_id)
        problems, left_out = await self._look(room_id, search_seconds)
        now_ms = self._clock()
        async with self._directory.database.write() as writer:
            shard = await shards.find(writer, room_id)
            await shards.note_examined(writer, room_id, now_ms=now_ms)
            if shard.state == "hibernated":
                # Its file went away meanwhile, which is no damage: what is in object storage was looked through.
                return Examined(room_id, (), is_quarantined=False, left_out="it is hibernated")
            if problems:
                seen_as = None if footprint is None else footprint.seen_as
                is_quarantined = await self._close(writer, shard, "; ".join(problems), seen_as, now_ms)
                return Examined(room_id, problems, is_quarantined, left_out)
            await self._open(writer, shard, now_ms)
        return Examined(room_id, (), is_quarantined=False, left_out=left_out)

    async def release(
        self, room_id: RoomId, *, force: bool, by: UserId | None, origin: Origin = NOWHERE
    ) -> Examined | None:
        """Let everybody into a shard again, with `force` whatever is wrong with it, else if nothing is any more.

        Returns what was seen, None for `force`; with problems in it, the shard is as closed as it was. Raises
        RoomNotFoundError and ShardBusyError.
        """
        seen = None
        if not force:
            seen = await self.examine(room_id)
            if seen.problems:
                return seen
        async with self._directory.database.write() as writer:
            shard = await shards.find(writer, room_id)
            await self._open(writer, shard, self._clock())
            await shards.note_release(writer, room_id, by=by, is_forced=force, origin=origin, now_ms=self._clock())
        return seen

    async def tables(self, room_id: RoomId) -> list[Table]:
        """Return what each table of a shard takes; reads all of it. Raises BrokenShardError and ShardBusyError."""
        with _stopping() as stop:
            return await asyncio.to_thread(
                inspections.measure_tables, self._folder, room_id, self._migrations, is_stopped=stop.is_set
            )

    async def _look(self, room_id: RoomId, search_seconds: float) -> tuple[tuple[str, ...], str | None]:
        try:
            with _stopping() as stop:
                seen = await asyncio.to_thread(
                    inspections.inspect,
                    self._folder,
                    room_id,
                    self._migrations,
                    search_seconds=search_seconds,
                    is_stopped=stop.is_set,
                )
        except ShardBusyError:
            raise
        except BrokenShardError as error:
            return (error.reason,), None
        left_out = None if seen.is_search_checked or seen.problems else "the search index was not compared: no time"
        return seen.problems, left_out

    async def _close(self, writer: Writer, shard: Shard, problem: str, seen_as: str | None, now_ms: int) -> bool:
        """Put a shard into quarantine, unless there are too many, and return whether it is in it."""
        if shard.quarantined_at is None and len(await shards.quarantined(writer)) >= QUARANTINED_MAX:
            log.error("many shards are damaged: look at the disk first", extra={"room_id": shard.room_id})
            await self._alert(writer, shard, "ok", "critical", problem, now_ms)
            return False
        await shards.quarantine(writer, shard.room_id, problem, seen_as=seen_as, now_ms=now_ms)
        if shard.problem is None:
            await self._alert(writer, shard, "ok", "critical", problem, now_ms)
        return True

    async def _open(self, writer: Writer, shard: Shard, now_ms: int) -> None:
        await shards.release(writer, shard.room_id)
        if shard.problem is not None:
            await shards.note_problem(writer, shard.room_id, None)
            await self._alert(writer, shard, "critical", "ok", None, now_ms)

    async def _alert(
        self, writer: Writer, shard: Shard, previous: Level, level: Level, reason: str | None, now_ms: int
    ) -> None:
        limit_bytes = max(shard.size_limit_bytes or 0, NO_LIMIT)
        change = Change(shard.room_id, "damage", level, previous, shard.used_bytes, limit_bytes, reason)
        await alerts.raise_all(writer, [change], self._sinks, now_ms=now_ms)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Lend what tells a thread to stop: it is set when the block ends, by cancellation too."""
    stop = threading.Event()
    try:
        yield stop
    finally:
        stop.set()

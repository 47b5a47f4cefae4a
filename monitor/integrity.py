"""Integrity checks of shards, a few after each round, all in turn; a damaged one enters quarantine.

Damage of single rows, or of the search index, closes nothing: it is told, and stays noted until a check finds none.

A room in quarantine answers 503 with the reason until its file was replaced by a sound one, or an operator releases it;
all other rooms are unaffected. Where many shards are damaged, the cause is the disk or this program, and rooms are not
closed one after the other.
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
from directory.client_info import NO_CLIENT, ClientInfo
from directory.database import Writer
from directory.directory import Directory
from directory.errors import RoomNotFoundError
from directory.shards import Level, Shard
from ids import RoomId, UserId
from migrations.engine import Migration
from shard import inspections
from shard.engine import fingerprints
from shard.engine.maintenance import Table
from shard.errors import BrokenShardError, ShardBusyError
from shard.inspections import FTS_CHECK_SECONDS

log = logging.getLogger(__name__)

QUARANTINED_MAX: Final = 10
"""Shards that are in quarantine at once; further damage only raises an alert."""
SEARCH_SECONDS: Final = 0.05
"""Time for which maintenance may block a room's writes to compare its search index; a larger index is left out."""
NO_LIMIT: Final = 1
"""The limit in alerts of damage, which have no size limit."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Result of a check: its problems, the shard's quarantine, and, in `left_out`, the checks that were left out."""

    room_id: RoomId
    problems: tuple[str, ...]
    is_quarantined: bool
    left_out: str | None = None


class IntegrityCheck:
    """Checks of shards, on threads, which stop soon after the awaiting task is cancelled."""

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

    async def check(self, room_id: RoomId, *, search_seconds: float = FTS_CHECK_SECONDS) -> Checked:
        """Check a shard: pages, references, search index. A damaged one enters quarantine, a sound one leaves it.

        Raises RoomNotFoundError and ShardBusyError.
        """
        async with self._directory.database.read() as reader:
            await shards.find(reader, room_id)
        fingerprint = fingerprints.take(self._folder, room_id)
        problems, damage, left_out = await self._inspect(room_id, search_seconds)
        now_ms = self._clock()
        async with self._directory.database.write() as writer:
            shard = await shards.find(writer, room_id)
            await shards.note_examined(writer, room_id, now_ms=now_ms)
            if shard.state == "hibernated":
                # It was hibernated meanwhile, which is no damage: its object was verified.
                return Checked(room_id, (), is_quarantined=False, left_out="it is hibernated")
            if problems:
                seen_as = None if fingerprint is None else fingerprint.text
                is_quarantined = await self._quarantine(writer, shard, "; ".join(problems), seen_as, now_ms)
                return Checked(room_id, problems, is_quarantined, left_out)
            await self._release(writer, shard, now_ms)
            if damage:
                await self._mark(writer, shard, "; ".join(damage), now_ms)
                await shards.note_examined(writer, room_id, now_ms=now_ms)
            elif left_out is None and await shards.clear_damage(writer, room_id):
                await self._alert(writer, shard, "critical", "ok", None, now_ms)
        return Checked(room_id, damage, is_quarantined=False, left_out=left_out)

    async def suspect(self, room_id: RoomId, damage: str) -> None:
        """Mark a shard in which a request met damage: operators are told once, and the next round checks it first.

        Raises DatabaseError.
        """
        async with self._directory.database.write() as writer:
            try:
                shard = await shards.find(writer, room_id)
            except RoomNotFoundError:
                return
            await self._mark(writer, shard, damage, self._clock())

    async def _mark(self, writer: Writer, shard: Shard, damage: str, now_ms: int) -> None:
        if await shards.note_damage(writer, shard.room_id, damage):
            log.error("a room is damaged", extra={"room_id": shard.room_id, "reason": damage})
            if shard.problem is None:
                await self._alert(writer, shard, "ok", "critical", damage, now_ms)

    async def release(
        self, room_id: RoomId, *, force: bool, by: UserId | None, client: ClientInfo = NO_CLIENT
    ) -> Checked | None:
        """Take a shard out of quarantine, with `force` without a check, else if a check finds it sound.

        Returns the check, None for `force`; with problems in it, the shard stays in quarantine. Raises
        RoomNotFoundError and ShardBusyError.
        """
        checked = None
        if not force:
            checked = await self.check(room_id)
            if checked.problems:
                return checked
        async with self._directory.database.write() as writer:
            shard = await shards.find(writer, room_id)
            await self._release(writer, shard, self._clock())
            await shards.note_release(writer, room_id, by=by, is_forced=force, client=client, now_ms=self._clock())
        return checked

    async def tables(self, room_id: RoomId) -> list[Table]:
        """Return the size of each table of a shard; reads all of it. Raises BrokenShardError and ShardBusyError."""
        with _stopping() as stop:
            return await asyncio.to_thread(
                inspections.measure_tables, self._folder, room_id, self._migrations, is_stopped=stop.is_set
            )

    async def _inspect(
        self, room_id: RoomId, search_seconds: float
    ) -> tuple[tuple[str, ...], tuple[str, ...], str | None]:
        """Return what closes the room, what is damaged in it although it goes on, and what could not be checked."""
        try:
            with _stopping() as stop:
                inspection = await asyncio.to_thread(
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
            return (error.reason,), (), None
        is_whole = inspection.is_search_checked or inspection.problems
        left_out = None if is_whole else "the search index was not compared: no time"
        return inspection.problems, inspection.damage, left_out

    async def _quarantine(self, writer: Writer, shard: Shard, problem: str, seen_as: str | None, now_ms: int) -> bool:
        """Put a shard into quarantine, unless too many are in it, and return whether it is in it."""
        if shard.quarantined_at is None and len(await shards.quarantined(writer)) >= QUARANTINED_MAX:
            log.error("many shards are damaged: look at the disk first", extra={"room_id": shard.room_id})
            await self._alert(writer, shard, "ok", "critical", problem, now_ms)
            return False
        await shards.quarantine(writer, shard.room_id, problem, seen_as=seen_as, now_ms=now_ms)
        if shard.problem is None:
            await self._alert(writer, shard, "ok", "critical", problem, now_ms)
        return True

    async def _release(self, writer: Writer, shard: Shard, now_ms: int) -> None:
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
    """Yield the stop signal of a thread: it is set when the block ends, by cancellation too."""
    stop = threading.Event()
    try:
        yield stop
    finally:
        stop.set()

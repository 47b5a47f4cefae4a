"""The size walk: measures the shards that changed since they were measured, and acts on what that comes to.

Whether a shard changed is told by how its files look, so one that did not is never opened. What a measurement comes to
is written down in one transaction: size, history, level, alert, and whether the room takes messages. So a walk that is
killed, or meets another one, leaves no half of it, and the next one does what is left.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from config.settings import Database
from directory import alerts, rooms, shards, sizes
from directory.alerts import Change, Sink
from directory.database import Writer
from directory.directory import Directory
from directory.shards import Level, Shard
from directory.sizes import DAY_MS, Measurement
from ids import RoomId
from migrations.engine import Migration
from monitor.levels import Thresholds, full_on, judge
from monitor.tidying import is_untidy
from shard import footprints, inspections
from shard.errors import BrokenShardError, ShardBusyError
from shard.footprints import Footprint
from shard.inspections import Measures

log = logging.getLogger(__name__)

BATCH: Final = 50
"""Shards that are measured before what was seen is written down: a killed walk measures so many again."""
FORECAST_MS: Final = 30 * DAY_MS
"""The history that a forecast is drawn from."""
PROBLEMS_MAX: Final = 100
"""New problems that one walk tells: where more shards break at once, it is the disk that broke, and is told once."""
UNTIDY_MAX: Final = 10
"""Untidy shards that a walk tells of; the next one finds the others."""
MISSING: Final = "its file is missing; restore it from a backup"


class Due(NamedTuple):
    """A shard to measure, and how its files look; None when there is no file."""

    shard: Shard
    footprint: Footprint | None


class Seen(NamedTuple):
    """What measuring a shard gave: its measures and its schema's version, or the problem with it."""

    due: Due
    measures: Measures | None
    version: int = 0
    problem: str | None = None


@dataclass(slots=True)
class Tally:
    """What a walk did. `busy` shards were locked, and are left for the next; `changed` are in quarantine and have other
    files now; `untidy` are the first that are worth tidying up; `untold` problems were too many to be told."""

    walked: int = 0
    measured: int = 0
    busy: int = 0
    alerts: int = 0
    untold: int = 0
    problems: list[tuple[RoomId, str]] = field(default_factory=list)
    changed: list[RoomId] = field(default_factory=list)
    untidy: list[RoomId] = field(default_factory=list)


class SizeWalk:
    """Walks over all shards; `sinks` are to be told of alerts. One walk at a time is the caller's business."""

    def __init__(
        self,
        directory: Directory,
        folder: Path,
        migrations: Sequence[Migration],
        binding: Database,
        sinks: Sequence[Sink],
        clock: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._folder = folder
        self._migrations = migrations
        self._binding = binding
        self._sinks = tuple(sinks)
        self._clock = clock

    def thresholds(self, shard: Shard) -> Thresholds:
        """Return where the levels of a shard begin."""
        limit_bytes = shard.size_limit_bytes or self._binding.size_limit_bytes
        return Thresholds(limit_bytes, self._binding.warn_percent, self._binding.critical_percent)

    async def run(self) -> Tally:
        """Walk once; raises DirectoryError when the directory cannot be read or written, and OSError when the folder of
        the shards is not there."""
        await asyncio.to_thread(self._folder.stat)
        tally = Tally()
        after = 0
        while True:
            async with self._directory.database.read() as reader:
                page = await shards.walk(reader, after=after)
            if not page:
                break
            after = page[-1].room_id
            tally.walked += len(page)
            due = iter(await asyncio.to_thread(self._due, page, tally))
            while batch := list(islice(due, BATCH)):
                await self._keep(await asyncio.to_thread(self._measure, batch), tally)
        if tally.untold:
            log.error("many shards broke at once: look at the disk first", extra={"count": tally.untold})
        async with self._directory.database.write() as writer:
            await sizes.thin(writer, now_ms=self._clock())
        return tally

    async def measure(self, room_id: RoomId) -> Shard:
        """Measure one shard now, and return what is known of it then; raises RoomNotFoundError, BrokenShardError and
        ShardBusyError."""
        async with self._directory.database.read() as reader:
            shard = await shards.find(reader, room_id)
        due = Due(shard, footprints.look(self._folder, room_id))
        seen, version = await asyncio.to_thread(inspections.survey, self._folder, room_id, self._migrations)
        await self._keep([Seen(due, seen, version)], Tally())
        async with self._directory.database.read() as reader:
            return await shards.find(reader, room_id)

    def _due(self, page: Sequence[Shard], tally: Tally) -> list[Due]:
        now_ms = self._clock()
        found: list[Due] = []
        for shard in page:
            if len(tally.untidy) < UNTIDY_MAX and is_untidy(shard, now_ms):
                tally.untidy.append(shard.room_id)
            footprint = footprints.look(self._folder, shard.room_id)
            seen_as = None if footprint is None else footprint.seen_as
            is_changed = seen_as is None or seen_as != shard.seen_as
            if shard.quarantined_at is not None:
                if is_changed and footprint is not None:
                    tally.changed.append(shard.room_id)
            elif (is_changed or self._is_stale(shard, now_ms)) and not (footprint is None and shard.problem == MISSING):
                found.append(Due(shard, footprint))
        return found

    def _is_stale(self, shard: Shard, now_ms: int) -> bool:
        """Tell whether something follows from a size anew although it is the same: from another limit, or with time."""
        is_old = shard.checked_at is None or abs(now_ms - shard.checked_at) >= DAY_MS
        is_open = shard.level == "full" and shard.state == "active"
        level = judge(shard.used_bytes, self.thresholds(shard), shard.level)
        return is_open or level != shard.level or (shard.full_at is not None and is_old)

    def _measure(self, batch: Sequence[Due]) -> list[Seen]:
        return list(self._measured(batch))

    def _measured(self, batch: Sequence[Due]) -> Iterator[Seen]:
        """Measure shards one after the other, each open for no longer than that takes."""
        for due in batch:
            if due.footprint is None:
                yield Seen(due, None, problem=MISSING)
                continue
            try:
                yield Seen(due, *inspections.survey(self._folder, due.shard.room_id, self._migrations))
            except ShardBusyError:
                yield Seen(due, None)
            except BrokenShardError as error:
                yield Seen(due, None, problem=error.reason)

    async def _keep(self, batch: Sequence[Seen], tally: Tally) -> None:
        """Write a batch down, judged by what the directory says now: another walk may have been here meanwhile."""
        now_ms = self._clock()
        changes: list[Change] = []
        kept: list[Measurement] = []
        async with self._directory.database.write() as writer:
            known = await shards.of_rooms(writer, [seen.due.shard.room_id for seen in batch])
            for seen in batch:
                shard = known.get(seen.due.shard.room_id)
                if shard is None or shard.state not in ("active", "readonly"):
                    continue
                if seen.measures is None:
                    changes += await self._keep_problem(writer, shard, seen, tally)
                    continue
                measured = await self._judged(writer, shard, seen, seen.measures, now_ms)
                kept.append(measured)
                changes += self._changes(shard, measured)
                await rooms.set_full(writer, shard.room_id, is_full=measured.level == "full", now_ms=now_ms)
            await sizes.record(writer, kept)
            await alerts.raise_all(writer, changes, self._sinks, now_ms=now_ms)
        tally.measured += len(kept)
        tally.alerts += len(changes)

    async def _keep_problem(self, writer: Writer, shard: Shard, seen: Seen, tally: Tally) -> list[Change]:
        if seen.problem is None:
            tally.busy += 1
            return []
        tally.problems.append((shard.room_id, seen.problem))
        if shard.problem is None and len(tally.problems) > PROBLEMS_MAX:
            tally.untold += 1
            return []
        seen_as = _settled(seen.due.footprint, self._clock())
        await shards.note_problem(writer, shard.room_id, seen.problem, seen_as=seen_as)
        return [] if shard.problem is not None else [self._change(shard, "ok", "critical", seen.problem)]

    async def _judged(self, writer: Writer, shard: Shard, seen: Seen, measures: Measures, now_ms: int) -> Measurement:
        thresholds = self.thresholds(shard)
        used_bytes = measures.size_bytes - measures.freelist_bytes
        past = await sizes.history(writer, shard.room_id, since_ms=now_ms - FORECAST_MS)
        return Measurement(
            room_id=shard.room_id,
            schema_version=seen.version,
            size_bytes=measures.size_bytes,
            wal_bytes=measures.wal_bytes,
            freelist_bytes=measures.freelist_bytes,
            message_count=measures.message_count,
            last_seq=measures.last_seq,
            measured_at=now_ms,
            level=judge(used_bytes, thresholds, shard.level),
            full_at=full_on([*past, (now_ms, used_bytes)], thresholds.limit_bytes, now_ms=now_ms),
            seen_as=_settled(seen.due.footprint, now_ms),
        )

    def _changes(self, shard: Shard, measured: Measurement) -> Iterator[Change]:
        if measured.level != shard.level:
            limit_bytes = self.thresholds(shard).limit_bytes
            yield Change(shard.room_id, "size", measured.level, shard.level, measured.used_bytes, limit_bytes)
        if shard.problem is not None and shard.quarantined_at is None:
            yield self._change(shard, "critical", "ok", None)

    def _change(self, shard: Shard, previous: Level, level: Level, reason: str | None) -> Change:
        limit_bytes = self.thresholds(shard).limit_bytes
        return Change(shard.room_id, "damage", level, previous, shard.used_bytes, limit_bytes, reason)


def _settled(footprint: Footprint | None, now_ms: int) -> str | None:
    return footprint.seen_as if footprint is not None and footprint.is_settled(now_ms) else None

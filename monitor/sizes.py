"""The size walk: measures the shards that changed since their last measurement, and acts on the result.

The fingerprint of its files shows whether a shard changed, so one that did not is never opened. One transaction
records all results of a measurement: size, history, level, alert, and whether the room accepts messages. So a walk that
is killed, or runs beside another one, leaves nothing half done, and the next one does the rest.
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
from monitor.isolation import describe
from monitor.levels import Thresholds, full_on, judge
from monitor.optimizer import needs_optimizing
from shard import inspections
from shard.engine import fingerprints
from shard.engine.fingerprints import Fingerprint
from shard.errors import BrokenShardError, ShardBusyError
from shard.inspections import Measures

log = logging.getLogger(__name__)

BATCH: Final = 50
"""Shards that are measured before the results are recorded: a killed walk measures so many again."""
FORECAST_MS: Final = 30 * DAY_MS
"""The history that a forecast is drawn from."""
PROBLEMS_MAX: Final = 100
"""New problems that one walk raises alerts for: if more shards break at once, the disk is the cause, logged once."""
TO_OPTIMIZE_MAX: Final = 10
"""Shards worth optimizing that one walk lists; the next one finds the others."""
MISSING: Final = "its file is missing; restore it from a backup"


class Candidate(NamedTuple):
    """A shard to measure, and the fingerprint of its files; None when there is no file."""

    shard: Shard
    fingerprint: Fingerprint | None


class Measured(NamedTuple):
    """Result of measuring a shard: its measures and its schema's version, or the problem with it."""

    candidate: Candidate
    measures: Measures | None
    version: int = 0
    problem: str | None = None


@dataclass(slots=True)
class Tally:
    """Result of a walk.

    `busy` shards were locked, and are left for the next; `replaced` are in quarantine and have other files now;
    `to_optimize` are the first that are worth optimizing; `unreported` counts problems beyond the bound of alerts.
    """

    walked: int = 0
    measured: int = 0
    busy: int = 0
    alerts: int = 0
    unreported: int = 0
    problems: list[tuple[RoomId, str]] = field(default_factory=list)
    replaced: list[RoomId] = field(default_factory=list)
    to_optimize: list[RoomId] = field(default_factory=list)


class SizeWalk:
    """Walks over all shards; alerts go to `sinks`. The caller ensures that one walk at a time is under way."""

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
        """Return the thresholds of a shard's levels."""
        limit_bytes = shard.size_limit_bytes or self._binding.size_limit_bytes
        return Thresholds(limit_bytes, self._binding.warn_percent, self._binding.critical_percent)

    async def run(self) -> Tally:
        """Walk once; raises DatabaseError when the directory cannot be read or written, and OSError when the folder of
        the shards is missing."""
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
            candidates = iter(await asyncio.to_thread(self._candidates, page, tally))
            while batch := list(islice(candidates, BATCH)):
                await self._record(await asyncio.to_thread(self._measure, batch), tally)
        if tally.unreported:
            log.error("many shards broke at once: look at the disk first", extra={"count": tally.unreported})
        async with self._directory.database.write() as writer:
            await sizes.thin(writer, now_ms=self._clock())
        return tally

    async def measure(self, room_id: RoomId) -> Shard:
        """Measure one shard now, and return its row after that; raises RoomNotFoundError, BrokenShardError and
        ShardBusyError."""
        async with self._directory.database.read() as reader:
            shard = await shards.find(reader, room_id)
        candidate = Candidate(shard, fingerprints.take(self._folder, room_id))
        measures, version = await asyncio.to_thread(inspections.survey, self._folder, room_id, self._migrations)
        await self._record([Measured(candidate, measures, version)], Tally())
        async with self._directory.database.read() as reader:
            return await shards.find(reader, room_id)

    def _candidates(self, page: Sequence[Shard], tally: Tally) -> list[Candidate]:
        now_ms = self._clock()
        found: list[Candidate] = []
        for shard in page:
            if len(tally.to_optimize) < TO_OPTIMIZE_MAX and needs_optimizing(shard, now_ms):
                tally.to_optimize.append(shard.room_id)
            try:
                fingerprint = fingerprints.take(self._folder, shard.room_id)
            except OSError as error:
                log.warning(
                    "a shard's files cannot be examined", extra={"room_id": shard.room_id, "reason": str(error)}
                )
                tally.busy += 1
                continue
            seen_as = None if fingerprint is None else fingerprint.text
            is_changed = seen_as is None or seen_as != shard.seen_as
            if shard.quarantined_at is not None:
                if is_changed and fingerprint is not None:
                    tally.replaced.append(shard.room_id)
            elif (is_changed or self._is_stale(shard, now_ms)) and not (
                fingerprint is None and shard.problem == MISSING
            ):
                found.append(Candidate(shard, fingerprint))
        return found

    def _is_stale(self, shard: Shard, now_ms: int) -> bool:
        """Tell whether an unchanged size has to be judged again: because the limit changed, or time has passed."""
        is_old = shard.checked_at is None or abs(now_ms - shard.checked_at) >= DAY_MS
        is_open = shard.level == "full" and shard.state == "active"
        level = judge(shard.used_bytes, self.thresholds(shard), shard.level)
        return is_open or level != shard.level or (shard.full_at is not None and is_old)

    def _measure(self, batch: Sequence[Candidate]) -> list[Measured]:
        return list(self._measure_each(batch))

    def _measure_each(self, batch: Sequence[Candidate]) -> Iterator[Measured]:
        """Measure shards one after the other, each open only for its own measurement."""
        for candidate in batch:
            if candidate.fingerprint is None:
                yield Measured(candidate, None, problem=MISSING)
                continue
            try:
                yield Measured(candidate, *inspections.survey(self._folder, candidate.shard.room_id, self._migrations))
            except ShardBusyError:
                yield Measured(candidate, None)
            except BrokenShardError as error:
                yield Measured(candidate, None, problem=error.reason)
            except Exception as error:  # every other shard is measured; without a fingerprint, this one is again soon
                log.exception("a shard could not be measured", extra={"room_id": candidate.shard.room_id})
                yield Measured(candidate._replace(fingerprint=None), None, problem=describe(error))

    async def _record(self, batch: Sequence[Measured], tally: Tally) -> None:
        """Record a batch, judged by the present rows of the directory: another walk may have changed them meanwhile."""
        now_ms = self._clock()
        changes: list[Change] = []
        measurements: list[Measurement] = []
        async with self._directory.database.write() as writer:
            known = await shards.of_rooms(writer, [measured.candidate.shard.room_id for measured in batch])
            for measured in batch:
                shard = known.get(measured.candidate.shard.room_id)
                if shard is None or shard.state not in ("active", "readonly"):
                    continue
                if measured.measures is None:
                    changes += await self._record_problem(writer, shard, measured, tally)
                    continue
                try:
                    measurement = await self._judge(writer, shard, measured, measured.measures, now_ms)
                except (ArithmeticError, ValueError, TypeError):  # all others of the batch are written down
                    log.exception("a shard's size could not be judged", extra={"room_id": shard.room_id})
                    tally.busy += 1
                    continue
                measurements.append(measurement)
                changes += self._changes(shard, measurement)
                await rooms.set_full(writer, shard.room_id, is_full=measurement.level == "full", now_ms=now_ms)
            await sizes.record(writer, measurements)
            await alerts.raise_all(writer, changes, self._sinks, now_ms=now_ms)
        tally.measured += len(measurements)
        tally.alerts += len(changes)

    async def _record_problem(self, writer: Writer, shard: Shard, measured: Measured, tally: Tally) -> list[Change]:
        if measured.problem is None:
            tally.busy += 1
            return []
        tally.problems.append((shard.room_id, measured.problem))
        if shard.problem is None and len(tally.problems) > PROBLEMS_MAX:
            tally.unreported += 1
            return []
        seen_as = _settled(measured.candidate.fingerprint, self._clock())
        await shards.note_problem(writer, shard.room_id, measured.problem, seen_as=seen_as)
        return [] if shard.problem is not None else [self._change(shard, "ok", "critical", measured.problem)]

    async def _judge(
        self, writer: Writer, shard: Shard, measured: Measured, measures: Measures, now_ms: int
    ) -> Measurement:
        thresholds = self.thresholds(shard)
        used_bytes = measures.size_bytes - measures.freelist_bytes
        past = await sizes.history(writer, shard.room_id, since_ms=now_ms - FORECAST_MS)
        return Measurement(
            room_id=shard.room_id,
            schema_version=measured.version,
            size_bytes=measures.size_bytes,
            wal_bytes=measures.wal_bytes,
            freelist_bytes=measures.freelist_bytes,
            message_count=measures.message_count,
            last_seq=measures.last_seq,
            measured_at=now_ms,
            level=judge(used_bytes, thresholds, shard.level),
            full_at=full_on([*past, (now_ms, used_bytes)], thresholds.limit_bytes, now_ms=now_ms),
            seen_as=_settled(measured.candidate.fingerprint, now_ms),
        )

    def _changes(self, shard: Shard, measurement: Measurement) -> Iterator[Change]:
        if measurement.level != shard.level:
            limit_bytes = self.thresholds(shard).limit_bytes
            yield Change(shard.room_id, "size", measurement.level, shard.level, measurement.used_bytes, limit_bytes)
        if shard.problem is not None and shard.quarantined_at is None:
            yield self._change(shard, "critical", "ok", None)

    def _change(self, shard: Shard, previous: Level, level: Level, reason: str | None) -> Change:
        limit_bytes = self.thresholds(shard).limit_bytes
        return Change(shard.room_id, "damage", level, previous, shard.used_bytes, limit_bytes, reason)


def _settled(fingerprint: Fingerprint | None, now_ms: int) -> str | None:
    """Return a fingerprint that no further write can leave unchanged, else None."""
    return fingerprint.text if fingerprint is not None and fingerprint.is_settled(now_ms) else None

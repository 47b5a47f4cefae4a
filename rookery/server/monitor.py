"""Composition of the monitor: its rounds and its jobs, for the server and for `rookery monitor`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from config.settings import Settings
from directory.directory import Directory
from directory.shards import Level
from ids import RoomId
from migrations import engine
from monitor import disk_space
from monitor.alert_delivery import AlertDelivery
from monitor.archive_schedule import ArchiveSchedule
from monitor.directory_check import DirectoryCheck
from monitor.disk_space import DiskSpace
from monitor.hibernator import Hibernator, NotIdleError
from monitor.integrity import Checked, IntegrityCheck
from monitor.jobs import JobFailedError, Jobs, Progress
from monitor.lock import Lock
from monitor.maintenance import Maintenance
from monitor.optimizer import Optimized, Optimizer
from monitor.rounds import Rounds
from monitor.scrub import Scrub
from objects.store import Store
from rookery import composition
from rookery.composition import Archive, now_ms
from rookery.server import alert_channels
from shard.actions import archive as archive_actions
from shard.engine.pool import ShardPool


@contextmanager
def rounds(settings: Settings, directory: Directory, pool: ShardPool | None = None) -> Iterator[Rounds]:
    """Open the rounds of the monitor over an open directory; with the pool of the writers, shards are optimized too."""
    data = settings.server.data_dir
    optimizer = None if pool is None else Optimizer(directory, pool, now_ms)
    shards_folder = composition.shards_folder(settings)
    # The locks are in the shards' folder too, which an installation without rooms does not have yet.
    shards_folder.mkdir(mode=0o700, exist_ok=True)
    check, lock = integrity_check(settings, directory), Lock(data / composition.MAINTENANCE_LOCK, shards_folder)
    maintenance = Maintenance(directory, check, optimizer, lock, now_ms)
    with alert_channels.open_channels(settings) as channels:
        delivery = AlertDelivery(directory, channels, now_ms)
        walk = composition.size_walk(settings, directory)
        lock = Lock(data / composition.MONITOR_LOCK, shards_folder)
        limit_bytes = settings.directory.size_limit_bytes
        directory_check = DirectoryCheck(directory, limit_bytes, composition.sinks(settings), now_ms)
        yield Rounds(directory, settings.directory, walk, delivery, maintenance, directory_check, lock, now_ms)


def integrity_check(settings: Settings, directory: Directory) -> IntegrityCheck:
    """Return the integrity check of shards, over an open directory."""
    migrations = engine.load(composition.shard_migrations_folder(settings))
    folder = composition.shards_folder(settings)
    return IntegrityCheck(directory, folder, migrations, composition.sinks(settings), now_ms)


@dataclass(slots=True)
class DiskWatch:
    """The look at the disk, and what follows from it: the pool refuses growth, and operators are told."""

    space: DiskSpace
    pool: ShardPool
    judge: Callable[[], Awaitable[int]]
    deliver: Callable[[], Awaitable[None]] | None = None
    judged: Level | None = None

    async def look(self) -> None:
        """Look once; an alert that cannot be written is raised at the next look."""
        level = await asyncio.to_thread(self.space.look)
        self.pool.space.is_disk_full = self.space.is_full
        if level != self.judged:
            raised = await self.judge()
            self.judged = level
            if raised and self.deliver is not None:
                await self.deliver()


def disk_watch(settings: Settings, directory: Directory, pool: ShardPool) -> DiskWatch:
    """Return the watch of the disk, over open stores."""
    space, warn_bytes = composition.disk_space(settings), settings.alerts.disk_free_bytes_min

    async def judge() -> int:
        return await disk_space.judge(directory, space, warn_bytes, composition.sinks(settings), now_ms())

    return DiskWatch(space, pool, judge)


def scrub(settings: Settings, directory: Directory, archive: Archive, files: Store, hibernator: Hibernator) -> Scrub:
    """Return the scrub of object storage, which hears of the objects that the archive and the hibernator miss."""
    migrations = engine.load(composition.shard_migrations_folder(settings))
    folder, sinks = composition.shards_folder(settings), composition.sinks(settings)
    budget = settings.history.scrub_bytes_per_minute
    made = Scrub(directory, archive.store, files, folder, migrations, sinks, now_ms, bytes_max=budget)
    hibernator.on_loss = archive.cache.on_loss = made.hint
    return made


async def note_damages(pool: ShardPool, check: IntegrityCheck) -> None:
    """Mark the rooms in which requests met damage; raises DatabaseError, and the next such request tells again."""
    for room_id, damage in pool.take_damages().items():
        await check.suspect(room_id, damage)


@dataclass(frozen=True, slots=True)
class Workers:
    """The parts of the monitor that do the jobs."""

    integrity_check: IntegrityCheck
    optimizer: Optimizer
    archive: ArchiveSchedule
    hibernator: Hibernator
    pool: ShardPool


def jobs(directory: Directory, workers: Workers) -> Jobs:
    """Return the jobs that operators can start over HTTP."""

    async def optimize(room_id: RoomId, progress: Progress) -> dict[str, Any]:
        return render_optimized(await workers.optimizer.optimize(room_id, progress))

    async def check(room_id: RoomId, _progress: Progress) -> dict[str, Any]:
        return render_checked(await workers.integrity_check.check(room_id))

    async def tables(room_id: RoomId, _progress: Progress) -> dict[str, Any]:
        return {"tables": [table._asdict() for table in await workers.integrity_check.tables(room_id)]}

    async def archive(room_id: RoomId, _progress: Progress) -> dict[str, Any]:
        outcome = await workers.archive.archive_room(room_id)
        if outcome.error is not None:
            raise JobFailedError(outcome.error)
        return {key: value for key, value in asdict(outcome).items() if key not in ("room_id", "error")}

    async def hibernate(room_id: RoomId, _progress: Progress) -> dict[str, Any]:
        try:
            hibernated = await workers.hibernator.hibernate(room_id)
        except NotIdleError as error:
            raise JobFailedError(f"The room stays where it is: {error}.") from error
        return {"file_bytes": hibernated.file_bytes, "stored_bytes": hibernated.size_bytes}

    async def wake(room_id: RoomId, _progress: Progress) -> dict[str, Any]:
        standing = await workers.pool.read(room_id, archive_actions.standing)
        return {"live_bytes": standing.live_bytes}

    kinds = {
        "optimize": optimize,
        "check": check,
        "tables": tables,
        "archive": archive,
        "hibernate": hibernate,
        "wake": wake,
    }
    return Jobs(directory, kinds, now_ms)


def render_optimized(done: Optimized) -> dict[str, Any]:
    """Return the result of optimizing a room as JSON has it."""
    return {
        "freed_bytes": done.freed_bytes,
        "steps": done.steps,
        "longest_step_ms": round(done.longest_seconds * 1_000, 1),
    }


def render_checked(checked: Checked) -> dict[str, Any]:
    """Return the result of a check as JSON has it."""
    return {
        "ok": not checked.problems,
        "problems": list(checked.problems),
        "is_quarantined": checked.is_quarantined,
        "left_out": checked.left_out,
    }

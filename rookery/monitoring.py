"""Puts the monitor together: for the server, which goes round by the settings' crons, and for `rookery monitor`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from config.settings import Settings
from directory.directory import Directory
from directory.shards import LEVELS
from ids import RoomId
from migrations import engine
from monitor.archive_rounds import ArchiveRounds
from monitor.examining import Examined, Examining
from monitor.hibernating import Hibernating, NotIdleError
from monitor.jobs import JobFailedError, Jobs, Progress
from monitor.rounds import Rounds
from monitor.telling import Telling
from monitor.tending import Tending
from monitor.tidying import Tidied, Tidying
from rookery import alerting, composition
from rookery.composition import now_ms
from router.metrics import Metrics
from shard.acts import archiving
from shard.pool import ShardPool


@contextmanager
def rounds(settings: Settings, directory: Directory, pool: ShardPool | None = None) -> Iterator[Rounds]:
    """Lend what goes round, over an open directory; with the pool that the rooms' writers are in, shards are tidied up
    too."""
    data = settings.server.data_dir
    tidying = None if pool is None else Tidying(directory, pool, now_ms)
    tending = Tending(directory, examining(settings, directory), tidying, data / composition.TENDING_LOCK, now_ms)
    with alerting.tellers(settings) as tellers:
        telling = Telling(directory, tellers, now_ms)
        walk = composition.size_walk(settings, directory)
        lock = data / composition.MONITOR_LOCK
        yield Rounds(directory, settings.directory, walk, telling, tending, lock, now_ms)


def examining(settings: Settings, directory: Directory) -> Examining:
    """Return what looks shards through, over an open directory."""
    migrations = engine.load(composition.shard_migrations_folder(settings))
    folder = composition.shards_folder(settings)
    return Examining(directory, folder, migrations, composition.sinks(settings), now_ms)


@dataclass(frozen=True, slots=True)
class Workers:
    """Whoever does what jobs are for."""

    examining: Examining
    tidying: Tidying
    archiving: ArchiveRounds
    hibernating: Hibernating
    pool: ShardPool


def jobs(directory: Directory, workers: Workers) -> Jobs:
    """Return what runs the jobs that operators begin over HTTP."""

    async def optimize(room_id: RoomId, progress: Progress) -> dict[str, Any]:
        return told_tidied(await workers.tidying.tidy(room_id, progress))

    async def check(room_id: RoomId, _progress: Progress) -> dict[str, Any]:
        return told_examined(await workers.examining.examine(room_id))

    async def tables(room_id: RoomId, _progress: Progress) -> dict[str, Any]:
        return {"tables": [table._asdict() for table in await workers.examining.tables(room_id)]}

    async def archive(room_id: RoomId, _progress: Progress) -> dict[str, Any]:
        outcome = await workers.archiving.work_on(room_id)
        if outcome.error is not None:
            raise JobFailedError(outcome.error)
        return {key: value for key, value in asdict(outcome).items() if key not in ("room_id", "error")}

    async def hibernate(room_id: RoomId, _progress: Progress) -> dict[str, Any]:
        try:
            away = await workers.hibernating.hibernate(room_id)
        except NotIdleError as error:
            raise JobFailedError(f"The room stays where it is: {error}.") from error
        return {"file_bytes": away.file_bytes, "stored_bytes": away.size_bytes}

    async def wake(room_id: RoomId, _progress: Progress) -> dict[str, Any]:
        standing = await workers.pool.read(room_id, archiving.standing)
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


def told_tidied(done: Tidied) -> dict[str, Any]:
    """Return what tidying up did, as JSON has it."""
    return {
        "freed_bytes": done.freed_bytes,
        "steps": done.steps,
        "longest_step_ms": round(done.longest_seconds * 1_000, 1),
    }


def told_examined(seen: Examined) -> dict[str, Any]:
    """Return what looking a shard through showed, as JSON has it."""
    return {
        "ok": not seen.problems,
        "problems": list(seen.problems),
        "is_quarantined": seen.is_quarantined,
        "left_out": seen.left_out,
    }


def show(metrics: Metrics, going: Rounds) -> None:
    """Show how the fleet is, and how the rounds go, in the server's metrics."""
    standing = going.standing

    def by_level() -> Mapping[str, float]:
        return {level: standing.summary.by_level.get(level, 0) for level in LEVELS}

    metrics.watch_by("rookery_shards", "Shards at each level of their size.", "level", by_level)
    metrics.watch("rookery_shards_bytes", "Bytes of all shards.", lambda: standing.summary.size_bytes)
    metrics.watch("rookery_shards_quarantined", "Shards that nobody is let into.", lambda: standing.summary.quarantined)
    metrics.watch("rookery_alerts_open", "Alerts that nobody acknowledged.", lambda: standing.open_alerts)
    metrics.watch("rookery_monitor_failed", "Rounds of the monitor that failed.", lambda: standing.failed)
    text = "When the last whole round of the monitor began, in seconds since 1970; 0 before the first."
    metrics.watch("rookery_monitor_round_at", text, lambda: standing.last.began_at / 1_000 if standing.last else 0)
    text = "How long the last whole round of the monitor took."
    metrics.watch("rookery_monitor_round_seconds", text, lambda: standing.last.seconds if standing.last else 0)

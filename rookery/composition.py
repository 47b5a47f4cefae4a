"""Builds a running Rookery out of its settings: folders, stores, application. Nothing else sees all the parts."""

import fcntl
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import sqlite
from config.settings import Bucket, Settings
from directory.alerts import Sink
from directory.directory import Directory
from ids import RoomId
from migrations import engine
from monitor.archiving import Archiver
from monitor.hibernating import Hibernating
from monitor.sizes import SizeWalk
from objects import disk, s3
from objects.store import Store
from rookery import process
from rookery.errors import CommandError
from shard.files import WRITER_CACHE_KIB, Bounds
from shard.policies import Policy
from shard.pool import PoolLimits, Publish, ShardPool
from shard.segment_cache import SegmentCache

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
HEADROOM_PERCENT = 5
"""How far a full shard may grow: deleting leaves an event, and between two looks at its size a room takes messages."""
LOCK = "server.lock"
MONITOR_LOCK = "monitor.lock"
TENDING_LOCK = "monitor-tending.lock"
LOCK_TRIES = 10
ARCHIVE_CACHE = "archive-cache"
ARCHIVE_WORK = "archive-work"


def now_ms() -> int:
    """Read the clock, in milliseconds UTC: the only place that does."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Stores:
    """The two stores, open."""

    directory: Directory
    pool: ShardPool


@dataclass(frozen=True, slots=True)
class Archive:
    """Where archived messages are, and the local copies of what is read of them."""

    store: Store
    cache: SegmentCache


def shards_folder(settings: Settings) -> Path:
    """Return the folder of the shards."""
    return settings.server.data_dir / settings.shards.database_name


def directory_path(settings: Settings) -> Path:
    """Return the file of the directory."""
    return settings.server.data_dir / f"{settings.directory.database_name}.db"


def directory_migrations_folder(settings: Settings) -> Path:
    """Return the folder of the directory's migrations."""
    return settings.directory.migrations_dir or engine.CENTRAL_FOLDER


def shard_migrations_folder(settings: Settings) -> Path:
    """Return the folder of the shards' migrations."""
    return settings.shards.migrations_dir or engine.SHARD_FOLDER


def size_walk(settings: Settings, directory: Directory) -> SizeWalk:
    """Return what measures shards, over an open directory."""
    migrations = engine.load(shard_migrations_folder(settings))
    return SizeWalk(directory, shards_folder(settings), migrations, settings.shards, sinks(settings), now_ms)


def sinks(settings: Settings) -> tuple[Sink, ...]:
    """Return who is told of alerts."""
    chosen = settings.alerts
    wanted: tuple[tuple[Sink, bool], ...] = (
        ("log", True),
        ("webhook", chosen.webhook_url is not None),
        ("mail", bool(chosen.mail_to)),
    )
    return tuple(sink for sink, is_wanted in wanted if is_wanted)


def hard_limit(size_limit_bytes: int) -> int:
    """Return where SQLite itself stops a shard that is full at this size."""
    return size_limit_bytes * (100 + HEADROOM_PERCENT) // 100


def prepare(settings: Settings) -> None:
    """Make the data folder, readable by its owner alone; raises OSError with the path when it cannot."""
    sqlite.refuse_old_sqlite()
    for folder in (settings.server.data_dir, shards_folder(settings)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def serving_alone(settings: Settings) -> Iterator[None]:
    """Be the only server of the data folder while the block lasts; raises CommandError when there is one.

    Two would each finish or undo the rooms that the other is just making. The system lets go of the lock when the
    process ends, however it ends.
    """
    prepare(settings)
    with (settings.server.data_dir / LOCK).open("ab") as lock:
        # Whoever asks `has_server` holds the lock for some microseconds.
        for _ in range(LOCK_TRIES):
            if _got(lock, fcntl.LOCK_EX):
                yield
                return
            time.sleep(0.01)
        raise CommandError(f"Another server runs on {settings.server.data_dir}; stop it, or name another folder.")


def has_server(settings: Settings) -> bool:
    """Tell whether a server runs on the data folder now."""
    try:
        with (settings.server.data_dir / LOCK).open("rb") as lock:
            return not _got(lock, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _got(file: IO[bytes], kind: int) -> bool:
    """Try to take a lock, which closing the file lets go of, and tell whether it was free."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@asynccontextmanager
async def open_stores(
    settings: Settings,
    publish: Publish = lambda _room_id, _events: None,
    *,
    cache_kib: int = WRITER_CACHE_KIB,
) -> AsyncIterator[Stores]:
    """Open both stores, and close them when the block ends, with everything acknowledged on disk.

    `cache_kib` is the page cache of each shard that is written to.
    """
    limits = settings.limits
    async with open_directory(settings) as directory:
        pool = ShardPool(
            shards_folder(settings),
            engine.load(shard_migrations_folder(settings)),
            limits=PoolLimits(
                open_max=_shards_open_max(settings),
                queue_max=limits.shard_queue_max,
                batch_max=limits.shard_batch_max,
                writers=limits.shard_writers,
                readers=limits.shard_readers,
                read_deadline_seconds=limits.read_deadline_ms / 1000,
                bounds=Bounds(hard_limit(settings.shards.size_limit_bytes), cache_kib),
            ),
            clock=now_ms,
            publish=publish,
        )
        try:
            yield Stores(directory, pool)
        finally:
            await pool.close()


def _shards_open_max(settings: Settings) -> int:
    """Return how many shards may be open: what the settings say, if the system allows so many files."""
    wanted, fitting = settings.limits.shards_open_max, process.shards_that_fit(process.raise_file_limit())
    if fitting < wanted:
        facts = {"wanted": wanted, "open_max": fitting}
        log.warning("fewer shards may be open than the settings say: raise the limit of open files", extra=facts)
    return min(wanted, fitting)


@asynccontextmanager
async def open_files(settings: Settings) -> AsyncIterator[Store]:
    """Open the object storage of the files of messages, a folder or a bucket, and close it when the block ends."""
    store = _store(settings, settings.files)
    try:
        yield store
    finally:
        await store.close()


def missing_archive(settings: Settings) -> Path | None:
    """Return the folder of archived messages if it is not there; None for one that is, and for a bucket."""
    folder = settings.server.data_dir / settings.archive.bucket_name
    return None if settings.archive.endpoint is not None or folder.is_dir() else folder


@asynccontextmanager
async def open_archive_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the object storage of archived messages alone, and close it when the block ends."""
    store = _store(settings, settings.archive)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_archive(settings: Settings, *, cache_name: str = ARCHIVE_CACHE) -> AsyncIterator[Archive]:
    """Open the object storage of archived messages and a cache of it, and close both when the block ends.

    Processes that run side by side each need a cache of their own.
    """
    async with open_archive_store(settings) as store:
        folder = settings.server.data_dir / cache_name
        cache = SegmentCache(store, folder, bytes_max=settings.history.archive_cache_bytes_max)
        try:
            yield Archive(store, cache)
        finally:
            await cache.close()


def open_archiver(settings: Settings, stores: Stores, archive: Archive) -> Archiver:
    """Return what moves history into the archive; the folders it works in are made when they are needed."""
    return Archiver(
        stores.pool,
        archive.store,
        archive.cache,
        shards_folder(settings),
        settings.server.data_dir / ARCHIVE_WORK,
        archive_policy(settings),
        now_ms,
    )


def archive_policy(settings: Settings) -> Policy:
    """Return what becomes of old messages where no room says otherwise."""
    rules = settings.history
    return Policy(rules.archive_after_days or None, rules.delete_after_days or None)


@asynccontextmanager
async def open_hibernating(
    settings: Settings, stores: Stores, *, woken: Callable[[RoomId], None] = lambda _room_id: None
) -> AsyncIterator[Hibernating]:
    """Have rooms that are hibernated brought back when they are asked for, once what a crash left is removed.

    Only for who serves alone; `woken` hears of each room that is back, or was shut and stayed.
    """
    store = _store(settings, settings.archive)
    migrations = engine.load(shard_migrations_folder(settings))
    hibernating = Hibernating(
        stores.directory, stores.pool, store, shards_folder(settings), migrations, now_ms, woken=woken
    )
    try:
        await hibernating.mend()
        yield hibernating
    finally:
        await hibernating.close()
        await store.close()


def _store(settings: Settings, bucket: Bucket) -> Store:
    if bucket.endpoint is None:
        return disk.open_store(settings.server.data_dir / bucket.bucket_name)
    assert bucket.access_key_id is not None, "settings with an endpoint have its keys"
    assert bucket.secret_access_key is not None, "settings with an endpoint have its keys"
    return s3.open_store(
        endpoint=bucket.endpoint,
        bucket_name=bucket.bucket_name,
        region=bucket.region,
        access_key_id=bucket.access_key_id.get_secret_value(),
        secret_access_key=bucket.secret_access_key.get_secret_value(),
    )


@asynccontextmanager
async def open_directory(settings: Settings) -> AsyncIterator[Directory]:
    """Open the directory alone, made if missing and migrated if behind, and close it when the block ends."""
    prepare(settings)
    limits = settings.limits
    directory = await Directory.open(
        directory_path(settings),
        now_ms=now_ms(),
        session_ms=settings.server.session_days * DAY_MS,
        hash_threads=limits.password_hash_threads,
        hash_queue_max=limits.password_hash_queue_max,
        session_cache_max=limits.session_cache_max,
        migrations_folder=directory_migrations_folder(settings),
        size_bytes_max=settings.directory.size_limit_bytes,
    )
    try:
        yield directory
    finally:
        await directory.close()

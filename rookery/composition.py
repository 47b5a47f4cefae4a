"""Composition root: folders and stores made from the settings, for the server and for commands."""

import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import sqlite
from config.settings import Settings
from database.database import Schema
from database.errors import StorageFullError
from directory import nodes
from directory.alerts import Sink
from directory.database import SCHEMA
from directory.directory import Directory
from ids import Generator, RoomId
from migrations import engine
from monitor import levels
from monitor.archiver import Archiver
from monitor.disk_space import DiskSpace
from monitor.hibernator import Hibernator
from monitor.sizes import SizeWalk
from objects.store import Store
from rookery import data_folder, data_owner, object_storage, process, server_lock
from rookery.errors import CommandError
from rookery.installation import Ownership
from shard.archive.retention import Policy
from shard.archive.segment_cache import SegmentCache
from shard.engine.files import WRITER_CACHE_KIB, Bounds
from shard.engine.pool import PoolLimits, Publish, ShardPool
from shard.engine.queues import WRITE_DEADLINE_SECONDS

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
HEADROOM_PERCENT = 5
"""Growth that a full shard is allowed: a deletion adds an event, and a room takes messages between two rounds."""
MONITOR_LOCK = "monitor.lock"
MAINTENANCE_LOCK = "monitor-tending.lock"
ARCHIVE_CACHE = "archive-cache"
COMMAND_ARCHIVE_CACHE = "archive-cache.command"
"""Commands' own copies of segments, beside those of a running server."""
ARCHIVE_WORK = "archive-work"


def now_ms() -> int:
    """Read the clock, in milliseconds UTC; nothing else reads it."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Stores:
    """The two stores, open."""

    directory: Directory
    pool: ShardPool


@dataclass(frozen=True, slots=True)
class Archive:
    """Object storage of archived messages, and the cache of it on the local disk."""

    store: Store
    cache: SegmentCache


def shards_folder(settings: Settings) -> Path:
    """Return the folder of the shards."""
    return settings.server.data_dir / settings.shards.database_name


def directory_path(settings: Settings) -> Path:
    """Return the file of the directory."""
    return settings.server.data_dir / f"{settings.directory.database_name}.db"


def directory_schema(settings: Settings) -> Schema:
    """Return the schema of the directory's file: its application id and its migrations."""
    return replace(SCHEMA, migrations_folder=settings.directory.migrations_dir or SCHEMA.migrations_folder)


def shard_migrations_folder(settings: Settings) -> Path:
    """Return the folder of the shards' migrations."""
    return settings.shards.migrations_dir or engine.SHARD_FOLDER


def size_walk(settings: Settings, directory: Directory) -> SizeWalk:
    """Return the size walk of the monitor, over an open directory."""
    migrations = engine.load(shard_migrations_folder(settings))
    return SizeWalk(directory, shards_folder(settings), migrations, settings.shards, sinks(settings), now_ms)


def sinks(settings: Settings) -> tuple[Sink, ...]:
    """Return the kinds of channels that alerts are delivered to."""
    chosen = settings.alerts
    wanted: tuple[tuple[Sink, bool], ...] = (
        ("log", True),
        ("webhook", chosen.webhook_url is not None),
        ("mail", bool(chosen.mail_to)),
    )
    return tuple(sink for sink, is_wanted in wanted if is_wanted)


def hard_limit(size_limit_bytes: int) -> int:
    """Return the size at which SQLite itself stops a shard that is full at `size_limit_bytes`."""
    return size_limit_bytes * (100 + HEADROOM_PERCENT) // 100


def _bounds(size_limit_bytes: int, cache_kib: int) -> Bounds:
    return Bounds(hard_limit(size_limit_bytes), cache_kib, levels.opens_below(size_limit_bytes))


def prepare(settings: Settings) -> None:
    """Make the data folder, readable by its owner alone; raises OSError with the path when it cannot, and CommandError
    when there was a directory in it, or it is another user's."""
    sqlite.refuse_old_sqlite()
    sqlite.slow_statements.threshold_seconds = settings.server.slow_statement_ms / 1000
    refuse_other_user(settings)
    refuse_lost_directory(settings)
    data = settings.server.data_dir
    if settings.server.data_must_exist and not directory_path(settings).exists():
        raise CommandError(
            f"There is no directory in {data}, and [server] data_must_exist says that there is one. Mount the volume, "
            "or name the right folder. For a first start set data_must_exist to false."
        )
    data.mkdir(mode=0o700, parents=True, exist_ok=True)


def refuse_other_user(settings: Settings) -> None:
    """Raise CommandError when the data folder belongs to another user than this process."""
    data_owner.refuse_other_user(directory_path(settings))


def disk_space(settings: Settings) -> DiskSpace:
    """Return the look at the free space of the data folder."""
    return DiskSpace(settings.server.data_dir, settings.alerts.disk_free_bytes_min)


def refuse_lost_directory(settings: Settings) -> None:
    """Raise CommandError when the directory is missing and what is beside it shows that there was one."""
    data_folder.refuse_lost_directory(directory_path(settings), shards_folder(settings), object_folders(settings))


def object_folders(settings: Settings) -> tuple[Path, ...]:
    """Return the folders of object storage that is on disk."""
    buckets = (settings.archive, settings.files)
    return tuple(settings.server.data_dir / bucket.bucket_name for bucket in buckets if bucket.endpoint is None)


@contextmanager
def serving_alone(settings: Settings, *, checks_data: bool = True) -> Iterator[None]:
    """Lock the data folder for one server while the block lasts; raises CommandError when another has it, and with
    `checks_data` the errors of `prepare`.

    Two servers would each finish or undo the rooms that the other is just creating.
    """
    if checks_data:
        prepare(settings)
    with server_lock.held(settings.server.data_dir) as is_alone:
        if not is_alone:
            raise CommandError(f"Another server runs on {settings.server.data_dir}; stop it, or name another folder.")
        # On a full disk nothing can be opened before the reserve is given up.
        disk_space(settings).prepare()
        yield


def has_server(settings: Settings) -> bool:
    """Return whether a server runs on the data folder now."""
    return server_lock.is_held(settings.server.data_dir)


@asynccontextmanager
async def open_stores(
    settings: Settings,
    publish: Publish = lambda _room_id, _events: None,
    *,
    kind: nodes.Kind = "command",
    cache_kib: int = WRITER_CACHE_KIB,
    checks_shards: bool = True,
) -> AsyncIterator[Stores]:
    """Open both stores, and close them when the block ends, with everything acknowledged on disk.

    With `checks_shards` raises CommandError when the shards are those of no room of the directory, or gone.

    `kind` is that of this process, by which its ids differ from others'; `cache_kib` is the page cache of each shard
    that is written to.
    """
    limits = settings.limits
    async with open_directory(settings) as directory:
        if checks_shards:
            await refuse_lost_shards(settings, directory)
        shards_folder(settings).mkdir(mode=0o700, exist_ok=True)
        pool = ShardPool(
            shards_folder(settings),
            engine.load(shard_migrations_folder(settings)),
            limits=PoolLimits(
                open_max=_shards_open_max(settings),
                queue_max=limits.shard_queue_max,
                batch_max=limits.shard_batch_max,
                writers=limits.shard_writers,
                readers=limits.shard_readers,
                # A command has no client that waits: its work takes as long as it takes.
                read_deadline_seconds=limits.read_deadline_ms / 1000 if kind == "server" else inf,
                write_deadline_seconds=WRITE_DEADLINE_SECONDS if kind == "server" else inf,
                bounds=_bounds(settings.shards.size_limit_bytes, cache_kib),
            ),
            clock=now_ms,
            publish=publish,
            generator=Generator(await _take_node(directory, kind)),
        )
        try:
            yield Stores(directory, pool)
        finally:
            await pool.close()


async def _take_node(directory: Directory, kind: nodes.Kind) -> int:
    """Take a node from the directory; on a full disk one by chance, because rooms are read there too."""
    try:
        async with directory.database.write() as writer:
            return await nodes.take(writer, kind)
    except StorageFullError:
        log.warning("the directory has no space left: ids of this process get a node by chance")
        return random.SystemRandom().choice(nodes.NODES[kind])


async def refuse_lost_shards(settings: Settings, directory: Directory) -> None:
    """Raise CommandError when not one room of the directory has its file."""
    async with directory.database.read() as reader:
        await data_folder.refuse_lost_shards(reader, shards_folder(settings))


def _shards_open_max(settings: Settings) -> int:
    """Return how many shards may be open: the number of the settings, if the system allows so many files."""
    wanted, fitting = settings.limits.shards_open_max, process.shards_that_fit(process.raise_file_limit())
    if fitting < wanted:
        facts = {"wanted": wanted, "open_max": fitting}
        log.warning("fewer shards may be open than the settings say: raise the limit of open files", extra=facts)
    return min(wanted, fitting)


@asynccontextmanager
async def open_files(settings: Settings, ownership: Ownership) -> AsyncIterator[Store]:
    """Open the object storage of the files of messages, a folder or a bucket, and close it when the block ends."""
    store = object_storage.owned(settings, settings.files, ownership)
    try:
        yield store
    finally:
        await store.close()


def missing_archive(settings: Settings) -> Path | None:
    """Return the folder of archived messages if it is not there; None for one that is, and for a bucket."""
    folder = settings.server.data_dir / settings.archive.bucket_name
    return None if settings.archive.endpoint is not None or folder.is_dir() else folder


@asynccontextmanager
async def open_archive_store(settings: Settings, ownership: Ownership) -> AsyncIterator[Store]:
    """Open the object storage of archived messages alone, and close it when the block ends."""
    store = object_storage.owned(settings, settings.archive, ownership)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_archive(
    settings: Settings, ownership: Ownership, *, cache_name: str = ARCHIVE_CACHE
) -> AsyncIterator[Archive]:
    """Open the object storage of archived messages and a cache of it, and close both when the block ends.

    Processes that run side by side each need a cache of their own.
    """
    async with open_archive_store(settings, ownership) as store:
        folder = settings.server.data_dir / cache_name
        cache = SegmentCache(store, folder, bytes_max=settings.history.archive_cache_bytes_max)
        try:
            yield Archive(store, cache)
        finally:
            await cache.close()


def open_archiver(settings: Settings, stores: Stores, archive: Archive) -> Archiver:
    """Return the archiver; the folders that it works in are made when they are needed."""
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
    """Return the retention policy of rooms without their own."""
    rules = settings.history
    return Policy(rules.archive_after_days or None, rules.delete_after_days or None)


@asynccontextmanager
async def open_hibernator(
    settings: Settings,
    stores: Stores,
    ownership: Ownership,
    *,
    woken: Callable[[RoomId], None] = lambda _room_id: None,
) -> AsyncIterator[Hibernator]:
    """Open the hibernator, by which requests wake hibernated rooms, once the files that a crash left are set aside.

    Only for a process that holds the server's lock; `woken` is called with each room that was woken, or that was
    closed and did not hibernate.
    """
    store = object_storage.owned(settings, settings.archive, ownership)
    migrations = engine.load(shard_migrations_folder(settings))
    hibernator = Hibernator(
        stores.directory, stores.pool, store, shards_folder(settings), migrations, now_ms, woken=woken
    )
    try:
        await hibernator.recover()
        yield hibernator
    finally:
        await hibernator.close()
        await store.close()


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
        schema=directory_schema(settings),
        size_bytes_max=settings.directory.size_limit_bytes,
    )
    try:
        yield directory
    finally:
        await directory.close()

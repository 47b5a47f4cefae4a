"""Periodic tasks of the server: one table of (name, seconds, run), and the loop that repeats each row by itself.

Without an interval, and so not in the table: the monitor's rounds, started by the settings' crons (monitor/rounds.py),
and jobs, started by operators over HTTP (monitor/jobs.py).
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from directory.directory import Directory
from monitor.archive_schedule import ArchiveSchedule
from monitor.file_cleanup import FileCleanup
from monitor.full_rooms import FullRooms
from monitor.group_owners import GroupOwners
from monitor.hibernation_schedule import HibernationSchedule
from monitor.word_indexer import WordIndexer
from rookery.composition import now_ms
from rookery.installation import CLAIM_SECONDS, Ownership
from rookery.server.peers import Peers
from rookery.server.shard_limits import ShardLimits
from router.gateway.gateway import Gateway

log = logging.getLogger(__name__)

WATCH_EVERY_SECONDS: Final = 0.5
"""Delay until a change by another process (the command line) is noticed: a revoked session must end within a second."""
FULL_ROOMS_EVERY_SECONDS: Final = 1.0
"""Interval of the look at rooms in which a write found no space, and at full ones in which something was deleted."""
DISK_EVERY_SECONDS: Final = 1.0
"""Interval of the look at the disk: the reserve must be given up before reading needs it."""
DAMAGES_EVERY_SECONDS: Final = 1.0
"""Interval of the look at rooms in which a request met damage."""
ARCHIVE_EVERY_SECONDS: Final = 300.0
"""Interval of the visits to some rooms to archive old history: 20 a round are thousands a day."""
CLEANUP_EVERY_SECONDS: Final = 5.0
"""Interval of the removal of deleted files' bytes."""
INDEX_EVERY_SECONDS: Final = 1.0
"""Interval of the look for open rooms whose older messages are to be indexed: it costs nothing when there are none."""
HIBERNATE_EVERY_SECONDS: Final = 60.0
"""Interval of the search for idle rooms: ten a minute are thousands a day."""
GROUP_OWNERS_EVERY_SECONDS: Final = 60.0
"""Interval of the look for groups whose owner cannot act: indexes find them, and there are few."""
LATE_EVERY_SECONDS: Final = 1.0
"""Interval of ending connections that are late."""
FLUSH_EVERY_SECONDS: Final = 60.0
"""Time that the use of a session may be in memory only: losing it costs a minute of a week's sliding expiry."""

Task = tuple[str, float, Callable[[], Awaitable[object]]]
"""A name for the log, the seconds between two runs, and the work of one run."""


def tasks(
    directory: Directory,
    shard_limits: ShardLimits,
    full_rooms: FullRooms,
    look_at_disk: Callable[[], Awaitable[object]],
    note_damages: Callable[[], Awaitable[object]],
    cleanup: FileCleanup,
    archive: ArchiveSchedule,
    hibernation: HibernationSchedule,
    gateway: Gateway,
    word_indexer: WordIndexer,
    ownership: Ownership,
    peers: Peers,
    group_owners: GroupOwners,
) -> tuple[Task, ...]:
    """Return the table of the server's periodic tasks: a new one is one row.

    A drill leaves out the rows that only change object storage.
    """

    async def notice_changes() -> None:
        await directory.database.changed_elsewhere()
        await shard_limits.refresh()

    keeping: tuple[Task, ...] = (
        ("file cleanup", CLEANUP_EVERY_SECONDS, lambda: cleanup.run(now_ms=now_ms())),
        ("claim of the prefix in object storage", CLAIM_SECONDS, ownership.claim),
        ("archive", ARCHIVE_EVERY_SECONDS, archive.run),
        ("hibernation", HIBERNATE_EVERY_SECONDS, hibernation.run),
    )
    return (
        ("changes by other processes", WATCH_EVERY_SECONDS, notice_changes),
        ("orders of commands", WATCH_EVERY_SECONDS, hibernation.execute_orders),
        ("free space", DISK_EVERY_SECONDS, look_at_disk),
        ("damaged rooms", DAMAGES_EVERY_SECONDS, note_damages),
        ("full rooms", FULL_ROOMS_EVERY_SECONDS, full_rooms.run),
        ("session use", FLUSH_EVERY_SECONDS, lambda: directory.sessions.flush(now_ms=now_ms())),
        ("word indexes", INDEX_EVERY_SECONDS, word_indexer.run),
        ("groups without an owner", GROUP_OWNERS_EVERY_SECONDS, group_owners.run),
        ("late connections", LATE_EVERY_SECONDS, lambda: peers.end_late(asyncio.get_running_loop().time)),
        *(() if ownership.is_drill else keeping),
        *gateway.periodic_tasks(),
    )


async def repeat(task: Task) -> None:
    """Run a task at its interval until cancelled, the first time after one interval; a failed run is logged."""
    name, seconds, run = task
    while True:
        await asyncio.sleep(seconds)
        try:
            await run()
        except Exception:  # the server continues, and the next run tries again
            log.exception("a chore failed", extra={"task": name})


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run each coroutine as a task of its own until the block ends; then cancel and await one after the other."""
    started = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in started:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

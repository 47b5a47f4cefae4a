"""What the server does now and then by itself, beside what it is asked."""

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from directory.directory import Directory
from monitor.archive_rounds import ArchiveRounds
from monitor.file_sweeps import FileSweep
from monitor.hibernation_rounds import HibernationRounds
from rookery.composition import now_ms
from rookery.shard_terms import ShardTerms

log = logging.getLogger(__name__)

WATCH_EVERY_SECONDS: Final = 0.5
"""How soon a change by another process (the command line) is seen: a revoked session must end within a second."""
ARCHIVE_EVERY_SECONDS: Final = 300.0
"""How often some rooms are visited for what is to move into the archive: 20 a round are thousands a day."""
SWEEP_EVERY_SECONDS: Final = 5.0
"""How soon the bytes of what was deleted are removed."""
HIBERNATE_EVERY_SECONDS: Final = 60.0
"""How often rooms that nobody uses are looked for: ten a minute are thousands a day."""
FLUSH_EVERY_SECONDS: Final = 60.0
"""How long the use of a session may be known in memory only: losing it costs a minute of a week's sliding expiry."""

Work = Coroutine[Any, Any, None]


async def every(seconds: float, chore: Callable[[], Awaitable[object]]) -> None:
    """Do something again and again, with so much time between; whatever fails is logged and tried again."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await chore()
        except Exception:  # the server goes on
            log.exception("a chore failed")


def watch(directory: Directory, terms: ShardTerms) -> Work:
    """Watch for what other processes change, and write down now and then which sessions are in use."""
    flushed_at = time.monotonic()

    async def look() -> None:
        nonlocal flushed_at
        await directory.database.changed_elsewhere()
        await terms.refresh()
        if time.monotonic() - flushed_at > FLUSH_EVERY_SECONDS:
            flushed_at = time.monotonic()
            await directory.sessions.flush(now_ms=now_ms())

    return every(WATCH_EVERY_SECONDS, look)


def archive(rounds: ArchiveRounds) -> Work:
    """Move old history into the archive, a few rooms at a time."""

    async def go_round() -> None:
        for outcome in await rounds.run():
            log.info("a room was archived", extra=dataclasses.asdict(outcome))

    return every(ARCHIVE_EVERY_SECONDS, go_round)


def sweep(files: FileSweep) -> Work:
    """Remove files that nobody needs; apart from the other chores, since object storage may be slow."""
    return every(SWEEP_EVERY_SECONDS, lambda: files.run(now_ms=now_ms()))


def hibernate(rounds: HibernationRounds) -> Work:
    """Put rooms away that nobody uses, a few at a time."""
    return every(HIBERNATE_EVERY_SECONDS, rounds.run)


def obey(rounds: HibernationRounds) -> Work:
    """Do what commands of other processes ask of this one."""
    return every(WATCH_EVERY_SECONDS, rounds.obey)

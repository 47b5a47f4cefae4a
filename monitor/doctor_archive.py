"""The check of `rookery doctor` that object storage has each segment which the rooms' archives name; changes nothing.

A segment is the only place of its messages, so a missing one is a loss until it is restored.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from directory.room_pages import ListedRoom
from migrations.engine import Migration
from monitor.doctor import REPORT, Finding, label
from monitor.isolation import describe
from objects.errors import CorruptObjectError, ObjectNotFoundError, StoreUnavailableError
from objects.store import Store
from shard import inspections
from shard.errors import UnavailableError
from shard.inspections import Stored

log = logging.getLogger(__name__)

HEADS_AT_ONCE: Final = 16
"""Objects asked for at a time: enough to hide the latency of a bucket, few enough for any service."""
REMEDY: Final = "Bring the archive's folder or bucket back from a backup: nothing else has these messages."


def named(folder: Path, room: ListedRoom, migrations: Sequence[Migration]) -> list[Stored]:
    """Return the segments that a room's archive names; none for an unreadable room, which other checks report."""
    try:
        return inspections.stored(folder, room.id, migrations)
    except UnavailableError:
        return []


async def check(store: Store, folder: Path, room: ListedRoom, migrations: Sequence[Migration]) -> list[Finding]:
    """Ask object storage for each segment of a room, without reading it; one finding covers all problems.

    Raises StoreUnavailableError.
    """
    segments = named(folder, room, migrations)
    problems = await _problems(store, segments)
    if problems:
        # A segment that was rewritten since then is stored under another key.
        still_named = named(folder, room, migrations)
        problems = {segment: problem for segment, problem in problems.items() if segment in still_named}
    if not problems:
        return []
    key, first = next((segment.key, problem) for segment, problem in problems.items())
    problem = f"{len(problems)} of {len(segments)} segments of its archive are amiss; {key} {first}"
    return [Finding("archive", problem, REMEDY, label(room), room.id)]


async def check_apart(store: Store, folder: Path, room: ListedRoom, migrations: Sequence[Migration]) -> list[Finding]:
    """Check a room as `check` does; an unexpected error is its finding. Raises StoreUnavailableError."""
    try:
        return await check(store, folder, room, migrations)
    except StoreUnavailableError:
        raise
    except Exception as error:  # every other room is checked
        log.exception("the archive of a room could not be checked", extra={"room_id": room.id})
        problem = f"its archive cannot be checked ({describe(error)})"
        return [Finding("archive", problem, REPORT, label(room), room.id)]


async def _problems(store: Store, segments: Sequence[Stored]) -> dict[Stored, str]:
    """Return the problem of each object that is missing or changed."""
    found: dict[Stored, str] = {}
    for start in range(0, len(segments), HEADS_AT_ONCE):
        some = segments[start : start + HEADS_AT_ONCE]
        problems = await asyncio.gather(*(_problem(store, segment) for segment in some))
        found |= {segment: problem for segment, problem in zip(some, problems, strict=True) if problem is not None}
    return found


async def _problem(store: Store, segment: Stored) -> str | None:
    """Return the problem of an object, if it has one."""
    try:
        head = await store.head(segment.key)
    except ObjectNotFoundError:
        return "is missing"
    except CorruptObjectError:
        return "is damaged"
    is_same = (head.content.sha256, head.content.size_bytes) == (segment.sha256, segment.size_bytes)
    return None if is_same else "is another object than was put there"

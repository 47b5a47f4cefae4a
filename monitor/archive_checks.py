"""Holds what the rooms' archives name against what object storage has, for an operator; changes nothing.

A segment is the only place of its messages, so a missing one is a loss until it is restored.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from directory.room_pages import ListedRoom
from migrations.engine import Migration
from monitor.checkups import Finding, label
from objects.errors import CorruptObjectError, ObjectNotFoundError
from objects.store import Store
from shard import inspections
from shard.errors import UnavailableError
from shard.inspections import Stored

HEADS_AT_ONCE: Final = 16
"""Objects asked for at a time: enough to hide the way to a bucket, few enough for any service."""
REMEDY: Final = "Bring the archive's folder or bucket back from a backup: nothing else has these messages."


def named(folder: Path, room: ListedRoom, migrations: Sequence[Migration]) -> list[Stored]:
    """Return the objects that a room's archive names; none for a room that cannot be read, which other checks tell."""
    try:
        return inspections.stored(folder, room.id, migrations)
    except UnavailableError:
        return []


async def check(store: Store, folder: Path, room: ListedRoom, migrations: Sequence[Migration]) -> list[Finding]:
    """Ask object storage for each segment of a room, without reading it; one finding tells of all that are amiss.

    Raises StoreUnavailableError.
    """
    segments = named(folder, room, migrations)
    amiss = await _amiss(store, segments)
    if amiss:
        # One that was written anew since then stands under another key.
        still = named(folder, room, migrations)
        amiss = {one: why for one, why in amiss.items() if one in still}
    if not amiss:
        return []
    key, why = next((one.key, why) for one, why in amiss.items())
    problem = f"{len(amiss)} of {len(segments)} segments of its archive are amiss; {key} {why}"
    return [Finding("archive", problem, REMEDY, label(room), room.id)]


async def _amiss(store: Store, segments: Sequence[Stored]) -> dict[Stored, str]:
    found: dict[Stored, str] = {}
    for start in range(0, len(segments), HEADS_AT_ONCE):
        some = segments[start : start + HEADS_AT_ONCE]
        whys = await asyncio.gather(*(_why(store, one) for one in some))
        found |= {one: why for one, why in zip(some, whys, strict=True) if why is not None}
    return found


async def _why(store: Store, segment: Stored) -> str | None:
    """Return what is wrong with an object, if anything is."""
    try:
        head = await store.head(segment.key)
    except ObjectNotFoundError:
        return "is missing"
    except CorruptObjectError:
        return "is damaged"
    is_same = (head.content.sha256, head.content.size_bytes) == (segment.sha256, segment.size_bytes)
    return None if is_same else "is another object than was put there"

"""The checks of `rookery doctor` that object storage has what the rooms name; they change nothing.

A segment is the only place of its messages, and its object that of a hibernated room and of a file: a missing one is a
loss until it is restored.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from directory.room_pages import ListedRoom
from migrations.engine import Migration
from monitor import object_check
from monitor.doctor import REPORT, Finding, label
from monitor.isolation import describe
from objects.errors import StoreUnavailableError
from objects.store import Store
from shard import inspections
from shard.errors import UnavailableError
from shard.inspections import Stored

log = logging.getLogger(__name__)

ASLEEP: Final = "Bring the object back from a backup: nothing else has this room. All other rooms go on meanwhile."
FILES: Final = "Bring the folder or bucket of files back from a backup. Messages stay; the files cannot be downloaded."
REMEDY: Final = "Bring the archive's folder or bucket back from a backup: nothing else has these messages."


def named(folder: Path, room: ListedRoom, migrations: Sequence[Migration]) -> list[Stored]:
    """Return the segments that a room's archive names; none for an unreadable room, which other checks report."""
    try:
        return inspections.stored(folder, room.id, migrations)
    except UnavailableError:
        return []


async def check(
    store: Store, folder: Path, room: ListedRoom, migrations: Sequence[Migration], *, is_deep: bool
) -> list[Finding]:
    """Ask object storage for each segment of a room, and read it if the check is deep; one finding covers all problems.

    Raises StoreUnavailableError.
    """
    segments = named(folder, room, migrations)
    problems = dict(await object_check.problems(store, segments, is_deep=is_deep))
    if problems:
        # A segment that was rewritten since then is stored under another key.
        still_named = named(folder, room, migrations)
        problems = {segment: problem for segment, problem in problems.items() if segment in still_named}
    if not problems:
        return []
    key, first = next((segment.key, problem) for segment, problem in problems.items())
    problem = f"{len(problems)} of {len(segments)} segments of its archive are amiss; {key} {first}"
    return [Finding("archive", problem, REMEDY, label(room), room.id)]


async def check_apart(
    store: Store, folder: Path, room: ListedRoom, migrations: Sequence[Migration], *, is_deep: bool
) -> list[Finding]:
    """Check a room as `check` does; an unexpected error is its finding. Raises StoreUnavailableError."""
    try:
        return await check(store, folder, room, migrations, is_deep=is_deep)
    except StoreUnavailableError:
        raise
    except Exception as error:  # every other room is checked
        log.exception("the archive of a room could not be checked", extra={"room_id": room.id})
        problem = f"its archive cannot be checked ({describe(error)})"
        return [Finding("archive", problem, REPORT, label(room), room.id)]


async def check_asleep(
    store: Store, asleep: Mapping[ListedRoom, Stored], *, is_deep: bool
) -> AsyncIterator[tuple[ListedRoom, Finding | None]]:
    """Yield each hibernated room with the finding about its object, None for a sound one; raises StoreUnavailableError.

    Without `is_deep` only those that a listing does not have are asked for.
    """
    named = list(asleep.values())
    asked = named if is_deep else await object_check.unlisted(store, "shards/", named)
    unasked = set(named) - set(asked)
    for room, stored in asleep.items():
        problem = None
        if stored not in unasked:
            problem = (await object_check.problems(store, [stored], is_deep=is_deep)).get(stored)
        told = None if problem is None else f"it is hibernated, and its object {stored.key} {problem}"
        yield room, None if told is None else Finding("hibernation", told, ASLEEP, label(room), room.id)


async def check_files(
    store: Store, folder: Path, room: ListedRoom, migrations: Sequence[Migration], *, is_deep: bool
) -> list[Finding]:
    """Look for the files of a room's messages; one finding covers all problems. Raises StoreUnavailableError."""
    files = files_of(folder, room, migrations)
    if not files:
        return []
    asked = files if is_deep else await object_check.unlisted(store, f"rooms/{room.id}/", files)
    problems = dict(await object_check.problems(store, asked, is_deep=is_deep))
    if problems:
        # A file goes with its message, which may have been deleted meanwhile.
        still_named = set(files_of(folder, room, migrations))
        problems = {file: problem for file, problem in problems.items() if file in still_named}
    if not problems:
        return []
    key, first = next((file.key, problem) for file, problem in problems.items())
    problem = f"{len(problems)} of {len(files)} files of its messages are amiss; {key} {first}"
    return [Finding("files", problem, FILES, label(room), room.id)]


def files_of(folder: Path, room: ListedRoom, migrations: Sequence[Migration]) -> list[Stored]:
    """Return the files that a room's messages name; none for an unreadable room, which other checks report."""
    try:
        return inspections.stored_files(folder, room.id, migrations)
    except UnavailableError:
        return []

"""The checks of `rookery doctor`, beside a running server; they change nothing.

Every finding names the problem, the place, and a remedy.
"""

import asyncio
import logging
import random
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from database import inspections
from directory import audit, failures, room_pages, sizes
from directory.database import Reader
from directory.room_pages import ListedRoom
from ids import RoomId
from migrations.engine import Migration
from monitor import doctor_remedies
from monitor.isolation import describe
from shard import inspections as shards
from shard.engine import dump
from shard.errors import BrokenShardError, ShardBusyError, ShardFullError, UnavailableError

HALF_MADE_MS: Final = 60_000
"""Time after which an unfinished room was left by a crash: creating one takes milliseconds."""
SHARDS_AT_ONCE: Final = 2
"""Shards that the doctor looks into at the same time: one is read from the disk while another is computed. More gave no
clear gain on two cores, of which a server beside it has less then."""
CLOCK_TOLERANCE_MS: Final = 60_000
"""Most milliseconds by which a stored time may be ahead of the clock; beyond it the doctor reports it."""
CLOCK_MIN_MS: Final = 1_735_689_600_000
"""2025-01-01: no time before is right, since this program did not exist."""
CLOCK_MAX_MS: Final = 3_597_523_200_000
"""2084-01-01: the last year that ids have room for."""

SUFFIXES: Final = frozenset(
    {
        "db",
        "db-wal",
        "db-shm",
        "db-journal",
        "new",
        "new-wal",
        "new-shm",
        "new-journal",
        "copy",
        "copy-journal",
        "packed",
        "waking",
        "left",
    }
)
"""Suffixes of a room's files after its id, unfinished files included."""

LITESTREAM: Final = "-litestream"
"""The end of the names of folders that Litestream keeps beside each file (docs/litestream.md)."""

log = logging.getLogger(__name__)

REPORT: Final = "The log has the traceback: report it; all other rooms go on meanwhile."
REPAIR: Final = "The room goes on, and its damaged rows are told as such. Repair it: rookery room repair"
RESTORE: Final = "Restore it from a backup, or see rookery room repair; all other rooms go on meanwhile."


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem with its remedy; `room` is a room's name and id."""

    check: str
    problem: str
    remedy: str
    room: str | None = None
    room_id: RoomId | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """The rooms of the registry, and the files in the folder of shards; `strays` are files that are no shards."""

    rooms: dict[RoomId, ListedRoom]
    files: frozenset[RoomId]
    strays: tuple[str, ...]

    def expected(self) -> list[ListedRoom]:
        """Return the rooms that must have a shard: not half-made, hibernated or deleted."""
        return [room for room in self.rooms.values() if room.state not in ("creating", "hibernated", "deleted")]

    def hibernated(self) -> list[ListedRoom]:
        """Return the hibernated rooms, which must not have a shard."""
        return [room for room in self.rooms.values() if room.state == "hibernated"]


async def take_inventory(reader: Reader, folder: Path) -> Inventory:
    """List the folder first, then the registry: a room is registered before its file is made."""
    files = frozenset(shards.room_ids(folder))
    strays = tuple(sorted(_strays(folder)))
    return Inventory({room.id: room async for room in _rooms(reader)}, files, strays)


def _strays(folder: Path) -> Iterator[str]:
    for path in folder.glob("*"):
        if path.name.startswith(".") and path.name.endswith(LITESTREAM):
            continue
        stem, _, rest = path.name.partition(".")
        is_ours = rest in SUFFIXES
        if not (is_ours and stem.isascii() and stem.isdecimal()):
            yield path.name


async def _rooms(reader: Reader) -> AsyncIterator[ListedRoom]:
    last = 0
    while page := await room_pages.all_rooms(reader, after=last):
        for room in page:
            yield room
        last = page[-1].id


async def check_pages(reader: Reader) -> list[Finding]:
    """Check the directory's pages and references."""
    remedy = "Stop the server and restore the directory from a backup."
    return [Finding("directory", problem, remedy) for problem in await inspections.problems(reader)]


async def check_size(reader: Reader, size_limit_bytes: int) -> Iterator[Finding]:
    """Check that the directory may still grow: at its limit sign-ins and registrations are refused."""
    used_bytes = await sizes.of_directory(reader)
    if used_bytes < size_limit_bytes:
        return iter(())
    problem = f"it has reached its limit: it uses {used_bytes:,} of {size_limit_bytes:,} bytes, and writes answer 507"
    remedy = "Raise size_limit_bytes of the binding DIRECTORY in the settings, and restart the server."
    return iter((Finding("directory", problem, remedy),))


async def check_directory(reader: Reader) -> list[Finding]:
    """Check the directory's pages, references and chain of audit rows."""
    findings = await check_pages(reader)
    broken = await audit.verify(reader)
    if broken is not None:
        problem = f"the audit log is not what was written: its chain breaks at entry {broken}"
        remedy = "Compare the entry with a backup: somebody changed the file by hand."
        findings.append(Finding("audit", problem, remedy))
    return findings


async def check_failures(reader: Reader) -> list[Finding]:
    """Report the rooms and objects whose work failed unexpectedly, and that are tried again later."""
    return [
        Finding(
            "work",
            f"{one.work} of {one.item} failed {one.tries} times: {one.reason}",
            "It is tried again by itself. The log has the traceback: report it.",
            room_id=one.room_id,
        )
        for one in await failures.list_all(reader)
    ]


def check_inventory(inventory: Inventory, folder: Path, *, now_ms: int) -> Iterator[Finding]:
    """Compare the registry with the folder: missing and orphan files, rooms that a crash left half-made."""
    for room in inventory.expected():
        if room.id not in inventory.files and not (folder / f"{room.id}.db").exists():
            yield _of_room("shards", room, "its file is missing", RESTORE)
        elif room.quarantined_at is not None:
            remedy = f"{RESTORE} Then let everybody in: rookery monitor release {room.id}"
            yield _of_room("shards", room, "it is in quarantine, since it was found damaged", remedy)
    for room in inventory.hibernated():
        # A file that was listed may be gone because its room was just hibernated.
        if room.id in inventory.files and (folder / f"{room.id}.db").exists():
            remedy = "Start the server: it sets the file aside, which is not the room any more."
            yield _of_room("shards", room, "it is hibernated, and its file is still there, left by a crash", remedy)
    for room in inventory.rooms.values():
        if room.state == "creating" and room.created_at < now_ms - HALF_MADE_MS:
            yield _of_room("rooms", room, "it is half-made, left by a crash", "Start the server: it mends this.")
    for room_id in sorted(inventory.files - inventory.rooms.keys()):
        remedy = "Move the file away, or restore the directory that knows it."
        yield Finding("shards", f"{room_id}.db belongs to no room of the directory", remedy, room_id=room_id)
    for name in inventory.strays:
        yield Finding("shards", f"{name!r} is no shard", "Move it out of the folder of shards.")


def sample(inventory: Inventory, count: int | None) -> list[ListedRoom]:
    """Return `count` random rooms to check; all rooms for None."""
    here = [room for room in inventory.expected() if room.id in inventory.files]
    if count is None or count >= len(here):
        return here
    return random.sample(here, count)


@dataclass(frozen=True, slots=True)
class CheckedShard:
    """Result of checking a shard: findings, the time of its last write, and a check that was not possible now.

    `has_archive` and `has_files` are None where the shard could not tell whether its archive and messages name objects.
    """

    findings: tuple[Finding, ...]
    written_at: int = 0
    is_behind: bool = False
    left_out: str | None = None
    has_archive: bool | None = None
    has_files: bool | None = None


async def check_shards(
    folder: Path, rooms: Sequence[ListedRoom], migrations: Sequence[Migration]
) -> AsyncGenerator[tuple[ListedRoom, CheckedShard], None]:
    """Check shards, some at the same time, and yield the results in the order of the rooms.

    Checks that are under way end soon after the caller is cancelled or closes the iterator.
    """
    stop = threading.Event()
    started: deque[tuple[ListedRoom, Future[CheckedShard]]] = deque()
    with ThreadPoolExecutor(SHARDS_AT_ONCE, thread_name_prefix="doctor") as threads:
        try:
            for room in rooms:
                started.append((room, threads.submit(check_shard, folder, room, migrations, stop.is_set)))
                if len(started) > 2 * SHARDS_AT_ONCE:
                    first, future = started.popleft()
                    yield first, await asyncio.wrap_future(future)
            for last, future in started:
                yield last, await asyncio.wrap_future(future)
        finally:
            stop.set()
            threads.shutdown(cancel_futures=True)


def check_shard(
    folder: Path,
    room: ListedRoom,
    migrations: Sequence[Migration],
    is_stopped: Callable[[], bool] = lambda: False,
) -> CheckedShard:
    """Check one shard: right room, pages, references, search index. Raises StoppedError soon after `is_stopped`."""
    try:
        inspection = shards.inspect(folder, room.id, migrations, is_stopped=is_stopped)
    except shards.StoppedError:
        raise
    except ShardBusyError as error:
        return CheckedShard((), left_out=f"{label(room)}: {error}")
    except ShardFullError as error:
        return CheckedShard((_of_room("disk", room, str(error), doctor_remedies.SPACE),))
    except UnavailableError as error:
        if not dump.has_file(folder, room.id):
            return CheckedShard((), left_out=f"{label(room)}: its file went away meanwhile; look again")
        return CheckedShard((_explained(folder, room, error, migrations),))
    except Exception as error:  # every other shard is checked
        log.exception("a shard could not be checked", extra={"room_id": room.id})
        return CheckedShard((_of_room("shards", room, f"it cannot be checked ({describe(error)})", REPORT),))
    if inspection.problems and shards.is_sound_without_log(folder, room.id):
        return CheckedShard((_of_log(room),))
    findings = tuple(_of_room("shards", room, problem, RESTORE) for problem in inspection.problems)
    findings += tuple(_of_room("shards", room, damage, f"{REPAIR} {room.id}") for damage in inspection.damage)
    left_out = (
        None if inspection.is_search_checked or findings else f"{label(room)}: search index not compared, no time"
    )
    return CheckedShard(
        findings,
        inspection.written_at,
        bool(inspection.pending),
        left_out,
        has_archive=inspection.has_segments,
        has_files=inspection.has_files,
    )


def _explained(folder: Path, room: ListedRoom, error: UnavailableError, migrations: Sequence[Migration]) -> Finding:
    """Return the finding about a shard that cannot be opened, with the remedy for its cause."""
    reason = str(getattr(error, "reason", error))
    if doctor_remedies.is_about_migrations(error):
        return Finding("migrations", f"of shards: {reason}", doctor_remedies.MIGRATIONS)
    if shards.is_sound_without_log(folder, room.id):
        return _of_log(room)
    owner_id = error.belongs_to if isinstance(error, BrokenShardError) else None
    if owner_id is not None:
        remedy = doctor_remedies.of_foreign(folder, room.id, RoomId(owner_id), migrations)
        return _of_room("shards", room, reason, remedy)
    remedy = doctor_remedies.of_file(folder / f"{room.id}.db", error, otherwise=RESTORE)
    return _of_room("shards", room, reason, remedy)


def _of_log(room: ListedRoom) -> Finding:
    return _of_room("shards", room, doctor_remedies.LOG, doctor_remedies.of_log(room.id))


def check_clock(newest: Sequence[tuple[str, int]], *, now_ms: int) -> Iterator[Finding]:
    """Compare the clock with times that were written before, each with its name."""
    remedy = "Set the clock (NTP keeps it right): sessions, invites and bans depend on it."
    if not CLOCK_MIN_MS <= now_ms <= CLOCK_MAX_MS:
        yield Finding("clock", "the system's clock is absurdly wrong", remedy)
    for name, time_ms in newest:
        if time_ms > now_ms + CLOCK_TOLERANCE_MS:
            seconds = (time_ms - now_ms) // 1_000
            yield Finding("clock", f"the clock is {seconds} s behind {name}", remedy)
            return


async def newest_audit(reader: Reader) -> int:
    """Return the time of the newest audit row; 0 for an empty log."""
    entries = await audit.list_page(reader, limit=1)
    return entries[0].created_at if entries else 0


def label(room: ListedRoom) -> str:
    """Return the label of a room: its name and id."""
    return f"{room.name or room.kind} ({room.id})"


def _of_room(check: str, room: ListedRoom, problem: str, remedy: str) -> Finding:
    return Finding(check, problem, remedy, label(room), room.id)

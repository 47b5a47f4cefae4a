"""Looks the stores over for an operator, beside a running server, and changes nothing.

Every finding names what is wrong, where, and what to do about it.
"""

import random
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from directory import audit, inspections, room_pages
from directory.database import Reader
from directory.room_pages import ListedRoom
from ids import RoomId
from migrations.engine import Migration
from shard import inspections as shards
from shard import packing
from shard.errors import ShardBusyError, UnavailableError

HALF_MADE_MS: Final = 60_000
"""Making a room takes milliseconds; one that is half-made for longer was left by a crash."""
CLOCK_TOLERANCE_MS: Final = 60_000
CLOCK_MIN_MS: Final = 1_735_689_600_000
"""2025-01-01: this program did not exist before."""
CLOCK_MAX_MS: Final = 3_597_523_200_000
"""2084-01-01: the last year that ids have room for."""

OURS: Final = frozenset(
    {
        "db",
        "db-wal",
        "db-shm",
        "db-journal",
        "new",
        "new-wal",
        "new-shm",
        "copy",
        "copy-journal",
        "packed",
        "waking",
        "left",
    }
)
"""What stands behind a room's id in the names of its files, those that are half-made included."""

RESTORE: Final = "Restore it from a backup; all other rooms go on meanwhile."


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; `room` is a room's name and id."""

    check: str
    problem: str
    remedy: str
    room: str | None = None
    room_id: RoomId | None = None


@dataclass(frozen=True, slots=True)
class Stock:
    """What the registry and the folder of shards have, seen together."""

    rooms: dict[RoomId, ListedRoom]
    files: frozenset[RoomId]
    strays: tuple[str, ...]

    def expected(self) -> list[ListedRoom]:
        """Return the rooms that must have a shard: not half-made, hibernated or deleted."""
        return [room for room in self.rooms.values() if room.state not in ("creating", "hibernated", "deleted")]

    def hibernated(self) -> list[ListedRoom]:
        """Return the rooms that are objects, and must not have a shard."""
        return [room for room in self.rooms.values() if room.state == "hibernated"]


async def take_stock(reader: Reader, folder: Path) -> Stock:
    """Read the folder first, then the registry: a room is registered before its file is made."""
    files = frozenset(shards.room_ids(folder))
    strays = tuple(sorted(_strays(folder)))
    return Stock({room.id: room async for room in _rooms(reader)}, files, strays)


def _strays(folder: Path) -> Iterator[str]:
    for path in folder.glob("*"):
        stem, _, rest = path.name.partition(".")
        is_ours = rest in OURS
        if not (is_ours and stem.isascii() and stem.isdecimal()):
            yield path.name


async def _rooms(reader: Reader) -> AsyncIterator[ListedRoom]:
    last = 0
    while page := await room_pages.all_rooms(reader, after=last):
        for room in page:
            yield room
        last = page[-1].id


async def check_directory(reader: Reader) -> list[Finding]:
    """Look through the directory's pages, references and chain of audit rows."""
    remedy = "Stop the server and restore the directory from a backup."
    findings = [Finding("directory", problem, remedy) for problem in await inspections.problems(reader)]
    broken = await audit.verify(reader)
    if broken is not None:
        problem = f"the audit log is not what was written: its chain breaks at entry {broken}"
        remedy = "Compare the entry with a backup: somebody changed the file by hand."
        findings.append(Finding("audit", problem, remedy))
    return findings


def check_stock(stock: Stock, folder: Path, *, now_ms: int) -> Iterator[Finding]:
    """Compare the registry with the folder: missing and orphan files, rooms that a crash left half-made."""
    for room in stock.expected():
        if room.id not in stock.files and not (folder / f"{room.id}.db").exists():
            yield _of_room("shards", room, "its file is missing", RESTORE)
        elif room.quarantined_at is not None:
            remedy = f"{RESTORE} Then let everybody in: rookery monitor release {room.id}"
            yield _of_room("shards", room, "it is in quarantine, since it was found damaged", remedy)
    for room in stock.hibernated():
        # One that was there may just have been put away.
        if room.id in stock.files and (folder / f"{room.id}.db").exists():
            remedy = "Start the server: it sets the file aside, which is not the room any more."
            yield _of_room("shards", room, "it is hibernated, and its file is still there, left by a crash", remedy)
    for room in stock.rooms.values():
        if room.state == "creating" and room.created_at < now_ms - HALF_MADE_MS:
            yield _of_room("rooms", room, "it is half-made, left by a crash", "Start the server: it mends this.")
    for room_id in sorted(stock.files - stock.rooms.keys()):
        remedy = "Move the file away, or restore the directory that knows it."
        yield Finding("shards", f"{room_id}.db belongs to no room of the directory", remedy, room_id=room_id)
    for name in stock.strays:
        yield Finding("shards", f"{name!r} is no shard", "Move it out of the folder of shards.")


def sample(stock: Stock, count: int | None) -> list[ListedRoom]:
    """Return `count` rooms to look into, others each time; all of them for None."""
    here = [room for room in stock.expected() if room.id in stock.files]
    if count is None or count >= len(here):
        return here
    return random.sample(here, count)


@dataclass(frozen=True, slots=True)
class Visit:
    """What one shard showed: what is wrong, when it was last written to, and what could not be looked at."""

    findings: tuple[Finding, ...]
    written_at: int = 0
    is_behind: bool = False
    left_out: str | None = None


def visit(folder: Path, room: ListedRoom, migrations: Sequence[Migration]) -> Visit:
    """Look one shard through."""
    try:
        seen = shards.inspect(folder, room.id, migrations)
    except ShardBusyError as error:
        return Visit((), left_out=f"{label(room)}: {error}")
    except UnavailableError as error:
        if not packing.has_file(folder, room.id):
            return Visit((), left_out=f"{label(room)}: its file went away meanwhile; look again")
        reason = str(getattr(error, "reason", error))
        return Visit((_of_room("shards", room, reason, RESTORE),))
    findings = tuple(_of_room("shards", room, problem, RESTORE) for problem in seen.problems)
    left_out = None if seen.is_search_checked or findings else f"{label(room)}: search index not compared, no time"
    return Visit(findings, seen.written_at, bool(seen.pending), left_out)


def check_clock(newest: Sequence[tuple[str, int]], *, now_ms: int) -> Iterator[Finding]:
    """Hold the clock against what was written before, each a pair of what it is and its time."""
    remedy = "Set the clock (NTP keeps it right): sessions, invites and bans depend on it."
    if not CLOCK_MIN_MS <= now_ms <= CLOCK_MAX_MS:
        yield Finding("clock", "the system's clock is absurdly wrong", remedy)
    for what, time_ms in newest:
        if time_ms > now_ms + CLOCK_TOLERANCE_MS:
            seconds = (time_ms - now_ms) // 1_000
            yield Finding("clock", f"the clock is {seconds} s behind {what}", remedy)
            return


async def newest_audit(reader: Reader) -> int:
    """Return the time of the newest audit row; 0 for an empty log."""
    entries = await audit.list_page(reader, limit=1)
    return entries[0].created_at if entries else 0


def label(room: ListedRoom) -> str:
    """Return what to call a room: its name and id."""
    return f"{room.name or room.kind} ({room.id})"


def _of_room(check: str, room: ListedRoom, problem: str, remedy: str) -> Finding:
    return Finding(check, problem, remedy, label(room), room.id)

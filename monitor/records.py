"""Walks over the audit logs of a site, the directory's and every room's, beside a running server."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from directory import audit
from directory.database import Reader
from directory.room_pages import ListedRoom
from ids import RoomId
from migrations.engine import Migration
from monitor import checkups
from shard import inspections as shards
from shard.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class Record:
    """One log: how many entries it has, the hash of the newest, and what is wrong with it.

    `broken_at` is the number of the first entry that is not what was written; `problem` says why a log could not be
    read at all.
    """

    name: str
    room_id: RoomId | None
    entries: int
    head: bytes
    broken_at: int | None
    problem: str | None = None

    @property
    def is_sound(self) -> bool:
        return self.broken_at is None and self.problem is None


async def of_directory(reader: Reader) -> Record:
    """Follow the chain of the directory's log."""
    entries, head = await audit.head(reader)
    return Record("directory", None, entries, head, await audit.verify(reader))


def of_rooms(folder: Path, rooms: Sequence[ListedRoom], migrations: Sequence[Migration]) -> Iterator[Record]:
    """Follow the chain of each room's log."""
    for room in rooms:
        name = checkups.label(room)
        try:
            seen = shards.verify_audit(folder, room.id, migrations)
        except UnavailableError as error:
            reason = str(getattr(error, "reason", error))
            yield Record(name, room.id, 0, b"", None, reason)
        else:
            yield Record(name, room.id, seen.entries, seen.head, seen.broken_at)

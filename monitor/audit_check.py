"""Verification of a site's audit logs, the directory's and every room's, beside a running server."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from directory import audit
from directory.database import Reader
from directory.room_pages import ListedRoom
from ids import RoomId
from migrations.engine import Migration
from monitor import doctor
from monitor.isolation import describe
from shard import inspections as shards
from shard.errors import UnavailableError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """One audit log: the count of its entries, the hash of the newest, and the faults that were found.

    `broken_at` is the number of the first entry that was changed; `problem` is the reason why a log could not be read
    at all.
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


async def verify_directory(reader: Reader) -> VerifiedLog:
    """Verify the hash chain of the directory's log."""
    entries, head = await audit.head(reader)
    return VerifiedLog("directory", None, entries, head, await audit.verify(reader))


def verify_rooms(folder: Path, rooms: Sequence[ListedRoom], migrations: Sequence[Migration]) -> Iterator[VerifiedLog]:
    """Verify the hash chain of each room's log."""
    for room in rooms:
        name = doctor.label(room)
        try:
            verified = shards.verify_audit(folder, room.id, migrations)
        except UnavailableError as error:
            reason = str(getattr(error, "reason", error))
            yield VerifiedLog(name, room.id, 0, b"", None, reason)
        except Exception as error:  # every other log is verified
            log.exception("an audit log could not be verified", extra={"room_id": room.id})
            yield VerifiedLog(name, room.id, 0, b"", None, describe(error))
        else:
            yield VerifiedLog(name, room.id, verified.entries, verified.head, verified.broken_at)

"""Migration of all shards in a folder, or a list of their pending migrations; a failure of one stops no other.

Each shard has its own version, which says what to do: a walk that was stopped, or had failures, is continued by another
walk.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ids import RoomId
from migrations.engine import Migration, MigrationError
from monitor.isolation import describe
from shard import inspections
from shard.engine import dump, files
from shard.errors import ShardError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShardMigrations:
    """One shard of a walk: the versions that it lacks, or that were applied now, or else the `problem` with it."""

    room_id: RoomId
    versions: tuple[int, ...]
    problem: str | None = None


def list_pending(folder: Path, migrations: Sequence[Migration]) -> Iterator[ShardMigrations]:
    """Yield the migrations that each shard lacks, without changing it."""
    return _walk(folder, lambda room_id: inspections.pending(folder, room_id, migrations))


def migrate(folder: Path, migrations: Sequence[Migration], clock: Callable[[], int]) -> Iterator[ShardMigrations]:
    """Apply to each shard the migrations that it lacks; a shard that fails keeps the schema that it had."""

    def apply(room_id: RoomId) -> tuple[Migration, ...]:
        lacking = inspections.pending(folder, room_id, migrations)
        if lacking:
            path = files.path_of(folder, room_id)
            files.open_writer(path, room_id, migrations, now_ms=clock(), check=False)[0].close()
        return lacking

    return _walk(folder, apply)


def _walk(folder: Path, visit: Callable[[RoomId], tuple[Migration, ...]]) -> Iterator[ShardMigrations]:
    for room_id in inspections.room_ids(folder):
        try:
            yield ShardMigrations(room_id, tuple(migration.version for migration in visit(room_id)))
        except (ShardError, MigrationError, OSError) as error:
            if not dump.has_file(folder, room_id):
                continue  # it was hibernated meanwhile, and is migrated when it wakes
            # The shard's error says that it cannot be used; its cause names the migration and the reason.
            cause = error.__cause__ if isinstance(error.__cause__, MigrationError) else error
            yield ShardMigrations(room_id, (), str(cause))
        except Exception as error:  # whatever it is, all others are migrated
            log.exception("a shard could not be migrated", extra={"room_id": room_id})
            yield ShardMigrations(room_id, (), describe(error))

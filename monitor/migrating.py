"""Walks the folder of shards to see which are behind, or to bring them up: each by itself, whatever its neighbours do.

A shard's own version is the truth and the to-do list: a walk that was stopped, or met failures, is continued by
walking again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ids import RoomId
from migrations.engine import Migration, MigrationError
from shard import files, inspections, packing
from shard.errors import ShardError


@dataclass(frozen=True, slots=True)
class Step:
    """One shard of a walk: the versions that it lacks, or was given now, or else the `problem` with it."""

    room_id: RoomId
    versions: tuple[int, ...]
    problem: str | None = None


def survey(folder: Path, migrations: Sequence[Migration]) -> Iterator[Step]:
    """Tell of each shard what it lacks, without touching it."""
    return _walk(folder, lambda room_id: inspections.pending(folder, room_id, migrations))


def bring_up(folder: Path, migrations: Sequence[Migration], clock: Callable[[], int]) -> Iterator[Step]:
    """Apply to each shard what it lacks; a shard that fails keeps what it had."""

    def apply(room_id: RoomId) -> tuple[Migration, ...]:
        lacking = inspections.pending(folder, room_id, migrations)
        if lacking:
            path = files.path_of(folder, room_id)
            files.open_writer(path, room_id, migrations, now_ms=clock(), check=False)[0].close()
        return lacking

    return _walk(folder, apply)


def _walk(folder: Path, visit: Callable[[RoomId], tuple[Migration, ...]]) -> Iterator[Step]:
    for room_id in inspections.room_ids(folder):
        try:
            yield Step(room_id, tuple(migration.version for migration in visit(room_id)))
        except (ShardError, MigrationError, OSError) as error:
            if not packing.has_file(folder, room_id):
                continue  # it was hibernated meanwhile, and is migrated when it wakes
            # The shard says that it cannot be used; the migration under it says which file and why.
            cause = error.__cause__ if isinstance(error.__cause__, MigrationError) else error
            yield Step(room_id, (), str(cause))

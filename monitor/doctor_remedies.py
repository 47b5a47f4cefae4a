"""Remedies for files that cannot be used: each cause has its own, and a backup is the last resort."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ids import RoomId
from migrations.engine import BadMigrationFolderError, ChangedMigrationError, DatabaseTooNewError, Migration
from shard import inspections

MIGRATIONS: Final = "Put the files of the release back: reinstall it, or correct migrations_dir. The data is as it was."
NEWER: Final = "Start the release that wrote it, or a newer one. The data is as it was."
SPACE: Final = "Make space on the disk, and look again: nothing is known to be damaged."
READ_ONLY: Final = "Mount it for writing again; the system's log says why it is not. The data is as it was."
LOG: Final = "its log belongs to another database or is damaged: without it the file is sound"
FREE_BYTES_MIN: Final = 65_536
"""Free bytes below which a database may not open: its shared memory takes half of that."""

NAMED_MAX: Final = 5
"""Files that a command names one by one."""


def is_about_migrations(error: BaseException) -> bool:
    """Tell whether the files of the migrations are wrong, and not a database."""
    return isinstance(_cause(error), ChangedMigrationError | BadMigrationFolderError)


def of_file(path: Path, error: BaseException, *, otherwise: str) -> str:
    """Return the remedy for a database file that cannot be opened or read because of an error."""
    cause = _cause(error)
    if isinstance(cause, ChangedMigrationError | BadMigrationFolderError):
        return MIGRATIONS
    if isinstance(cause, DatabaseTooNewError):
        return NEWER
    if not path.exists():
        return otherwise
    if is_read_only(path):
        return READ_ONLY
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
        return of_access([path])
    found = os.statvfs(path)
    return SPACE if found.f_bavail * found.f_frsize < FREE_BYTES_MIN else otherwise


def _cause(error: BaseException) -> BaseException | None:
    """Return the error of the migrations behind an error of a store, else the error itself."""
    kinds = (ChangedMigrationError, BadMigrationFolderError, DatabaseTooNewError)
    return error if isinstance(error, kinds) or error.__cause__ is None else error.__cause__


def is_read_only(path: Path) -> bool:
    """Tell whether a file or folder is on a file system that is mounted read-only."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def of_access(paths: Sequence[Path]) -> str:
    """Return the commands that give files to the owner of their folder, and to nobody else."""
    owner, named = paths[0].parent.stat(), of_names(paths)
    return f"Run as root: chown {owner.st_uid}:{owner.st_gid} {named} && chmod 600 {named}"


def of_names(paths: Sequence[Path]) -> str:
    """Return files of one folder as arguments of a command: many as a pattern."""
    return " ".join(map(str, paths)) if len(paths) <= NAMED_MAX else f"{paths[0].parent}/*.db*"


def of_foreign(folder: Path, room_id: RoomId, owner_id: RoomId, migrations: Sequence[Migration]) -> str:
    """Return the remedy for a room's file that is the file of another room, by what is under that room's name."""
    mine, theirs = f"{room_id}.db", f"{owner_id}.db"
    if not (folder / theirs).exists():
        return f"Stop the server and rename {mine} to {theirs}, which is missing; then see to the file of this room."
    other = inspections.room_of(folder, owner_id, migrations)
    if other == room_id:
        return f"Stop the server and exchange the files {mine} and {theirs}: each is the other room's. Nothing is lost."
    if other == owner_id:
        return f"Stop the server and move {mine} away: it is a copy of {theirs}. Then restore this room from a backup."
    return f"Stop the server and give {mine} the name of its room, {theirs}, and that file the name of its own room."


def of_log(room_id: RoomId) -> str:
    """Return the remedy for a log that does not belong to the room's file."""
    return (
        f"Stop the server and move {room_id}.db-wal and {room_id}.db-shm away; keep them: what only the log had is "
        "missing then. If it was this room's log, restore the room from a backup instead."
    )

"""Checks of `rookery doctor` outside the databases: versions, the data folder's permissions, and disk space."""

import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

import sqlite
from monitor import doctor_remedies
from monitor.doctor import Finding
from rookery.outputs import size

PYTHON_MIN: Final = (3, 11)
PACKAGES_MIN: Final = {
    # Before it, requests could be made to cost far more than they send.
    "starlette": (1, 3, 1),
    # Its bundled SQLite opens our files.
    "apsw": sqlite.VERSION_MIN,
}
SHOWN_MAX: Final = 5
"""Files that one finding names; it counts the others."""


def check_versions() -> Iterator[Finding]:
    """Compare the running versions with the oldest ones that are safe."""
    if sys.version_info[:2] < PYTHON_MIN:
        yield _too_old("Python", sys.version.split()[0], PYTHON_MIN, "Install a newer Python.")
    for name, floor in PACKAGES_MIN.items():
        found = metadata.version(name)
        if _numbers(found) < floor:
            yield _too_old(name, found, floor, f"Run: pip install --upgrade {name}")
    try:
        sqlite.refuse_old_sqlite()
    except sqlite.OldSQLiteError as error:
        yield Finding("versions", str(error), "Run: pip install --upgrade apsw")


def _too_old(name: str, found: str, floor: tuple[int, ...], remedy: str) -> Finding:
    return Finding("versions", f"{name} {found} is older than {'.'.join(map(str, floor))}", remedy)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:4])


def check_permissions(data: Path, shards: Path) -> Iterator[Finding]:
    """Check that the data belongs to the user of this process, and that no other can read it."""
    open_files: list[Path] = []
    foreign_files: list[Path] = []
    for folder in (data, shards):
        if not folder.is_dir():
            continue
        yield from _check_folder(folder)
        if os.access(folder, os.R_OK | os.X_OK, effective_ids=True):
            owner = folder.stat().st_uid
            for path, found in _databases(folder):
                if found.st_uid != owner or found.st_mode & 0o600 != 0o600:
                    foreign_files.append(path)
                elif found.st_mode & 0o077:
                    open_files.append(path)
    for folder in (data, shards):
        if inside := [path for path in open_files if path.parent == folder]:
            problem = f"others can read {_names(inside)}"
            yield Finding("permissions", problem, f"Run: chmod 600 {doctor_remedies.of_names(inside)}")
        if inside := [path for path in foreign_files if path.parent == folder]:
            problem = f"the owner of {folder} cannot write to {_names(inside)}"
            yield Finding("permissions", problem, doctor_remedies.of_access(inside))


def _databases(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the files of databases in a folder by name; a log that a server removes meanwhile is none."""
    for path in sorted(folder.glob("*.db*")):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(found.st_mode):
            yield path, found


def _check_folder(folder: Path) -> Iterator[Finding]:
    found = folder.stat()
    mode = stat.filemode(found.st_mode)
    if found.st_mode & 0o077:
        yield Finding("permissions", f"others can enter {folder} ({mode})", f"Run: chmod 700 {folder}")
    if doctor_remedies.is_read_only(folder):
        yield Finding("permissions", f"{folder} is mounted read-only", doctor_remedies.READ_ONLY)
    elif found.st_uid != os.geteuid():
        problem = f"{folder} belongs to user {found.st_uid}, and this runs as user {os.geteuid()}"
        yield Finding("permissions", problem, "Run this as the server's user, whose files it would make otherwise.")
    elif found.st_mode & 0o700 != 0o700:
        yield Finding("permissions", f"{folder} cannot be written to ({mode})", f"Run: chmod 700 {folder}")


def _names(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - SHOWN_MAX} more" if len(paths) > SHOWN_MAX else ""
    return ", ".join(str(path) for path in paths[:SHOWN_MAX]) + more


def check_disk(data: Path, free_bytes_min: int) -> Iterator[Finding]:
    """Check that enough disk space is free."""
    free = shutil.disk_usage(data).free
    if free < free_bytes_min:
        problem = f"only {size(free)} are free where {data} is"
        yield Finding("disk", problem, "Free some space: a full disk stops every write.")

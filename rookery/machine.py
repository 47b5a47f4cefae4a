"""What `rookery doctor` looks at outside the databases: versions, the data folder's permissions, and disk space."""

import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

import sqlite
from monitor.checkups import Finding
from rookery.outputs import size

PYTHON_MIN: Final = (3, 11)
PACKAGES_MIN: Final = {
    # Before it, requests could be made to cost far more than they send.
    "starlette": (1, 3, 1),
    # Its bundled SQLite is the one that opens our files.
    "apsw": sqlite.VERSION_MIN,
}
FREE_BYTES_MIN: Final = 1_073_741_824
"""Below a gibibyte a busy server may fill the disk before anybody looks."""
TOLD_MAX: Final = 5


def check_versions() -> Iterator[Finding]:
    """Compare what runs with the oldest versions that are safe."""
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
    """See that the data belongs to whoever runs this, and that nobody else can read it."""
    open_files: list[Path] = []
    for folder in (data, shards):
        if not folder.is_dir():
            continue
        found = folder.stat()
        if found.st_mode & 0o077:
            mode = stat.filemode(found.st_mode)
            yield Finding("permissions", f"others can enter {folder} ({mode})", f"Run: chmod 700 {folder}")
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            yield Finding("permissions", f"{folder} cannot be written to", "Run this as the server's user.")
        elif found.st_uid != os.geteuid():
            problem = f"{folder} belongs to user {found.st_uid}, and this runs as user {os.geteuid()}"
            yield Finding("permissions", problem, "Run this as the server's user, whose files it would make otherwise.")
        open_files += [path for path in folder.glob("*.db*") if path.is_file() and path.stat().st_mode & 0o077]
    if open_files:
        names = ", ".join(str(path) for path in open_files[:TOLD_MAX])
        more = f" and {len(open_files) - TOLD_MAX} more" if len(open_files) > TOLD_MAX else ""
        yield Finding("permissions", f"others can read {names}{more}", "Run: chmod 600 on each of them.")


def check_disk(data: Path) -> Iterator[Finding]:
    """See that there is space to go on."""
    free = shutil.disk_usage(data).free
    if free < FREE_BYTES_MIN:
        problem = f"only {size(free)} are free where {data} is"
        yield Finding("disk", problem, "Free some space: a full disk stops every write.")

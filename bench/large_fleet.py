"""Ten thousand rooms on one small machine: the start of the server, the doctor over all of them and over copies of
them, and the backup."""

import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import sqlite
from bench.figures import Figure
from bench.monitor import ROOMS, fleet_settings, found_fleet

STARTS = 3


def measure(folder: Path) -> list[Figure]:
    """Start a server over the fleet, run the doctor, and copy the files as the operators' page does; beside it a loop
    that only checks the pages of each file, and the copies of a program that knows nothing of databases."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    asyncio.run(found_fleet(fleet_settings(data)))
    starts = [_start(data) for _ in range(STARTS)]
    pages, doctor = _check_pages(data), _examine(data)
    _vacuum(data, folder / "vacuumed")
    vacuumed = _examine(folder / "vacuumed")
    backup, bare = _back_up(data, folder / "backup"), _copy(data, folder / "bare")
    return [
        Figure(f"start of a server with {ROOMS:,} rooms until it is ready, median", median(starts), "s", at_most=1),
        Figure(f"doctor --all over {ROOMS:,} rooms", doctor, "s", at_most=60),
        Figure("doctor --all, as a multiple of checking the pages of each file alone", doctor / pages),
        Figure(
            "doctor --all over copies by VACUUM INTO, as a multiple of the originals", vacuumed / doctor, at_most=1.5
        ),
        Figure(f"backup of {ROOMS:,} rooms", backup, "s"),
        Figure("backup, as a multiple of copying the files of a stopped server", backup / bare),
    ]


def _command(data: Path) -> list[str]:
    return [sys.executable, "-m", "rookery", "--data", str(data)]


def _start(data: Path) -> float:
    """Return the seconds until a server says that it is ready."""
    began = time.perf_counter()
    command = [*_command(data), "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        seconds = time.perf_counter() - began
        process.terminate()
    return seconds


def _examine(data: Path) -> float:
    """Run the doctor over all rooms; return the seconds."""
    began = time.perf_counter()
    subprocess.run([*_command(data), "doctor", "--all", "--json"], capture_output=True, check=True)
    return time.perf_counter() - began


def _check_pages(data: Path) -> float:
    """Check the pages of each shard one after the other, and nothing else; return the seconds."""
    began = time.perf_counter()
    for file in (data / "shards").glob("*.db"):
        connection = sqlite.connect(file, read_only=True)
        assert connection.pragma("quick_check", 1) == "ok"
        connection.close()
    return time.perf_counter() - began


def _vacuum(data: Path, target: Path) -> None:
    """Copy the databases by VACUUM INTO, whose files have no log yet."""
    (target / "shards").mkdir(mode=0o700, parents=True)
    target.chmod(0o700)
    for file in [data / "directory.db", *(data / "shards").glob("*.db")]:
        copy = target / file.relative_to(data)
        connection = sqlite.connect(file)
        # A copy may be lost.
        connection.pragma("synchronous", "OFF")
        connection.execute("VACUUM INTO ?", (str(copy),))
        connection.close()
        copy.chmod(0o600)


def _back_up(data: Path, target: Path) -> float:
    """Copy every shard through SQLite, as the documented backup does; return the seconds."""
    target.mkdir()
    began = time.perf_counter()
    for file in (data / "shards").glob("*.db"):
        connection = sqlite.connect(file)
        sqlite.back_up(connection, target / file.name)
        connection.close()
    return time.perf_counter() - began


def _copy(data: Path, target: Path) -> float:
    target.mkdir()
    began = time.perf_counter()
    for file in (data / "shards").glob("*.db"):
        shutil.copy2(file, target / file.name)
    return time.perf_counter() - began

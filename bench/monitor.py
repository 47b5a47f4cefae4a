"""A round of the monitor over a large fleet with few changes: its time and its memory.

Shards are copies of one, made by writing each room's id into it, since a real fleet takes minutes to found. The round
runs in a process of its own, so that its memory is its own.
"""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import sqlite
from bench.figures import Figure
from config import settings as config
from config.settings import Settings
from directory import users
from ids import RoomId
from rookery import composition
from rookery.server import monitor
from router.workflows import room_creation

ROOMS = 10_000
CHANGED = 100
ROUNDS = 3
PROJECT = Path(__file__).parent.parent


def measure(folder: Path) -> list[Figure]:
    """Compare a round with a hundredth changed with one without changes, and with one that measures all."""
    settings = fleet_settings(folder)
    rooms = asyncio.run(found_fleet(settings))
    first = _round(folder)
    time.sleep(2.1)
    _round(folder)
    rests: list[float] = []
    changes: list[float] = []
    memory: list[float] = []
    whole: list[float] = []
    for number in range(ROUNDS):
        rest = _round(folder)
        _write(settings, rooms[number * CHANGED : (number + 1) * CHANGED])
        time.sleep(2.1)
        change = _round(folder)
        assert (rest["measured"], change["measured"]) == (0, CHANGED), "only what changed is measured"
        rests.append(rest["seconds"])
        changes.append(change["seconds"])
        memory.append(change["peak_mib"] - change["idle_mib"])
        whole.append(change["peak_mib"])
    each = (median(changes) - median(rests)) / CHANGED
    return [
        Figure(f"round over {ROOMS:,} rooms, {CHANGED} changed", median(changes), "s", at_most=2),
        Figure(f"round over {ROOMS:,} rooms, none changed", median(rests), "s"),
        Figure(f"round that measures all of {ROOMS:,} rooms", first["seconds"], "s", at_most=30),
        Figure("measuring one changed room", each * 1e3, "ms"),
        Figure("looking at one room that did not change", median(rests) / ROOMS * 1e6, "µs"),
        Figure("memory that the round adds", max(memory), "MiB", at_most=50),
        Figure("memory of the whole process", max(whole), "MiB"),
        Figure("round over 100,000 rooms, 1,000 changed (reckoned)", 10 * median(rests) + 1_000 * each, "s"),
    ]


def fleet_settings(folder: Path) -> Settings:
    return config.load(None, environ={"ROOKERY_SERVER_DATA_DIR": str(folder)})


async def found_fleet(settings: Settings) -> list[RoomId]:
    """Found one room, and copy it ROOMS - 1 times."""
    async with composition.open_stores(settings) as stores:
        async with stores.directory.database.write() as writer:
            owner = await users.create(writer, username="owner", now_ms=composition.now_ms())
        room, _ = await room_creation.found_community(
            stores.directory, stores.pool, name="bench", owner_id=owner.id, now_ms=composition.now_ms()
        )
    shards = composition.shards_folder(settings)
    content = (shards / f"{room.id}.db").read_bytes()
    rooms = [RoomId(room.id + number) for number in range(1, ROOMS)]
    for room_id in rooms:
        (shards / f"{room_id}.db").write_bytes(content)
        (shards / f"{room_id}.db").chmod(0o600)
        _rename(shards / f"{room_id}.db", room_id)
    directory = sqlite.connect(composition.directory_path(settings))
    directory.execute("BEGIN")
    for number, room_id in enumerate(rooms):
        directory.execute(
            "INSERT INTO rooms (id, kind, name, display_name, owner_id, state, created_at, updated_at) "
            "VALUES (?, 'community', ?, 'x', ?, 'active', 1, 1)",
            (room_id, f"bench-{number}", owner.id),
        )
        directory.execute("INSERT INTO shards (room_id, database_id) VALUES (?, ?)", (room_id, str(room_id)))
    directory.execute("COMMIT")
    directory.close()
    return [room.id, *rooms]


def _rename(path: Path, room_id: RoomId) -> None:
    connection = sqlite.connect(path)
    # A copy may be lost.
    connection.pragma("synchronous", "OFF")
    connection.pragma("foreign_keys", "OFF")
    connection.execute("UPDATE room SET room_id = ?", (room_id,))
    connection.close()


def _write(settings: Settings, rooms: list[RoomId]) -> None:
    """Change the files of some shards as a message would."""
    for room_id in rooms:
        connection = sqlite.connect(composition.shards_folder(settings) / f"{room_id}.db")
        connection.execute("UPDATE room SET one = 1")
        connection.close()


def _round(folder: Path) -> dict[str, float]:
    """Run one round, in a process of its own."""
    command = [sys.executable, "-m", "bench.monitor", str(folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


async def _go(folder: Path) -> dict[str, float]:
    settings = fleet_settings(folder)
    async with composition.open_directory(settings) as directory:
        with monitor.rounds(settings, directory) as rounds:
            idle_mib = _idle_mib()
            done = await rounds.run_round()
            assert done is not None
            return {
                "seconds": done.seconds,
                "measured": done.tally.measured,
                "idle_mib": idle_mib,
                "peak_mib": _peak_mib(),
            }


def _idle_mib() -> float:
    """Return the memory of this process, and restart the count of its peak, so that imports do not count."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak_mib()


def _peak_mib() -> float:
    """Return the peak memory of this process; getrusage would include that of its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1_024


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_go(Path(sys.argv[1])))))

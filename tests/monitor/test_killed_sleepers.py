"""kill -9 at every step of putting a room away and of bringing it back: the room is whole, and in one place."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.hibernator import STEPS
from shard import inspections
from tests.monitor import sleepers
from tests.monitor.sleepers import Bed
from tests.shard.stage import MIGRATIONS

PROJECT = Path(__file__).parents[2]
ROUNDS = int(os.environ.get("ROOKERY_CRASH_CYCLES", "2"))
WAKING = STEPS.index("fetched")


def _die(folder: Path, wanted: str, step: str) -> None:
    command = [sys.executable, "-m", "tests.monitor.dying_sleeper", str(folder), wanted, step]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2_000:]


async def _is_in_one_place(bed: Bed) -> None:
    kept = await bed.asleep()
    assert bed.file.exists() == (kept is None)
    assert (await bed.state() == "hibernated") == (kept is not None)
    assert set(bed.files()) <= {f"{bed.file.name}{end}" for end in ("", "-wal", "-shm", "-journal")} | {
        f"{bed.room_id}.left"
    }


@pytest.mark.crash
@pytest.mark.parametrize("step", STEPS)
async def test_a_kill_leaves_a_room_whole_and_in_one_place(tmp_path: Path, step: str) -> None:
    """After a kill at any step a restart finds every message once, one truth, and removes what is left of the rest."""
    said = ["before"]
    async with sleepers.made(tmp_path) as bed:
        await bed.send("before")
    for number in range(min(ROUNDS, 5)):
        if STEPS.index(step) >= WAKING:
            async with sleepers.made(tmp_path) as bed:
                await bed.hibernator.hibernate(bed.room_id)
            _die(tmp_path, "wake", step)
        else:
            _die(tmp_path, "hibernate", step)
        async with sleepers.made(tmp_path) as bed:
            await _is_in_one_place(bed)
            assert await bed.texts() == said
            await bed.send(str(number))
            said.append(str(number))
            assert await bed.texts() == said
            await bed.clear()
            assert await bed.keys() == [], "no object is left of a room that is awake"
            await bed.hibernator.hibernate(bed.room_id)
            await _is_in_one_place(bed)
            assert await bed.texts() == said
        assert inspections.inspect(bed.place.shards, bed.room_id, MIGRATIONS).problems == ()

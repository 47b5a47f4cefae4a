"""kill -9 in the middle of a round: the next one does what is left, and nothing is told or closed twice."""

import os
import random
import time
from pathlib import Path

import pytest

from tests.monitor.fleets import fleet_in, place_of, rows
from tests.rookery.terminal import run, start

CYCLES = max(4, int(os.environ.get("ROOKERY_CRASH_CYCLES", "4")) // 10)
ROOMS = 40
STARTS_SECONDS = 0.4
"""Before, the process only imports."""


@pytest.mark.crash
async def test_a_killed_monitor_doubles_and_loses_nothing(tmp_path: Path) -> None:
    """Killed again and again in rounds that find each room full, monitors leave one alert a room, each told in the end,
    and every room closed."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    async with fleet_in(tmp_path) as fleet:
        for number in range(ROOMS):
            room_id = await fleet.found(f"room-{number}")
            await fleet.limit(room_id, 2**20)
            await fleet.fill(room_id, 60)
    place_of(tmp_path)
    words = ("--config", tmp_path / "rookery.toml", "monitor", "once", "--json")
    whole = 0
    for cycle in range(CYCLES):
        process = start(*words, cwd=tmp_path)
        time.sleep(STARTS_SECONDS + chance.random() * 0.5)
        process.kill()
        process.communicate()
        whole += process.returncode == 0
        found = rows(tmp_path, "SELECT room_id, count(*) FROM alerts GROUP BY room_id")
        assert all(count == 1 for _, count in found), f"seed {seed}, cycle {cycle}"
        closed = rows(tmp_path, "SELECT id FROM rooms WHERE state = 'readonly' ORDER BY id")
        assert closed == sorted((room_id,) for room_id, _ in found), f"seed {seed}, cycle {cycle}"
    assert run(*words, cwd=tmp_path).json["levels"]["full"] == ROOMS
    assert rows(tmp_path, "SELECT count(*) FROM alerts") == [(ROOMS,)]
    assert rows(tmp_path, "SELECT count(*) FROM alert_tellings WHERE told_at IS NULL") == [(0,)]

"""kill -9 while history moves and segments are rewritten: each message in one place, each told as it was said."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shard.archive import manifest
from shard.rows import Message
from tests.router.serving import PROJECT
from tests.shard import twins
from tests.shard.stage import OWNER
from tests.shard.twins import DAY_MS, Side, every, placed

KILLS = int(os.environ.get("ROOKERY_CRASH_CYCLES", "6"))
PER_CYCLE = 150
SECONDS_MAX = 60


@pytest.mark.crash
async def test_no_kill_loses_or_doubles_a_message(tmp_path: Path) -> None:
    """After any number of kills at random moments, all that was said and not deleted is told, once and in order."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    said: list[Message] = []
    deleted = moved = 0
    for cycle in range(KILLS):
        async with twins.side(tmp_path, is_new=not cycle, now_ms=_now(cycle)) as side:
            said += [await _say(side, number) for number in range(PER_CYCLE)]
            for _ in range(min(3, len(said) - PER_CYCLE)):
                gone = said.pop(chance.randrange(len(said) - PER_CYCLE))
                await side.history.delete_message(
                    side.room.id, OWNER, side.room.general, gone.id, reason=None, now_ms=side.stage.now_ms
                )
                deleted += 1
        _archive_until_killed(tmp_path, _now(cycle + 1), after=chance.uniform(0, 0.3))
        async with twins.side(tmp_path, is_new=False, now_ms=_now(cycle + 1)) as side:
            assert await every(side) == said, f"seed {seed}, cycle {cycle}"
            assert await placed(side) == [message.id for message in said], f"seed {seed}, cycle {cycle}"
    moved = int(_archive(tmp_path, _now(KILLS)).split()[-2])
    async with twins.side(tmp_path, is_new=False, now_ms=_now(KILLS)) as side:
        assert await every(side) == said
        named = [row.object_key for row in await twins.segments(side)]
        assert set(named[: manifest.PAGE_MAX]) <= set(await side.store.list("archive/"))
    print(f"{KILLS} kills, {len(said)} messages, {deleted} deleted, {moved} moved at last")


def _now(cycle: int) -> int:
    return 1_750_000_000_000 + cycle * 40 * DAY_MS


async def _say(side: Side, number: int) -> Message:
    side.stage.now_ms += 1_000
    return (await side.stage.send(side.room, f"message {number} of the rooks")).message


def _start(folder: Path, now_ms: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.crash.archiving_process", str(folder), "1", str(now_ms)]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _archive_until_killed(folder: Path, now_ms: int, *, after: float) -> None:
    process = _start(folder, now_ms)
    time.sleep(after)
    process.kill()
    process.communicate()


def _archive(folder: Path, now_ms: int) -> str:
    out, _ = _start(folder, now_ms).communicate(timeout=SECONDS_MAX)
    return out

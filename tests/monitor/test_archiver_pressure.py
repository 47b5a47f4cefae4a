"""Rooms that are nearly full, by whichever limit: the archive makes space in them first, also by the command."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ids import RoomId
from monitor import archive_schedule
from monitor.archive_schedule import ArchiveSchedule, Limits
from monitor.archiver import Archiver
from objects import disk
from rookery import composition
from shard.actions import messages
from shard.archive.retention import Policy
from shard.archive.segment_cache import SegmentCache
from shard.engine import maintenance
from shard.engine.space import Limit
from shard.tables.messages import Draft
from tests.monitor.fleets import LIMIT_BYTES, NOW_MS, Fleet, fleet_in
from tests.rookery.terminal import invoke
from tests.shard import twins
from tests.shard.twins import DAY_MS


@dataclass(frozen=True, slots=True)
class Pressed:
    """A fleet and the archive's rounds over it, 40 days after anybody spoke."""

    fleet: Fleet
    rounds: ArchiveSchedule

    async def moved(self) -> dict[RoomId, int]:
        """Go round once, and return how many messages moved by room."""
        outcomes = await self.rounds.run()
        assert [outcome.error for outcome in outcomes if outcome.error] == []
        return {outcome.room_id: outcome.messages_moved for outcome in outcomes}


@pytest.fixture
async def pressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pressed]:
    """Open a fleet in which no policy moves anything."""
    twins.shrink(monkeypatch, most=50, step=20)
    async with fleet_in(tmp_path) as fleet:
        store = disk.open_store(tmp_path / "objects")
        cache = SegmentCache(store, tmp_path / "cache", bytes_max=1 << 30)
        archiver = Archiver(
            fleet.stores.pool, store, cache, fleet.folder, tmp_path / "work", Policy(), lambda: NOW_MS + 40 * DAY_MS
        )
        yield Pressed(fleet, ArchiveSchedule(fleet.stores.directory, archiver, Limits(LIMIT_BYTES, 90)))
        await cache.close()
        await store.close()


async def test_a_room_with_a_limit_of_its_own_is_pressed_by_that(pressed: Pressed) -> None:
    """What is not much of the usual limit is enough where the room's own is smaller, and the other way round."""
    fleet = pressed.fleet
    usual, small, large = [await fleet.found(name) for name in ("usual", "small", "large")]
    fleet.stores.pool.limit({large: Limit(10 * LIMIT_BYTES)})
    await fleet.limit(small, 1_100_000)
    await fleet.limit(large, 10 * LIMIT_BYTES)
    for room_id, percent in ((usual, 60), (small, 60), (large, 95)):
        await fleet.fill(room_id, percent)
    assert [*await pressed.moved()] == [small]


async def test_full_rooms_do_not_wait_for_their_turn(pressed: Pressed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A room that is full is emptied in the next round, however many rooms come before it, and takes messages again."""
    monkeypatch.setattr(archive_schedule, "ROOMS_PER_ROUND", 1)
    fleet = pressed.fleet
    *_, full = [await fleet.found(name) for name in ("one", "two", "three")]
    await fleet.fill(full, 100)
    await fleet.walk.run()
    assert (await fleet.shard(full)).state == "readonly"
    assert [*await pressed.moved()] == [full]
    await fleet.walk.run()
    assert ((await fleet.shard(full)).level, (await fleet.shard(full)).state) == ("ok", "active")


async def test_the_command_empties_a_room_that_is_larger_than_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A room that may be larger than others, and is, is archived by the command as by the server."""
    twins.shrink(monkeypatch, most=1_000, step=20)
    monkeypatch.setattr(composition, "now_ms", lambda: NOW_MS + 40 * DAY_MS)
    async with fleet_in(tmp_path) as fleet:
        large = await fleet.found("large")
        await fleet.limit(large, 10 * LIMIT_BYTES)
        fleet.stores.pool.limit({large: Limit(10 * LIMIT_BYTES)})
        for number in range(800):
            draft = Draft("x" * 4_000, nonce=f"n{number}")
            place = (fleet.owner_id, fleet.channels[large])
            await fleet.stores.pool.write(large, messages.send_message, *place, draft, now_ms=NOW_MS)
        while (await fleet.stores.pool.write(large, maintenance.give_back, 1_000)).left:
            pass
    done = invoke("--config", tmp_path / "rookery.toml", "archive", "run", "large", "--now", "--json")
    assert (done.json[0]["error"], done.code) == (None, 0)
    assert done.json[0]["messages_moved"] > 100

"""The size walk: what changed is measured and nothing else, and a level changes once, whatever happens meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from database.errors import StorageFullError
from directory import rooms, shards, sizes
from directory.sizes import DAY_MS, HOUR_MS, Measurement
from ids import RoomId
from monitor import sizes as walks
from shard import inspections
from shard.engine.space import Limit
from shard.errors import ShardFullError
from tests.monitor.fleets import LIMIT_BYTES, NOW_MS, Fleet, fleet_in


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet_in(tmp_path) as made:
        yield made


def opened(monkeypatch: pytest.MonkeyPatch) -> list[RoomId]:
    """Return the list of rooms whose shards the walks open from now on."""
    seen: list[RoomId] = []
    survey = inspections.survey

    def noting(folder: Path, room_id: RoomId, migrations: object) -> object:
        seen.append(room_id)
        return survey(folder, room_id, migrations)  # type: ignore[arg-type]

    monkeypatch.setattr(inspections, "survey", noting)
    return seen


async def test_a_walk_measures_what_a_shard_says(fleet: Fleet) -> None:
    """Pages, free pages, log, messages and the last event are in the registry as the shard itself has them."""
    room_id = await fleet.found("den")
    await fleet.say(room_id, count=5)
    tally = await fleet.walk.run()
    assert (tally.walked, tally.measured, tally.alerts) == (1, 1, 0)
    shard = await fleet.shard(room_id)
    truth = await fleet.stores.pool.read(room_id, inspections.measure, fleet.folder)
    assert shard.size_bytes == truth.size_bytes > 100_000
    assert (shard.freelist_bytes, shard.wal_bytes) == (truth.freelist_bytes, truth.wal_bytes)
    assert shard.wal_bytes > 0
    assert (shard.message_count, shard.last_seq) == (5, truth.last_seq)
    assert (shard.level, shard.checked_at) == ("ok", NOW_MS)
    async with fleet.stores.directory.database.read() as reader:
        assert (await rooms.find(reader, room_id)).message_count == 5


async def test_a_shard_that_did_not_change_is_not_opened(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second walk opens the one shard of three that was written to in between."""
    made = [await fleet.found(name) for name in ("one", "two", "three")]
    await fleet.walk.run()
    seen = opened(monkeypatch)
    await fleet.walk.run()
    assert seen == []
    await fleet.say(made[1])
    assert (await fleet.walk.run()).measured == 1
    assert seen == [made[1]]


async def test_what_was_written_just_now_is_measured_again(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may be written to without looking different is measured once more, and then rests."""
    room_id = await fleet.found("den")
    fleet.clock.now_ms = time.time_ns() // 1_000_000
    await fleet.walk.run()
    assert (await fleet.shard(room_id)).seen_as is None
    seen = opened(monkeypatch)
    fleet.clock.now_ms += 10_000
    for _ in range(3):
        await fleet.walk.run()
    assert seen == [room_id]


async def test_a_full_room_is_closed_and_opens_again(fleet: Fleet) -> None:
    """At its limit a room becomes read-only for being full, and with more space it takes messages again by itself."""
    room_id = await fleet.found("den")
    other = await fleet.found("other")
    await fleet.fill(room_id, 100)
    await fleet.walk.run()
    async with fleet.stores.directory.database.read() as reader:
        address = await rooms.find_address(reader, room_id)
        assert address is not None
        assert (address.state, address.readonly_reason) == ("readonly", "full")
        assert (await rooms.find(reader, other)).state == "active"
    assert (await fleet.shard(room_id)).level == "full"
    await fleet.limit(room_id, 10 * LIMIT_BYTES)
    await fleet.walk.run()
    async with fleet.stores.directory.database.read() as reader:
        address = await rooms.find_address(reader, room_id)
        assert address is not None
        assert (address.state, address.readonly_reason) == ("active", None)
    found = [(alert.room_id, alert.previous, alert.level) for alert in await fleet.alerts()]
    assert found == [(room_id, "ok", "full"), (room_id, "full", "ok")]


async def test_what_an_operator_closed_stays_closed(fleet: Fleet) -> None:
    """A walk opens no room that was closed for another reason."""
    room_id = await fleet.found("den")
    async with fleet.stores.directory.database.write() as writer:
        await writer.execute(
            "UPDATE rooms SET state = 'readonly', readonly_reason = 'operator' WHERE id = ?", (room_id,)
        )
    await fleet.walk.run()
    async with fleet.stores.directory.database.read() as reader:
        address = await rooms.find_address(reader, room_id)
    assert address is not None
    assert (address.state, address.readonly_reason) == ("readonly", "operator")


async def test_a_limit_of_the_settings_that_changed_is_noticed_without_opening(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards that did not change are judged by the limit that holds now."""
    room_id = await fleet.found("den")
    await fleet.walk.run()
    walk = fleet.walk
    lower = fleet.settings.shards.model_copy(update={"size_limit_bytes": (await fleet.shard(room_id)).used_bytes})
    monkeypatch.setattr(walk, "_binding", lower)
    assert (await walk.run()).alerts == 1
    assert (await fleet.shard(room_id)).level == "full"


async def test_two_walks_at_once_alert_once(fleet: Fleet) -> None:
    """Walks side by side, which both measure the shard before either writes, leave one alert for one change."""
    room_id = await fleet.found("den")
    await fleet.fill(room_id, 96)
    await asyncio.gather(*(fleet.walk.run() for _ in range(5)))
    found = [(alert.previous, alert.level) for alert in await fleet.alerts()]
    assert found == [("ok", (await fleet.shard(room_id)).level)]


async def test_walks_that_judge_by_what_they_read_first_alert_twice(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant that judges by the level read before measuring, not in the transaction, doubles the alert."""
    room_id = await fleet.found("den")
    await fleet.fill(room_id, 96)
    first = await fleet.shard(room_id)

    async def stale(_reader: object, _ids: object) -> dict[RoomId, shards.Shard]:
        return {room_id: first}

    monkeypatch.setattr(shards, "of_rooms", stale)
    await asyncio.gather(*(fleet.walk.run() for _ in range(2)))
    assert len(await fleet.alerts()) == 2


async def test_a_walk_that_is_cut_short_is_finished_by_the_next(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended in its middle, a walk leaves whole batches; the next measures the others, and nobody is alerted twice."""
    made = [await fleet.found(f"room-{number}") for number in range(5)]
    for room_id in made:
        await fleet.limit(room_id, 2**20)
        await fleet.fill(room_id, 60)
    monkeypatch.setattr(walks, "BATCH", 2)
    walk, keep, batches = fleet.walk, fleet.walk._record, 0

    async def dying(*args: object) -> None:
        nonlocal batches
        batches += 1
        if batches == 2:
            raise KeyboardInterrupt
        await keep(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(walk, "_record", dying)
    with pytest.raises(KeyboardInterrupt):
        await walk.run()
    assert len(await fleet.alerts()) == 2
    seen = opened(monkeypatch)
    await fleet.walk.run()
    assert seen == made[2:]
    assert sorted(alert.room_id or 0 for alert in await fleet.alerts()) == made


async def test_a_full_disk_loses_nothing(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written down is raised, and done by the next walk."""
    room_id = await fleet.found("den")
    await fleet.fill(room_id, 96)

    async def full(*_args: object) -> None:
        raise StorageFullError("directory")

    with monkeypatch.context() as patch:
        patch.setattr(sizes, "record", full)
        with pytest.raises(StorageFullError):
            await fleet.walk.run()
    assert await fleet.alerts() == []
    assert (await fleet.shard(room_id)).checked_at is None
    assert (await fleet.walk.run()).alerts == 1


async def test_a_clock_that_goes_back_stops_nothing(fleet: Fleet) -> None:
    """After the clock went back a day, what changes is measured at once, told, and kept beside what was before."""
    room_id = await fleet.found("den")
    await fleet.walk.run()
    fleet.clock.now_ms -= DAY_MS
    await fleet.fill(room_id, 96)
    assert (await fleet.walk.run()).alerts == 1
    shard = await fleet.shard(room_id)
    assert (shard.checked_at, shard.level != "ok") == (NOW_MS - DAY_MS, True)
    async with fleet.stores.directory.database.read() as reader:
        assert len(await sizes.history(reader, room_id, since_ms=0)) == 2


async def test_broken_shards_are_told_once_and_stop_nobody(fleet: Fleet) -> None:
    """A shard that was moved away and one that is damaged are told once each, the others are measured, and it is told
    when a shard is back."""
    moved, damaged, sound = [await fleet.found(name) for name in ("moved", "damaged", "sound")]
    await fleet.close_shards()
    (fleet.folder / f"{moved}.db").rename(fleet.folder / "away")
    (fleet.folder / f"{damaged}.db").write_bytes(b"rust" * 10_000)
    for _ in range(3):
        tally = await fleet.walk.run()
        assert tally.walked == 3
    assert (await fleet.shard(sound)).checked_at == NOW_MS
    found = {alert.room_id: alert.reason for alert in await fleet.alerts()}
    assert len(await fleet.alerts()) == 2
    assert found[moved] == walks.MISSING
    assert "not a database" in str(found[damaged])
    (fleet.folder / "away").rename(fleet.folder / f"{moved}.db")
    await fleet.walk.run()
    last = (await fleet.alerts())[-1]
    assert (last.room_id, last.kind, last.level, last.previous) == (moved, "damage", "ok", "critical")
    assert (await fleet.shard(moved)).problem is None


async def test_a_folder_that_is_gone_is_one_problem(fleet: Fleet) -> None:
    """When the disk of all shards is not mounted, no room is told to be broken."""
    await fleet.found("den")
    await fleet.close_shards()
    fleet.folder.rename(fleet.folder.with_name("away"))
    with pytest.raises(FileNotFoundError):
        await fleet.walk.run()
    assert await fleet.alerts() == []
    fleet.folder.with_name("away").rename(fleet.folder)


async def test_many_broken_shards_are_told_together(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound, shards that break at once are counted and not told one by one."""
    monkeypatch.setattr(walks, "PROBLEMS_MAX", 2)
    for number in range(4):
        await fleet.found(f"room-{number}")
    await fleet.close_shards()
    for path in fleet.folder.glob("*.db"):
        path.unlink()
    tally = await fleet.walk.run()
    assert (len(tally.problems), tally.unreported, len(await fleet.alerts())) == (4, 2, 2)


async def test_the_forecast_is_kept_with_the_measurement(fleet: Fleet) -> None:
    """A shard that grows is given a day on which it will be full, which it loses when it stands still."""
    room_id = await fleet.found("den")
    for _ in range(3):
        await fleet.say(room_id, count=20, length=4_000)
        await fleet.walk.run()
        fleet.clock.now_ms += DAY_MS
    full_at = (await fleet.shard(room_id)).full_at
    assert full_at is not None
    assert fleet.clock.now_ms < full_at < fleet.clock.now_ms + 100 * DAY_MS
    fleet.clock.now_ms += 100 * DAY_MS
    await fleet.walk.run()
    assert (await fleet.shard(room_id)).full_at is None


async def test_the_history_keeps_hours_of_a_week_and_days_of_a_year(fleet: Fleet) -> None:
    """Measurements of one hour are one row, of older days the last is left, and after a year nothing."""
    room_id = await fleet.found("den")
    begin = NOW_MS - NOW_MS % DAY_MS

    async def keep(at_ms: int, size: int) -> None:
        async with fleet.stores.directory.database.write() as writer:
            await sizes.record(writer, [Measurement(room_id, 1, size, 0, 0, 0, 0, at_ms)])

    for hour in range(48):
        await keep(begin + hour * HOUR_MS, hour)
        await keep(begin + hour * HOUR_MS + 5, 100 + hour)

    async def kept(now_ms: int) -> list[int]:
        async with fleet.stores.directory.database.write() as writer:
            await sizes.thin(writer, now_ms=now_ms)
            return [size for _, size in await sizes.history(writer, room_id, since_ms=0)]

    assert await kept(begin + 6 * DAY_MS) == [100 + hour for hour in reversed(range(48))]
    assert await kept(begin + 8 * DAY_MS) == [*(100 + hour for hour in reversed(range(24, 48))), 123]
    assert await kept(begin + 9 * DAY_MS) == [147, 123]
    assert await kept(begin + 500 * DAY_MS) == []


async def test_a_shard_may_outgrow_its_limit_by_a_little_and_no_more(fleet: Fleet) -> None:
    """Between two walks SQLite itself stops a shard a little above its limit, and one with a limit of its own there."""
    room_id = await fleet.found("den")
    with pytest.raises(ShardFullError):
        await fleet.say(room_id, count=2_000, length=7_000)
    shard = await fleet.walk.measure(room_id)
    assert LIMIT_BYTES < shard.size_bytes <= LIMIT_BYTES * 105 // 100
    fleet.stores.pool.limit({room_id: Limit(2 * LIMIT_BYTES)})
    await fleet.say(room_id, count=50, length=7_000)
    assert (await fleet.walk.measure(room_id)).size_bytes > LIMIT_BYTES * 105 // 100
    fleet.stores.pool.limit({})
    with pytest.raises(ShardFullError):
        await fleet.say(room_id, count=50, length=7_000)

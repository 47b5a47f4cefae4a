"""Rounds: one monitor at a time, whenever a cron expression fires, whatever the clock does or a round meets."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from database import inspections
from database.errors import StorageFullError
from directory import alerts
from directory.database import Reader
from monitor.alert_delivery import AlertDelivery, LogChannel
from monitor.directory_check import EVERY_MS
from monitor.lock import Lock
from monitor.maintenance import Maintenance
from monitor.rounds import MINUTE_MS, Rounds, judge_directory
from monitor.sizes import Tally
from tests.monitor.fleets import NOW_MS, Fleet, fleet_in


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet_in(tmp_path) as made:
        yield made


def rounds_of(fleet: Fleet) -> Rounds:
    directory = fleet.stores.directory
    delivery = AlertDelivery(directory, {"log": LogChannel()}, fleet.clock)
    lock = Lock(fleet.folder.parent / "monitor.lock", fleet.folder)
    other = Lock(lock.path.with_name("maintenance.lock"), fleet.folder)
    maintenance = Maintenance(directory, fleet.integrity_check, fleet.optimizer, other, fleet.clock)
    return Rounds(
        directory, fleet.settings.directory, fleet.walk, delivery, maintenance, fleet.directory_check, lock, fleet.clock
    )


async def test_a_round_measures_tells_and_counts(fleet: Fleet) -> None:
    """A round leaves every room measured and every alert told, and knows how the fleet is."""
    await fleet.found("small")
    large = await fleet.found("large")
    await fleet.fill(large, 85)
    rounds = rounds_of(fleet)
    done = await rounds.run_round()
    assert done is not None
    assert (done.tally.measured, done.tally.alerts, done.delivered) == (2, 1, 1)
    assert done.summary.by_level == {"ok": 1, "warn": 1}
    assert (rounds.stats.open_alerts, rounds.stats.last) == (1, done)


async def test_one_monitor_goes_round_at_a_time(fleet: Fleet) -> None:
    """While one monitor goes round another one does not, and can when the first is done or dead."""
    rounds = rounds_of(fleet)
    with rounds._lock.acquire() as is_mine:
        assert is_mine
        assert await rounds.run_round() is None
    assert await rounds.run_round() is not None
    assert rounds.stats.skipped == 1


async def test_a_removed_lock_file_lets_no_second_monitor_in(fleet: Fleet) -> None:
    """A lock whose file is removed stays held, by whichever process and beside the other lock, and is free again when
    its holder is done."""
    rounds, path = rounds_of(fleet), fleet.folder.parent / "monitor.lock"
    tending = Lock(path.with_name("maintenance.lock"), fleet.folder)
    assert await rounds.run_round() is not None
    assert await rounds.maintain(Tally()) is not None
    with rounds._lock.acquire() as is_mine, tending.acquire() as is_mine_too:
        assert (is_mine, is_mine_too) == (True, True)
        path.unlink()
        assert await rounds.run_round() is None
    assert await rounds.run_round() is not None


async def run_through(
    monkeypatch: pytest.MonkeyPatch, fleet: Fleet, minutes: Iterator[int], *, faults: int = 0
) -> list[int]:
    """Have the clock show these minutes, one for each time that the loop wakes, and return when it went round."""
    went: list[int] = []
    rounds = rounds_of(fleet)

    async def run_round() -> None:
        went.append(fleet.clock.now_ms // MINUTE_MS)
        if len(went) <= faults:
            raise StorageFullError("directory")

    async def sleep(seconds: float) -> None:
        assert 0 < seconds <= 61
        try:
            fleet.clock.now_ms = next(minutes) * MINUTE_MS + 50
        except StopIteration:
            raise asyncio.CancelledError from None

    monkeypatch.setattr(rounds, "run_round", run_round)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await rounds.run(["*/5 * * * *"])
    assert rounds.stats.failed == faults
    return went


START = NOW_MS // MINUTE_MS // 5 * 5


async def test_rounds_begin_when_the_expression_fires(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fifth minute has one round, also where the loop wakes twice in it, and one that fails does not end it."""
    fleet.clock.now_ms = START * MINUTE_MS
    minutes = iter([START + 1, START + 4, START + 5, START + 5, START + 6, START + 10])
    assert await run_through(monkeypatch, fleet, minutes, faults=1) == [START + 5, START + 10]


async def test_a_clock_that_goes_back_a_day_stops_no_rounds(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day earlier by the clock, rounds begin at their minutes there and then."""
    fleet.clock.now_ms = START * MINUTE_MS
    back = START - 1_440
    minutes = iter([START + 5, back + 6, back + 9, back + 10, back + 15])
    assert await run_through(monkeypatch, fleet, minutes) == [START + 5, back + 10, back + 15]


async def test_the_directory_is_judged_too(fleet: Fleet) -> None:
    """The directory's own size raises an alert when it reaches a level, and none while it stays there."""
    directory, binding = fleet.stores.directory, fleet.settings.directory
    assert await judge_directory(directory, binding, ("log",), NOW_MS) == 0
    small = binding.model_copy(update={"size_limit_bytes": 1_000})
    assert [await judge_directory(directory, small, ("log",), NOW_MS) for _ in range(2)] == [1, 0]
    assert await judge_directory(directory, binding, ("log",), NOW_MS) == 1
    assert [(alert.room_id, alert.level) for alert in await fleet.alerts()] == [(None, "full"), (None, "ok")]


async def test_the_directory_is_checked_once_a_day(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pages and references are looked at after a round; damage is one alert, and another one when it is gone."""
    check = fleet.directory_check
    assert (await check.run(), await check.run()) == ((), None)
    with monkeypatch.context() as patched:
        patched.setattr(inspections, "problems", damaged)
        for _ in range(2):
            fleet.clock.now_ms += EVERY_MS
            assert await check.run() == ("a page is gone",)
    (alert,) = await fleet.alerts()
    assert (alert.room_id, alert.kind, alert.level) == (None, "damage", "critical")
    fleet.clock.now_ms += EVERY_MS
    assert await check.run() == ()
    assert [alert.level for alert in await fleet.alerts()] == ["critical", "ok"]
    async with fleet.stores.directory.database.read() as reader:
        assert await alerts.count_open(reader) == 0


async def damaged(_reader: Reader) -> list[str]:
    return ["a page is gone"]

"""One poisoned item in each kind of work: it is set aside by name, and every other item is handled."""

import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from directory import alerts, failures
from directory.alerts import Alert, Change
from directory.failures import FIRST_RETRY_MS, RETRY_MS_MAX, Failure
from ids import RoomId
from migrations import engine
from monitor import archive_schedule, doctor, migrator
from monitor.alert_delivery import AlertDelivery
from monitor.archive_schedule import ArchiveSchedule, Limits
from monitor.archiver import Archiver
from monitor.isolation import Isolation
from monitor.lock import Lock
from monitor.maintenance import Maintenance
from monitor.rounds import Rounds
from monitor.sizes import Tally
from objects import disk
from objects.store import Store
from rookery import composition
from rookery.server import application
from shard import inspections
from shard.archive import manifest, segment_files
from shard.archive.retention import Policy
from shard.archive.segment_cache import SegmentCache
from shard.engine.connections import Writer
from tests.monitor.fleets import LIMIT_BYTES, NOW_MS, Fleet, fleet_in
from tests.shard import twins
from tests.shard.twins import DAY_MS

POISON = "the poisoned one"


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet_in(tmp_path) as made:
        yield made


async def set_aside(fleet: Fleet) -> list[Failure]:
    async with fleet.stores.directory.database.read() as reader:
        return await failures.list_all(reader)


def fail(*_arguments: object) -> None:
    raise AttributeError(POISON)


def poisoned(real: Callable[..., Any], is_poison: Callable[..., bool]) -> Callable[..., Any]:
    """Return a function that raises what nobody expects for some arguments."""

    def act(*arguments: Any, **options: Any) -> Any:
        if is_poison(*arguments):
            raise AttributeError(POISON)
        return real(*arguments, **options)

    return act


async def test_pauses_double_and_end_with_the_first_success(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """A failing item waits twice as long each time, a day at most, also over a restart; a success ends it."""
    database = fleet.stores.directory
    now_ms = NOW_MS
    pauses: list[int] = []
    for _ in range(11):
        isolation = Isolation(database)
        assert not await isolation.waits("work", 7, now_ms=now_ms)
        async with isolation.guarded("work", 7, RoomId(7), now_ms=now_ms):
            fail()
        assert await isolation.waits("work", 7, now_ms=now_ms)
        assert not await isolation.waits("work", 8, now_ms=now_ms)
        assert not await isolation.waits("other work", 7, now_ms=now_ms)
        (failure,) = await set_aside(fleet)
        pauses.append(failure.next_try_at - now_ms)
        now_ms = failure.next_try_at
    assert pauses == [min(FIRST_RETRY_MS << number, RETRY_MS_MAX) for number in range(11)]
    (failure,) = await set_aside(fleet)
    assert (failure.tries, failure.failed_at, failure.room_id) == (11, NOW_MS, 7)
    assert failure.reason == f"unexpected: AttributeError: {POISON}"
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(logged) == 11
    assert all(record.exc_info and vars(record)["item"] == "7" for record in logged)
    async with Isolation(database).guarded("work", 7, RoomId(7), now_ms=now_ms):
        pass
    assert await set_aside(fleet) == []


async def archiver_over(fleet: Fleet, folder: Path, store: Store) -> tuple[Archiver, SegmentCache]:
    cache = SegmentCache(store, folder / "cache", bytes_max=1 << 30)
    policy, clock = Policy(archive_after_days=30), fleet.clock
    return Archiver(fleet.stores.pool, store, cache, fleet.folder, folder / "work", policy, clock), cache


@pytest.fixture
async def archiving(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Archiver]:
    """Return an archiver of three rooms with twenty old messages each, of which fifteen may move."""
    twins.shrink(monkeypatch)
    store = disk.open_store(tmp_path / "objects")
    archiver, cache = await archiver_over(fleet, tmp_path, store)
    for name in ("one", "two", "three"):
        await fleet.say(await fleet.found(name), count=20)
    fleet.clock.now_ms += 40 * DAY_MS
    yield archiver
    await cache.close()
    await store.close()


async def test_a_room_that_cannot_be_archived_holds_up_no_other(
    fleet: Fleet, archiving: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rooms behind it in the same round are archived; it is named, left alone for a time, and archived later."""
    first, *others = sorted(fleet.channels)
    rounds = ArchiveSchedule(fleet.stores.directory, archiving, Limits(LIMIT_BYTES * 100, 90))
    with monkeypatch.context() as patched:
        build = poisoned(segment_files.build, lambda _live, _folder, room_id, *_rest: room_id == first)
        patched.setattr(segment_files, "build", build)
        moved = {one.room_id: (one.messages_moved, one.error) for one in await rounds.run()}
        assert moved == {first: (0, archive_schedule.UNEXPECTED), **dict.fromkeys(others, (15, None))}
        (failure,) = await set_aside(fleet)
        assert (failure.work, failure.item, failure.room_id) == ("archive", str(first), first)
        async with fleet.stores.directory.database.read() as reader:
            (finding,) = await doctor.check_failures(reader)
        assert finding.room_id == first
        assert POISON in finding.problem
    assert await rounds.run() == []
    fleet.clock.now_ms += FIRST_RETRY_MS
    assert [(one.room_id, one.messages_moved) for one in await rounds.run()] == [(first, 15)]
    assert await set_aside(fleet) == []


async def test_a_part_of_a_room_that_cannot_be_archived_holds_up_no_other_part(
    fleet: Fleet, archiving: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no segment can be built, deleted messages leave their objects and objects that are not needed go."""
    room_id = min(fleet.channels)
    pool = fleet.stores.pool
    assert (await archiving.visit(room_id)).messages_moved == 15
    await fleet.say(room_id, count=20)
    fleet.clock.now_ms += 4_000 * DAY_MS
    await pool.write(room_id, hide_one)
    build = poisoned(segment_files.build, lambda *_arguments: True)
    monkeypatch.setattr(segment_files, "build", build)
    before = set(await archiving.store.list("archive/"))
    with pytest.raises(AttributeError, match=POISON):
        await archiving.visit(room_id)
    after = set(await archiving.store.list("archive/"))
    assert len(before - after) == len(after - before) == 1, "the segment was rewritten, and its old object is gone"


def hide_one(writer: Writer) -> None:
    """Hide one message of the first segment, as its deletion does."""
    found = writer.one("SELECT min(id) FROM segments")
    assert found is not None
    segment = manifest.one(writer, found[0])
    assert segment is not None
    manifest.hide(writer, segment.id, [segment.first_id])


async def test_a_sweep_of_objects_passes_by_a_room_that_fails(
    fleet: Fleet, archiving: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects that no room names go in every room but the one in which looking for them fails."""
    first, *others = sorted(fleet.channels)
    for room_id in (first, *others):
        await archiving.store.put(f"archive/{room_id}/1/1-{'0' * 32}", b"x", twins.content_of(b"x"))
    fleet.clock.now_ms = (
        2 * archive_schedule.ORPHAN_MS + (await archiving.store.head(f"archive/{first}/1/1-{'0' * 32}")).stored_at
    )
    rounds = ArchiveSchedule(fleet.stores.directory, archiving, Limits(LIMIT_BYTES, 90))
    locked = poisoned(Archiver.locked, lambda _archiver, room_id: room_id == first)
    monkeypatch.setattr(Archiver, "locked", locked)
    assert await rounds.remove_orphans() == 2
    assert await archiving.store.list("archive/") == [f"archive/{first}/1/1-{'0' * 32}"]


async def test_a_shard_that_cannot_be_measured_is_alerted_alone(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round measures every other room, raises an alert for that one, and takes it back once it can be measured."""
    first, second = [await fleet.found(name) for name in ("one", "two")]
    with monkeypatch.context() as patched:
        survey = poisoned(inspections.survey, lambda _folder, room_id, *_rest: room_id == first)
        patched.setattr(inspections, "survey", survey)
        tally = await fleet.walk.run()
    assert (tally.measured, [room_id for room_id, _ in tally.problems]) == (1, [first])
    assert (await fleet.shard(second)).problem is None
    assert (await fleet.walk.run()).measured == 1
    assert [(one.room_id, one.level) for one in await fleet.alerts()] == [(first, "critical"), (first, "ok")]


async def test_a_size_that_cannot_be_judged_leaves_the_batch_whole(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other shards of the same transaction are written down, and that one is measured again."""
    first, _second = [await fleet.found(name) for name in ("one", "two")]
    walk = type(fleet.walk)
    with monkeypatch.context() as patched:
        real = walk._judge

        async def judge(self: Any, writer: Any, shard: Any, *rest: Any) -> Any:
            if shard.room_id == first:
                raise OverflowError(POISON)
            return await real(self, writer, shard, *rest)

        patched.setattr(walk, "_judge", judge)
        tally = await fleet.walk.run()
    assert (tally.measured, tally.busy) == (1, 1)
    assert (await fleet.walk.run()).measured == 1


async def test_a_walk_that_fails_holds_back_no_alert(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alerts that wait are delivered in a round whose walk fails."""
    ear = Ear()
    delivery = AlertDelivery(fleet.stores.directory, {"log": ear}, fleet.clock)
    maintenance = maintenance_of(fleet)
    lock = Lock(fleet.folder.parent / "monitor.lock", fleet.folder)
    rounds = Rounds(
        fleet.stores.directory, fleet.settings.directory, fleet.walk, delivery, maintenance, fleet.directory_check,
        lock, fleet.clock,
    )  # fmt: skip
    await raise_alerts(fleet, 1)
    monkeypatch.setattr(inspections, "survey", poisoned(inspections.survey, lambda *_arguments: True))
    monkeypatch.setattr(type(fleet.walk), "run", poisoned(type(fleet.walk).run, lambda *_arguments: True))
    with pytest.raises(AttributeError, match=POISON):
        await rounds.run_round()
    assert len(ear.heard) == 1


def maintenance_of(fleet: Fleet) -> Maintenance:
    lock = Lock(fleet.folder.parent / "maintenance.lock", fleet.folder)
    return Maintenance(fleet.stores.directory, fleet.integrity_check, fleet.optimizer, lock, fleet.clock)


async def test_maintenance_passes_by_a_room_that_fails(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other rooms are checked and optimized; the one that fails counts as checked, and is tried again later."""
    rooms = [await fleet.found(name) for name in ("one", "two", "three", "four")]
    first = rooms[0]
    checks, optimizes = type(fleet.integrity_check), type(fleet.optimizer)
    work = maintenance_of(fleet)
    with monkeypatch.context() as patched:
        for kind, name in ((checks, "check"), (optimizes, "optimize")):
            real = getattr(kind, name)
            patched.setattr(kind, name, poisoned(real, lambda _self, room_id, *_rest: room_id == first))
        done = await work.run(Tally(to_optimize=rooms))
        assert done is not None
        assert sorted(one.room_id for one in done.checked) == sorted(rooms[1:])
        assert sorted(done.optimized) == sorted(rooms[1:3])
        done = await work.run(Tally(to_optimize=rooms))
        assert done is not None
        assert sorted(done.optimized) == sorted(rooms[1:]), "one that waits takes nobody's place"
    assert [(one.work, one.room_id) for one in await set_aside(fleet)] == [("check", first), ("optimize", first)]
    assert (await fleet.shard(first)).examined_at is not None
    fleet.clock.now_ms += 4 * FIRST_RETRY_MS
    done = await work.run(Tally(to_optimize=[first]))
    assert done is not None
    assert [*done.optimized] == [first]
    assert await set_aside(fleet) == []


class Ear:
    """A channel that fails unexpectedly at one alert."""

    def __init__(self, poison: int = 0) -> None:
        self.poison = poison
        self.heard: list[int] = []

    async def deliver(self, alert: Alert) -> None:
        if alert.id == self.poison:
            raise AttributeError(POISON)
        self.heard.append(alert.id)


async def raise_alerts(fleet: Fleet, count: int) -> list[int]:
    async with fleet.stores.directory.database.write() as writer:
        change = Change(None, "size", "warn", "ok", 1_700_000, 2_000_000)
        await alerts.raise_all(writer, [change] * count, ("log",), now_ms=fleet.clock.now_ms)
    return [one.id for one in await fleet.alerts()]


async def test_an_alert_that_fails_delays_no_other(fleet: Fleet) -> None:
    """The alerts behind it are delivered in the same run, and it is tried again."""
    first, second, third = await raise_alerts(fleet, 3)
    ear = Ear(first)
    delivery = AlertDelivery(fleet.stores.directory, {"log": ear}, fleet.clock)
    assert await delivery.run() == 2
    assert ear.heard == [second, third]
    ear.poison = 0
    fleet.clock.now_ms += alerts.RETRY_MS_MAX
    assert await delivery.run() == 1


async def test_a_shard_whose_migration_fails_holds_up_no_other(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other shard is looked at, and migrated; the one that fails is named with the error."""
    first, second = [await fleet.found(name) for name in ("one", "two")]
    await fleet.close_shards()
    files = engine.load(composition.shard_migrations_folder(fleet.settings))
    pending = poisoned(inspections.pending, lambda _folder, room_id, *_rest: room_id == first)
    monkeypatch.setattr(inspections, "pending", pending)
    for walk in (migrator.list_pending(fleet.folder, files), migrator.migrate(fleet.folder, files, fleet.clock)):
        steps = {step.room_id: step.problem for step in walk}
        assert steps == {first: f"unexpected: AttributeError: {POISON}", second: None}


async def test_a_listener_that_fails_keeps_no_commit_from_the_others() -> None:
    """Every listener receives a commit, whichever of them fails."""
    received: list[RoomId] = []

    relay = application._Relay([fail, lambda room_id, _events: received.append(room_id)])
    relay.woken_listeners += [fail, received.append]
    relay.publish(RoomId(7), [])
    relay.announce_woken(RoomId(8))
    assert received == [7, 8]

"""Maintenance: shards are checked in turn, a damaged one goes into quarantine alone, and some are optimized."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from directory import shards
from ids import RoomId
from monitor import integrity, maintenance, optimizer
from monitor.integrity import Checked
from monitor.lock import Lock
from monitor.maintenance import Maintenance
from monitor.optimizer import OPTIMIZE_EVERY_MS, needs_optimizing
from monitor.sizes import Tally
from rookery.server.shard_limits import ShardLimits
from shard import inspections
from shard.engine.connections import Writer
from shard.errors import BrokenShardError, ShardBusyError
from sqlite import PAGE_BYTES
from tests.monitor.fleets import LIMIT_BYTES, NOW_MS, Fleet, fleet_in


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet_in(tmp_path) as made:
        yield made


def maintenance_of(fleet: Fleet, *, writes: bool = True) -> Maintenance:
    lock = Lock(fleet.folder.parent / "maintenance.lock", fleet.folder)
    directory, writing = fleet.stores.directory, fleet.optimizer if writes else None
    return Maintenance(directory, fleet.integrity_check, writing, lock, fleet.clock)


async def seen_by(fleet: Fleet) -> list[RoomId]:
    done = await maintenance_of(fleet).run(Tally())
    assert done is not None
    fleet.clock.now_ms += 1
    return [seen.room_id for seen in done.checked]


async def test_every_shard_has_its_turn(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at a time, five shards are looked through in three goes, and then the first ones again."""
    monkeypatch.setattr(maintenance, "CHECKED_PER_ROUND", 2)
    made = [await fleet.found(f"room-{number}") for number in range(5)]
    turns = [await seen_by(fleet) for _ in range(3)]
    assert sorted({*turns[0], *turns[1], *turns[2]}) == made
    assert turns[0][0] in turns[2] + await seen_by(fleet)


async def test_a_damaged_shard_is_closed_alone(fleet: Fleet) -> None:
    """The room of a damaged shard answers with the reason, others go on, and it is alerted once."""
    broken, sound = await fleet.found("broken"), await fleet.found("sound")
    await fleet.say(broken, count=50, length=1_000)
    await fleet.close_shards()
    fleet.damage(broken)
    terms = ShardLimits(fleet.stores, LIMIT_BYTES)
    for _ in range(2):
        await maintenance_of(fleet).run(Tally())
        await terms.refresh()
    with pytest.raises(BrokenShardError, match="in quarantine"):
        await fleet.say(broken)
    await fleet.say(sound)
    (alert,) = await fleet.alerts()
    assert (alert.room_id, alert.kind, alert.level) == (broken, "damage", "critical")
    assert (await fleet.shard(broken)).quarantined_at is not None
    assert (await fleet.walk.run()).measured == 1


async def test_an_index_that_does_not_match_is_damage_that_closes_nothing(fleet: Fleet) -> None:
    """A shard whose search index lacks a message is found, told once, and goes on until a check finds it sound."""
    room_id = await fleet.found("den")
    await fleet.say(room_id, count=3)

    def spoil(writer: Writer) -> None:
        writer.run(
            "INSERT INTO messages_fts (messages_fts, rowid, words) SELECT 'delete', id, content FROM messages LIMIT 1"
        )

    def rebuild(writer: Writer) -> None:
        writer.run("INSERT INTO messages_fts (messages_fts) VALUES ('rebuild')")

    await fleet.stores.pool.write(room_id, spoil)
    await fleet.integrity_check.check(room_id)
    seen = await fleet.integrity_check.check(room_id)
    assert (seen.problems, seen.is_quarantined) == (("its search index does not match its messages",), False)
    assert (await fleet.walk.run()).measured == 1
    assert (await fleet.shard(room_id)).damage == seen.problems[0]
    await fleet.say(room_id)
    assert [alert.level for alert in await fleet.alerts()] == ["critical"]
    await fleet.stores.pool.write(room_id, rebuild)
    assert (await fleet.integrity_check.check(room_id)).problems == ()
    assert [alert.level for alert in await fleet.alerts()] == ["critical", "ok"]
    assert (await fleet.shard(room_id)).damage is None


async def test_texts_that_cannot_be_read_are_found(fleet: Fleet) -> None:
    """Rows whose bytes are no text are counted by table, and what a request met is what the next round checks first."""
    other, room_id = await fleet.found("other"), await fleet.found("den")
    await fleet.say(room_id, count=3)

    def spoil(writer: Writer) -> None:
        writer.run("UPDATE messages SET search_text = 'x', content = CAST(x'61ff62' AS TEXT) WHERE id % 2 >= 0")
        writer.run("UPDATE room SET unindexed_until = unindexed_until")

    await fleet.integrity_check.check(room_id)
    await fleet.integrity_check.suspect(room_id, "a text in its file cannot be read")
    await fleet.integrity_check.suspect(room_id, "a text in its file cannot be read")
    assert [alert.room_id for alert in await fleet.alerts()] == [room_id]
    async with fleet.stores.directory.database.read() as reader:
        assert {shard.room_id for shard in await shards.least_examined(reader, limit=2)} == {other, room_id}
    await fleet.stores.pool.write(room_id, spoil)
    seen = await fleet.integrity_check.check(room_id)
    assert (seen.problems, seen.is_quarantined) == (("3 rows of messages cannot be read as text",), False)


async def test_a_shard_that_was_replaced_is_let_out(fleet: Fleet) -> None:
    """With a sound file in its place a room comes out of quarantine by the next round, and it is told."""
    room_id = await fleet.found("den")
    await fleet.say(room_id, count=50, length=1_000)
    await fleet.close_shards()
    path = fleet.folder / f"{room_id}.db"
    shutil.copy(path, fleet.folder.parent / "backup")
    fleet.damage(room_id)
    await fleet.integrity_check.check(room_id)
    assert (await fleet.walk.run()).replaced == []
    path.unlink()
    shutil.copy(fleet.folder.parent / "backup", path)
    tally = await fleet.walk.run()
    assert tally.replaced == [room_id]
    terms = ShardLimits(fleet.stores, LIMIT_BYTES)
    await terms.refresh()
    await maintenance_of(fleet).run(tally)
    await terms.refresh()
    await fleet.say(room_id)
    assert [alert.level for alert in await fleet.alerts()] == ["critical", "ok"]
    assert (await fleet.shard(room_id)).problem is None


async def test_an_operator_lets_a_shard_out(fleet: Fleet) -> None:
    """A broken shard stays closed when an operator asks, and opens when they insist."""
    room_id = await fleet.found("den")
    await fleet.say(room_id, count=50, length=1_000)
    await fleet.close_shards()
    fleet.damage(room_id)
    await fleet.integrity_check.check(room_id)
    seen = await fleet.integrity_check.release(room_id, force=False, by=None)
    assert isinstance(seen, Checked)
    assert seen.problems
    assert (await fleet.shard(room_id)).quarantined_at is not None
    assert await fleet.integrity_check.release(room_id, force=True, by=fleet.owner_id) is None
    assert (await fleet.shard(room_id)).quarantined_at is None


async def test_not_every_room_is_closed(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where many shards are damaged, those beyond a bound are alerted and not closed."""
    monkeypatch.setattr(integrity, "QUARANTINED_MAX", 2)
    made = [await fleet.found(f"room-{number}") for number in range(4)]
    for room_id in made:
        await fleet.say(room_id, count=50, length=1_000)
    await fleet.close_shards()
    for room_id in made:
        fleet.damage(room_id)
    seen = [await fleet.integrity_check.check(room_id) for room_id in made]
    assert [each.is_quarantined for each in seen] == [True, True, False, False]
    assert len(await fleet.alerts()) == 4


async def test_a_locked_shard_gives_others_their_turn(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard that is locked is passed over, and the next go looks at others first."""
    monkeypatch.setattr(maintenance, "CHECKED_PER_ROUND", 1)
    first, second = await fleet.found("first"), await fleet.found("second")
    inspect = inspections.inspect

    def locked(folder: Path, room_id: RoomId, *args: object, **more: object) -> object:
        if room_id == first:
            raise ShardBusyError("locked")
        return inspect(folder, room_id, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(inspections, "inspect", locked)
    assert sorted(await seen_by(fleet) + await seen_by(fleet)) == [second]


async def test_free_space_is_given_back(fleet: Fleet) -> None:
    """A shard of which much is free needs optimizing by its measurement, and does not once it was optimized."""
    room_id = await fleet.found("den")
    await fleet.fill(room_id, 90)
    await fleet.walk.run()
    assert not needs_optimizing(await fleet.shard(room_id), NOW_MS)

    def erase(writer: Writer) -> None:
        writer.run("DELETE FROM messages")

    await fleet.stores.pool.write(room_id, erase)
    before = await fleet.walk.measure(room_id)
    tally = await fleet.walk.run()
    assert tally.to_optimize == [room_id]
    assert await maintenance_of(fleet, writes=False).run(tally) is not None
    assert (await fleet.walk.measure(room_id)).freelist_bytes == before.freelist_bytes
    done = await maintenance_of(fleet).run(tally)
    assert done is not None
    # The index that was merged meanwhile may have taken a page.
    assert done.optimized[room_id].freed_bytes >= before.freelist_bytes - PAGE_BYTES
    after = await fleet.walk.measure(room_id)
    assert (after.freelist_bytes, after.wal_bytes) == (0, 0)
    assert after.size_bytes <= before.size_bytes - before.freelist_bytes + PAGE_BYTES
    assert (await fleet.walk.run()).to_optimize == []


async def test_talking_goes_on_while_a_room_is_optimized(fleet: Fleet) -> None:
    """Messages sent meanwhile are all there, between steps of optimizing that can be cancelled and begun again."""
    room_id = await fleet.found("den")
    await fleet.fill(room_id, 90)

    def erase(writer: Writer) -> None:
        writer.run("DELETE FROM messages")

    await fleet.stores.pool.write(room_id, erase)
    steps = 0

    async def interrupt(_done: int, _total: int) -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await fleet.optimizer.optimize(room_id, interrupt)
    between = await fleet.walk.measure(room_id)
    assert between.freelist_bytes > 0
    talking = asyncio.create_task(fleet.say(room_id, count=100))
    done = await fleet.optimizer.optimize(room_id)
    await talking
    assert done.freed_bytes > 0
    assert (await fleet.walk.measure(room_id)).message_count == between.message_count + 100
    assert (await fleet.integrity_check.check(room_id)).problems == ()


def test_steps_follow_how_long_they_take() -> None:
    """Fast steps double, slow ones halve, and one above the bound is followed by a quarter, down to a page."""
    assert optimizer._next(16, 0.001) == 32
    assert optimizer._next(16, 0.006) == 16
    assert optimizer._next(16, 0.020) == 8
    assert optimizer._next(16, 0.060) == 4
    assert optimizer._next(1, 9.0) == 1
    assert optimizer._next(optimizer.PAGES_MAX, 0.0) == optimizer.PAGES_MAX


async def test_large_rooms_are_optimized_once_a_week(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A room with many messages is due until it was optimized, and a week later if something was said since."""
    monkeypatch.setattr(optimizer, "MESSAGES_MIN", 5)
    room_id = await fleet.found("den")
    await fleet.say(room_id, count=5)
    assert needs_optimizing(await fleet.walk.measure(room_id), NOW_MS)
    await fleet.optimizer.optimize(room_id)
    assert not needs_optimizing(await fleet.shard(room_id), NOW_MS)
    later = NOW_MS + OPTIMIZE_EVERY_MS
    assert not needs_optimizing(await fleet.shard(room_id), later)
    await fleet.say(room_id)
    assert not needs_optimizing(await fleet.walk.measure(room_id), NOW_MS)
    assert needs_optimizing(await fleet.shard(room_id), later)
    async with fleet.stores.directory.database.write() as writer:
        await shards.quarantine(writer, room_id, "rust", seen_as=None, now_ms=NOW_MS)
    assert not needs_optimizing(await fleet.shard(room_id), later)

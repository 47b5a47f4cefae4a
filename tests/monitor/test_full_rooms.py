"""Full rooms: emptied at any moment, tidied up at their limit, closed and opened without waiting for a round."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from directory import rooms
from ids import MessageId, RoomId, UserId
from monitor import full_rooms
from monitor.full_rooms import FullRooms
from rookery import composition, object_storage
from rookery.composition import hard_limit
from rookery.server.shard_limits import ShardLimits
from shard import inspections
from shard.actions import archive, channels, messages, moderation
from shard.actions import members as member_actions
from shard.actions import rooms as room_actions
from shard.actions.messages import Sent
from shard.engine import identity, maintenance
from shard.engine.space import Limit
from shard.errors import ConflictError, ShardFullError
from shard.event_types import AuditAction
from shard.tables.bans import Ban
from shard.tables.messages import Draft
from tests.monitor.fleets import LIMIT_BYTES, NOW_MS, Fleet, fleet_in
from tests.shard import twins


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet_in(tmp_path) as made:
        yield made


SMALL_BYTES = 1_048_576


async def overfill(fleet: Fleet, room_id: RoomId, length: int = 2_000) -> list[MessageId]:
    """Send messages until SQLite itself stops a room of a small limit, and return their ids."""
    pool, place = fleet.stores.pool, (fleet.owner_id, fleet.channels[room_id])
    await fleet.limit(room_id, SMALL_BYTES)
    pool.limit({room_id: Limit(hard_limit(SMALL_BYTES), SMALL_BYTES)})
    at_once, refused = 40, 0
    while at_once:
        drafts = [Draft(" ".join(f"w{random.getrandbits(12)}" for _ in range(length // 6))) for _ in range(at_once)]
        sent = (pool.write(room_id, messages.send_message, *place, draft, now_ms=NOW_MS) for draft in drafts)
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        refused = sum(isinstance(outcome, ShardFullError) for outcome in outcomes)
        assert all(isinstance(outcome, Sent | ShardFullError) for outcome in outcomes)
        at_once = at_once // 4 if refused else at_once
    return [row[0] for row in await pool.read(room_id, lambda reader: reader.all("SELECT id FROM messages"))]


async def delete(fleet: Fleet, room_id: RoomId, message_ids: list[MessageId]) -> None:
    """Delete messages, each in a request of its own."""
    pool, place = fleet.stores.pool, (fleet.owner_id, fleet.channels[room_id])
    for begin in range(0, len(message_ids), 100):
        some = message_ids[begin : begin + 100]
        await asyncio.gather(
            *(pool.write(room_id, messages.delete_message, *place, each, now_ms=NOW_MS) for each in some)
        )


async def used_percent(fleet: Fleet, room_id: RoomId) -> float:
    seen = await fleet.stores.pool.read(room_id, inspections.measure, fleet.folder)
    return (seen.size_bytes - seen.freelist_bytes) * 100 / SMALL_BYTES


async def state(fleet: Fleet, room_id: RoomId) -> str:
    async with fleet.stores.directory.database.read() as reader:
        address = await rooms.find_address(reader, room_id)
    assert address is not None
    return address.state


@pytest.fixture
def look(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Awaitable[None]]:
    """Return what a server does every second, over the commits of the fleet's pool."""
    monkeypatch.setattr(full_rooms, "OPTIMIZE_EVERY_SECONDS", 0)
    pool = fleet.stores.pool
    looking, limits = FullRooms(pool, fleet.walk, fleet.optimizer), ShardLimits(fleet.stores, LIMIT_BYTES)
    monkeypatch.setattr(pool, "_publish", looking.publish)

    async def once() -> None:
        await looking.run()
        await limits.refresh()

    return once


async def test_a_room_at_its_very_limit_can_be_emptied_at_once(fleet: Fleet) -> None:
    """Where SQLite itself stops a room, deleting goes on before any round, and makes it no fuller."""
    room_id = await fleet.found("den")
    said = await overfill(fleet, room_id)
    before = await used_percent(fleet, room_id)
    await delete(fleet, room_id, said[: len(said) // 2])
    assert await used_percent(fleet, room_id) < before
    await fleet.stores.pool.write(
        room_id, channels.delete_channel, fleet.owner_id, fleet.channels[room_id], now_ms=NOW_MS
    )
    while await fleet.stores.pool.write(room_id, channels.sweep):
        pass
    assert await used_percent(fleet, room_id) < 75


async def test_a_room_at_its_very_limit_can_be_moderated_passed_on_and_ended(fleet: Fleet) -> None:
    """Where SQLite itself stops a room, members leave, are kicked and banned, the owner changes, and the room ends."""
    room_id, owner, pool = await fleet.found("den"), fleet.owner_id, fleet.stores.pool
    guests = [UserId(100 + number) for number in range(60)]
    for user_id in guests:
        await pool.write(room_id, member_actions.join, user_id, now_ms=NOW_MS)
    await overfill(fleet, room_id, length=6)
    for leaver, kicked, banned in zip(guests[:20], guests[20:40], guests[40:59], strict=False):
        await pool.write(room_id, member_actions.leave, leaver, now_ms=NOW_MS)
        codes = {"codes": ["x" * 10] * 20}
        await pool.write(
            room_id, room_actions.record_invite, None, AuditAction.INVITE_REVOKED, ("member", leaver), codes,
            now_ms=NOW_MS,
        )  # fmt: skip
        await pool.write(room_id, moderation.kick, owner, kicked, reason="spam" * 50, now_ms=NOW_MS)
        ban = Ban(banned, "spam" * 50, owner, NOW_MS, None)
        await pool.write(room_id, moderation.ban, owner, ban, now_ms=NOW_MS)
    await pool.write(room_id, room_actions.hand_over, owner, guests[59], reason="x" * 400, now_ms=NOW_MS)
    await pool.write(room_id, room_actions.close, guests[59], reason="x" * 400, now_ms=NOW_MS)
    assert await pool.read(room_id, lambda reader: reader.one("SELECT count(*) FROM bans")) == (19,)
    assert await pool.read(room_id, lambda reader: reader.one("SELECT type FROM events ORDER BY seq DESC")) == (
        "room.deleted",
    )


async def test_a_room_at_its_very_limit_is_archived(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """History moves out of a room that SQLite itself stops, although the manifest needs space first."""
    twins.shrink(monkeypatch, most=1_000, step=20)
    room_id = await fleet.found("den")
    said = await overfill(fleet, room_id, length=400)
    fleet.clock.now_ms += 40 * twins.DAY_MS
    async with (
        object_storage.open_ownership(fleet.settings, fleet.stores.directory, fleet.clock) as ownership,
        composition.open_archive(fleet.settings, ownership) as opened,
    ):
        archiver = composition.open_archiver(fleet.settings, fleet.stores, opened)
        archiver.clock = fleet.clock
        outcome = await archiver.visit(room_id, under_pressure=True)
    assert (outcome.error, outcome.messages_moved) == (None, len(said) - 5)
    assert await used_percent(fleet, room_id) < 75


async def test_only_what_frees_space_may_exceed_the_limit(fleet: Fleet) -> None:
    """The reserve is for one transaction: after a deletion used it, the limit holds for messages again."""
    room_id = await fleet.found("den")
    await overfill(fleet, room_id)
    await fleet.stores.pool.write(room_id, lambda writer: writer.use_reserve())
    with pytest.raises(ShardFullError):
        await fleet.say(room_id, count=100, length=7_000)
    assert await used_percent(fleet, room_id) < 106


async def test_a_room_at_its_very_limit_is_tidied_up(fleet: Fleet) -> None:
    """Merging the search index needs space before it frees some, and has it without a look by any round."""
    room_id = await fleet.found("den")
    said = await overfill(fleet, room_id, length=50)
    await delete(fleet, room_id, said[::2])
    before = await used_percent(fleet, room_id)
    await fleet.optimizer.optimize(room_id)
    assert await used_percent(fleet, room_id) < before


async def test_a_room_is_closed_and_opened_at_once(fleet: Fleet, look: Callable[[], Awaitable[None]]) -> None:
    """A write that found no space closes the room, deletions open it: half the messages suffice, and no round ran."""
    room_id = await fleet.found("den")
    said = await overfill(fleet, room_id)
    await look()
    assert ((await fleet.shard(room_id)).level, await state(fleet, room_id)) == ("full", "readonly")
    await delete(fleet, room_id, said[: len(said) // 2])
    await look()
    assert await state(fleet, room_id) == "active"
    await fleet.say(room_id, count=10, length=7_000)
    level = (await fleet.shard(room_id)).level
    assert [(alert.previous, alert.level) for alert in await fleet.alerts()] == [("ok", "full"), ("full", level)]


async def test_an_emptied_room_of_short_messages_opens(fleet: Fleet, look: Callable[[], Awaitable[None]]) -> None:
    """Where rows and events are larger than the words, the rows of deleted messages go too, and their nonces stay."""
    room_id = await fleet.found("den")
    asked = (fleet.owner_id, fleet.channels[room_id], Draft("first", nonce="n1"))
    first = await fleet.stores.pool.write(room_id, messages.send_message, *asked, now_ms=NOW_MS)
    reply = Draft("to the first", reply_to_id=first.message.id)
    answer = await fleet.stores.pool.write(room_id, messages.send_message, *asked[:2], reply, now_ms=NOW_MS)
    said = await overfill(fleet, room_id, length=200)
    await look()
    assert await state(fleet, room_id) == "readonly"
    await delete(fleet, room_id, [each for each in said if each != answer.message.id])
    await look()
    assert ((await fleet.shard(room_id)).level, await state(fleet, room_id)) == ("ok", "active")
    assert await used_percent(fleet, room_id) < 75
    with pytest.raises(ConflictError):
        await fleet.stores.pool.write(room_id, messages.send_message, *asked, now_ms=NOW_MS)
    assert (await fleet.integrity_check.check(room_id)).problems == ()
    assert await fleet.stores.pool.read(room_id, identity.last_id) >= max(said), "no id is given out twice"


async def test_only_a_full_room_forgets_what_is_deleted(fleet: Fleet, look: Callable[[], Awaitable[None]]) -> None:
    """The log keeps the words of a deleted message, except in a full room, and there too in a channel on hold."""
    room_id = await fleet.found("den")
    await fleet.say(room_id)
    first = await fleet.stores.pool.read(room_id, lambda reader: reader.all("SELECT id FROM messages"))
    await delete(fleet, room_id, [first[0][0]])
    said = await overfill(fleet, room_id)
    await look()
    await delete(fleet, room_id, said[1:2])
    hold = (fleet.channels[room_id], "a case")
    await fleet.stores.pool.write(room_id, archive.set_hold, *hold, by=fleet.owner_id, now_ms=NOW_MS)
    await delete(fleet, room_id, said[2:3])
    kept = await fleet.stores.pool.read(
        room_id,
        lambda reader: reader.all(
            "SELECT payload ->> '$.replaced.content' <> '' FROM events WHERE type = 'message.deleted' ORDER BY seq"
        ),
    )
    assert kept == [(1,), (None,), (1,)]
    await fleet.optimizer.optimize(room_id)
    rows = await fleet.stores.pool.read(room_id, lambda reader: reader.all("SELECT count(*) FROM messages"))
    assert rows == [(len(said),)]
    assert await fleet.stores.pool.read(room_id, maintenance.free_pages) == 0


async def test_a_room_that_is_short_but_not_full_is_tidied_up(
    fleet: Fleet, look: Callable[[], Awaitable[None]]
) -> None:
    """A write that found no space below the limit has the search index merged, so that the next ones find some."""
    room_id = await fleet.found("den")
    await fleet.fill(room_id, 60)
    before = (await fleet.shard(room_id)).tidied_at
    fleet.stores.pool.space.short.add(room_id)
    await look()
    assert before is None
    assert (await fleet.shard(room_id)).tidied_at == NOW_MS
    assert await state(fleet, room_id) == "active"


async def test_a_room_that_is_gone_keeps_no_other_from_being_looked_at(
    fleet: Fleet, look: Callable[[], Awaitable[None]]
) -> None:
    """A room without its file, and one that the directory does not know, are left to the next round."""
    room_id, lost = await fleet.found("den"), await fleet.found("lost")
    await overfill(fleet, room_id)
    await fleet.close_shards()
    (fleet.folder / f"{lost}.db").unlink()
    fleet.stores.pool.space.short |= {RoomId(1), lost, room_id}
    await look()
    assert await state(fleet, room_id) == "readonly"

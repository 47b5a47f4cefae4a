"""Which rooms are put away by themselves: those that nobody uses, not those in which something is under way."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from directory import failures, hibernations, room_orders, storage
from directory.hibernations import PUT_OFF_MS, USED_EVERY_MS
from monitor.hibernation_schedule import HibernationSchedule
from monitor.hibernator import NotIdleError
from objects.errors import BadContentError, ObjectError, StoreUnavailableError
from shard.actions import attachments, webhook_deliveries, webhooks
from shard.actions.webhooks import Keys, WebhookChanges
from shard.tables.attachments import Announced
from tests.monitor import sleepers
from tests.monitor.sleepers import DAY_MS, NOW_MS, Bed

IDLE_MS = 30 * DAY_MS
LATER_MS = NOW_MS + IDLE_MS + DAY_MS


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    async with sleepers.made(tmp_path) as found:
        yield found


def rounds(bed: Bed, *, idle_ms: int = IDLE_MS, keeps_time: bool = True) -> HibernationSchedule:
    """Return rounds of a server that has run since the beginning, with a clock that is right, or was just set."""
    start = bed.now_ms

    def ticks() -> float:
        return (bed.now_ms - start) / 1_000 if keeps_time else 0.0

    stores = bed.stores
    return HibernationSchedule(
        stores.directory, stores.pool, bed.hibernator, idle_ms=idle_ms, clock=lambda: bed.now_ms, ticks=ticks
    )


async def test_a_room_that_nobody_used_for_long_is_put_away(bed: Bed) -> None:
    """A room is put away once it was unused for as long as the settings say, and not a day before."""
    going = rounds(bed)
    bed.now_ms = NOW_MS + IDLE_MS - DAY_MS
    assert await going.run() == 0
    bed.now_ms = LATER_MS
    assert await going.run() == 1
    assert await bed.state() == "hibernated"
    assert await going.run() == 0


async def test_a_request_keeps_a_room_here(bed: Bed) -> None:
    """A room that somebody asked for is used, whether or not they wrote, and that is known after a restart."""
    going = rounds(bed)
    bed.now_ms = NOW_MS + IDLE_MS - DAY_MS
    await bed.stores.directory.rooms.load(bed.room_id)
    await going.run()
    bed.now_ms = LATER_MS
    assert await rounds(bed).run() == 0
    bed.now_ms += IDLE_MS
    assert await rounds(bed).run() == 1


async def test_use_is_written_down_once_an_hour(bed: Bed) -> None:
    """That a room is used costs a write an hour, and a time that a wrong clock told is put right by the next use."""
    database = bed.stores.directory.database

    async def used_at() -> int:
        async with database.read() as reader:
            row = await reader.fetch_one("SELECT used_at FROM shards WHERE room_id = ?", (bed.room_id,))
        assert row is not None
        return int(row[0])

    seen = []
    for now_ms in (NOW_MS + 1, NOW_MS + USED_EVERY_MS + 1, NOW_MS + DAY_MS, NOW_MS + 5):
        async with database.write() as writer:
            await hibernations.note_used(writer, [bed.room_id], now_ms=now_ms)
        seen.append(await used_at() - NOW_MS)
    assert seen == [0, USED_EVERY_MS + 1, DAY_MS, 5]


async def test_zero_days_is_never(bed: Bed) -> None:
    """Without idle days no room is put away."""
    going = rounds(bed, idle_ms=0)
    bed.now_ms = LATER_MS
    assert await going.run() == 0


async def test_a_clock_that_was_set_puts_nothing_away(bed: Bed) -> None:
    """When the clock leaps, how long rooms were idle is not known, and for an hour none is put away."""
    going = rounds(bed, keeps_time=False)
    bed.now_ms = LATER_MS
    assert await going.run() == 0
    bed.now_ms = NOW_MS - DAY_MS
    assert await going.run() == 0
    assert await bed.state() == "active"
    assert await rounds(bed).run() == 0, "a clock that is back makes nothing older"


async def _announce(bed: Bed) -> None:
    announced = Announced("a.txt", 4, "text/plain", hashlib.sha256(b"moss").hexdigest())
    async with bed.stores.directory.database.write() as writer:
        await storage.reserve(writer, bed.owner_id, bed.room_id, 4, user_bytes_max=10**6, now_ms=NOW_MS)
    asked = (bed.owner_id, bed.channel_id, announced)
    await bed.stores.pool.write(bed.room_id, attachments.announce_upload, *asked, secret="1" * 32, now_ms=NOW_MS)


async def test_a_pending_upload_keeps_a_room_here(bed: Bed) -> None:
    """A room with an upload that no message has is put off, and put away once that is gone."""
    await _announce(bed)
    with pytest.raises(NotIdleError, match="uploads"):
        await bed.hibernator.hibernate(bed.room_id)
    going = rounds(bed)
    bed.now_ms = LATER_MS
    assert await going.run() == 0
    await bed.stores.pool.write(bed.room_id, lambda writer: writer.run("DELETE FROM message_attachments"))
    with pytest.raises(NotIdleError, match="removed"):
        await bed.hibernator.hibernate(bed.room_id)
    await bed.stores.pool.write(bed.room_id, lambda writer: writer.run("DELETE FROM freed_files"))
    assert await going.run() == 0, "it is tried again tomorrow"
    bed.now_ms += PUT_OFF_MS + 1
    assert await going.run() == 1


async def test_an_untold_webhook_keeps_a_room_here(bed: Bed) -> None:
    """A room with an outgoing webhook is put away only when its receiver has everything."""
    wanted: WebhookChanges = {"name": "tell", "url": "https://example.org/", "events": ["*"], "channel_id": None}
    asked = (bed.owner_id, 77, wanted, Keys(bytes(32), bytes(32)))
    await bed.stores.pool.write(bed.room_id, webhooks.create_outgoing, *asked, now_ms=NOW_MS)
    await bed.send("told?")
    with pytest.raises(NotIdleError, match="webhook"):
        await bed.hibernator.hibernate(bed.room_id)
    assert bed.woken == [bed.room_id], "whoever delivers looks again"
    last_seq = bed.events[-1].seq
    await bed.stores.pool.write(bed.room_id, webhook_deliveries.note_taken, 77, last_seq, 200, now_ms=NOW_MS)
    await bed.hibernator.hibernate(bed.room_id)
    assert await bed.texts() == ["told?"]


async def test_an_order_of_a_command_is_filled(bed: Bed) -> None:
    """What another process asks for is done, with the reason where it is not, and a new server knows of no order."""
    going, database = rounds(bed), bed.stores.directory.database

    async def order(wanted: room_orders.Wanted) -> str | None:
        async with database.write() as writer:
            await room_orders.place(writer, bed.room_id, wanted, now_ms=NOW_MS)
        assert await going.execute_orders() == 1
        async with database.read() as reader:
            found = await room_orders.find(reader, bed.room_id)
        assert found is not None
        return found.outcome

    assert await order("hibernate") == ""
    assert await bed.state() == "hibernated"
    assert await order("hibernate") == ""
    assert await order("wake") == ""
    assert await bed.state() == "active"
    await _announce(bed)
    assert await order("hibernate") == "The room stays where it is: uploads wait for their messages."
    async with database.write() as writer:
        await room_orders.place(writer, bed.room_id, "wake", now_ms=NOW_MS)
    await going.discard_orders()
    assert await going.execute_orders() == 0


async def test_a_room_that_object_storage_does_not_take_holds_up_no_other(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A room whose object is refused is put off for a day; a store that does not answer ends the round, and no more."""
    going, put = rounds(bed), bed.store.put

    async def refuse(*_arguments: object) -> None:
        raise refusal

    monkeypatch.setattr(bed.store, "put", refuse)
    bed.now_ms = LATER_MS
    refusal: ObjectError = StoreUnavailableError("away", retry_after_seconds=5)
    assert await going.run() == 0
    refusal = BadContentError("too large")
    assert await going.run() == 0
    monkeypatch.setattr(bed.store, "put", put)
    assert await going.run() == 0, "it is put off"
    assert await bed.state() == "active"
    bed.now_ms += PUT_OFF_MS + 1
    assert await going.run() == 1


async def test_an_unexpected_error_in_one_room_ends_no_round(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The room is named and put off, the round goes on to what is behind it, and an order is answered all the same."""
    going, database = rounds(bed), bed.stores.directory.database
    removed = 0

    async def fail(_room_id: object) -> None:
        raise AttributeError("the poisoned one")

    async def count() -> None:
        nonlocal removed
        removed += 1

    async def failed() -> list[str]:
        async with database.read() as reader:
            return [one.item for one in await failures.list_all(reader)]

    bed.now_ms = LATER_MS
    with monkeypatch.context() as patched:
        patched.setattr(bed.hibernator, "hibernate", fail)
        patched.setattr(bed.hibernator, "remove_unneeded", count)
        assert await going.run() == 0
        assert await going.run() == 0
        async with database.write() as writer:
            await room_orders.place(writer, bed.room_id, "hibernate", now_ms=NOW_MS)
        assert await going.execute_orders() == 1
    assert (removed, await failed()) == (2, [str(bed.room_id)])
    async with database.read() as reader:
        order = await room_orders.find(reader, bed.room_id)
    assert order is not None
    assert order.outcome == "unexpected: AttributeError: the poisoned one"
    bed.now_ms += PUT_OFF_MS + 1
    assert await going.run() == 1
    assert await failed() == []


async def test_an_object_that_cannot_be_removed_stays_alone(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects that no room needs any more are removed, whichever of them cannot be; that one goes later."""
    for _ in range(2):
        await bed.hibernator.hibernate(bed.room_id)
        await bed.texts()
    poison, _other = await bed.keys()
    delete = bed.store.delete

    async def fail(key: str) -> None:
        if key == poison:
            raise AttributeError("the poisoned one")
        await delete(key)

    with monkeypatch.context() as patched:
        patched.setattr(bed.store, "delete", fail)
        await bed.clear()
    assert await bed.keys() == [poison]
    bed.now_ms += failures.FIRST_RETRY_MS
    await bed.clear()
    assert await bed.keys() == []

"""What bad luck and busy rooms do to the archive: each of these once lost something, or kept it from moving."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ids import ChannelId
from monitor.archive_schedule import ORPHAN_MS, ArchiveSchedule, Limits
from monitor.archiver import Archiver
from objects.errors import StoreUnavailableError
from objects.store import Content
from router.webhook_deliveries import NOTED_MS, Deliveries
from shard.actions import archive, pins, webhook_deliveries
from shard.actions import attachments as attachment_actions
from shard.actions import channels as channel_actions
from shard.actions.attachments import Measured
from shard.actions.webhook_deliveries import Batch
from shard.archive import retention
from shard.archive.retention import ROOM, Policy
from shard.engine.connections import Writer
from shard.rows import Message
from shard.tables import attachments, channels, events
from shard.tables.attachments import Announced
from shard.tables.messages import Draft
from shard.tables.webhooks import Webhook
from tests.shard import twins
from tests.shard.stage import ANNA, OWNER
from tests.shard.twins import DAY_MS, Side, every


class Killed(BaseException):
    """The process is gone: nothing in it may catch this."""


@pytest.fixture
async def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Side]:
    """Open a room with 20 messages of 40 days ago, of which 15 may move in segments of up to six."""
    twins.shrink(monkeypatch)
    async with twins.side(tmp_path) as opened:
        await talk(opened, 20)
        opened.stage.now_ms += 40 * DAY_MS
        yield opened


async def talk(side: Side, count: int) -> None:
    """Say some things, a second after each other."""
    for number in range(count):
        side.stage.now_ms += 1_000
        await side.stage.send(side.room, f"message {number} of the rooks", nonce=str(side.stage.now_ms))


async def delete(side: Side, message: Message) -> None:
    """Have its author delete a message."""
    await side.history.delete_message(
        side.room.id, message.user_id, side.room.general, message.id, reason=None, now_ms=side.stage.now_ms
    )


async def test_a_rewrite_copies_no_flipped_bit(side: Side, tmp_path: Path) -> None:
    """A segment is not written anew out of a cached copy that was damaged since: what is left is what was said."""
    await side.archive()
    said = await every(side)
    await delete(side, said.pop(2))
    for sha256 in [*side.archiver.cache._open]:
        side.archiver.cache._close(sha256)
    for path in (tmp_path / "cache").glob("*.db"):
        path.write_bytes(path.read_bytes().replace(b"of the rooks", b"of the roofs"))
    outcome = await side.archive()
    assert (outcome.error, outcome.segments_rewritten) == (None, 1)
    await side.archiver.cache.clear()
    assert await every(side) == said


async def test_deleted_words_leave_the_cache_with_their_segment(side: Side, tmp_path: Path) -> None:
    """Once a segment is written anew, the local copy that still had the deleted message is gone."""
    await side.archive()
    said = await every(side)
    await delete(side, said[2])
    await side.archive()
    await every(side)
    left = b"".join(path.read_bytes() for path in (tmp_path / "cache").glob("*.db"))
    assert said[1].content.encode() in left
    assert said[2].content.encode() not in left


async def test_a_sweep_takes_no_object_that_a_visit_is_about_to_name(side: Side) -> None:
    """An object that a crash left a day ago, and that a visit names while a sweep looks at it, stays."""
    said = await every(side)

    def die() -> None:
        raise Killed

    side.archiver.between_steps = die
    with pytest.raises(Killed):
        await side.archive()
    side.archiver.between_steps = lambda: None
    (key,) = await side.store.list("archive/")
    side.stage.now_ms = (await side.store.head(key)).stored_at + 2 * ORPHAN_MS
    head = side.store.head

    async def slow_head(asked: str) -> object:
        known = await head(asked)
        await side.archive()
        return known

    side.store.head = slow_head  # type: ignore[method-assign,assignment]
    await rounds_of(side).remove_orphans()
    side.store.head = head  # type: ignore[method-assign]
    await side.archiver.cache.clear()
    assert await every(side) == said
    await side.archive()
    assert await every(side) == said


def rounds_of(side: Side, archiver: Archiver | None = None) -> ArchiveSchedule:
    """Return rounds that only sweep."""
    return ArchiveSchedule(None, archiver or side.archiver, Limits(1 << 40, 90))  # type: ignore[arg-type]


async def test_a_sweep_goes_on_behind_a_broken_room(side: Side) -> None:
    """A room that cannot be asked keeps its objects, and keeps nobody else's."""
    await side.stage.found(2)
    keys = [f"archive/{number}/1/1-{'0' * 32}" for number in (1, 2)]
    for key in keys:
        await side.store.put(key, b"x", twins.content_of(b"x"))
    side.stage.now_ms = (await side.store.head(keys[0])).stored_at + 2 * ORPHAN_MS
    await side.stage.rest()
    side.stage.pool.quarantine({side.room.id: "its disk"})
    assert await rounds_of(side).remove_orphans() == 1
    assert await side.store.list("archive/") == keys[:1]


async def test_a_visit_that_fails_leaves_no_files(side: Side, tmp_path: Path) -> None:
    """Segments that were built and could not be stored are not left on disk, nor is what a killed visit left there."""
    work = tmp_path / "work" / str(side.room.id)
    work.mkdir(exist_ok=True)
    (work / "building-77.zst").write_bytes(b"of a visit that was killed")

    async def away(key: str, _source: object, _content: Content) -> None:
        raise StoreUnavailableError("it is away", retry_after_seconds=1)

    put, side.store.put = side.store.put, away  # type: ignore[method-assign,assignment]
    assert (await side.archive()).error
    assert [path.name for path in work.iterdir()] == ["lock"]
    side.store.put = put  # type: ignore[method-assign]
    assert (await side.archive()).messages_moved == 15


def hang(writer: Writer, wanted: str, channel_id: ChannelId | None) -> None:
    """Hang up a webhook that wants one type of event, and was told of five events."""
    writer.run(
        "INSERT INTO webhooks (id, name, channel_id, direction, secret, url, events, keeper_id, last_seq, "
        "created_by, created_at) VALUES (1, 'x', ?, 'outgoing', zeroblob(32), 'u', json_array(?), 1, 5, 1, 1)",
        (channel_id, wanted),
    )


@pytest.mark.parametrize(("wanted", "channel"), [("member", None), ("message.edited", None), ("*", "other")])
async def test_a_webhook_that_wants_nothing_of_it_keeps_nothing(side: Side, wanted: str, channel: str | None) -> None:
    """Events that a webhook does not want, or of another channel than its own, are not waited for."""
    place = None if channel is None else side.room.channels[channel]
    await side.stage.pool.write(side.room.id, hang, wanted, place)
    assert (await side.archive()).messages_moved == 15


async def test_webhooks_are_told_of_imports_before_these_move(side: Side) -> None:
    """What was imported a moment ago is as old as it says: it does not move before the webhooks know of it."""

    def place(writer: Writer, last_seq: int) -> None:
        writer.run("UPDATE webhooks SET last_seq = ?", (last_seq,))

    write, read = side.stage.pool.write, side.stage.pool.read
    await write(side.room.id, hang, "*", None)
    await write(side.room.id, place, await read(side.room.id, events.last_seq))
    await side.stage.send(side.room, "imported", sent_at=side.stage.now_ms - 39 * DAY_MS)
    assert (await side.archive()).messages_moved == 0
    await write(side.room.id, place, await read(side.room.id, events.last_seq))
    assert (await side.archive()).messages_moved == 16


async def test_what_a_webhook_passed_over_is_soon_written_down(side: Side) -> None:
    """A webhook's place moves on though it is told nothing, every few minutes: what it may not see keeps nothing."""
    pool, room_id = side.stage.pool, side.room.id
    await pool.write(room_id, hang, "*", None)
    assert (await side.archive()).messages_moved == 0
    passing = Deliveries(None, pool, None, clock=lambda: side.stage.now_ms)  # type: ignore[arg-type]
    last_seq = await pool.read(room_id, events.last_seq)
    hook: Webhook | None = None
    for reached, expected in ((last_seq - 1, last_seq - 1), (last_seq, last_seq - 1)):
        hook = await pool.read(room_id, webhook_deliveries.get_enabled, 1)
        assert hook is not None
        await passing._pass_over(room_id, Batch(hook, may_tell=True, events=[], reached=reached, is_last=True))
        assert await side.stage.rows(side.room, "SELECT last_seq FROM webhooks") == [(expected,)]
    side.stage.now_ms += NOTED_MS
    assert hook is not None
    await passing._pass_over(room_id, Batch(hook, may_tell=True, events=[], reached=last_seq, is_last=True))
    assert await side.stage.rows(side.room, "SELECT last_seq FROM webhooks") == [(last_seq,)]
    assert (await side.archive()).messages_moved == 15


async def test_a_segment_that_is_too_old_takes_its_own_files_alone(side: Side) -> None:
    """The file of a message that was pinned while its neighbours moved goes with the segment that it moved into."""
    place, general = (ANNA, side.room.general), side.room.general
    write = side.stage.pool.write
    at = side.stage.now_ms - 39 * DAY_MS
    announced = Announced("a.txt", 9, "text/plain", "0" * 64)
    upload = await write(side.room.id, attachment_actions.announce_upload, *place, announced, secret="s", now_ms=at)
    await write(side.room.id, attachment_actions.complete_upload, *place, upload.id, Measured(), now_ms=at)
    draft = Draft("with a file", attachment_ids=(upload.id,))
    sent = await side.history.send_message(side.room.id, *place, draft, now_ms=at)
    pin = (OWNER, general, sent.message.id)
    late, side.stage.now_ms = side.stage.now_ms, at
    await talk(side, 8)
    side.stage.now_ms = late
    await write(side.room.id, pins.pin_message, *pin, now_ms=side.stage.now_ms)
    await side.archive()
    await write(side.room.id, pins.unpin_message, *pin, now_ms=side.stage.now_ms)
    side.stage.now_ms += 20 * DAY_MS
    await talk(side, 12)
    side.stage.now_ms += 40 * DAY_MS
    assert (await side.archive()).messages_moved
    assert await side.stage.rows(side.room, "SELECT count(*) FROM message_attachments") == [(0,)]
    await write(side.room.id, archive.set_policy, ROOM, Policy(30, 90), now_ms=side.stage.now_ms)
    assert (await side.archive()).objects_removed == 4
    assert sent.message.id in {message.id for message in await every(side)}
    assert await side.stage.pool.read(side.room.id, attachments.freed) == []
    await write(side.room.id, archive.set_policy, ROOM, Policy(30, 30), now_ms=side.stage.now_ms)
    await side.archive()
    assert [file.object_key for file in await side.stage.pool.read(side.room.id, attachments.freed)] == [
        upload.object_key
    ]


async def test_crowded_milliseconds_have_room_for_imports(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """More messages of one millisecond than a generation has numbers for are archived, and more of them imported: each
    has a number of its own, as all of before the epoch have to."""
    monkeypatch.setattr("shard.archive.cuts.GENERATIONS_MAX", 1 << 21)  # two numbers for each generation
    for number in range(30):
        await side.stage.send(side.room, f"first {number}", sent_at=1, nonce=f"a{number}")
    assert (await side.archive()).messages_moved
    before = {message.id for message in await every(side)}
    for number in range(30):
        sent = await side.stage.send(side.room, f"second {number}", sent_at=1, nonce=f"b{number}")
        assert sent.message.id not in before
        before.add(sent.message.id)
    await side.archive()
    assert {message.id for message in await every(side)} == before
    assert len(before) == 80


async def test_heavy_messages_move_in_small_steps(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is time for a slice alone, a step takes no more than that, and all moves in the end."""
    in_a_hurry(monkeypatch)
    said = await every(side)
    steps: list[int] = []
    outcome = await side.archiver.visit(side.room.id, progress=steps.append)
    assert (outcome.error, outcome.messages_moved) == (None, 15)
    assert max(steps) == 2
    assert await every(side) == said


async def test_heavy_messages_are_deleted_by_age_in_small_steps(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise, when they are too old."""
    in_a_hurry(monkeypatch)
    write, now_ms = side.stage.pool.write, side.stage.now_ms
    await write(side.room.id, archive.set_policy, ROOM, Policy(0, 30), now_ms=now_ms)
    gone: list[int] = []
    while count := await write(side.room.id, archive.erase_old, Policy(), side.room.general, now_ms=now_ms):
        gone.append(count)
    assert gone == [2] * 10
    assert await every(side) == []


def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave steps that could take 50 messages the time for two."""
    monkeypatch.setattr(archive, "STEP", 50)
    monkeypatch.setattr(archive, "SLICE", 2)
    monkeypatch.setattr(archive, "STEP_SECONDS", 0.0)


async def test_nothing_moves_that_a_ban_may_be_about_to_erase(side: Side) -> None:
    """What is a week old by minutes stays: a ban that erases a week may have begun when it was younger."""
    side.stage.now_ms -= 33 * DAY_MS - retention.MARGIN_MS // 2
    assert (await side.archive(under_pressure=True)).messages_moved == 0
    side.stage.now_ms += retention.MARGIN_MS
    assert (await side.archive(under_pressure=True)).messages_moved == 15


async def test_a_deleted_channel_leaves_its_segments_in_slices(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a deleted channel had in the archive goes bit by bit, and each object with it, others' not."""
    monkeypatch.setattr(channels, "SEGMENTS_AT_ONCE", 1)
    await side.archive()
    await side.stage.pool.write(
        side.room.id, channel_actions.delete_channel, OWNER, side.room.general, reason=None, now_ms=side.stage.now_ms
    )
    for left in (2, 1, 0):
        while (await side.stage.rows(side.room, "SELECT count(*) FROM segments"))[0][0] > left:
            assert await side.stage.pool.write(side.room.id, channels.sweep)
        assert await side.stage.rows(side.room, "SELECT count(*) FROM freed_objects") == [(3 - left,)]
    while await side.stage.pool.write(side.room.id, channels.sweep):
        pass
    assert (await side.archive()).objects_removed == 3
    assert await side.store.list("archive/") == []

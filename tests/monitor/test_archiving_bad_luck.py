"""What bad luck and busy rooms do to the archive: each of these once lost something, or kept it from moving."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ids import ChannelId
from monitor.archive_rounds import ORPHAN_MS, ArchiveRounds, Limits
from monitor.archiving import Archiver
from objects.errors import StoreUnavailableError
from objects.store import Content
from router.deliveries import NOTED_MS, Deliveries
from shard import events
from shard.acts import delivering
from shard.acts.delivering import Batch
from shard.acts.paging import Span
from shard.connections import Writer
from shard.rows import Message
from tests.shard import twins
from tests.shard.stage import OWNER
from tests.shard.twins import DAY_MS, Side


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


async def every(side: Side) -> list[Message]:
    """Return all messages, oldest first."""
    page = await side.history.read_page(
        side.room.id, OWNER, side.room.general, None, Span(1_000), now_ms=side.stage.now_ms
    )
    return page.messages[::-1]


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
    await rounds_of(side).sweep()
    side.store.head = head  # type: ignore[method-assign]
    await side.archiver.cache.clear()
    assert await every(side) == said
    await side.archive()
    assert await every(side) == said


def rounds_of(side: Side, archiver: Archiver | None = None) -> ArchiveRounds:
    """Return rounds that only sweep."""
    return ArchiveRounds(None, archiver or side.archiver, Limits(1 << 40, 90))  # type: ignore[arg-type]


async def test_a_sweep_goes_on_behind_a_broken_room(side: Side) -> None:
    """A room that cannot be asked keeps its objects, and keeps nobody else's."""
    await side.stage.found(2)
    keys = [f"archive/{number}/1/1-{'0' * 32}" for number in (1, 2)]
    for key in keys:
        await side.store.put(key, b"x", twins.content_of(b"x"))
    side.stage.now_ms = (await side.store.head(keys[0])).stored_at + 2 * ORPHAN_MS
    await side.stage.rest()
    side.stage.pool.quarantine({side.room.id: "its disk"})
    assert await rounds_of(side).sweep() == 1
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


async def test_what_a_webhook_passed_over_is_soon_written_down(side: Side) -> None:
    """A webhook's place moves on though it is told nothing, every few minutes: what it may not see keeps nothing."""
    pool, room_id = side.stage.pool, side.room.id
    await pool.write(room_id, hang, "*", None)
    assert (await side.archive()).messages_moved == 0
    passing = Deliveries(None, pool, None, clock=lambda: side.stage.now_ms)  # type: ignore[arg-type]
    last_seq = await pool.read(room_id, events.last_seq)
    for reached, expected in ((last_seq - 1, last_seq - 1), (last_seq, last_seq - 1)):
        hook = await pool.read(room_id, delivering.get_enabled, 1)
        assert hook is not None
        await passing._pass_over(room_id, Batch(hook, may_tell=True, events=[], reached=reached, is_last=True))
        assert await side.stage.rows(side.room, "SELECT last_seq FROM webhooks") == [(expected,)]
    side.stage.now_ms += NOTED_MS
    await passing._pass_over(room_id, Batch(hook, may_tell=True, events=[], reached=last_seq, is_last=True))
    assert await side.stage.rows(side.room, "SELECT last_seq FROM webhooks") == [(last_seq,)]
    assert (await side.archive()).messages_moved == 15

"""Batches of an import in a room where things have happened since: what people did is not undone."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ids import RoomId, UserId
from migrations import engine
from shard import importing
from shard.acts import joining, paging, shaping
from shard.acts.paging import Span
from shard.acts.shaping import ChannelDraft
from shard.connections import Writer
from shard.importing import Loaded, Record
from shard.pool import PoolLimits, ShardPool
from shard.rows import Message
from tests.rookery.histories import BEGAN

OWNER, ADA, BOB = UserId(11), UserId(12), UserId(13)
ROOM = RoomId(7)
NOW_MS = 1_760_000_000_000


@dataclass(frozen=True, slots=True)
class Stage:
    """A room with a channel of its own, and what is loaded into it."""

    pool: ShardPool

    async def load(self, *records: Record, skip_refused: bool = False) -> Loaded:
        return await self.pool.write(ROOM, importing.load_batch, records, skip_refused=skip_refused, now_ms=NOW_MS)

    async def messages(self, channel: str = "general") -> list[Message]:
        channels = await self.pool.read(ROOM, shaping.list_channels, OWNER, now_ms=NOW_MS)
        found = next(row.id for row in channels if row.name == channel)
        page = await self.pool.read(ROOM, paging.read_page, OWNER, found, None, Span(limit=100), now_ms=NOW_MS)
        return page.messages[::-1]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    pool = ShardPool(
        tmp_path,
        engine.load(engine.SHARD_FOLDER),
        limits=PoolLimits(writers=1, readers=1),
        clock=lambda: NOW_MS,
        publish=lambda _room, _events: None,
    )
    drafts = (ChannelDraft("general"), ChannelDraft("stage", type="voice"))
    await pool.create(ROOM, shaping.found_room, "community", OWNER, drafts, now_ms=NOW_MS)
    yield Stage(pool)
    await pool.close()


def record(number: int, *, user_id: UserId = ADA, channel: str = "general", topic: str | None = "hello") -> Record:
    return Record(channel, topic, user_id, (BEGAN + number) * 1000, f"text {number}", f"nonce {number}")


async def test_a_loaded_record_is_known_the_next_time(stage: Stage) -> None:
    """New and known records are told apart, within a batch and over batches."""
    assert await stage.load(record(1), record(2)) == Loaded(2, 0, 0, 1, ())
    assert await stage.load(record(2), record(3)) == Loaded(1, 1, 0, 0, ())
    assert [message.content for message in await stage.messages()] == ["text 1", "text 2", "text 3"]


async def test_a_channel_is_found_whatever_its_case(stage: Stage) -> None:
    """A name that differs in case only is the channel that is there, as for everyone else."""
    loaded = await stage.load(record(1, channel="General"), record(2, channel="New"), record(3, channel="NEW"))
    assert loaded.channels_new == 1
    assert len(await stage.messages("New")) == 2


async def test_records_of_any_order_stand_in_the_order_of_their_times(stage: Stage) -> None:
    """A history that is loaded later and told backwards is read by time."""
    await stage.load(record(5), record(9), record(1))
    await stage.load(record(7), record(3))
    assert [message.content for message in await stage.messages()] == [f"text {number}" for number in (1, 3, 5, 7, 9)]


async def test_who_left_is_not_brought_back_by_what_is_known(stage: Stage) -> None:
    """Loading the same history again leaves out who has left since; a new message lets its author in."""
    await stage.load(record(1), record(2, user_id=BOB))
    await stage.pool.write(ROOM, joining.leave, BOB, now_ms=NOW_MS)
    await stage.load(record(1), record(2, user_id=BOB))
    assert not await stage.pool.read(ROOM, joining.is_member, BOB)
    await stage.load(record(3, user_id=BOB))
    assert await stage.pool.read(ROOM, joining.is_member, BOB)


async def test_a_thread_that_was_renamed_or_locked_is_left_alone(stage: Stage) -> None:
    """Known messages of a thread that has another title by now, or is locked, open no second thread."""
    await stage.load(record(1))
    rename = "UPDATE threads SET title = 'renamed', is_locked = 1"
    await stage.pool.write(ROOM, Writer.run, rename)
    assert await stage.load(record(1)) == Loaded(0, 1, 0, 0, ())


async def test_a_refused_record_ends_the_batch_or_is_left_out(stage: Stage) -> None:
    """What the room refuses is told with its position; what comes before stays, what follows only with skip_refused."""
    batch = (record(1), record(2, channel="stage"), record(3))
    ended = await stage.load(*batch)
    assert (ended.messages_new, [position for position, _ in ended.refused]) == (1, [1])
    assert len(await stage.messages()) == 1
    skipped = await stage.load(*batch, skip_refused=True)
    assert (skipped.messages_new, skipped.messages_known) == (1, 1)
    assert [position for position, _ in skipped.refused] == [1]
    assert len(await stage.messages()) == 2


async def test_a_banned_author_is_refused(stage: Stage) -> None:
    """The ban of a room holds for its history too."""
    ban = f"INSERT INTO bans (user_id, banned_by, banned_at) VALUES ({BOB}, {OWNER}, {NOW_MS})"
    await stage.pool.write(ROOM, Writer.run, ban)
    loaded = await stage.load(record(1, user_id=BOB), record(2), skip_refused=True)
    assert (loaded.messages_new, [position for position, _ in loaded.refused]) == (1, [0])

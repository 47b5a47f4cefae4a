"""Batches of an import in a room where things have happened since: what people did is not undone."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ids import RoomId, UserId
from migrations import engine
from shard.actions import channels as channel_actions
from shard.actions import imports, members, messages, rooms
from shard.actions.channels import ChannelDraft
from shard.actions.imports import Loaded, Record
from shard.actions.pages import Span
from shard.engine.connections import Writer
from shard.engine.pool import PoolLimits, ShardPool
from shard.errors import NotFoundError
from shard.history.history import History
from shard.rows import Message
from tests.rookery.histories import BEGAN
from tests.shard.stage import NOTHING_ARCHIVED

OWNER, ADA, BOB = UserId(11), UserId(12), UserId(13)
ROOM = RoomId(7)
NOW_MS = 1_760_000_000_000


@dataclass(frozen=True, slots=True)
class Stage:
    """A room with a channel of its own, and what is loaded into it."""

    pool: ShardPool

    async def load(self, *records: Record, skip_refused: bool = False) -> Loaded:
        return await self.pool.write(ROOM, imports.load_batch, records, skip_refused=skip_refused, now_ms=NOW_MS)

    async def messages(self, channel: str = "general") -> list[Message]:
        channels = await self.pool.read(ROOM, channel_actions.list_channels, OWNER, now_ms=NOW_MS)
        found = next(row.id for row in channels if row.name == channel)
        page = await History(self.pool, NOTHING_ARCHIVED).read_page(
            ROOM, OWNER, found, None, Span(limit=100), now_ms=NOW_MS
        )
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
    await pool.create(ROOM, rooms.found_room, "community", OWNER, drafts, now_ms=NOW_MS)
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


@pytest.mark.security
async def test_authorship_grants_no_membership(stage: Stage) -> None:
    """Authors of a history are not in the room because of it, and who left stays out; their messages come in."""
    await stage.load(record(1), record(2, user_id=BOB))
    assert await stage.pool.read(ROOM, members.present_members) == [OWNER]
    await stage.pool.write(ROOM, members.join, BOB, now_ms=NOW_MS)
    await stage.pool.write(ROOM, members.leave, BOB, now_ms=NOW_MS)
    assert await stage.load(record(1), record(2, user_id=BOB), record(3, user_id=BOB)) == Loaded(1, 2, 0, 0, ())
    assert await stage.pool.read(ROOM, members.present_members) == [OWNER]
    written = [message for message in await stage.messages() if message.user_id == BOB]
    for message in written:
        with pytest.raises(NotFoundError):
            await stage.pool.write(
                ROOM, messages.edit_message, BOB, message.channel_id, message.id, "mine", now_ms=NOW_MS
            )
    assert len(written) == 3


async def test_a_private_channel_stays_private(stage: Stage) -> None:
    """A history is loaded into a channel that its author may not see, and they see it no more than before."""
    await stage.pool.write(ROOM, members.join, BOB, now_ms=NOW_MS)
    await stage.pool.write(ROOM, Writer.run, "UPDATE channels SET is_private = 1 WHERE name = 'general'")
    assert (await stage.load(record(1, user_id=BOB), record(2, user_id=BOB, topic=None))).messages_new == 2
    seen = await stage.pool.read(ROOM, channel_actions.list_channels, BOB, now_ms=NOW_MS)
    assert [channel.name for channel in seen] == ["stage"]


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


@pytest.mark.security
async def test_who_is_banned_stays_out_and_their_messages_come_in(stage: Stage) -> None:
    """The ban of a room holds for who wrote its history, not for what was written."""
    ban = f"INSERT INTO bans (user_id, banned_by, banned_at) VALUES ({BOB}, {OWNER}, {NOW_MS})"
    await stage.pool.write(ROOM, Writer.run, ban)
    assert await stage.load(record(1, user_id=BOB), record(2)) == Loaded(2, 0, 0, 1, ())
    assert not await stage.pool.read(ROOM, members.is_member, BOB)

"""What a transaction does once, at its end, for all messages that were sent in it: counting and indexing."""

import asyncio
from pathlib import Path

import pytest

from ids import ChannelId
from shard.actions import messages
from shard.actions import threads as thread_actions
from shard.engine.connections import Writer
from shard.tables.messages import Draft
from tests.shard import stage
from tests.shard.gates import Gate


def send_then_raise(writer: Writer, channel_id: ChannelId) -> None:
    """Store a message that counts, and fail, so that it must not."""
    messages.send_message(writer, stage.ANNA, channel_id, Draft("spoiled"), now_ms=stage.NOW_MS)
    raise LookupError


@pytest.mark.parametrize("spoiled", [0, 1, 3])
async def test_a_transaction_counts_what_it_kept(tmp_path: Path, spoiled: int) -> None:
    """Channels and threads count each kept message once, however often the batch was done again, and all are found."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        thread = await it.pool.write(
            room.id,
            thread_actions.open_thread,
            stage.ANNA,
            room.general,
            "topic",
            now_ms=stage.NOW_MS,
            is_announced=False,
        )
        async with Gate().held(it, room):
            kept = [
                asyncio.ensure_future(it.send(room, f"kept {number}", thread_id=thread.id if number % 2 else None))
                for number in range(10)
            ]
            lost = [
                asyncio.ensure_future(it.pool.write(room.id, send_then_raise, room.general)) for _ in range(spoiled)
            ]
            await asyncio.sleep(0.05)
        sent = await asyncio.gather(*kept)
        failed = await asyncio.gather(*lost, return_exceptions=True)
        assert [type(error) for error in failed] == [LookupError] * spoiled
        newest = max(one.message.id for one in sent)
        counted = await it.rows(room, "SELECT message_count, last_message_id FROM channels WHERE id = ?", room.general)
        assert counted == [(10, newest)]
        in_thread = [one.message.id for number, one in enumerate(sent) if number % 2]
        threads = await it.rows(room, "SELECT message_count, last_message_id FROM threads")
        assert threads == [(5, max(in_thread))]
        found = await it.rows(room, "SELECT rowid FROM messages_fts WHERE messages_fts MATCH 'kept'")
        assert len(found) == 10
        assert await it.rows(room, "SELECT rowid FROM messages_fts WHERE messages_fts MATCH 'spoiled'") == []


async def test_times_of_an_import_move_nothing_back(tmp_path: Path) -> None:
    """A message with an older time counts in its thread without making it look older."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        thread = await it.pool.write(
            room.id, thread_actions.open_thread, stage.ANNA, room.general, "t", now_ms=stage.NOW_MS
        )
        live = await it.send(room, "live", thread_id=thread.id)
        await it.send(room, "old", thread_id=thread.id, sent_at=stage.NOW_MS - 86_400_000)
        rows = await it.rows(room, "SELECT message_count, last_message_id, last_message_at FROM threads")
        assert rows == [(2, live.message.id, stage.NOW_MS)]

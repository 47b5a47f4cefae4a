"""Unread counts of an archived room: as if nothing had moved, or capped."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ids import MessageId, ThreadId
from shard.actions import unread
from shard.actions.pages import Span
from tests.shard import twins
from tests.shard.stage import ANNA, OWNER
from tests.shard.twins import DAY_MS, Side, Twins


@pytest.fixture
async def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Twins]:
    """Open two rooms with the same 40 messages, half of them in a thread; one has archived all but the newest five."""
    twins.shrink(monkeypatch)
    async with twins.twins(tmp_path) as opened:
        thread = await opened.open_thread("Nests")
        for number in range(40):
            await opened.send(f"{number}", user_id=ANNA, thread_id=(None, thread)[number % 2], nonce=f"n{number}")
        opened.wait(40 * DAY_MS)
        assert (await opened.archived.archive()).messages_moved > 20
        yield opened


async def test_unread_counts_that_leave_out_archived_messages_are_capped(both: Twins) -> None:
    """A channel or thread counts as before anything moved, or says that there may be more; others are not capped."""
    side, other = both.archived, both.plain
    thread = both.threads[0]
    in_thread = [message.id for message in await both.page(Span(100), thread)]
    room, general = side.room.id, side.room.general

    async def mark(thread_id: ThreadId | None, last_read_id: MessageId | None) -> None:
        for one in both.sides:
            asked = (OWNER, general, thread_id, last_read_id)
            await one.stage.pool.write(room, unread.mark_read, *asked, may_go_back=True, now_ms=both.now_ms)

    async def count(one: Side) -> tuple[tuple[int, bool], list[tuple[int, bool]]]:
        counted = await one.stage.pool.read(room, unread.count_unread_threads, OWNER, now_ms=both.now_ms)
        channel = next(row for row in counted.channels if row.channel_id == general)
        rows = [row for row in counted.threads if row.thread_id == thread]
        return (channel.unread_count, channel.is_capped), [(row.unread_count, row.is_capped) for row in rows]

    await mark(None, None)
    assert await count(other) == await count(side) == ((0, False), [])
    await mark(thread, MessageId(min(in_thread) - 1))
    assert await count(other) == ((len(in_thread), False), [(len(in_thread), False)])
    left = (await count(side))[0][0]
    assert left < len(in_thread)
    assert await count(side) == ((left, True), [(left, True)])
    await mark(thread, max(in_thread))
    assert await count(other) == await count(side) == ((0, False), [])
    await mark(None, MessageId(min(in_thread) - 1))
    assert (await count(side))[0][1]

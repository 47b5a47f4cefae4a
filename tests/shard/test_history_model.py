"""Any interleaving of sends, edits, deletes, archiving and rewriting: what is live and what is in segments is what was
said without what was deleted, once and in order; a room that never archived is the model."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ids import MessageId, ThreadId, UserId
from shard.actions import messages, pins, reactions
from shard.actions.pages import Span
from shard.archive.segment_files import pieces
from shard.errors import ArchivedError, ConflictError
from shard.tables.messages import Draft
from tests.shard import twins
from tests.shard.stage import ANNA, BEN, OWNER
from tests.shard.twins import DAY_MS, Side, Twins

EXAMPLES = 400 if "ROOKERY_CRASH_CYCLES" in os.environ else 15
CHANGES: dict[str, tuple[Callable[..., Any], UserId, tuple[Any, ...]]] = {
    "edit": (messages.edit_message, ANNA, ("other words of rooks",)),
    "react": (reactions.react, OWNER, ("🐦",)),
    "pin": (pins.pin_message, OWNER, ()),
    "unpin": (pins.unpin_message, OWNER, ()),
}
STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 7), st.integers(0, 2)),
    st.tuples(st.sampled_from(("delete", "bulk", *CHANGES)), st.integers(0, 60), st.just(0)),
    st.tuples(st.sampled_from(("archive", "wait", "half", "look")), st.integers(0, 9), st.just(0)),
)


class Stopped(BaseException):
    """The archiver is killed."""


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(STEPS, min_size=4, max_size=25))
def test_history_is_what_was_said_without_what_was_deleted(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, int, int]]
) -> None:
    """Readers of the archived room and of the one that never archived are told the same, after every step."""
    twins.shrink(monkeypatch, kept=3, least=2, most=5)
    asyncio.run(_play(tmp_path_factory.mktemp("model"), steps))


async def _play(folder: Path, steps: list[tuple[str, int, int]]) -> None:
    async with twins.twins(folder) as both:
        threads = [None, await both.open_thread("Nests"), await both.open_thread("Twigs")]
        said: list[MessageId] = []
        await _send(both, said, 12, None)
        both.wait(40 * DAY_MS)
        await _visit(both)
        for step, number, more in steps:
            await _do(both, said, step, number, threads[more])
            await _compare(both, threads)
        await _visit(both)
        await _compare(both, threads)
        await _each_in_one_place(both)


async def _do(both: Twins, said: list[MessageId], step: str, number: int, thread_id: ThreadId | None) -> None:
    match step:
        case "send":
            await _send(both, said, number, thread_id)
        case "wait":
            both.wait(40 * DAY_MS)
        case "archive":
            await _visit(both)
        case "half":
            await _visit(both, stop_after=number)
        case "look":
            await both.search("rooks")
            await both.search("-nothing from:12")
        case "delete" | "bulk" if said:
            await _delete(both, said, number, is_many=step == "bulk")
        case _ if said and step in CHANGES:
            await _change(both, said[number % len(said)], step)


async def _send(both: Twins, said: list[MessageId], count: int, thread_id: ThreadId | None) -> None:
    for number in range(count):
        reply_to_id = said[number * 5 % len(said)] if said and number % 3 == 2 else None
        both.wait(1_000)

        async def send(side: Side, reply_to_id: MessageId | None = reply_to_id) -> Any:
            draft = Draft(f"words of rooks {len(said)}", None, thread_id, reply_to_id)
            return await side.history.send_message(side.room.id, ANNA, side.room.general, draft, now_ms=both.now_ms)

        try:
            sent = await both.do(send)
        except twins.Refusal:
            continue  # the message that it replies to was deleted
        said.append(sent.message.id)


async def _visit(both: Twins, *, stop_after: int | None = None) -> None:
    """Archive one side, to its end or until it is killed; the clock goes on, since the manifest has ids too."""
    left = stop_after

    def count_down() -> None:
        nonlocal left
        if left is not None:
            left -= 1
            if left < 0:
                raise Stopped

    side = both.archived
    side.archiver.between_steps = count_down
    try:
        assert (await side.archive()).error is None
    except Stopped:
        pass
    finally:
        side.archiver.between_steps = lambda: None
    both.wait(1_000)


async def _delete(both: Twins, said: list[MessageId], number: int, *, is_many: bool) -> None:
    at = number % len(said)
    gone = said[at : at + 3] if is_many else said[at : at + 1]

    async def delete(side: Side) -> Any:
        place = (side.room.id, OWNER, side.room.general)
        if is_many:
            return await side.history.delete_messages(*place, gone, reason="tidy", now_ms=both.now_ms)
        return await side.history.delete_message(*place, gone[0], reason=None, now_ms=both.now_ms)

    await both.do(delete)
    del said[at : at + len(gone)]


async def _change(both: Twins, message_id: MessageId, step: str) -> None:
    """Change a message on both sides, unless it is archived on one."""
    act, user_id, more = CHANGES[step]

    async def change(side: Side) -> Any:
        written = side.stage.pool.write(
            side.room.id, act, user_id, side.room.general, message_id, *more, now_ms=both.now_ms
        )
        return await side.history.changing(side.room.id, written)

    try:
        changed = await change(both.archived)
    except ArchivedError:
        return
    except ConflictError:
        with pytest.raises(ConflictError):
            await change(both.plain)
        return
    assert await change(both.plain) == changed


async def _compare(both: Twins, threads: list[ThreadId | None]) -> None:
    every = await both.page(Span(1_000))
    for message in every[::9]:
        await both.page(Span(4, around=message.id))
        await both.page(Span(3, before=message.id))
        await both.page(Span(3, after=message.id))
    for thread_id in threads[1:]:
        await both.page(Span(4), thread_id)
        await both.page(Span(100), thread_id)
    await both.do(
        lambda side: side.history.export_messages(
            side.room.id, BEN, after=MessageId(0), limit=1_000, now_ms=both.now_ms
        )
    )
    counts = "SELECT c.message_count, (SELECT json_group_array(t.message_count) FROM threads t) FROM channels c"
    await both.do(lambda side: side.stage.rows(side.room, counts))


async def _each_in_one_place(both: Twins) -> None:
    """Hold that the ids in the tables and those that count in segments are disjoint and all there are."""
    side = both.archived
    found = [row[0] for row in await both.rows("SELECT id FROM messages WHERE is_deleted = 0")]
    for segment in await twins.segments(side):
        parts = await side.archiver.cache.ask(side.room.id, segment, pieces, after=0)
        found += [one.id for one in parts if one.id <= segment.cut_id and one.id not in segment.hidden]
    assert sorted(found) == [message.id for message in reversed(await both.page(Span(10_000)))]

"""A repeated send is answered with its message also when that has moved into a segment."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ids import UserId
from shard.actions import nonces, webhooks
from shard.actions.messages import Sent
from shard.actions.webhooks import Keys
from shard.engine.connections import Writer
from shard.errors import ArchiveUnavailableError, ConflictError, NotFoundError
from shard.rows import Message
from shard.tables.messages import Draft
from tests.shard import twins
from tests.shard.stage import ANNA, BEN, OWNER
from tests.shard.twins import DAY_MS, Side, every

HOOK, TOKEN = 50, b"h" * 32


@pytest.fixture
async def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Side]:
    """Open a room with 14 messages of two members in general and 8 of a webhook in other; all but 5 of each moved."""
    twins.shrink(monkeypatch)
    async with twins.side(tmp_path) as opened:
        opened.stage.now_ms += 1_000
        other = opened.room.channels["other"]
        await opened.stage.pool.write(
            opened.room.id, webhooks.create_incoming, OWNER, HOOK, "Build", other, Keys(TOKEN, b""),
            now_ms=opened.stage.now_ms,
        )  # fmt: skip
        for number in range(14):
            opened.stage.now_ms += 1_000
            await opened.stage.send(opened.room, f"said {number}", user_id=(ANNA, BEN)[number % 2], nonce=f"n{number}")
        for number in range(8):
            opened.stage.now_ms += 1_000
            await post(opened, number)
        opened.stage.now_ms += 40 * DAY_MS
        outcome = await opened.archive()
        assert (outcome.messages_moved, outcome.error) == (9 + 3, None)
        yield opened


async def post(side: Side, number: int) -> Sent:
    """Post by the webhook, with the nonce of this number."""
    draft = Draft(f"built {number}", f"n{number}")
    return await side.history.post_by_webhook(side.room.id, HOOK, TOKEN, draft, None, now_ms=side.stage.now_ms)


async def send(side: Side, nonce: str, *, user_id: UserId = ANNA, channel: str = "general") -> Sent:
    """Send as a client does that got no answer the first time."""
    draft = Draft("again", nonce)
    return await side.history.send_message(
        side.room.id, user_id, side.room.channels[channel], draft, now_ms=side.stage.now_ms
    )


async def find(side: Side, nonce: str) -> Message | None:
    """Look up one of Anna's messages, as for a room that takes no new ones."""
    return await side.history.find_sent(side.room.id, ANNA, side.room.general, nonce, now_ms=side.stage.now_ms)


async def refuse(side: Side, nonce: str, **options: str) -> None:
    with pytest.raises(ConflictError, match="nonce"):
        await send(side, nonce, **options)  # type: ignore[arg-type]


async def test_every_nonce_returns_its_message_wherever_it_is(side: Side) -> None:
    """Members and webhooks get their own message back, moved or not, and nothing is stored."""
    said = await every(side)
    assert [message.nonce for message in said] == [f"n{number}" for number in range(14)]
    for message in said:
        assert await send(side, str(message.nonce), user_id=message.user_id) == (message, False)
    posted = [await post(side, number) for number in range(8)]
    assert [(one.message.content, one.is_new) for one in posted] == [(f"built {at}", False) for at in range(8)]
    found = await side.history.find_posted(side.room.id, HOOK, TOKEN, "n0")
    assert found == posted[0].message
    assert await every(side) == said


async def test_a_moved_message_answers_where_nothing_more_is_taken(side: Side) -> None:
    """In an archived channel and in a time-out a repeated nonce is answered; to who no longer sees it, it is not."""
    first = (await every(side))[0]
    await side.stage.pool.write(side.room.id, Writer.run, "UPDATE channels SET is_archived = 1")
    await side.stage.pool.write(
        side.room.id, Writer.run, f"UPDATE members SET timed_out_until = {side.stage.now_ms + 1}"
    )
    assert await send(side, "n0") == (first, False)
    assert await find(side, "n0") == first
    await side.stage.pool.write(side.room.id, Writer.run, "UPDATE channels SET is_private = 1")
    with pytest.raises(NotFoundError):
        await send(side, "n0")
    assert await find(side, "n0") is None


async def test_a_nonce_returns_only_ones_own_message_of_the_channel(side: Side) -> None:
    """Another member's nonce is a new message, and a nonce of another channel is refused."""
    assert (await send(side, "n0", user_id=BEN)).is_new
    await refuse(side, "n0", channel="other")
    assert await side.history.find_sent(side.room.id, BEN, side.room.general, "n2", now_ms=side.stage.now_ms) is None


async def test_a_deleted_archived_message_does_not_come_back(side: Side) -> None:
    """The nonce of a message that was deleted in the archive is refused, before its segment is rewritten and after."""
    first = (await every(side))[0]
    await side.history.delete_message(
        side.room.id, ANNA, side.room.general, first.id, reason=None, now_ms=side.stage.now_ms
    )
    await refuse(side, "n0")
    assert await find(side, "n0") is None
    await side.archive()
    await refuse(side, "n0")


async def test_while_the_archive_is_away_a_repeated_nonce_is_to_be_repeated(side: Side) -> None:
    """A moved message that cannot be fetched is neither stored again nor refused for good."""
    for key in await side.store.list("archive/"):
        await side.store.delete(key)
    with pytest.raises(ArchiveUnavailableError):
        await send(side, "n0")


async def test_older_segments_than_those_that_are_read_are_refused(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the newest segments are asked, so that a nonce costs a bounded time."""
    monkeypatch.setattr(nonces, "SEGMENTS_MAX", 1)
    await refuse(side, "n0")
    assert not (await send(side, "n6")).is_new


async def test_a_send_with_a_nonce_holds_up_no_request_behind_it(side: Side) -> None:
    """It is a future, not a task: the gateway begins the next request of a client at once, in the same order."""
    sends = [
        side.history.begin_message(
            side.room.id, ANNA, side.room.general, Draft(f"new {at}", f"new {at}"), now_ms=side.stage.now_ms
        )
        for at in range(20)
    ]
    assert not any(isinstance(asyncio.ensure_future(one), asyncio.Task) for one in sends)
    sent = await asyncio.gather(*sends)
    assert [one.message.content for one in sorted(sent, key=lambda one: one.message.id)] == [
        f"new {at}" for at in range(20)
    ]

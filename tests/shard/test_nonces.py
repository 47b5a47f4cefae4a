"""A nonce makes a send repeatable: however often and however concurrently it is repeated, one message is stored."""

import asyncio
from pathlib import Path

import pytest

from ids import MessageId
from shard.actions import messages
from shard.engine.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError, RejectedError
from tests.shard import stage


async def test_a_nonce_sent_many_times_at_once_is_one_message(tmp_path: Path) -> None:
    """Fifty concurrent sends of one nonce store, publish and return one message, and one of them is told it is new."""
    async with stage.opened(tmp_path, batch_max=7) as it:
        room = await it.found()
        sent = await asyncio.gather(*(it.send(room, f"try {number}", nonce="same") for number in range(50)))
        assert len({one.message.id for one in sent}) == 1
        assert [one.is_new for one in sent].count(True) == 1
        assert len(it.messages(room)) == 1
        assert await it.texts(room) == [sent[0].message.content]
        assert await it.rows(room, "SELECT message_count FROM channels WHERE id = ?", room.general) == [(1,)]


async def test_a_nonce_outlives_the_connections(tmp_path: Path) -> None:
    """A nonce repeated after the shard was closed and opened again returns the message it made."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        first = await it.send(room, "once", nonce="same")
        await it.evict(room)
        again = await it.send(room, "once", nonce="same")
        assert again.message == first.message
        assert (first.is_new, again.is_new) == (True, False)


async def test_a_nonce_belongs_to_its_sender(tmp_path: Path) -> None:
    """Two people may use the same nonce for messages of their own."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        await it.send(room, "hers", nonce="same", user_id=stage.ANNA)
        assert (await it.send(room, "his", nonce="same", user_id=stage.BEN)).is_new
        assert await it.texts(room) == ["hers", "his"]


async def test_a_nonce_of_another_channel_is_a_conflict(tmp_path: Path) -> None:
    """A nonce used in one channel is refused in another, where it stores nothing."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        await it.send(room, "here", nonce="same")
        with pytest.raises(ConflictError):
            await it.send(room, "there", nonce="same", channel="other")
        assert await it.texts(room, channel="other") == []
        assert (await it.send(room, "there", nonce="new", channel="other")).is_new


async def test_a_refused_send_leaves_its_nonce_free(tmp_path: Path) -> None:
    """A nonce whose send was refused may be used for the corrected send."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        with pytest.raises(NotFoundError):
            await it.send(room, "to nobody", nonce="same", reply_to_id=MessageId(1))
        assert (await it.send(room, "to all", nonce="same")).is_new


async def test_messages_without_a_nonce_are_all_stored(tmp_path: Path) -> None:
    """Equal messages without a nonce are each a message."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        await asyncio.gather(*(it.send(room, "hello") for _ in range(10)))
        assert await it.texts(room) == ["hello"] * 10


async def test_a_retry_is_answered_where_nothing_more_is_taken(tmp_path: Path) -> None:
    """A nonce whose message is stored is answered in an archived channel and in a time-out, where a new one is refused;
    whoever no longer sees the channel is refused both."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        first = await it.send(room, "once", nonce="same")

        async def change(sql: str) -> None:
            await it.pool.write(room.id, Writer.run, sql)

        async def refused(nonce: str) -> type[Exception]:
            with pytest.raises(RejectedError) as caught:
                await it.send(room, "once", nonce=nonce)
            return caught.type

        await change("UPDATE channels SET is_archived = 1")
        assert await it.send(room, "once", nonce="same") == (first.message, False)
        assert await refused("new") is ConflictError
        await change(f"UPDATE members SET timed_out_until = {stage.NOW_MS + 1}")
        assert await it.send(room, "once", nonce="same") == (first.message, False)
        assert await refused("new") is ForbiddenError
        await change("UPDATE channels SET is_private = 1")
        assert await refused("same") is await refused("new") is NotFoundError


async def test_a_nonce_does_not_bring_back_what_was_deleted(tmp_path: Path) -> None:
    """A retry after the message was deleted is refused, and stores nothing."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        first = await it.send(room, "once", nonce="same")
        await it.pool.write(
            room.id, messages.delete_message, stage.ANNA, room.general, first.message.id, now_ms=stage.NOW_MS
        )
        with pytest.raises(ConflictError, match="deleted"):
            await it.send(room, "once", nonce="same")
        assert await it.texts(room) == []

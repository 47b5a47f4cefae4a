"""The log as it is told again: what was said as it is now, and nothing of what was replaced."""

from pathlib import Path

from ids import UserId
from shard.actions import gateway, messages, moderation
from tests.shard import stage
from tests.shard.stage import ANNA, BEN, OWNER


async def test_events_come_as_they_were_published(tmp_path: Path) -> None:
    """What was not changed since is told again as it was told first, its message included, and stretch by stretch."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        for number in range(5):
            await it.send(room, f"number {number}")
        published = {event.seq: event for event in it.events(room)}
        last = max(published)
        again = await it.pool.read(room.id, gateway.replay, 0, last)
        assert [event.seq for event in again] == list(range(1, last + 1))
        assert [event for event in again if event.seq in published] == list(published.values())
        assert await it.pool.read(room.id, gateway.replay, last - 2, last - 1) == [published[last - 1]]
        assert await it.pool.read(room.id, gateway.replay, last, last + 9) == []


async def test_what_was_replaced_is_not_told(tmp_path: Path) -> None:
    """An edited message is told with its new words by both of its events, a deleted one by its id alone."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        changed, gone = (await it.send(room, "old words")).message, (await it.send(room, "secret words")).message
        write = it.pool.write
        await write(room.id, messages.edit_message, ANNA, room.general, changed.id, "new words", now_ms=it.now_ms)
        await write(room.id, messages.delete_message, ANNA, room.general, gone.id, now_ms=it.now_ms)
        again = await it.pool.read(room.id, gateway.replay, 0, 1_000)
        told = [event.message and event.message.content for event in again if event.message_id == changed.id]
        assert told == ["new words", "new words"]
        assert [(event.type, event.message) for event in again if event.message_id == gone.id] == [
            ("message.created", None),
            ("message.deleted", None),
        ]
        assert "words" not in str([event.payload for event in again])
        assert "replaced" not in str([event.payload for event in again])


async def test_a_watch_is_of_one_moment(tmp_path: Path) -> None:
    """Who sees what and how far the log goes are told together; strangers and those who left have no audience."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        await it.pool.write(room.id, moderation.kick, OWNER, BEN, reason=None, now_ms=it.now_ms)
        watch = await it.pool.read(room.id, gateway.watch, [OWNER, ANNA, BEN, UserId(404)])
        assert set(watch.audiences) == {OWNER, ANNA}
        assert watch.audiences[ANNA].seen == watch.audiences[OWNER].seen == set(room.channels.values())
        assert (watch.audiences[ANNA].is_told_of_bans, watch.audiences[OWNER].is_told_of_bans) == (False, True)
        assert (watch.first_seq, watch.last_seq) == (1, it.events(room)[-1].seq)

"""Events that were found only in the log: what they changed is read again before they are sent."""

import asyncio

import pytest

from router.gateway.live_room import LiveRoom
from tests.router.listening import Listener
from tests.router.room_logs import ANNA, BEN, HIDDEN, SEES_ALL, SEES_OPEN, Log, heard, log, room

__all__ = ["log", "room"]


async def shut_out(log: Log, room: LiveRoom, listener: Listener, *, is_live: bool = True) -> None:
    """Have somebody live who sees a hidden channel, and then hide it in a commit that is in the log alone."""
    log.audiences[listener.user_id] = SEES_ALL
    if is_live:
        room.publish(log.append())
        listener.come(room, 1, resumes=True)
        await heard(listener, 0)
    log.audiences[listener.user_id] = SEES_OPEN
    log.append(1, "overwrite.set", HIDDEN)
    log.append(1, "message.created", HIDDEN)


@pytest.mark.parametrize("found_by", ["reconciling", "a hole", "looking ahead"])
async def test_a_sight_that_a_commit_in_the_log_alone_took_away_shows_nothing(
    log: Log, room: LiveRoom, found_by: str
) -> None:
    """Events that nobody published are sent under the visibility that they leave, however they are found."""
    anna, ben = Listener(ANNA), Listener(BEN)
    await shut_out(log, room, anna)
    late = log.events[1:]
    if found_by == "reconciling":
        room.reconcile()
        await asyncio.sleep(0.05)
    elif found_by == "looking ahead":
        ben.come(room, 3, resumes=True)
        await asyncio.sleep(0.05)
        room.publish(late)
    room.publish(log.append())
    assert await heard(anna, 1) == [4]
    assert [message["d"]["channel_ids"] for message in anna.told() if message["op"] == "channels"] == [["1"]]


async def test_a_commit_that_is_published_after_it_was_read_still_takes_sight_away(log: Log, room: LiveRoom) -> None:
    """An audience that was read before a commit does not outlive its publication, even if the log was read between."""
    anna, ben = Listener(ANNA), Listener(BEN)
    log.append()
    log.audiences[ANNA] = SEES_ALL
    anna.come(room, 1)
    await room.send_ephemeral(b"", HIDDEN, except_user_id=BEN)
    await shut_out(log, room, anna, is_live=False)
    ben.come(room, 3, resumes=True)
    await heard(ben, 0)
    room.publish(log.events[1:])
    room.publish(log.append())
    assert await heard(anna, 1) == [4]
    assert await heard(ben, 1) == [4]


async def test_words_that_a_commit_in_the_log_alone_replaced_are_not_sent_again(log: Log, room: LiveRoom) -> None:
    """What was kept of earlier events is read again after events that nobody published: they may have rewritten it."""
    room.publish(log.append(1))
    anna, ben = Listener(ANNA), Listener(BEN)
    anna.come(room, 1, resumes=True)
    await heard(anna, 0)
    room.publish(log.append(2))
    assert await heard(anna, 2) == [2, 3]
    log.replays.clear()
    log.append(1, "message.edited")
    room.reconcile()
    assert await heard(anna, 3) == [2, 3, 4]
    ben.come(room, 1, resumes=True)
    assert await heard(ben, 3) == [2, 3, 4]
    assert min(after for after, _ in log.replays) == 0, "the earlier events are read again"

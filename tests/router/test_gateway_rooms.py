"""One room's listeners, step by step, over a log that the test writes itself: turns that a real disk takes seldom."""

import asyncio

import pytest

from ids import UserId
from router.gateway.connection import REMOVAL_SECONDS
from router.gateway.event_buffer import BLOCK_EVENTS
from router.gateway.live_room import LiveRoom
from shard.rows import Event
from shard.visibility import Audience
from tests.router.listening import Listener
from tests.router.room_logs import ANNA, BEN, HIDDEN, OPEN, SEES_ALL, SEES_OPEN, Log, heard, log, room
from tests.shard.stage import until

__all__ = ["log", "room"]


async def test_the_first_event_wakes_who_sleeps(log: Log, room: LiveRoom) -> None:
    """Nothing is asked of the shard before something happens; then everything is told from where one was."""
    log.append(3)
    anna = Listener(ANNA)
    anna.come(room, 2)
    await asyncio.sleep(0.02)
    assert not log.replays
    room.publish(log.append())
    assert await heard(anna, 2) == [3, 4]
    room.publish(log.append(2))
    assert await heard(anna, 4) == [3, 4, 5, 6]


async def test_what_was_read_is_not_told_again_when_it_is_published(log: Log, room: LiveRoom) -> None:
    """A commit that the log had before it was published is told once."""
    log.append(3)
    late = log.append(2)
    anna = Listener(ANNA)
    anna.come(room, 1, resumes=True)
    assert await heard(anna, 4) == [2, 3, 4, 5]
    room.publish(late)
    room.publish(log.append())
    assert await heard(anna, 5) == [2, 3, 4, 5, 6]


async def test_a_place_ahead_of_what_was_published_waits_for_it(log: Log, room: LiveRoom) -> None:
    """Whoever read the shard after a commit and before its publication hears all that follows, once."""
    room.publish(log.append(2))
    ben, anna = Listener(BEN), Listener(ANNA)
    ben.come(room, 2, resumes=True)
    await heard(ben, 0)
    late = log.append(3)
    anna.come(room, 4, resumes=True)
    assert await heard(anna, 1) == [5]
    assert await heard(ben, 3) == [3, 4, 5]
    room.publish(late)
    room.publish(log.append())
    assert await heard(anna, 2) == [5, 6]
    assert await heard(ben, 4) == [3, 4, 5, 6]
    assert not [message for message in anna.told() if message["op"] == "resync"]


async def test_what_was_never_published_is_read(log: Log, room: LiveRoom) -> None:
    """A hole in what is published is filled from the log before anything else is told."""
    room.publish(log.append())
    anna = Listener(ANNA)
    anna.come(room, 1, resumes=True)
    await heard(anna, 0)
    log.append(2)
    room.publish(log.append())
    assert await heard(anna, 3) == [2, 3, 4]


async def test_a_commit_in_doubt_is_looked_for(log: Log, room: LiveRoom) -> None:
    """After a commit whose outcome is unknown the log is read as soon as it can be, and what it has is told."""
    room.publish(log.append())
    anna = Listener(ANNA)
    anna.come(room, 1, resumes=True)
    await heard(anna, 0)
    log.is_broken = True
    log.append()
    room.reconcile()
    await asyncio.sleep(0.05)
    assert anna.events() == []
    log.is_broken = False
    assert await heard(anna, 1) == [2]


async def test_a_room_that_fails_is_waited_for(log: Log, room: LiveRoom) -> None:
    """While a shard cannot be read its listeners wait; when it is back they have everything, and in order."""
    log.append(5)
    anna, ben = Listener(ANNA), Listener(BEN)
    log.is_broken = True
    anna.come(room, 0, resumes=True)
    ben.come(room, 5)
    room.publish(log.append())
    await asyncio.sleep(0.05)
    assert anna.told() == ben.told() == []
    log.is_broken = False
    assert await heard(anna, 6) == [1, 2, 3, 4, 5, 6]
    assert await heard(ben, 1) == [6]
    assert anna.told()[-1] == {"op": "resumed", "d": {"room_id": "7", "channel_ids": ["1"], "seq": 6}}


@pytest.mark.parametrize("type_", ["overwrite.set", "oddity.told", "message.oddly"])
async def test_a_changed_sight_is_asked_for_before_anything_is_told(log: Log, room: LiveRoom, type_: str) -> None:
    """Nobody hears a commit that may change what they see before the shard said what that is now."""
    room.publish(log.append())
    anna = Listener(ANNA)
    anna.come(room, 1, resumes=True)
    await heard(anna, 0)
    log.held = asyncio.Event()
    log.audiences[ANNA] = SEES_ALL
    room.publish(log.append(1, type_, HIDDEN))
    room.publish(log.append(1, "message.created", HIDDEN))
    await asyncio.sleep(0.03)
    assert anna.events() == []
    log.held.set()
    assert await heard(anna, 2) == [2, 3]
    assert [message["d"]["channel_ids"] for message in anna.told() if message["op"] == "channels"] == [["1", "2"]]


async def test_whoever_is_put_out_hears_nothing_of_that_commit(log: Log, room: LiveRoom) -> None:
    """Being put out ends the listening with the commit that says so; it is told when the lists are without the room."""
    room.publish(log.append())
    anna, ben = Listener(ANNA), Listener(BEN)
    for one in (anna, ben):
        one.come(room, 1, resumes=True)
        await heard(one, 0)
    del log.audiences[ANNA]
    kicked = Event(2, "member.kicked", None, BEN, {"user_id": str(ANNA)}, None, 0)
    log.events.append(kicked)
    room.publish([kicked, *log.append()])
    assert await heard(ben, 2) == [2, 3]
    assert anna.events() == []
    assert anna.told()[-1]["op"] == "resumed"
    assert anna.connection is not None
    anna.connection.send_removed(room.room_id)
    anna.connection.send_removed(room.room_id)
    assert anna.told()[-2]["op"] == "resumed"
    assert anna.told()[-1] == {"op": "removed", "d": {"room_id": "7", "reason": "not_a_member"}}


async def test_a_removal_is_told_at_once_or_after_a_while(room: LiveRoom) -> None:
    """Where the lists are without the room already, `removed` is sent at once; where they never follow, it is not
    withheld for ever."""
    anna, ben = Listener(ANNA), Listener(BEN)
    for one in (anna, ben):
        one.come(room, 1)
    assert anna.connection is not None
    assert ben.connection is not None
    anna.connection.left_rooms.add(room.room_id)
    for user_id in (ANNA, BEN):
        room.remove_user(user_id, "room_deleted")
    removed = {"op": "removed", "d": {"room_id": "7", "reason": "room_deleted"}}
    assert (anna.told(), ben.told()) == ([removed], [])
    now = asyncio.get_running_loop().time()
    ben.connection.send_overdue_removals(now)
    assert ben.told() == []
    ben.connection.send_overdue_removals(now + REMOVAL_SECONDS)
    assert ben.told() == [removed]


async def test_a_deleted_channel_is_told_to_those_alone_who_saw_it(log: Log, room: LiveRoom) -> None:
    """A client that saw a channel is told that it is deleted; one that sees the same from then on gets a number without
    content, and after it both are told alike."""
    log.audiences[ANNA] = Audience(frozenset({OPEN, HIDDEN}), frozenset({OPEN, HIDDEN}), is_told_of_bans=False)
    room.publish(log.append())
    anna, ben = Listener(ANNA), Listener(BEN)
    for one in (anna, ben):
        one.come(room, 1, resumes=True)
    await until(lambda: all(one.told() for one in (anna, ben)))
    log.audiences[ANNA] = SEES_OPEN
    room.publish(log.append(1, "channel.deleted", HIDDEN))
    await until(lambda: len(anna.events()) == 1)
    room.publish(log.append(1, "message.created", HIDDEN))
    room.publish(log.append())
    assert await heard(anna, 2) == [2, 4]
    assert await heard(ben, 1) == [4]
    assert (anna.place(1), ben.place(1)) == (4, 4)


async def test_hidden_events_are_told_as_one_span(log: Log, room: LiveRoom) -> None:
    """Commits that are not for somebody cost no frame each: their numbers come with the next that is, or when asked."""
    room.publish(log.append())
    anna = Listener(ANNA)
    anna.come(room, 1, resumes=True)
    await heard(anna, 0)
    for _ in range(3):
        room.publish(log.append(2, "message.created", HIDDEN))
    assert [message["op"] for message in anna.told()] == ["resumed"]
    room.publish(log.append())
    assert anna.told()[-1]["d"]["skipped"] == [[2, 7]]
    room.publish(log.append(1, "message.created", HIDDEN))
    room.flush_skipped()
    assert anna.told()[-1]["d"] == {"room_id": "7", "events": [], "skipped": [[9, 9]]}
    room.flush_skipped()
    assert anna.place(1) == 9


async def test_only_who_may_ban_is_told_of_bans(log: Log, room: LiveRoom) -> None:
    """A ban is an event of the room that most members skip, live and afterwards."""
    log.audiences[BEN] = SEES_ALL
    room.publish(log.append())
    anna, ben = Listener(ANNA), Listener(BEN)
    for one in (anna, ben):
        one.come(room, 1, resumes=True)
        await heard(one, 0)
    room.publish(log.append(1, "member.banned", None))
    assert await heard(ben, 1) == [2]
    for one in (anna, ben):
        one.go(room)
        one.come(room, 0, resumes=True)
    assert await heard(ben, 3) == [2, 1, 2]
    assert await heard(anna, 1) == [1]


@pytest.mark.parametrize(("place", "first", "reason"), [(99, 1, "ahead"), (3, 6, "too_old"), (0, 2, "too_old")])
async def test_a_place_that_the_log_does_not_have_is_told(
    place: int, first: int, reason: str, log: Log, room: LiveRoom
) -> None:
    """Beyond the log's end or before its beginning the client is to read anew, and hears what comes from then on."""
    log.append(10)
    log.first = first
    anna = Listener(ANNA)
    anna.come(room, place, resumes=True)
    await until(lambda: len(anna.told()) == 2)
    assert anna.told()[0] == {"op": "resync", "d": {"room_id": "7", "seq": 10, "reason": reason}}
    room.publish(log.append())
    assert await heard(anna, 1) == [11]


async def test_the_first_place_that_the_log_has_is_good(log: Log, room: LiveRoom) -> None:
    """Whoever has everything up to where the log begins misses nothing."""
    log.append(10)
    log.first = 6
    anna = Listener(ANNA)
    anna.come(room, 5, resumes=True)
    assert await heard(anna, 5) == [6, 7, 8, 9, 10]


async def test_many_who_come_back_share_the_reading(log: Log, room: LiveRoom) -> None:
    """A block of the log is read once for all who want it, and again after something in it was changed."""
    log.append(3 * BLOCK_EVENTS)
    crowd = [UserId(100 + number) for number in range(50)]
    log.audiences |= dict.fromkeys(crowd, SEES_OPEN)
    listeners = [Listener(user_id) for user_id in crowd]
    for at, one in enumerate(listeners):
        one.come(room, at, resumes=True)
    for at, one in enumerate(listeners):
        assert len(await heard(one, 3 * BLOCK_EVENTS - at)) == 3 * BLOCK_EVENTS - at
    assert len(log.replays) == 3
    room.publish(log.append(1, "message.edited"))
    anna = Listener(ANNA)
    anna.come(room, 0, resumes=True)
    await heard(anna, 3 * BLOCK_EVENTS + 1)
    assert len(log.replays) > 3


async def test_an_answer_of_before_a_change_is_not_believed(log: Log, room: LiveRoom) -> None:
    """What the shard said while somebody's sight changed is asked again."""
    log.audiences[ANNA] = SEES_ALL
    room.publish(log.append())
    anna = Listener(ANNA)
    log.held = asyncio.Event()
    anna.come(room, 1, resumes=True)
    await asyncio.sleep(0.01)
    log.audiences[ANNA] = SEES_OPEN
    room.publish(log.append(1, "overwrite.set", HIDDEN))
    room.publish(log.append(1, "message.created", HIDDEN))
    room.publish(log.append())
    log.held.set()
    assert await heard(anna, 1) == [4]


async def test_a_hole_is_filled_with_what_is_seen_then(log: Log, room: LiveRoom) -> None:
    """What was read to fill a hole is told to who may see it when it was read."""
    log.audiences[ANNA] = SEES_ALL
    room.publish(log.append())
    anna = Listener(ANNA)
    anna.come(room, 1, resumes=True)
    await heard(anna, 0)
    log.held = asyncio.Event()
    log.append(1, "message.created", HIDDEN)
    room.publish(log.append())
    await asyncio.sleep(0.01)
    log.audiences[ANNA] = SEES_OPEN
    room.publish(log.append(1, "overwrite.set", HIDDEN))
    log.held.set()
    assert await heard(anna, 1) == [3]
    room.flush_skipped()
    assert anna.place(1) == 4


async def test_entering_twice_tells_nothing_twice(log: Log, room: LiveRoom) -> None:
    """A connection that stops and begins again while it is being told goes on from its new place alone."""
    log.append(10)
    anna = Listener(ANNA)
    log.held = asyncio.Event()
    anna.come(room, 0, resumes=True)
    assert anna.connection is not None
    for _ in range(3):
        await asyncio.sleep(0.01)
        room.unsubscribe(anna.connection)
        room.subscribe(anna.connection, 4, is_idle=False)
        anna.connection.start(room.resume(anna.connection))
    log.held.set()
    assert await heard(anna, 6) == [5, 6, 7, 8, 9, 10]


async def test_a_subscription_that_ended_meanwhile_is_sent_nothing(log: Log, room: LiveRoom) -> None:
    """A client that unsubscribes while the log is looked at is not told to resync, and stays unsubscribed."""
    anna = Listener(ANNA)
    room.publish(log.append(2))
    log.held = asyncio.Event()
    anna.come(room, 9, resumes=True)
    await asyncio.sleep(0.01)
    log.held.set()
    await asyncio.sleep(0)
    log.held = asyncio.Event()
    await asyncio.sleep(0.01)
    assert anna.connection is not None
    room.unsubscribe(anna.connection)
    log.held.set()
    await asyncio.sleep(0.03)
    assert anna.told() == []
    assert anna.connection.subscriptions == {}
    assert room.is_empty
    await room.resume(anna.connection)
    assert anna.told() == []


@pytest.mark.parametrize("has_caught_up", [False, True])
async def test_nobody_subscribes_twice(log: Log, room: LiveRoom, has_caught_up: bool) -> None:
    """A second subscription of a connection is refused, and the first one goes on: no event comes twice."""
    anna = Listener(ANNA)
    room.publish(log.append())
    anna.come(room, 1, resumes=has_caught_up)
    await asyncio.sleep(0.03)
    assert anna.connection is not None
    with pytest.raises(AssertionError, match="subscribes once"):
        room.subscribe(anna.connection, 0, is_idle=False)
    room.publish(log.append())
    assert await heard(anna, 1) == [2]


async def test_a_log_that_was_trimmed_meanwhile_is_not_told_with_holes(log: Log, room: LiveRoom) -> None:
    """What left the log after it was asked how far back it goes is missed at once, not passed over."""
    log.append(10)
    ben, anna = Listener(BEN), Listener(ANNA)
    ben.come(room, 10, resumes=True)
    await heard(ben, 0)
    log.audiences[ANNA] = SEES_OPEN
    room.publish(log.append())
    log.events = [event for event in log.events if event.seq not in (3, 4)]
    anna.come(room, 0, resumes=True)
    await until(lambda: len(anna.told()) == 2)
    assert anna.told()[0] == {"op": "resync", "d": {"room_id": "7", "seq": 11, "reason": "too_old"}}

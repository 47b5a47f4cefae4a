"""What a room's tape keeps as it was published: no words that are not there any more."""

from ids import ChannelId, MessageId, RoomId, UserId
from router.gateway.tapes import Library, Tape
from shard.rows import Event


def event(seq: int, type_: str) -> Event:
    return Event(seq, type_, ChannelId(1), UserId(1), {"seq": seq}, None, 0, MessageId(seq))


async def none(_after: int, _until: int) -> list[Event]:
    return []


def test_a_commit_that_takes_words_away_leaves_none_of_them_in_the_tail() -> None:
    """What was said before a deletion is read anew, also where both are of one commit; what follows it is at hand."""
    tape = Tape(RoomId(1), Library(), none)
    tape.add([event(1, "message.created")])
    edition = tape.edition
    told = tape.add([event(2, "message.created"), event(3, "message.deleted"), event(4, "message.created")])
    assert [one.seq for one in told] == [2, 3, 4]
    assert tape.edition != edition
    assert tape.recent(0) is None
    assert tape.recent(1) is None
    recent = tape.recent(2)
    assert recent is not None
    assert [one.seq for one in recent] == [3, 4]
    tape.add([event(5, "message.created")])
    recent = tape.recent(2)
    assert recent is not None
    assert [one.seq for one in recent] == [3, 4, 5]

"""Unread counts: against a plain model, at their bounds, and of nobody's business but one's own."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ids
from ids import MessageId, UserId
from shard import permissions
from shard.actions import members, messages, threads, unread
from shard.errors import ForbiddenError, NotFoundError
from shard.tables import read_markers
from shard.tables.messages import Draft
from tests.shard import direct, stage, unread_model
from tests.shard.unread_model import PLACES, READER, START, WORDS, Model, Shard, say


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shard]:
    with unread_model.opened(tmp_path_factory.mktemp("unread")) as opened:
        yield opened


places = st.sampled_from(PLACES)
numbers = st.integers(0, 50)
senders = st.sampled_from([stage.BEN, stage.BEN, stage.OWNER, READER])
steps = st.one_of(
    st.tuples(st.just("send"), places, senders, st.sampled_from([*WORDS])),
    st.tuples(st.just("send"), places, senders, st.sampled_from([*WORDS])),
    st.tuples(st.just("mark"), places, st.none() | numbers, st.booleans()),
    st.tuples(st.just("mark"), places, st.none() | numbers, st.booleans()),
    st.tuples(st.just("delete"), numbers),
    st.tuples(st.just("move"), numbers, places),
    st.tuples(st.just("move"), numbers, places),
    st.tuples(st.sampled_from(["mark_room", "turn_role", "come_or_go", "turn_private"])),
)


@settings(max_examples=150, deadline=None)
@given(history=st.lists(steps, min_size=6, max_size=25))
def test_counts_are_those_of_a_plain_model(shard: Shard, history: list[tuple[object, ...]]) -> None:
    """Whatever is sent, deleted, moved, read, marked as unread, joined, left, hidden or granted, in whatever order,
    each channel, each thread and the inbox have what the model has."""
    with direct.undone(shard.connection, shard.writer):
        model = Model(shard)
        for name, *arguments in history:
            model.now_ms += 1
            getattr(model, str(name))(*arguments)
            shard.writer.settle()
            model.check()


def count(shard: Shard) -> read_markers.ChannelUnread:
    """Return what the reader has not read of `general`."""
    return unread.count_unread(shard.writer, READER, now_ms=START)[0]


def threads_left(shard: Shard) -> list[read_markers.ThreadUnread]:
    """Return the threads in which the reader has not read all."""
    return unread.count_unread_threads(shard.writer, READER, now_ms=START).threads


def mark(shard: Shard, last_read_id: MessageId | None, *, may_go_back: bool = False, thread: int | None = None) -> int:
    """Move the reader's marker of `general`."""
    thread_id = None if thread is None else shard.threads[thread]
    return unread.mark_read(
        shard.writer, READER, shard.room.general, thread_id, last_read_id, may_go_back=may_go_back, now_ms=START
    )


def test_counts_are_capped(shard: Shard) -> None:
    """A count looks at the newest 1,000 messages and says when there may be more, and so does that of a thread."""
    with direct.undone(shard.connection, shard.writer):
        first = say(shard, 1_001, place=("general", 0))[0]
        assert (count(shard).unread_count, count(shard).is_capped) == (1_000, True)
        (thread,) = unread.count_unread_threads(shard.writer, READER, now_ms=START).threads
        assert (thread.unread_count, thread.is_capped) == (1_000, True)
        mark(shard, MessageId(first + 1))
        assert (count(shard).unread_count, count(shard).is_capped) == (999, False)


def test_a_mention_is_found_behind_many_messages(shard: Shard) -> None:
    """A mention counts though more messages follow it than a count looks at."""
    with direct.undone(shard.connection, shard.writer):
        say(shard, 1, f"<@{READER}>")
        say(shard, 1_000)
        assert (count(shard).unread_count, count(shard).mention_count) == (1_000, 1)


def test_a_mention_in_a_thread_marked_as_unread_counts(shard: Shard) -> None:
    """A mention counts again when its thread alone is marked as unread, though its channel is read to the end."""
    with direct.undone(shard.connection, shard.writer):
        (first,) = say(shard, 1, f"<@{READER}>", place=("general", 0))
        mark(shard, None)
        assert count(shard).mention_count == 0
        mark(shard, MessageId(first - 1), thread=0, may_go_back=True)
        assert (count(shard).unread_count, count(shard).mention_count) == (1, 1)


def test_messages_of_the_server_are_not_unread(shard: Shard) -> None:
    """That a thread was opened or a member joined leaves nothing to read."""
    with direct.undone(shard.connection, shard.writer):
        threads.open_thread(shard.writer, stage.BEN, shard.room.general, "news", now_ms=START)
        members.join(shard.writer, UserId(99), now_ms=START)
        shard.writer.settle()
        assert count(shard).unread_count == 0
        assert count(shard).last_message_id is not None


def test_a_marker_stays_within_what_there_is(shard: Shard) -> None:
    """A marker goes no further than the last message, so that the next one is unread, and not behind one's joining."""
    with direct.undone(shard.connection, shard.writer):
        (first,) = say(shard, 1)
        assert mark(shard, MessageId(ids.ID_MAX)) == first
        say(shard, 1)
        assert count(shard).unread_count == 1
        assert mark(shard, MessageId(1), may_go_back=True) == ids.at(stage.NOW_MS) - 1
        assert count(shard).unread_count == 2


def test_a_channels_marker_takes_along_what_it_passes(shard: Shard) -> None:
    """Forth or back, a channel's marker undoes those of threads that it passes, and leaves alone those that it does
    not."""
    with direct.undone(shard.connection, shard.writer):
        early, late = (place_said[-1] for place_said in (say(shard, 2, place=("general", n)) for n in (0, 1)))
        say(shard, 1, place=("general", 1))
        mark(shard, early, thread=0)
        mark(shard, None, thread=1)
        assert count(shard).unread_count == 0
        mark(shard, early)
        assert count(shard).unread_count == 0
        mark(shard, MessageId(early - 1), may_go_back=True)
        assert count(shard).unread_count == 4
        mark(shard, MessageId(early - 1), thread=0, may_go_back=True)
        mark(shard, late)
        assert count(shard).unread_count == 1
        assert {one.thread_id for one in threads_left(shard)} == {shard.threads[1]}


def test_what_was_said_while_one_was_away_is_not_unread(shard: Shard) -> None:
    """Whoever comes back begins with what is said from then on, wherever their old markers stand."""
    with direct.undone(shard.connection, shard.writer):
        (first,) = say(shard, 1, place=("general", 0))
        mark(shard, first, thread=0)
        mark(shard, first)
        mark(shard, MessageId(first - 1), thread=0, may_go_back=True)
        members.leave(shard.writer, READER, now_ms=START)
        say(shard, 2, f"<@{READER}> @everyone", place=("general", 0))
        members.join(shard.writer, READER, now_ms=START + 1)
        shard.writer.settle()
        assert (count(shard).unread_count, threads_left(shard)) == (0, [])
        draft = Draft("welcome back", thread_id=shard.threads[0])
        messages.send_message(shard.writer, stage.BEN, shard.room.general, draft, now_ms=START + 1)
        shard.writer.settle()
        assert (count(shard).unread_count, [one.unread_count for one in threads_left(shard)]) == (1, [1])


def test_a_thread_of_elsewhere_has_no_marker(shard: Shard) -> None:
    """A thread is marked by way of its own channel alone."""
    with direct.undone(shard.connection, shard.writer):
        mark(shard, None, thread=0)
        with pytest.raises(NotFoundError):
            mark(shard, None, thread=2)


def test_whoever_may_not_read_has_nothing_to_read(shard: Shard) -> None:
    """Without read_history a channel that one sees is in no count, no inbox and no export, and cannot be marked."""
    with direct.undone(shard.connection, shard.writer):
        say(shard, 1, f"<@{READER}>")
        assert count(shard).mention_count == 1
        direct.deny_everyone(shard.writer, shard.room, permissions.READ_HISTORY)
        assert unread.count_unread_threads(shard.writer, READER, now_ms=START) == ([], [])
        export = direct.history(shard.writer).export_messages(
            shard.room.id, READER, after=MessageId(0), limit=9, now_ms=START
        )
        assert unread_model.called(shard, before=None, limit=9) == []
        assert direct.answer(export).rows == []
        with pytest.raises(ForbiddenError):
            mark(shard, None)


def test_markers_leave_no_event(shard: Shard) -> None:
    """What somebody has read, and wants to hear, is theirs alone and not in the log that others read."""
    with direct.undone(shard.connection, shard.writer):
        say(shard, 1)
        before = shard.writer.one("SELECT max(seq) FROM events")
        mark(shard, None)
        unread.mark_room_read(shard.writer, READER, now_ms=START)
        unread.set_level(shard.writer, READER, shard.room.general, "none", now_ms=START)
        assert shard.writer.one("SELECT max(seq) FROM events") == before


def move(shard: Shard, message_id: MessageId, thread: int | None) -> None:
    """Move a message of `general`."""
    thread_id = None if thread is None else shard.threads[thread]
    messages.move_messages(shard.writer, stage.OWNER, shard.room.general, [message_id], thread_id, now_ms=START)
    shard.writer.settle()


def test_a_move_leaves_unread_what_was_unread(shard: Shard) -> None:
    """An unread mention that is moved behind the marker of a thread is unread there and elsewhere, until it is read."""
    with direct.undone(shard.connection, shard.writer):
        unread_one = say(shard, 1, WORDS["member"])[0]
        say(shard, 1, place=("general", 0))
        mark(shard, None, thread=0)
        before = (count(shard).unread_count, count(shard).mention_count)
        assert before == (1, 1)
        for thread in (0, None, 1, 0):
            move(shard, unread_one, thread)
            assert (count(shard).unread_count, count(shard).mention_count) == before
        (left,) = threads_left(shard)
        assert (left.thread_id, left.unread_count, left.mention_count) == (shard.threads[0], 1, 1)
        mark(shard, unread_one, thread=0)
        assert (count(shard).unread_count, threads_left(shard)) == (0, [])


@pytest.mark.parametrize("thread", [0, None])
def test_a_move_leaves_read_what_was_read(shard: Shard, thread: int | None) -> None:
    """A mention that was read stays read where the marker is further back, until somebody marks it as unread."""
    with direct.undone(shard.connection, shard.writer):
        first = say(shard, 1, place=("general", 0))[0]
        read_one = say(shard, 1, WORDS["member"], place=("general", 1))[0]
        mark(shard, None)
        mark(shard, MessageId(first - 1), thread=thread, may_go_back=True)
        mark(shard, None, thread=1)
        before = (count(shard).unread_count, count(shard).mention_count)
        assert before == (1, 0)
        for number in (thread, 1, thread):
            move(shard, read_one, number)
            assert (count(shard).unread_count, count(shard).mention_count) == before
        mark(shard, MessageId(first - 1), thread=thread, may_go_back=True)
        assert (count(shard).unread_count, count(shard).mention_count) == (1, 0) if thread == 0 else (2, 1)


def test_threads_marked_as_unread_are_looked_at_to_their_cap(shard: Shard) -> None:
    """Messages of a thread that stands further back than its channel are counted up to the bound, and no further."""
    with direct.undone(shard.connection, shard.writer):
        first = say(shard, 1_001, place=("general", 0))[0]
        mark(shard, None)
        mark(shard, MessageId(first - 1), thread=0, may_go_back=True)
        assert (count(shard).unread_count, count(shard).is_capped) == (1_000, True)
        mark(shard, first, thread=0)
        assert count(shard).unread_count == 1_000


def test_a_levels_of_hidden_channels_are_not_told(shard: Shard) -> None:
    """One's own levels are listed for the channels that one sees, and come with what is unread of them."""
    with direct.undone(shard.connection, shard.writer):
        writer, other = shard.writer, shard.room.channels["other"]
        unread.set_level(writer, READER, other, "none", now_ms=START)
        unread.set_level(writer, READER, shard.room.general, "all", now_ms=START)
        unread.set_level(writer, READER, shard.room.general, "mentions", now_ms=START)
        assert count(shard).level == "mentions"
        assert unread.list_levels(writer, READER, now_ms=START) == [(shard.room.general, "mentions"), (other, "none")]
        assert unread.list_levels(writer, stage.BEN, now_ms=START) == []
        direct.make_private(writer, shard.room, "other")
        assert unread.list_levels(writer, READER, now_ms=START) == [(shard.room.general, "mentions")]
        with pytest.raises(NotFoundError):
            unread.set_level(writer, READER, other, "all", now_ms=START)
        unread.set_level(writer, READER, shard.room.general, None, now_ms=START)
        assert count(shard).level is None

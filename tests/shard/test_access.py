"""The door of a room: who gets in, who writes where, and that "hidden" and "not there" are one answer."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ids import ChannelId, MessageId, RoomId, ThreadId, UserId
from shard import permissions
from shard.actions import channels, members, messages, pages
from shard.actions import threads as thread_actions
from shard.actions.channels import ChannelDraft
from shard.actions.pages import Span
from shard.actions.search import Results, SearchRequest
from shard.engine.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.search import query as queries
from shard.tables.messages import Draft
from tests.shard import direct, stage

STRANGER = UserId(99)
NOW = stage.NOW_MS


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[tuple[Writer, stage.Room]]:
    """A room with a message in every channel that takes one, and a thread in `general`."""
    with direct.writing(tmp_path) as (connection, writer, room):
        connection.execute("BEGIN IMMEDIATE")
        yield writer, room
        connection.execute("ROLLBACK")


def send(
    writer: Writer, room: stage.Room, user_id: UserId = stage.ANNA, channel: str = "general", **draft: Any
) -> MessageId:
    """Send a message and return its id."""
    act = Draft(draft.pop("content", "hello"), **draft)
    return messages.send_message(writer, user_id, room.channels[channel], act, now_ms=NOW).message.id


def search(writer: Writer, user_id: UserId, channel_id: ChannelId | None) -> Results:
    """Search for what was sent."""
    query = queries.parse("hello")
    request = SearchRequest(query=query, channel_id=channel_id, limit=9, seconds=9, deadline_seconds=9)
    return direct.answer(direct.searches(writer).search_room(writer.room_id, user_id, request, now_ms=NOW))


def every_question(
    room: stage.Room, channel_id: ChannelId, message_id: MessageId
) -> dict[str, Callable[[Writer, UserId], object]]:
    """Name all that can be asked of or done in a channel, or of the room."""
    return {
        "send": lambda w, u: messages.send_message(w, u, channel_id, Draft("hi"), now_ms=NOW),
        "page": lambda w, u: direct.read_page(w, u, channel_id, None, Span(), now_ms=NOW),
        "message": lambda w, u: pages.get_message(w, u, channel_id, message_id, now_ms=NOW),
        "threads": lambda w, u: thread_actions.list_threads(w, u, channel_id, before=None, limit=9, now_ms=NOW),
        "open thread": lambda w, u: thread_actions.open_thread(w, u, channel_id, "topic", now_ms=NOW),
        "search": lambda w, u: search(w, u, channel_id),
        "channels": lambda w, u: channels.list_channels(w, u, now_ms=NOW),
        "members": lambda w, u: members.list_members(w, u, after=None, limit=9, now_ms=NOW),
        "create channel": lambda w, u: channels.create_channel(w, u, ChannelDraft("new"), now_ms=NOW),
    }


QUESTIONS = list(every_question(stage.Room(RoomId(1), {}), ChannelId(1), MessageId(1)))
IN_CHANNELS = ["send", "page", "message", "threads", "open thread", "search"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_only_members_get_in(shard: tuple[Writer, stage.Room], question: str) -> None:
    """Strangers and those who left find nothing, where the owner may all and a member all that members may."""
    writer, room = shard
    ask = every_question(room, room.general, send(writer, room))[question]
    ask(writer, stage.OWNER)
    if question != "create channel":
        writer.run("DELETE FROM threads")
        ask(writer, stage.BEN)
    members.leave(writer, stage.BEN, now_ms=NOW)
    for outsider in (STRANGER, stage.BEN):
        with pytest.raises(NotFoundError):
            ask(writer, outsider)


@pytest.mark.parametrize("question", IN_CHANNELS)
def test_a_hidden_channel_and_a_missing_one_are_the_same(shard: tuple[Writer, stage.Room], question: str) -> None:
    """A member is refused a private channel in the words in which everybody is refused one that never was."""
    writer, room = shard
    message_id = send(writer, room, channel="other")
    direct.make_private(writer, room, "other")
    hidden = every_question(room, room.channels["other"], message_id)[question]
    missing = every_question(room, ChannelId(5), message_id)[question]
    hidden(writer, stage.OWNER)
    answers = []
    for ask, user_id in ((hidden, stage.ANNA), (missing, stage.ANNA), (missing, stage.OWNER)):
        with pytest.raises(NotFoundError) as caught:
            ask(writer, user_id)
        answers.append((caught.value.kind, str(caught.value)))
    assert len(set(answers)) == 1


def test_a_private_channel_is_in_no_list(shard: tuple[Writer, stage.Room]) -> None:
    """A member's list has every channel but the private ones, which the owner's has."""
    writer, room = shard
    direct.make_private(writer, room, "other")
    names = [row.name for row in channels.list_channels(writer, stage.ANNA, now_ms=NOW)]
    assert names == [draft.name for draft in stage.CHANNELS if draft.name != "other"]
    assert "other" in [row.name for row in channels.list_channels(writer, stage.OWNER, now_ms=NOW)]


def test_without_view_nothing_of_a_channel_is_seen(shard: tuple[Writer, stage.Room]) -> None:
    """When everyone loses VIEW_CHANNEL, members find no channel and no message."""
    writer, room = shard
    message_id = send(writer, room)
    direct.deny_everyone(writer, room, permissions.VIEW_CHANNEL)
    assert channels.list_channels(writer, stage.ANNA, now_ms=NOW) == []
    with pytest.raises(NotFoundError):
        pages.get_message(writer, stage.ANNA, room.general, message_id, now_ms=NOW)
    assert search(writer, stage.ANNA, None).messages == []


@pytest.mark.parametrize(
    ("bit", "question"),
    [
        (permissions.SEND_MESSAGES, "send"),
        (permissions.READ_HISTORY, "page"),
        (permissions.READ_HISTORY, "message"),
        (permissions.READ_HISTORY, "threads"),
        (permissions.READ_HISTORY, "search"),
        (permissions.CREATE_THREADS, "open thread"),
    ],
)
def test_each_act_needs_its_permission(shard: tuple[Writer, stage.Room], bit: int, question: str) -> None:
    """An act whose permission everyone loses is forbidden by name to members and still allowed to the owner."""
    writer, room = shard
    ask = every_question(room, room.general, send(writer, room))[question]
    direct.deny_everyone(writer, room, bit)
    with pytest.raises(ForbiddenError) as caught:
        ask(writer, stage.ANNA)
    assert caught.value.need == permissions.NAMES[bit]
    ask(writer, stage.OWNER)


def test_threads_are_written_with_a_permission_of_their_own(shard: tuple[Writer, stage.Room]) -> None:
    """Who may send in channels but not in threads, or the other way round, does just that."""
    writer, room = shard
    thread = thread_actions.open_thread(writer, stage.ANNA, room.general, "topic", now_ms=NOW)
    direct.deny_everyone(writer, room, permissions.SEND_IN_THREADS)
    send(writer, room)
    with pytest.raises(ForbiddenError):
        send(writer, room, thread_id=thread.id)
    direct.deny_everyone(writer, room, permissions.SEND_MESSAGES)
    send(writer, room, thread_id=thread.id)
    with pytest.raises(ForbiddenError):
        send(writer, room)


def test_a_time_out_leaves_reading_until_it_ends(shard: tuple[Writer, stage.Room]) -> None:
    """A member in a time-out reads and does not write; at its last moment they may write again."""
    writer, room = shard
    direct.time_out(writer, stage.ANNA, NOW + 1)
    direct.read_page(writer, stage.ANNA, room.general, None, Span(), now_ms=NOW)
    with pytest.raises(ForbiddenError):
        send(writer, room)
    direct.time_out(writer, stage.ANNA, NOW)
    send(writer, room)
    direct.time_out(writer, stage.OWNER, NOW + 1)
    send(writer, room, stage.OWNER)


def test_the_banned_do_not_come_back_before_their_time(shard: tuple[Writer, stage.Room]) -> None:
    """A ban keeps someone who left from joining until it expires, and for ever without an end."""
    writer, room = shard
    members.leave(writer, stage.ANNA, now_ms=NOW)
    direct.ban(writer, stage.ANNA, NOW + 1)
    direct.ban(writer, stage.BEN, None)
    members.leave(writer, stage.BEN, now_ms=NOW)
    with pytest.raises(ForbiddenError):
        members.join(writer, stage.ANNA, now_ms=NOW)
    with pytest.raises(NotFoundError):
        send(writer, room)
    assert members.join(writer, stage.ANNA, now_ms=NOW + 1)
    send(writer, room)
    with pytest.raises(ForbiddenError):
        members.join(writer, stage.BEN, now_ms=NOW + 10**12)


def test_joining_and_leaving_twice_tells_it_once(shard: tuple[Writer, stage.Room]) -> None:
    """Only a change of membership is true and leaves an event; the owner cannot leave."""
    writer, _room = shard
    joined = [members.join(writer, STRANGER, now_ms=NOW) for _ in range(2)]
    left = [members.leave(writer, STRANGER, now_ms=NOW) for _ in range(2)]
    assert (joined, left) == ([True, False], [True, False])
    told = writer.all("SELECT type FROM events WHERE actor_id = ? ORDER BY seq", (STRANGER,))
    assert told == [("member.joined",), ("message.created",), ("member.left",)]
    with pytest.raises(ConflictError):
        members.leave(writer, stage.OWNER, now_ms=NOW)


def test_an_archived_channel_is_read_and_not_written(shard: tuple[Writer, stage.Room]) -> None:
    """Nobody sends to or opens threads in an archived channel, and its history stays."""
    writer, room = shard
    message_id = send(writer, room)
    direct.archive(writer, room, "general")
    for user_id in (stage.ANNA, stage.OWNER):
        with pytest.raises(ConflictError):
            send(writer, room, user_id)
        with pytest.raises(ConflictError):
            thread_actions.open_thread(writer, user_id, room.general, "late", now_ms=NOW)
    assert pages.get_message(writer, stage.ANNA, room.general, message_id, now_ms=NOW).id == message_id


def test_a_voice_channel_takes_no_words(shard: tuple[Writer, stage.Room]) -> None:
    """Nobody sends messages to a voice channel."""
    writer, room = shard
    for user_id in (stage.ANNA, stage.OWNER):
        with pytest.raises(ConflictError):
            send(writer, room, user_id, "voice")


def test_an_announcement_channel_is_written_by_few_and_read_by_all(shard: tuple[Writer, stage.Room]) -> None:
    """Members read announcements and neither write them nor open threads there; the owner does both."""
    writer, room = shard
    message_id = send(writer, room, stage.OWNER, "news")
    thread = thread_actions.open_thread(writer, stage.OWNER, room.channels["news"], "release", now_ms=NOW)
    for thread_id in (None, thread.id):
        with pytest.raises(ForbiddenError):
            send(writer, room, stage.ANNA, "news", thread_id=thread_id)
    with pytest.raises(ForbiddenError):
        thread_actions.open_thread(writer, stage.ANNA, room.channels["news"], "mine", now_ms=NOW)
    assert pages.get_message(writer, stage.ANNA, room.channels["news"], message_id, now_ms=NOW).id == message_id


def test_thread_modes(shard: tuple[Writer, stage.Room]) -> None:
    """A channel that requires threads refuses messages outside them, and one without threads opens none."""
    writer, room = shard
    with pytest.raises(ConflictError):
        send(writer, room, stage.OWNER, "topics")
    thread = thread_actions.open_thread(writer, stage.ANNA, room.channels["topics"], "first", now_ms=NOW)
    send(writer, room, stage.ANNA, "topics", thread_id=thread.id)
    with pytest.raises(ConflictError):
        thread_actions.open_thread(writer, stage.OWNER, room.channels["flat"], "first", now_ms=NOW)
    send(writer, room, stage.ANNA, "flat")


def test_threads_and_messages_of_another_channel_are_not_there(shard: tuple[Writer, stage.Room]) -> None:
    """A thread or message is found only in its own channel, whether to write, read, page or reply."""
    writer, room = shard
    thread = thread_actions.open_thread(writer, stage.ANNA, room.general, "here", now_ms=NOW)
    inside = send(writer, room, thread_id=thread.id)
    send(writer, room, thread_id=thread.id, reply_to_id=inside)
    other = room.channels["other"]
    with pytest.raises(NotFoundError):
        send(writer, room, channel="other", thread_id=thread.id)
    with pytest.raises(NotFoundError):
        send(writer, room, channel="other", reply_to_id=inside)
    with pytest.raises(NotFoundError):
        pages.get_message(writer, stage.ANNA, other, inside, now_ms=NOW)
    with pytest.raises(NotFoundError):
        direct.read_page(writer, stage.ANNA, other, thread.id, Span(), now_ms=NOW)
    with pytest.raises(NotFoundError):
        send(writer, room, thread_id=ThreadId(7))
    assert direct.read_page(writer, stage.ANNA, other, None, Span(), now_ms=NOW).messages == []


def test_a_locked_thread_is_for_those_who_manage_threads(shard: tuple[Writer, stage.Room]) -> None:
    """A locked thread is read by members and written by those who manage threads."""
    writer, room = shard
    thread = thread_actions.open_thread(writer, stage.ANNA, room.general, "heated", now_ms=NOW)
    send(writer, room, thread_id=thread.id)
    writer.run("UPDATE threads SET is_locked = 1 WHERE id = ?", (thread.id,))
    with pytest.raises(ConflictError):
        send(writer, room, thread_id=thread.id)
    send(writer, room, stage.OWNER, thread_id=thread.id)
    assert len(direct.read_page(writer, stage.ANNA, room.general, thread.id, Span(), now_ms=NOW).messages) == 2


def test_names_and_titles_are_given_once(shard: tuple[Writer, stage.Room]) -> None:
    """A second channel of a name, in any case, or thread of a title in one channel, is a conflict."""
    writer, room = shard
    with pytest.raises(ConflictError):
        channels.create_channel(writer, stage.OWNER, ChannelDraft("GENERAL"), now_ms=NOW)
    with pytest.raises(ForbiddenError):
        channels.create_channel(writer, stage.ANNA, ChannelDraft("mine"), now_ms=NOW)
    thread_actions.open_thread(writer, stage.ANNA, room.general, "topic", now_ms=NOW)
    with pytest.raises(ConflictError):
        thread_actions.open_thread(writer, stage.BEN, room.general, "topic", now_ms=NOW)
    thread_actions.open_thread(writer, stage.BEN, room.channels["other"], "topic", now_ms=NOW)


def test_threads_are_listed_by_their_last_word(shard: tuple[Writer, stage.Room]) -> None:
    """Threads come last active first, and a cursor walks them without a gap or a repetition."""
    writer, room = shard
    threads = [
        thread_actions.open_thread(writer, stage.ANNA, room.general, str(n), now_ms=NOW + n % 3) for n in range(10)
    ]
    act = Draft("word", thread_id=threads[4].id)
    messages.send_message(writer, stage.ANNA, room.general, act, now_ms=NOW + 99)
    writer.settle()
    walked, before = [], None
    while page := thread_actions.list_threads(writer, stage.ANNA, room.general, before=before, limit=3, now_ms=NOW):
        walked.extend(page)
        before = (page[-1].last_message_at, page[-1].id)
    assert sorted(thread.id for thread in walked) == sorted(thread.id for thread in threads)
    assert walked[0].id == threads[4].id
    assert walked[0].message_count == 1
    keys = [(thread.last_message_at, thread.id) for thread in walked]
    assert keys == sorted(keys, reverse=True)

"""Pages of history against a plain list: every message once, in order, and the truth about what lies beyond."""

from collections.abc import Iterator
from dataclasses import dataclass

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ids
from ids import MessageId, ThreadId
from shard.actions import messages, pages
from shard.actions import threads as thread_actions
from shard.actions.pages import Page, Span
from shard.engine.connections import Writer
from shard.rows import Message
from shard.tables.messages import Draft
from tests.shard import direct, stage

NOW = stage.NOW_MS
BEFORE_EPOCH = ids.EPOCH_MS - 10**10


@dataclass(frozen=True, slots=True)
class Shard:
    """One file for all examples of this module."""

    connection: apsw.Connection
    writer: Writer
    room: stage.Room


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shard]:
    with direct.writing(tmp_path_factory.mktemp("pages")) as (connection, writer, room):
        yield Shard(connection, writer, room)


@dataclass(frozen=True, slots=True)
class Said:
    """One send: how far the clock went on, an import with its own time or not, in which thread if any."""

    after_ms: int
    sent_at: int | None
    thread: int | None
    in_other_channel: bool


times = st.one_of(
    st.integers(NOW, NOW + 1),
    st.integers(ids.EPOCH_MS - 2, ids.EPOCH_MS + 2),
    st.integers(BEFORE_EPOCH, NOW),
)
said = st.builds(
    Said,
    after_ms=st.sampled_from([0, 0, 1, 1000, -1000, 86_400_000, -86_400_000]),
    sent_at=st.none() | times,
    thread=st.sampled_from([None, 0, 0, 1]),
    in_other_channel=st.sampled_from([False, False, False, True]),
)


def say_all(shard: Shard, history: list[Said]) -> tuple[ThreadId, list[Message], list[Message]]:
    """Send a history and return its thread, the messages of `general` and those of the thread, by id."""
    threads = [
        thread_actions.open_thread(
            shard.writer, stage.ANNA, shard.room.general, title, now_ms=NOW, is_announced=False
        ).id
        for title in ("this topic", "another")
    ]
    now_ms, channel, in_thread = NOW, [], []
    for number, one in enumerate(history):
        now_ms += one.after_ms
        name = "other" if one.in_other_channel else "general"
        thread_id = None if one.thread is None or one.in_other_channel else threads[one.thread]
        sent = messages.send_message(
            shard.writer,
            stage.ANNA,
            shard.room.channels[name],
            Draft(f"message {number} \0 \u202e", thread_id=thread_id),
            now_ms=now_ms,
            sent_at=one.sent_at,
        ).message
        assert sent.created_at == (now_ms if one.sent_at is None else one.sent_at)
        if name == "general":
            channel.append(sent)
        if thread_id == threads[0]:
            in_thread.append(sent)
    return threads[0], sorted(channel), sorted(in_thread)


def read(shard: Shard, thread_id: ThreadId | None, span: Span) -> Page:
    return direct.read_page(shard.writer, stage.BEN, shard.room.general, thread_id, span, now_ms=NOW)


def expected(history: list[Message], span: Span) -> list[Message]:
    """Return what a span means, oldest first, from a list of all there is."""
    if span.before is not None:
        return [one for one in history if one.id < span.before][-span.limit :]
    if span.after is not None:
        return [one for one in history if one.id > span.after][: span.limit]
    if span.around is not None:
        older = [one for one in history if one.id <= span.around][-(span.limit - span.limit // 2) :]
        newer = [one for one in history if one.id > span.around][: span.limit - len(older)]
        return older + newer
    return history[-span.limit :]


def assert_page(shard: Shard, thread_id: ThreadId | None, history: list[Message], span: Span) -> None:
    """A page has what the list has, newest first, and tells the truth about both of its ends."""
    page = read(shard, thread_id, span)
    wanted = expected(history, span)
    assert page.messages == wanted[::-1]
    if wanted:
        first, last = wanted[0].id, wanted[-1].id
        older, newer = any(one.id < first for one in history), any(one.id > last for one in history)
    elif span.before is not None:
        older, newer = False, bool(history)
    elif span.after is not None:
        older, newer = bool(history), False
    else:
        older = newer = False
    assert (page.has_older, page.has_newer) == (older, newer)


@settings(max_examples=60)
@given(data=st.data(), history=st.lists(said, max_size=25))
def test_every_page_is_a_slice_of_the_list(shard: Shard, data: st.DataObject, history: list[Said]) -> None:
    """Whatever was sent and imported, each page is the stretch of the list that its span asks for."""
    with direct.undone(shard.connection, shard.writer):
        thread_id, channel, in_thread = say_all(shard, history)
        for where, messages in ((None, channel), (thread_id, in_thread)):
            known = [one.id for one in channel]
            edges = [MessageId(0), MessageId(1), MessageId(ids.ID_MAX - 1), MessageId(ids.ID_MAX)]
            near = [MessageId(one + by) for one in known for by in (-1, 0, 1)]
            at = data.draw(st.sampled_from(edges + near), label="at")
            limit = data.draw(st.integers(1, 8), label="limit")
            for span in (
                Span(limit=limit),
                Span(limit=limit, before=at),
                Span(limit=limit, after=at),
                Span(limit=limit, around=at),
            ):
                assert_page(shard, where, messages, span)


@settings(max_examples=40)
@given(history=st.lists(said, max_size=25), limit=st.integers(1, 7))
def test_walking_either_way_meets_every_message_once(shard: Shard, history: list[Said], limit: int) -> None:
    """From the newest page backwards and from the beginning forwards, `has_older` and `has_newer` lead to all."""
    with direct.undone(shard.connection, shard.writer):
        thread_id, channel, in_thread = say_all(shard, history)
        for where, messages in ((None, channel), (thread_id, in_thread)):
            page = read(shard, where, Span(limit=limit))
            walked = page.messages
            while page.has_older:
                page = read(shard, where, Span(limit=limit, before=page.messages[-1].id))
                walked = walked + page.messages
            assert walked[::-1] == messages

            page = read(shard, where, Span(limit=limit, after=MessageId(0)))
            walked = page.messages
            while page.has_newer:
                page = read(shard, where, Span(limit=limit, after=page.messages[0].id))
                walked = page.messages + walked
            assert walked[::-1] == messages


@settings(max_examples=40)
@given(history=st.lists(said, max_size=25))
def test_ids_are_unique_positions_in_time(shard: Shard, history: list[Said]) -> None:
    """Imported messages get ids of their own time, equal times keep the order of sending, and live ids only grow."""
    with direct.undone(shard.connection, shard.writer):
        now_ms, last_live, by_time = NOW, 0, dict[int, list[int]]()
        for one in history:
            now_ms += one.after_ms
            sent = messages.send_message(
                shard.writer, stage.ANNA, shard.room.general, Draft("x"), now_ms=now_ms, sent_at=one.sent_at
            ).message
            if one.sent_at is None:
                assert sent.id > last_live
                last_live = sent.id
            else:
                pinned = max(one.sent_at, ids.EPOCH_MS)
                assert ids.time_ms(sent.id) == pinned
                by_time.setdefault(pinned, []).append(sent.id)
        for given_at_once in by_time.values():
            assert given_at_once == sorted(set(given_at_once))


def test_an_import_of_this_very_moment_leaves_the_live_their_ids(shard: Shard) -> None:
    """Live messages and imports of the same millisecond, or of one to come, never meet in one id."""
    with direct.undone(shard.connection, shard.writer):
        moments = [
            (NOW, None),
            (NOW, NOW),
            (NOW, None),
            (NOW, NOW + 1),
            (NOW + 1, None),
            (NOW + 1, NOW),
            (NOW + 1, None),
        ]
        sent = [
            messages.send_message(
                shard.writer, stage.ANNA, shard.room.general, Draft("x"), now_ms=now_ms, sent_at=sent_at
            ).message.id
            for now_ms, sent_at in moments
        ]
        assert len(set(sent)) == len(moments)


def test_what_was_stored_is_what_is_read(shard: Shard) -> None:
    """A message comes back from every reading act as the send returned it, whatever is in its text."""
    texts = [
        "plain",
        "",
        " \t\n",
        'a "quoted" \\ {json} \x01',
        "nul \0 in it",
        "é e\u0301 日本語 👩‍👩‍👧 \ufffe\uffff",
        "x" * 8000,
    ]
    with direct.undone(shard.connection, shard.writer):
        for text in texts:
            draft = Draft(text, nonce=f"nonce {len(text)}")
            sent = messages.send_message(shard.writer, stage.ANNA, shard.room.general, draft, now_ms=NOW).message
            got = pages.get_message(shard.writer, stage.BEN, shard.room.general, sent.id, now_ms=NOW)
            paged = read(shard, None, Span(limit=1)).messages[0]
            assert got == paged == sent
            assert got.content == text
            assert type(paged) is type(sent)
            actions_again = messages.send_message(shard.writer, stage.ANNA, shard.room.general, draft, now_ms=NOW)
            assert actions_again.message == sent

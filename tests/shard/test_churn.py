"""Sends, edits, deletions and moves in any order: counts stay right, and no page skips or repeats what stays."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ids import MessageId, ThreadId
from shard.actions import messages
from shard.actions import threads as thread_actions
from shard.actions.pages import Span
from shard.engine.connections import Writer
from shard.tables.messages import Draft
from tests.shard import direct, stage

NOW = stage.NOW_MS


@dataclass(slots=True)
class Channel:
    """A channel, and what must be in it: text and thread by message."""

    connection: apsw.Connection
    writer: Writer
    room: stage.Room
    threads: list[ThreadId | None] = field(default_factory=list)
    there: dict[MessageId, tuple[str, ThreadId | None]] = field(default_factory=dict)
    sent: list[MessageId] = field(default_factory=list)
    now_ms: int = NOW


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Channel]:
    with direct.writing(tmp_path_factory.mktemp("churn")) as (connection, writer, room):
        yield Channel(connection, writer, room)


@dataclass(frozen=True, slots=True)
class Send:
    """Say a word in a thread or outside, at a time of its own if it is imported."""

    word: str
    thread: int
    days_ago: int


@dataclass(frozen=True, slots=True)
class Change:
    """Do something to messages that were sent, gone or not."""

    act: str
    picks: list[int]
    word: str
    thread: int


words = st.sampled_from(["red", "green", "blue", "赤い"])
threads = st.integers(0, 2)
sends = st.builds(Send, word=words, thread=threads, days_ago=st.sampled_from([0, 0, 0, 1, 400]))
changes = st.builds(
    Change,
    act=st.sampled_from(["edit", "delete", "delete many", "move"]),
    picks=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    word=words,
    thread=threads,
)
acts = st.lists(sends | sends | changes | st.just("settle"), max_size=30)


def do(it: Channel, act: "Send | Change | str") -> None:
    """Do an act in the shard and in the model of it."""
    it.now_ms += 1_000
    if isinstance(act, Send):
        sent_at = it.now_ms - act.days_ago * 86_400_000 if act.days_ago else None
        draft = Draft(act.word, thread_id=it.threads[act.thread])
        message = messages.send_message(
            it.writer, stage.ANNA, it.room.general, draft, now_ms=it.now_ms, sent_at=sent_at
        ).message
        it.sent.append(message.id)
        it.there[message.id] = (act.word, draft.thread_id)
    elif isinstance(act, Change):
        change(it, act, [it.sent[pick % len(it.sent)] for pick in act.picks] if it.sent else [MessageId(1)])
    else:
        it.writer.settle()


def change(it: Channel, act: Change, picked: list[MessageId]) -> None:
    known = [message_id for message_id in picked if message_id in it.there]
    if act.act == "edit" and known:
        messages.edit_message(it.writer, stage.ANNA, it.room.general, known[0], act.word, now_ms=it.now_ms)
        it.there[known[0]] = (act.word, it.there[known[0]][1])
    elif act.act == "delete" and known:
        messages.delete_message(it.writer, stage.ANNA, it.room.general, known[0], now_ms=it.now_ms)
        del it.there[known[0]]
    elif act.act == "delete many":
        gone = messages.delete_messages(it.writer, stage.OWNER, it.room.general, picked, now_ms=it.now_ms)
        assert gone == sorted(set(known))
        for message_id in gone:
            del it.there[message_id]
    elif act.act == "move":
        place = it.threads[act.thread]
        moved = messages.move_messages(it.writer, stage.OWNER, it.room.general, picked, place, now_ms=it.now_ms)
        assert moved == sorted(message_id for message_id in set(known) if it.there[message_id][1] != place)
        for message_id in moved:
            it.there[message_id] = (it.there[message_id][0], place)


def begin(it: Channel) -> None:
    """Start anew with two threads, which nobody is told of."""
    it.threads, it.there, it.sent, it.now_ms = [None], {}, [], NOW
    for title in ("one", "two"):
        made = thread_actions.open_thread(it.writer, stage.ANNA, it.room.general, title, now_ms=NOW, is_announced=False)
        it.threads.append(made.id)


def recounted(it: Channel, thread_id: ThreadId | None = None) -> tuple[int, MessageId | None]:
    inside = [one for one, (_, place) in it.there.items() if thread_id is None or place == thread_id]
    return len(inside), max(inside, default=None)


@settings(max_examples=150)
@given(history=acts)
def test_counts_are_what_a_recount_gives(shard: Channel, history: "list[Send | Change | str]") -> None:
    """Wherever transactions end, channel and threads count what is there, and the search finds exactly that."""
    with direct.undone(shard.connection, shard.writer):
        begin(shard)
        for act in history:
            do(shard, act)
        shard.writer.settle()
        counted = "SELECT message_count, last_message_id FROM"
        assert shard.writer.one(f"{counted} channels WHERE id = ?", (shard.room.general,)) == recounted(shard)
        for thread_id in shard.threads[1:]:
            row = shard.writer.one(f"{counted} threads WHERE id = ?", (thread_id,))
            assert row == recounted(shard, thread_id)
        page = direct.read_page(shard.writer, stage.BEN, shard.room.general, None, Span(100), now_ms=NOW)
        assert {one.id: (one.content, one.thread_id) for one in page.messages} == shard.there
        for word, term in (("red", "red"), ("green", "green"), ("blue", "blue"), ("赤い", '"赤い い"')):
            found = shard.writer.all("SELECT rowid FROM messages_fts WHERE messages_fts MATCH ?", (term,))
            assert {row[0] for row in found} == {one for one, (text, _) in shard.there.items() if text == word}
        shard.writer.run("INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)")


@settings(max_examples=150)
@given(data=st.data(), history=acts, limit=st.integers(1, 4), is_backwards=st.booleans(), thread=threads)
def test_what_stays_is_met_once_while_others_come_and_go(
    shard: Channel,
    data: st.DataObject,
    history: "list[Send | Change | str]",
    limit: int,
    is_backwards: bool,
    thread: int,
) -> None:
    """Walking page by page either way, everything that is there from first to last is met once and in order, and
    nothing twice, whatever is sent, imported, deleted and moved between two pages."""
    with direct.undone(shard.connection, shard.writer):
        begin(shard)
        for act in history:
            do(shard, act)
        thread_id = shard.threads[thread]

        def inside() -> set[MessageId]:
            return {one for one, (_, place) in shard.there.items() if thread_id is None or place == thread_id}

        staying, walked = inside(), list[MessageId]()
        span = Span(limit) if is_backwards else Span(limit, after=MessageId(0))
        goes_on = True
        while goes_on:
            page = direct.read_page(shard.writer, stage.BEN, shard.room.general, thread_id, span, now_ms=NOW)
            met = [one.id for one in page.messages]
            walked += met if is_backwards else met[::-1]
            goes_on = bool(met) and (page.has_older if is_backwards else page.has_newer)
            if not goes_on:
                break
            span = Span(limit, before=met[-1]) if is_backwards else Span(limit, after=met[0])
            for act in data.draw(st.lists(sends | changes, max_size=2)) if len(walked) < 30 else ():
                do(shard, act)
            staying &= inside()
        assert len(walked) == len(set(walked))
        assert walked == sorted(walked, reverse=is_backwards)
        assert staying <= set(walked)

"""What a page replies to: each quoted message once, and only those that the page does not have and one may read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ids import MessageId, ThreadId
from shard.actions import messages, threads
from shard.actions.pages import Span
from shard.engine.connections import Writer
from shard.rows import Message, unpacked
from shard.tables.messages import Draft
from tests.shard import direct, stage

NOW = stage.NOW_MS


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[tuple[Writer, stage.Room]]:
    with direct.writing(tmp_path) as (_, writer, room):
        yield writer, room


def send(
    writer: Writer, room: stage.Room, reply_to_id: MessageId | None = None, thread_id: ThreadId | None = None
) -> Message:
    draft = Draft("x", None, thread_id, reply_to_id)
    return messages.send_message(writer, stage.ANNA, room.general, draft, now_ms=NOW).message


def quoted(writer: Writer, room: stage.Room, span: Span, thread_id: ThreadId | None = None) -> list[MessageId]:
    page = direct.read_page(writer, stage.BEN, room.general, thread_id, span, now_ms=NOW)
    return [message.id for message in unpacked(page.replied_to or "[]")]


def test_a_page_brings_what_it_replies_to(shard: tuple[Writer, stage.Room]) -> None:
    """A message that several reply to comes once, whole; one in the page, or deleted, does not come."""
    writer, room = shard
    first, gone = send(writer, room), send(writer, room)
    inside = send(writer, room)
    for message in (first, first, inside, gone):
        send(writer, room, message.id)
    assert quoted(writer, room, Span(5)) == [gone.id, first.id]
    page = direct.read_page(writer, stage.BEN, room.general, None, Span(5), now_ms=NOW)
    assert first in unpacked(page.replied_to or "[]")
    messages.delete_message(writer, stage.ANNA, room.general, gone.id, now_ms=NOW)
    assert quoted(writer, room, Span(5)) == [first.id]
    assert quoted(writer, room, Span(50)) == []
    empty = direct.read_page(writer, stage.BEN, room.general, None, Span(1, before=first.id), now_ms=NOW)
    assert (empty.messages, empty.replied_to) == ([], None)


@settings(max_examples=60)
@given(data=st.data(), count=st.integers(2, 12), limit=st.integers(1, 5))
def test_quotes_are_those_outside_the_page(
    shard_of_module: tuple[Writer, stage.Room], data: st.DataObject, count: int, limit: int
) -> None:
    """In any page of a channel or thread, forwards, backwards or around, exactly the quotes it lacks come along."""
    writer, room = shard_of_module
    with direct.undone(writer._connection, writer):
        made = threads.open_thread(writer, stage.ANNA, room.general, "t", now_ms=NOW, is_announced=False)
        sent: list[Message] = []
        for _ in range(count):
            reply_to = data.draw(st.none() | st.sampled_from(sent)) if sent else None
            place = made.id if data.draw(st.booleans()) else None
            sent.append(send(writer, room, None if reply_to is None else reply_to.id, place))
        thread_id = data.draw(st.sampled_from([None, made.id]))
        at = data.draw(st.sampled_from(sent)).id
        for span in (Span(limit), Span(limit, before=at), Span(limit, after=at), Span(limit, around=at)):
            page = direct.read_page(writer, stage.BEN, room.general, thread_id, span, now_ms=NOW)
            wanted = {one.reply_to_id for one in page.messages} - {None} - {one.id for one in page.messages}
            assert quoted(writer, room, span, thread_id) == sorted(filter(None, wanted), reverse=True)


@pytest.fixture(scope="module")
def shard_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Writer, stage.Room]]:
    with direct.writing(tmp_path_factory.mktemp("replies")) as (_, writer, room):
        yield writer, room

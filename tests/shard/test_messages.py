"""Changing what was said: who may, what the log keeps, and what is left of it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ids import MessageId, ThreadId, UserId
from shard import permissions
from shard.actions import messages as message_actions
from shard.actions import threads
from shard.actions.pages import Span
from shard.engine.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.rows import Message
from shard.tables import messages
from shard.tables.messages import Draft, Version
from tests.shard import direct, stage

NOW = stage.NOW_MS
Shard = tuple[Writer, stage.Room]


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Shard]:
    """A room with its owner and two members."""
    with direct.writing(tmp_path) as (_, writer, room):
        yield writer, room


def send(
    shard: Shard, text: str = "said", user_id: UserId = stage.ANNA, channel: str = "general", **draft: Any
) -> Message:
    writer, room = shard
    sent = message_actions.send_message(
        writer, user_id, room.channels[channel], Draft(text, **draft), now_ms=NOW
    ).message
    writer.settle()
    return sent


def topic(shard: Shard, title: str = "topic", channel: str = "general") -> ThreadId:
    writer, room = shard
    place = room.channels[channel]
    made = threads.open_thread(writer, stage.OWNER, place, title, now_ms=NOW, is_announced=False)
    return made.id


def edit(shard: Shard, message: Message, text: str, user_id: UserId = stage.ANNA, *, now_ms: int = NOW) -> Message:
    writer, _ = shard
    return message_actions.edit_message(writer, user_id, message.channel_id, message.id, text, now_ms=now_ms)


def delete(shard: Shard, message: Message, user_id: UserId = stage.ANNA, **options: Any) -> None:
    writer, _ = shard
    message_actions.delete_message(writer, user_id, message.channel_id, message.id, now_ms=NOW, **options)
    writer.settle()


def log(shard: Shard, type_: str) -> list[tuple[int, int, Any]]:
    """Return actor, message and payload of the events of a type."""
    rows = shard[0].all("SELECT actor_id, message_id, payload FROM events WHERE type = ? ORDER BY seq", (type_,))
    return [(row[0], row[1], None if row[2] is None else json.loads(row[2])) for row in rows]


def audited(shard: Shard) -> list[tuple[Any, ...]]:
    rows = shard[0].all("SELECT actor_id, action, target_type, target_id, before, after, reason FROM audit_log")
    return [(*row[:4], *(part and json.loads(part) for part in row[4:6]), row[6]) for row in rows]


def test_an_edit_keeps_what_was_said(shard: Shard) -> None:
    """Every version is read in its order with its time, in one page or many; the same words again are no edit."""
    writer, room = shard
    message = send(shard, "first")
    edit(shard, message, "second", now_ms=NOW + 10)
    again = edit(shard, message, "second", now_ms=NOW + 15)
    edited = edit(shard, message, "third", now_ms=NOW + 20)
    assert (again.edit_count, again.edited_at) == (1, NOW + 10)
    assert edited == message._replace(content="third", edit_count=2, edited_at=NOW + 20)
    assert direct.read_page(writer, stage.BEN, room.general, None, Span(), now_ms=NOW).messages == [edited]
    wanted = [Version("first", NOW), Version("second", NOW + 10), Version("third", NOW + 20)]
    for limit in (1, 2, 3, 4):
        walked: list[Version] = []
        after: int | None = 0
        while after is not None:
            page, after = message_actions.list_versions(
                writer, stage.BEN, room.general, message.id, after=after, limit=limit, now_ms=NOW
            )
            walked += page
        assert walked == wanted


def test_what_an_edit_replaced_is_not_published(shard: Shard) -> None:
    """The log has the words that were, and what is told to clients has the message as it is, and not these."""
    writer, _ = shard
    message = send(shard, f"old <@{stage.BEN}>")
    writer.begin()
    edited = edit(shard, message, "new")
    (event,) = writer.emitted
    assert (event.type, event.message, event.message_id, event.payload) == ("message.edited", edited, message.id, None)
    replaced = {"content": f"old <@{stage.BEN}>", "written_at": NOW, "mentions": [["user", str(stage.BEN)]]}
    assert log(shard, "message.edited") == [(stage.ANNA, message.id, {"replaced": replaced})]


def test_edited_words_are_found_and_old_ones_are_not(shard: Shard) -> None:
    """The search follows an edit, in the transaction that sent the message too, and so it does a deletion."""
    writer, room = shard

    def found(word: str) -> list[int]:
        return [row[0] for row in writer.all("SELECT rowid FROM messages_fts WHERE messages_fts MATCH ?", (word,))]

    for is_settled in (True, False):
        sent = message_actions.send_message(writer, stage.ANNA, room.general, Draft("moss 日本語"), now_ms=NOW).message
        if is_settled:
            writer.settle()
        edit(shard, sent, "feathers")
        writer.settle()
        assert (found("moss"), found("本語"), found("feathers")) == ([], [], [sent.id])
        delete(shard, sent)
        assert found("feathers") == []
        writer.run("INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)")


def silence(writer: Writer, room: stage.Room, _thread: ThreadId) -> None:
    direct.time_out(writer, stage.ANNA, NOW + 1)


def archive(writer: Writer, room: stage.Room, _thread: ThreadId) -> None:
    direct.archive(writer, room, "general")


def lock(writer: Writer, _room: stage.Room, thread_id: ThreadId) -> None:
    writer.run("UPDATE threads SET is_locked = 1 WHERE id = ?", (thread_id,))


def hide(writer: Writer, room: stage.Room, _thread: ThreadId) -> None:
    direct.make_private(writer, room, "general")


def announce(writer: Writer, room: stage.Room, _thread: ThreadId) -> None:
    writer.run("UPDATE channels SET type = 'announcement' WHERE id = ?", (room.general,))


@pytest.mark.parametrize(
    ("change", "error", "may_delete"),
    [
        (silence, ForbiddenError, True),
        (archive, ConflictError, True),
        (lock, ConflictError, True),
        (announce, ForbiddenError, True),
        (hide, NotFoundError, False),
    ],
)
def test_one_edits_where_one_may_write_and_deletes_where_one_sees(
    shard: Shard, change: Callable[[Writer, stage.Room, ThreadId], None], error: type[Exception], may_delete: bool
) -> None:
    """What would refuse a message refuses its edit; one's own words can be taken back as long as one sees them."""
    writer, room = shard
    thread_id = topic(shard)
    message = send(shard, thread_id=thread_id)
    edit(shard, message, "before")
    change(writer, room, thread_id)
    with pytest.raises(error):
        edit(shard, message, "after")
    if may_delete:
        delete(shard, message)
    else:
        with pytest.raises(error):
            delete(shard, message)


def test_words_are_their_authors(shard: Shard) -> None:
    """Nobody edits another's message, not even the owner; only who manages messages deletes it."""
    message = send(shard)
    for user_id in (stage.BEN, stage.OWNER):
        with pytest.raises(ForbiddenError):
            edit(shard, message, "changed", user_id)
    with pytest.raises(ForbiddenError):
        delete(shard, message, stage.BEN)
    assert edit(shard, message, "changed").content == "changed"
    delete(shard, message, stage.OWNER)


def test_messages_that_one_may_not_read_are_not_there(shard: Shard) -> None:
    """Without read_history others' messages are as none, to edit or delete; one's own are one's own."""
    writer, room = shard
    mine, other = send(shard), send(shard, user_id=stage.BEN)
    with pytest.raises(ForbiddenError):
        delete(shard, other)
    direct.deny_everyone(writer, room, permissions.READ_HISTORY)
    for act in (edit, delete):
        for message in (other, other._replace(id=MessageId(1))):
            with pytest.raises(NotFoundError, match="no such message"):
                act(shard, message, *(("x",) if act is edit else ()))
    with pytest.raises(ForbiddenError):
        message_actions.list_versions(writer, stage.ANNA, room.general, mine.id, after=0, limit=9, now_ms=NOW)
    edit(shard, mine, "changed")
    delete(shard, mine)


def test_a_deleted_message_leaves_a_trace_in_the_log_alone(shard: Shard) -> None:
    """Its row is empty, all that hung on it is gone, its files are free to go, and the log has what it was."""
    writer, room = shard
    message = send(shard, f"secret <@{stage.BEN}>", nonce="n")
    writer.run("INSERT INTO reactions VALUES (?, '🐦', ?, 1)", (message.id, stage.BEN))
    writer.run("INSERT INTO reaction_counts VALUES (?, '🐦', 1, 1)", (message.id,))
    writer.run(
        "INSERT INTO message_attachments (id, message_id, user_id, filename, size_bytes, mime_type, sha256, object_key,"
        " state, created_at) VALUES (5, ?, ?, 'a.png', 9, 'image/png', ?, 'k', 'attached', 1)",
        (message.id, stage.ANNA, "0" * 64),
    )
    writer.run("UPDATE messages SET extras = 7, is_pinned = 1, metadata = '{}' WHERE id = ?", (message.id,))
    edit(shard, message, f"secrets <@{stage.BEN}>", now_ms=NOW + 1)
    writer.begin()
    delete(shard, message)
    (event,) = writer.emitted
    assert (event.message_id, event.payload, event.message) == (message.id, {"thread_id": None}, None)
    (told,) = log(shard, "message.deleted")
    assert told[2]["replaced"] == {
        "user_id": str(stage.ANNA),
        "content": f"secrets <@{stage.BEN}>",
        "content_type": "text",
        "edited_at": NOW + 1,
        "is_pinned": True,
        "mentions": [["user", str(stage.BEN)]],
        "attachments": [["5", "a.png", 9, "image/png", None, None, None]],
        "reactions": [["🐦", 1]],
    }
    row = writer.one("SELECT content, metadata, search_text, extras, is_pinned, is_deleted, nonce FROM messages")
    assert row == ("", None, None, 0, 0, 1, "n")
    for table in ("message_mentions", "reactions", "reaction_counts"):
        assert writer.all(f"SELECT * FROM {table}") == []
    assert writer.all("SELECT message_id, state FROM message_attachments") == []
    assert writer.all("SELECT id, user_id, object_key FROM freed_files") == [(5, stage.ANNA, "k")]
    assert writer.one("SELECT message_count, last_message_id FROM channels WHERE id = ?", (room.general,)) == (0, None)
    for user_id in (stage.ANNA, stage.OWNER):
        with pytest.raises(NotFoundError):
            delete(shard, message, user_id)
    with pytest.raises(NotFoundError):
        edit(shard, message, "back")
    with pytest.raises(ConflictError, match="deleted"):
        send(shard, nonce="n")


def test_deleting_others_messages_is_audited(shard: Shard) -> None:
    """A moderator's deletion is audited with its reason and without the words; one's own is nobody's matter."""
    _, room = shard
    delete(shard, send(shard))
    delete(shard, send(shard, user_id=stage.OWNER), stage.OWNER)
    assert audited(shard) == []
    message = send(shard)
    delete(shard, message, stage.OWNER, reason="spam")
    before = {"channel_id": str(room.general), "user_id": str(stage.ANNA)}
    assert audited(shard) == [
        (stage.OWNER, "message.deleted", "message", message.id, before, None, "spam"),
    ]


def test_many_are_deleted_at_once_and_audited_once(shard: Shard) -> None:
    """Those that are in the channel go, the others are passed over; each is told, the act is audited once."""
    writer, room = shard
    here = [send(shard, user_id=user_id) for user_id in (stage.ANNA, stage.BEN, stage.OWNER)]
    elsewhere, gone = send(shard, channel="other"), send(shard)
    delete(shard, gone)
    wanted = [here[2].id, here[0].id, here[0].id, elsewhere.id, gone.id, MessageId(1)]

    def delete_many(user_id: UserId) -> list[MessageId]:
        return message_actions.delete_messages(writer, user_id, room.general, wanted, reason="flood", now_ms=NOW)

    with pytest.raises(ForbiddenError):
        delete_many(stage.ANNA)
    assert audited(shard) == []
    assert delete_many(stage.OWNER) == [here[0].id, here[2].id]
    writer.settle()
    assert [row[1] for row in log(shard, "message.deleted")] == [gone.id, here[0].id, here[2].id]
    before = {"messages": {str(here[0].id): str(stage.ANNA), str(here[2].id): str(stage.OWNER)}}
    assert audited(shard) == [
        (stage.OWNER, "message.bulk_deleted", "channel", room.general, before, None, "flood"),
    ]
    page = direct.read_page(writer, stage.ANNA, room.general, None, Span(), now_ms=NOW)
    assert page.messages == [here[1]]
    assert delete_many(stage.OWNER) == []
    assert len(audited(shard)) == 1


def test_what_somebody_wrote_lately_is_erased_everywhere(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    """In all channels, since a time, newest first and a bounded number at once; others' words stay."""
    writer, room = shard
    times = [NOW + 1_000, NOW + 2_000, NOW + 3_000, NOW + 4_000]
    sent = [
        message_actions.send_message(writer, stage.ANNA, room.channels[name], Draft("x"), now_ms=at).message.id
        for at, name in zip(times, ("general", "other", "general", "other"), strict=True)
    ]
    kept = send(shard, user_id=stage.BEN)
    monkeypatch.setattr(messages, "ERASED_AT_ONCE_MAX", 2)

    def erase() -> int:
        erased = messages.erase_recent(writer, stage.ANNA, since_ms=NOW + 2_000, actor_id=stage.OWNER, now_ms=NOW)
        writer.settle()
        return erased

    def left() -> list[int]:
        return [row[0] for row in writer.all("SELECT id FROM messages WHERE is_deleted = 0 ORDER BY id")]

    assert erase() == 2
    assert left() == [sent[0], sent[1], kept.id]
    assert erase() == 1
    assert left() == [sent[0], kept.id]
    assert erase() == 0
    assert {row[0] for row in log(shard, "message.deleted")} == {stage.OWNER}


def test_messages_move_between_threads(shard: Shard) -> None:
    """Into a thread, into another and out of any: each move is told with both its ends, and audited once."""
    writer, room = shard
    first, second = topic(shard, "first"), topic(shard, "second")
    one, two = send(shard), send(shard, thread_id=first)

    def move(thread_id: ThreadId | None, user_id: UserId = stage.OWNER) -> list[MessageId]:
        moved = message_actions.move_messages(
            writer, user_id, room.general, [two.id, one.id, MessageId(1)], thread_id, reason="tidy", now_ms=NOW
        )
        writer.settle()
        return moved

    def threads() -> list[tuple[Any, ...]]:
        return writer.all("SELECT message_count, last_message_id FROM threads ORDER BY id")

    with pytest.raises(ForbiddenError):
        move(second, stage.ANNA)
    assert move(first) == [one.id]
    assert threads() == [(2, two.id), (0, None)]
    assert move(second) == [one.id, two.id]
    assert threads() == [(0, None), (2, two.id)]
    assert move(second) == []
    assert move(None) == [one.id, two.id]
    assert threads() == [(0, None), (0, None)]
    assert [(row[1], row[2]) for row in log(shard, "message.moved")] == [
        (one.id, {"from": None, "to": str(first)}),
        (one.id, {"from": str(first), "to": str(second)}),
        (two.id, {"from": str(first), "to": str(second)}),
        (one.id, {"from": str(second), "to": None}),
        (two.id, {"from": str(second), "to": None}),
    ]
    assert audited(shard)[0] == (
        stage.OWNER, "message.moved", "channel", room.general, {"threads": {str(one.id): None}},
        {"thread": str(first)}, "tidy",
    )  # fmt: skip
    assert len(audited(shard)) == 3


def test_messages_move_only_where_they_may_be(shard: Shard) -> None:
    """Not into another channel's thread, not out of one where messages belong into threads, not in an archive."""
    writer, room = shard
    elsewhere, inside = topic(shard, channel="other"), topic(shard, channel="topics")
    here, there = send(shard), send(shard, channel="topics", thread_id=inside)

    def move(message: Message, thread_id: ThreadId | None) -> None:
        message_actions.move_messages(writer, stage.OWNER, message.channel_id, [message.id], thread_id, now_ms=NOW)

    with pytest.raises(NotFoundError):
        move(here, elsewhere)
    with pytest.raises(ConflictError):
        move(there, None)
    own = topic(shard)
    writer.run("UPDATE channels SET thread_mode = 'disabled' WHERE id = ?", (room.general,))
    with pytest.raises(ConflictError):
        move(here, own)
    writer.run("UPDATE channels SET thread_mode = 'optional' WHERE id = ?", (room.general,))
    move(here, own)
    direct.archive(writer, room, "general")
    with pytest.raises(ConflictError):
        move(here, None)

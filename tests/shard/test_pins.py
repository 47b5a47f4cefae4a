"""Pins: few messages of a channel, at hand for all who read it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ids import MessageId, UserId
from shard import permissions
from shard.actions import messages
from shard.actions import pins as pin_actions
from shard.actions.pages import Span
from shard.engine.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.tables import pins
from shard.tables.messages import Draft
from tests.shard import direct, stage

NOW = stage.NOW_MS
Shard = tuple[Writer, stage.Room]


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Shard]:
    """A room, in a transaction."""
    with direct.writing(tmp_path) as (connection, writer, room):
        connection.execute("BEGIN IMMEDIATE")
        yield writer, room
        connection.execute("ROLLBACK")


def say(shard: Shard, content: str = "hello", channel: str = "general") -> MessageId:
    """Send a message."""
    writer, room = shard
    sent = messages.send_message(writer, stage.ANNA, room.channels[channel], Draft(content), now_ms=NOW).message
    writer.settle()
    return sent.id


def pin(shard: Shard, message_id: MessageId, by: UserId = stage.OWNER, channel: str = "general") -> None:
    """Pin a message."""
    pin_actions.pin_message(shard[0], by, shard[1].channels[channel], message_id, reason="read this", now_ms=NOW)


def unpin(shard: Shard, message_id: MessageId, by: UserId = stage.OWNER) -> None:
    """Take a pin out."""
    pin_actions.unpin_message(shard[0], by, shard[1].general, message_id, now_ms=NOW)


def listed(shard: Shard, *, before: MessageId | None = None, limit: int = 10) -> list[MessageId]:
    """Return the ids of the pins as a member sees them."""
    writer, room = shard
    found = pin_actions.list_pins(writer, stage.BEN, room.general, before=before, limit=limit, now_ms=NOW)
    assert all(message.is_pinned for message in found)
    return [message.id for message in found]


def log(shard: Shard, table: str, column: str) -> list[tuple[object, ...]]:
    """Return what the log or the audit log has of pins."""
    return shard[0].all(f"SELECT {column} FROM {table} WHERE {column} LIKE 'message.%pinned' ORDER BY 1")


def test_pins_are_listed_newest_first(shard: Shard) -> None:
    """Pinned messages of a channel are listed by their age, in pages, and those of other channels are not."""
    said = [say(shard, str(number)) for number in range(4)]
    elsewhere = say(shard, channel="other")
    for message_id in (said[2], said[0], said[3]):
        pin(shard, message_id)
    pin(shard, elsewhere, channel="other")
    assert listed(shard) == [said[3], said[2], said[0]]
    assert listed(shard, limit=2) == [said[3], said[2]]
    assert listed(shard, before=said[2]) == [said[0]]


def test_pinning_is_told_once(shard: Shard) -> None:
    """A pin and its end leave an event and an act each, repeating them nothing, and the channel is told of the pin."""
    message_id = say(shard)
    for _ in range(2):
        pin(shard, message_id)
    assert log(shard, "events", "type") == log(shard, "audit_log", "action") == [("message.pinned",)]
    shard[0].settle()
    page = direct.read_page(shard[0], stage.BEN, shard[1].general, None, Span(limit=1), now_ms=NOW).messages
    assert page[0].metadata == f'{{"kind":"message_pinned","message_id":"{message_id}"}}'
    for _ in range(2):
        unpin(shard, message_id)
    assert listed(shard) == []
    assert log(shard, "events", "type") == log(shard, "audit_log", "action") == [
        ("message.pinned",), ("message.unpinned",)
    ]  # fmt: skip
    assert shard[0].all("SELECT reason FROM audit_log WHERE action = 'message.pinned'") == [("read this",)]


def test_pinning_needs_its_permission(shard: Shard) -> None:
    """Members neither pin nor unpin without pin_messages, and with it they do."""
    writer, room = shard
    pinned, other = say(shard), say(shard)
    pin(shard, pinned)
    with pytest.raises(ForbiddenError):
        pin(shard, other, stage.BEN)
    with pytest.raises(ForbiddenError):
        unpin(shard, pinned, stage.BEN)
    writer.run("UPDATE roles SET permissions = permissions | ? WHERE id = ?", (permissions.PIN_MESSAGES, room.id))
    pin(shard, other, stage.BEN)
    unpin(shard, pinned, stage.BEN)
    assert listed(shard) == [other]


def test_some_messages_cannot_be_pinned(shard: Shard) -> None:
    """Messages of the server, of elsewhere and deleted ones are not pinned, and nothing is in an archived channel."""
    writer, room = shard
    pin(shard, say(shard))
    writer.settle()
    told = direct.read_page(writer, stage.BEN, room.general, None, Span(limit=1), now_ms=NOW).messages[0]
    with pytest.raises(ConflictError, match="server"):
        pin(shard, told.id)
    with pytest.raises(NotFoundError):
        pin(shard, say(shard, channel="other"))
    deleted = say(shard)
    messages.delete_message(writer, stage.ANNA, room.general, deleted, now_ms=NOW)
    with pytest.raises(NotFoundError):
        pin(shard, deleted)
    kept = say(shard)
    direct.archive(writer, room, "general")
    with pytest.raises(ConflictError, match="archived"):
        pin(shard, kept)


def test_a_deleted_message_is_no_pin(shard: Shard) -> None:
    """Deleting a pinned message takes it off the list and makes place for another."""
    writer, room = shard
    message_id = say(shard)
    pin(shard, message_id)
    messages.delete_message(writer, stage.ANNA, room.general, message_id, now_ms=NOW)
    assert listed(shard) == []


def test_a_channel_has_so_many_pins(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound one more pin is refused, until one is taken out; another channel has its own bound."""
    monkeypatch.setattr(pins, "PER_CHANNEL_MAX", 2)
    first, second, third = (say(shard) for _ in range(3))
    pin(shard, first)
    pin(shard, second)
    with pytest.raises(ConflictError, match="at most 2"):
        pin(shard, third)
    pin(shard, say(shard, channel="other"), channel="other")
    unpin(shard, first)
    pin(shard, third)
    assert listed(shard) == [third, second]

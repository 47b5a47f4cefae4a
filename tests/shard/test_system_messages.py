"""Messages of the server: where they are posted, by what, and what they are not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sqlite
from ids import ChannelId, UserId
from migrations import engine
from shard import permissions
from shard.actions import channels, imports, members, messages, rooms
from shard.actions.channels import ChannelChanges
from shard.actions.imports import Record
from shard.actions.pages import Span
from shard.engine.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.rows import Message
from tests.shard import direct, stage

NOW = stage.NOW_MS
NEW = UserId(99)
Shard = tuple[Writer, stage.Room]


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Shard]:
    with direct.writing(tmp_path) as (_, writer, room):
        yield writer, room


def posted(shard: Shard) -> list[tuple[int, int, Any]]:
    """Return channel, actor and metadata of the server's messages."""
    shard[0].settle()
    rows = shard[0].all("SELECT channel_id, user_id, metadata FROM messages WHERE content_type = 'system' ORDER BY id")
    return [(row[0], row[1], json.loads(row[2])) for row in rows]


def choose(shard: Shard, channel: str | None, user_id: UserId = stage.OWNER) -> None:
    writer, room = shard
    rooms.choose_channel(writer, user_id, None if channel is None else room.channels[channel], reason="why", now_ms=NOW)


def test_a_join_is_told_in_the_first_text_channel(shard: Shard) -> None:
    """Whoever comes is told of once, whenever they come; founding tells of nobody."""
    writer, room = shard
    assert posted(shard) == []
    for act in (members.join, members.join, members.leave, members.join):
        act(writer, NEW, now_ms=NOW)
    assert posted(shard) == [(room.general, NEW, {"kind": "member_joined"})] * 2
    counted = writer.one("SELECT message_count FROM channels WHERE id = ?", (room.general,))
    assert counted == (2,)
    message = page(shard)[0]
    assert (message.content, message.content_type, message.user_id) == ("", "system", NEW)


def page(shard: Shard) -> list[Message]:
    writer, room = shard
    return direct.read_page(writer, stage.ANNA, room.general, None, Span(), now_ms=NOW).messages


def test_an_import_tells_of_nobody(shard: Shard) -> None:
    """People and threads that come with a history did not come today."""
    writer, _room = shard
    record = Record("general", "topic", NEW, NOW - 1_000, "then", "n")
    loaded = imports.load_batch(writer, [record], skip_refused=False, now_ms=NOW)
    assert (loaded.messages_new, loaded.threads_new) == (1, 1)
    assert posted(shard) == []
    members.join(writer, UserId(100), now_ms=NOW)
    assert len(posted(shard)) == 1


def test_the_channel_is_chosen(shard: Shard) -> None:
    """Who manages the room names another channel or none, which is logged and audited once."""
    writer, room = shard
    with pytest.raises(ForbiddenError):
        choose(shard, "other", stage.ANNA)
    choose(shard, "other")
    choose(shard, "other")
    members.join(writer, NEW, now_ms=NOW)
    choose(shard, None)
    members.join(writer, UserId(100), now_ms=NOW)
    assert posted(shard) == [(room.channels["other"], NEW, {"kind": "member_joined"})]
    told = [{"system_channel_id": str(room.general)}, {"system_channel_id": str(room.channels["other"])}]
    rows = writer.all("SELECT channel_id, payload FROM events WHERE type = 'room.updated' ORDER BY seq")
    assert [(row[0], json.loads(row[1])) for row in rows] == [
        (room.channels["other"], {**told[1], "replaced": told[0]}),
        (room.channels["other"], {"system_channel_id": None, "replaced": told[1]}),
    ]
    audited = writer.all("SELECT target_type, target_id, after, reason FROM audit_log WHERE action = 'room.updated'")
    assert audited == [
        ("channel", room.channels["other"], '{"is_system_channel":true}', "why"),
        ("channel", room.channels["other"], '{"is_system_channel":false}', "why"),
    ]


def test_only_a_channel_that_takes_messages_is_chosen(shard: Shard) -> None:
    """A voice channel is refused, and one that is not there or hidden is not found."""
    writer, room = shard
    writer.run("UPDATE roles SET permissions = permissions | ?", (permissions.MANAGE_ROOM,))
    with pytest.raises(ConflictError):
        choose(shard, "voice", stage.ANNA)
    direct.make_private(writer, room, "other")
    with pytest.raises(NotFoundError):
        choose(shard, "other", stage.ANNA)
    with pytest.raises(NotFoundError):
        rooms.choose_channel(writer, stage.ANNA, ChannelId(1), now_ms=NOW)
    choose(shard, "flat", stage.ANNA)


def test_a_hidden_system_channel_is_told_to_those_who_see_it(shard: Shard) -> None:
    """To others it is as none, and strangers learn nothing."""
    writer, room = shard
    assert rooms.get_channel(writer, stage.ANNA, now_ms=NOW) == room.general
    direct.make_private(writer, room, "general")
    assert rooms.get_channel(writer, stage.ANNA, now_ms=NOW) is None
    assert rooms.get_channel(writer, stage.OWNER, now_ms=NOW) == room.general
    with pytest.raises(NotFoundError):
        rooms.get_channel(writer, NEW, now_ms=NOW)


@pytest.mark.parametrize("fate", ["archived", "voice", "deleted"])
def test_a_channel_that_takes_nothing_is_told_nothing(shard: Shard, fate: str) -> None:
    """Joining goes on when the system channel is archived, of another type or gone."""
    writer, room = shard
    writer.run(
        {
            "archived": "UPDATE channels SET is_archived = 1 WHERE id = ?",
            "voice": "UPDATE channels SET type = 'voice' WHERE id = ?",
            "deleted": "DELETE FROM channels WHERE id = ?",
        }[fate],
        (room.general,),
    )
    assert members.join(writer, NEW, now_ms=NOW)
    assert posted(shard) == []


def test_a_new_name_is_told_in_its_channel(shard: Shard) -> None:
    """Renaming a channel is told in it, and no other change of it is."""
    writer, room = shard
    for wanted in (ChannelChanges(description="x"), ChannelChanges(name="renamed"), ChannelChanges(name="renamed")):
        channels.edit_channel(writer, stage.OWNER, room.channels["other"], wanted, now_ms=NOW)
    channels.edit_channel(writer, stage.OWNER, room.channels["voice"], ChannelChanges(name="loud"), now_ms=NOW)
    metadata = {"kind": "channel_renamed", "before": "other", "after": "renamed"}
    assert posted(shard) == [(room.channels["other"], stage.OWNER, metadata)]


def test_a_message_of_the_server_is_nobodys(shard: Shard) -> None:
    """Nobody edits it, not even whom it is about, and only those who manage messages delete it."""
    writer, room = shard
    members.join(writer, NEW, now_ms=NOW)
    writer.settle()
    message = page(shard)[0]
    for user_id in (NEW, stage.OWNER):
        with pytest.raises(ConflictError):
            messages.edit_message(writer, user_id, room.general, message.id, "x", now_ms=NOW)
    with pytest.raises(ForbiddenError):
        messages.delete_message(writer, NEW, room.general, message.id, now_ms=NOW)
    messages.delete_message(writer, stage.OWNER, room.general, message.id, now_ms=NOW)
    assert page(shard) == []
    (kept,) = writer.all("SELECT payload FROM events WHERE type = 'message.deleted'")
    assert json.loads(kept[0])["replaced"]["metadata"] == {"kind": "member_joined"}


def test_rooms_of_an_older_release_get_a_system_channel(tmp_path: Path) -> None:
    """The migration chooses the first text channel that takes messages, and none where there is none."""
    for number, (rows, chosen) in enumerate(
        (
            ([(1, "voice", 0), (2, "text", 1), (4, "text", 0), (3, "text", 0)], 3),
            ([(1, "announcement", 0)], None),
        )
    ):
        connection = sqlite.create(tmp_path / f"{number}.db", sqlite.SHARD_APPLICATION_ID)
        engine.apply(connection, stage.MIGRATIONS[:4], now_ms=NOW)
        connection.execute("INSERT INTO room (one, room_id, kind, owner_id, created_at) VALUES (1, 1, 'group', 7, 0)")
        for channel_id, type_, is_archived in rows:
            connection.execute(
                "INSERT INTO channels (id, name, type, is_archived, created_by, created_at) VALUES (?, ?, ?, ?, 7, 0)",
                (channel_id, str(channel_id), type_, is_archived),
            )
        engine.apply(connection, stage.MIGRATIONS, now_ms=NOW)
        assert connection.execute("SELECT system_channel_id FROM room").fetchall() == [(chosen,)]
        connection.close()

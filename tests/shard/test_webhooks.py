"""Webhooks in a shard: who may have which, what is posted by one, and what one is told."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest

from ids import ChannelId, MessageId, RoleId, ThreadId, UserId
from shard import permissions
from shard.actions import channels, moderation, threads, webhook_deliveries, webhooks
from shard.actions import messages as message_actions
from shard.actions.channels import ChannelDraft
from shard.actions.webhooks import Keys
from shard.engine.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError, RejectedError
from shard.tables import audit, members, messages
from shard.tables.audit import Filter
from shard.tables.bans import Ban
from shard.tables.messages import Draft
from shard.tables.webhook_deliveries import EVENTS_MAX, EXAMINED_MAX
from shard.tables.webhooks import PER_ROOM_MAX, Webhook
from tests.shard import direct, stage

NOW = stage.NOW_MS
HASH, OTHER_HASH = b"h" * 32, b"o" * 32
KEYS = Keys(HASH, b"s" * 32)
OUT = {"name": "tell", "url": "https://example.org/x", "events": ["*"]}


@dataclass(frozen=True, slots=True)
class Den:
    """A room whose owner and ANNA manage webhooks, with a channel that only the owner sees."""

    connection: apsw.Connection
    writer: Writer
    room: stage.Room
    hidden: ChannelId

    def incoming(self, number: int = 50, *, by: UserId = stage.ANNA, channel: str = "general") -> Webhook:
        channel_id = self.room.channels[channel]
        return webhooks.create_incoming(self.writer, by, number, "Build", channel_id, KEYS, now_ms=NOW)

    def outgoing(self, number: int = 60, *, by: UserId = stage.ANNA, **fields: Any) -> Webhook:
        wanted: Any = OUT | fields
        return webhooks.create_outgoing(self.writer, by, number, wanted, KEYS, now_ms=NOW)

    def post(self, content: str = "done", *, token: bytes = HASH, **fields: Any) -> message_actions.Sent:
        username = fields.pop("username", None)
        sent = webhooks.post(self.writer, 50, token, Draft(content, **fields), username, now_ms=NOW)
        self.writer.settle()
        return sent

    def say(self, content: str, *, by: UserId = stage.OWNER, channel_id: ChannelId | None = None) -> MessageId:
        where = channel_id or self.room.general
        sent = message_actions.send_message(self.writer, by, where, Draft(content), now_ms=NOW)
        self.writer.settle()
        return sent.message.id

    def told(self, number: int = 60, *, after: int = 0) -> list[tuple[str, str | None]]:
        batch = webhook_deliveries.next_batch(self.writer, number, after_seq=after, now_ms=NOW)
        assert batch is not None
        assert batch.may_tell
        return [(event.type, event.message and event.message.content) for event in batch.events]


@pytest.fixture
def den(tmp_path: Path) -> Iterator[Den]:
    with direct.writing(tmp_path) as (connection, writer, room):
        writer.run(
            "INSERT INTO roles (id, name, permissions, position, is_mentionable, created_at) "
            "VALUES (101, 'r', ?, 1, 0, 1)",
            (permissions.MANAGE_WEBHOOKS,),
        )
        members.grant(writer, stage.ANNA, RoleId(101), by=stage.OWNER, now_ms=NOW)
        draft = ChannelDraft("hidden", is_private=True)
        hidden = channels.create_channel(writer, stage.OWNER, draft, now_ms=NOW).id
        writer.begin()
        yield Den(connection, writer, room, hidden)


def test_only_who_manages_webhooks_has_them(den: Den) -> None:
    """A plain member neither makes nor sees webhooks, a stranger sees no room, and what was made is in the record."""
    den.incoming()
    den.outgoing()
    for who, refusal in ((stage.BEN, ForbiddenError), (UserId(99), NotFoundError)):
        with pytest.raises(refusal):
            den.incoming(51, by=who)
        with pytest.raises(refusal):
            den.outgoing(61, by=who)
    listed = webhooks.list_webhooks(den.writer, stage.ANNA, now_ms=NOW)
    assert [(hook.id, hook.direction) for hook in listed] == [(50, "incoming"), (60, "outgoing")]
    for number in (50, 60, 99):
        with pytest.raises(ForbiddenError):
            webhooks.get_webhook(den.writer, stage.BEN, number, now_ms=NOW)
    with pytest.raises(NotFoundError):
        webhooks.get_webhook(den.writer, stage.ANNA, 99, now_ms=NOW)
    entries = audit.newest(den.writer, Filter(action="webhook.created"))
    assert [(entry.actor_id, entry.target_id) for entry in entries] == [(stage.ANNA, 60), (stage.ANNA, 50)]
    emitted = [event for event in den.writer.emitted if event.type == "webhook.created"]
    assert [event.payload for event in emitted] == [
        {"id": "50", "direction": "incoming"}, {"id": "60", "direction": "outgoing"},
    ]  # fmt: skip


def test_a_hidden_channels_webhooks_are_hidden(den: Den) -> None:
    """Who manages webhooks but does not see a channel can neither have one there nor find those that are."""
    den.incoming()
    webhooks.create_incoming(den.writer, stage.OWNER, 51, "Secret", den.hidden, KEYS, now_ms=NOW)
    den.outgoing(61, by=stage.OWNER, channel_id=den.hidden)
    assert [hook.id for hook in webhooks.list_webhooks(den.writer, stage.ANNA, now_ms=NOW)] == [50]
    for number in (51, 61):
        with pytest.raises(NotFoundError):
            webhooks.edit_webhook(den.writer, stage.ANNA, number, {"name": "Mine"}, now_ms=NOW)
        with pytest.raises(NotFoundError):
            webhooks.renew_keys(den.writer, stage.ANNA, number, KEYS, now_ms=NOW)
        with pytest.raises(NotFoundError):
            webhooks.delete_webhook(den.writer, stage.ANNA, number, now_ms=NOW)
    with pytest.raises(NotFoundError):
        webhooks.create_incoming(den.writer, stage.ANNA, 52, "x", den.hidden, KEYS, now_ms=NOW)
    with pytest.raises(NotFoundError):
        den.outgoing(62, channel_id=den.hidden)
    with pytest.raises(NotFoundError):
        webhooks.edit_webhook(den.writer, stage.ANNA, 50, {"channel_id": den.hidden}, now_ms=NOW)
    assert [hook.id for hook in webhooks.list_webhooks(den.writer, stage.OWNER, now_ms=NOW)] == [50, 51, 61]


@pytest.mark.parametrize("channel", ["news", "voice", "general", "archived"])
def test_a_webhook_writes_where_its_maker_may(den: Den, channel: str) -> None:
    """Nobody has a webhook write in an announcement, voice or archived channel where they could not write either."""
    if channel == "archived":
        direct.archive(den.writer, den.room, "other")
    place = {"archived": "other"}.get(channel, channel)
    if channel == "general":
        assert den.incoming(channel=place).channel_id == den.room.general
        return
    with pytest.raises(RejectedError):
        den.incoming(channel=place)
    if channel == "news":
        den.incoming(by=stage.OWNER, channel=place)
        assert den.post().is_new


def test_a_room_has_a_few(den: Den) -> None:
    """Webhooks of both directions count together up to their bound."""
    for number in range(PER_ROOM_MAX):
        den.outgoing(100 + number)
    for make in (den.incoming, den.outgoing):
        with pytest.raises(ConflictError, match="at most"):
            make()
    webhooks.delete_webhook(den.writer, stage.ANNA, 100, now_ms=NOW)
    den.incoming()


def test_a_post_is_a_message_of_the_webhooks_own(den: Den) -> None:
    """What is posted is by the webhook's user, tells of the webhook and what it called itself, and is found."""
    den.incoming()
    sent = den.post("It <@12> works", username="CI")
    assert sent.is_new
    assert (sent.message.user_id, sent.message.content_type) == (50, "text")
    assert json.loads(sent.message.metadata or "") == {"webhook_id": "50", "username": "CI"}
    assert sent.message.mentions == '[["user",12]]'
    stored = messages.sent_with(den.writer, UserId(50), "n")
    assert stored is None
    again = [den.post("once", nonce="n") for _ in range(2)]
    assert [one.is_new for one in again] == [True, False]
    assert again[0].message == again[1].message == messages.sent_with(den.writer, UserId(50), "n")
    assert [event.actor_id for event in den.writer.emitted if event.type == "message.created"] == [50, 50]
    assert den.post("@everyone <@&101>").message.mentions is None


def test_a_wrong_token_is_no_webhook(den: Den) -> None:
    """A wrong token, another webhook's, an outgoing webhook and none at all get one answer."""
    den.incoming()
    den.outgoing()
    assert den.post().is_new
    for number, token in ((50, OTHER_HASH), (50, b""), (60, HASH), (60, b""), (99, HASH)):
        with pytest.raises(NotFoundError) as caught:
            webhooks.post(den.writer, number, token, Draft("x"), None, now_ms=NOW)
        assert caught.value.kind == "webhook"
    webhooks.renew_keys(den.writer, stage.ANNA, 50, Keys(OTHER_HASH, b""), now_ms=NOW)
    with pytest.raises(NotFoundError):
        den.post()
    assert den.post(token=OTHER_HASH).is_new
    webhooks.delete_webhook(den.writer, stage.ANNA, 50, now_ms=NOW)
    with pytest.raises(NotFoundError):
        den.post(token=OTHER_HASH)


def test_the_channels_rules_hold(den: Den) -> None:
    """A post needs an open channel and an open thread, but no pause; a deleted channel takes its webhooks with it."""
    den.incoming()
    den.writer.run("UPDATE channels SET slow_mode_seconds = 60 WHERE id = ?", (den.room.general,))
    assert [den.post().is_new for _ in range(2)] == [True, True]
    thread = threads.open_thread(den.writer, stage.ANNA, den.room.general, "t", now_ms=NOW).id
    assert den.post(thread_id=thread).message.thread_id == thread
    den.writer.run("UPDATE threads SET is_locked = 1")
    with pytest.raises(ConflictError, match="locked"):
        den.post(thread_id=thread)
    with pytest.raises(NotFoundError):
        den.post(thread_id=ThreadId(5))
    den.writer.run("UPDATE channels SET thread_mode = 'required' WHERE id = ?", (den.room.general,))
    with pytest.raises(ConflictError, match="thread"):
        den.post()
    webhooks.edit_webhook(den.writer, stage.ANNA, 50, {"channel_id": den.room.channels["other"]}, now_ms=NOW)
    assert den.post().message.channel_id == den.room.channels["other"]
    direct.archive(den.writer, den.room, "other")
    with pytest.raises(ConflictError, match="archived"):
        den.post()
    channels.delete_channel(den.writer, stage.OWNER, den.room.channels["other"], now_ms=NOW)
    with pytest.raises(NotFoundError):
        den.post()


def test_a_webhook_tells_what_its_keeper_reads(den: Den) -> None:
    """Events of hidden channels, of other channels than the webhook's, of types that it names not and from before it
    was made are not told, nor what only moderators hear."""
    den.say("before")
    den.outgoing()
    den.outgoing(61, channel_id=den.room.channels["other"])
    den.outgoing(62, events=["member.banned", "thread"])
    den.outgoing(63, by=stage.OWNER, events=["message.created", "member.banned"])
    den.say("open")
    den.say("secret", channel_id=den.hidden)
    den.say("elsewhere", channel_id=den.room.channels["other"])
    threads.open_thread(den.writer, stage.ANNA, den.room.general, "t", now_ms=NOW)
    den.writer.settle()
    moderation.ban(den.writer, stage.OWNER, Ban(UserId(99), None, stage.OWNER, NOW, None), now_ms=NOW)
    made = [("webhook.created", None)] * 3
    opened = [("thread.created", None), ("message.created", "")]
    assert den.told() == [*made, ("message.created", "open"), ("message.created", "elsewhere"), *opened]
    assert den.told(61) == [("message.created", "elsewhere")]
    assert den.told(62) == [("thread.created", None)]
    assert [one[1] or one[0] for one in den.told(63)] == ["open", "secret", "elsewhere", "message.created",
                                                          "member.banned"]  # fmt: skip
    direct.make_private(den.writer, den.room, "general")
    assert ("message.created", "open") not in den.told()


def test_what_is_gone_is_not_told_again(den: Den) -> None:
    """A message is told as it is when it is told: with its newest words, and without any when it was deleted."""
    den.outgoing(events=["message"])
    kept, gone = den.say("frist", by=stage.BEN), den.say("regretted", by=stage.BEN)
    message_actions.edit_message(den.writer, stage.BEN, den.room.general, kept, "first", now_ms=NOW)
    message_actions.delete_message(den.writer, stage.BEN, den.room.general, gone, reason=None, now_ms=NOW)
    batch = webhook_deliveries.next_batch(den.writer, 60, after_seq=0, now_ms=NOW)
    assert batch is not None
    assert [(event.type, event.message and event.message.content) for event in batch.events] == [
        ("message.created", "first"), ("message.created", None), ("message.edited", "first"), ("message.deleted", None),
    ]  # fmt: skip
    assert all("regretted" not in str(event) and "frist" not in str(event) for event in batch.events)


def test_batches_are_bounded_and_go_on(den: Den) -> None:
    """A batch has so many events and looks at so many, and the next begins where it ended."""
    den.outgoing(events=["message"])
    den.outgoing(61, events=["voice"])
    for number in range(EVENTS_MAX + 5):
        den.say(str(number))
    first = webhook_deliveries.next_batch(den.writer, 60, after_seq=0, now_ms=NOW)
    assert first is not None
    assert (len(first.events), first.is_last, first.reached) == (EVENTS_MAX, False, first.events[-1].seq)
    webhook_deliveries.note_taken(den.writer, 60, first.reached, 200, now_ms=NOW)
    assert [content for _, content in den.told()] == [str(EVENTS_MAX + number) for number in range(5)]
    webhook_deliveries.note_taken(den.writer, 60, 1, 200, now_ms=NOW)
    assert len(den.told()) == 5
    den.connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "INSERT INTO events (type, created_at) SELECT 'x.y', 1 FROM n",
        (EXAMINED_MAX,),
    )
    passed = webhook_deliveries.next_batch(den.writer, 61, after_seq=0, now_ms=NOW)
    assert passed is not None
    assert (passed.events, passed.is_last) == ([], False)
    passed = webhook_deliveries.next_batch(den.writer, 61, after_seq=passed.reached, now_ms=NOW)
    assert passed is not None
    assert passed.is_last


@pytest.mark.parametrize("how", ["kicked", "demoted", "timed out"])
def test_a_webhook_ends_with_its_keepers_right(den: Den, how: str) -> None:
    """Who left, lost the permission or is in a time-out has nothing told any more."""
    den.outgoing()
    den.say("one")
    assert ("message.created", "one") in den.told()
    if how == "kicked":
        moderation.kick(den.writer, stage.OWNER, stage.ANNA, reason=None, now_ms=NOW)
    elif how == "demoted":
        den.writer.run("UPDATE roles SET permissions = 0 WHERE id = 101")
    else:
        direct.time_out(den.writer, stage.ANNA, NOW + 9)
    batch = webhook_deliveries.next_batch(den.writer, 60, after_seq=0, now_ms=NOW)
    assert batch is not None
    assert (batch.may_tell, batch.events) == (False, [])


def test_whoever_redirects_a_webhook_keeps_it(den: Den) -> None:
    """The owner's webhook, turned elsewhere by another, tells what the other reads; a new name changes no keeper."""
    den.outgoing(by=stage.OWNER, events=["message"])
    den.say("secret", channel_id=den.hidden)
    assert den.told() == [("message.created", "secret")]
    webhooks.edit_webhook(den.writer, stage.ANNA, 60, {"name": "harmless"}, now_ms=NOW)
    assert den.told() == [("message.created", "secret")]
    changes: list[Any] = [{"url": "https://evil.example/"}, {"events": ["*"]}, {"channel_id": den.room.general}]
    for number, wanted in enumerate(changes, 70):
        den.outgoing(number, by=stage.OWNER, events=["message"])
        changed = webhooks.edit_webhook(den.writer, stage.ANNA, number, wanted, now_ms=NOW)
        assert changed.keeper_id == stage.ANNA
    renewed = webhooks.renew_keys(den.writer, stage.ANNA, 60, KEYS, now_ms=NOW)
    assert renewed.keeper_id == stage.ANNA
    assert den.told() == []
    webhooks.edit_webhook(den.writer, stage.OWNER, 60, {"is_enabled": False}, now_ms=NOW)
    enabled = webhooks.edit_webhook(den.writer, stage.ANNA, 60, {"is_enabled": True}, now_ms=NOW)
    assert enabled.keeper_id == stage.ANNA


def test_giving_up_is_told_and_can_be_undone(den: Den) -> None:
    """A webhook that is given up is disabled once, with its reason in the record; enabled, it goes on where it was."""
    den.outgoing(events=["message"])
    den.say("one")
    webhook_deliveries.note_failed(den.writer, 60, 500, "the answer was 500", next_try_at=NOW + 9, now_ms=NOW)
    assert webhook_deliveries.list_enabled(den.writer) == [(60, NOW + 9)]
    assert webhook_deliveries.give_up(den.writer, 60, "receiver_fails", now_ms=NOW)
    assert not webhook_deliveries.give_up(den.writer, 60, "receiver_fails", now_ms=NOW)
    assert webhook_deliveries.list_enabled(den.writer) == []
    assert webhook_deliveries.next_batch(den.writer, 60, after_seq=0, now_ms=NOW) is None
    [entry] = audit.newest(den.writer, Filter(action="webhook.disabled"))
    assert entry.actor_id is None
    assert json.loads(entry.after or "")["disabled_reason"] == "receiver_fails"
    found = webhooks.get_webhook(den.writer, stage.ANNA, 60, now_ms=NOW)
    assert (found.disabled_reason, found.failures, found.last_status) == ("receiver_fails", 1, 500)
    again = webhooks.edit_webhook(den.writer, stage.ANNA, 60, {"is_enabled": True}, now_ms=NOW)
    assert (again.disabled_at, again.failures, again.next_try_at) == (None, 0, None)
    assert den.told() == [("message.created", "one")]
    assert webhooks.edit_webhook(den.writer, stage.ANNA, 60, {"is_enabled": True}, now_ms=NOW) == again


def test_fields_of_the_other_direction_are_refused(den: Den) -> None:
    """An incoming webhook has no address and cannot be disabled, and needs a channel."""
    den.incoming()
    wrong: list[Any] = [{"url": "https://example.org"}, {"events": ["*"]}, {"is_enabled": False}, {"channel_id": None}]
    for wanted in wrong:
        with pytest.raises(ConflictError):
            webhooks.edit_webhook(den.writer, stage.ANNA, 50, wanted, now_ms=NOW)
    assert webhooks.edit_webhook(den.writer, stage.ANNA, 50, {"name": "New"}, now_ms=NOW).name == "New"

"""The registry of event types: what depends on a type, and what a type is taken for that nobody knows."""

import json
from pathlib import Path
from typing import Any

from shard import event_types
from shard.actions import gateway, webhook_deliveries, webhooks
from shard.actions.webhooks import Keys
from shard.event_types import AuditAction, EventType
from tests.shard import direct, stage

NEWER = "oddity.told"
OUT: Any = {"name": "tell", "url": "https://example.org/x", "events": [NEWER, "message.creatd"]}
"""A webhook that was stored before types were checked."""


def test_traits_are_of_these_types() -> None:
    """What rewrites, carries its message, is for moderators or frees files does so by name."""
    assert {"message.created", "message.edited"} == event_types.CARRIES_MESSAGE
    assert {"message.edited", "message.deleted", "message.moved", "channel.deleted"} == event_types.REWRITES
    assert {"member.banned", "member.unbanned"} == event_types.FOR_MODERATORS
    assert {"message.deleted", "channel.deleted"} == event_types.FREES_FILES


def test_sight_changes_with_these_types() -> None:
    """Talk changes nobody's sight, membership and held roles one member's, and all others everybody's."""
    one = event_types.CHANGES_SIGHT_OF_ONE_MEMBER
    nobody = event_types.CHANGES_SIGHT_OF_NOBODY
    assert one == {
        "member.joined", "member.left", "member.kicked", "member.promoted", "member.demoted", "role.granted",
        "role.revoked",
    }  # fmt: skip
    talk = {"message", "reaction", "thread", "voice", "webhook", "member"}
    harmless = {type_ for type_ in EventType if type_.partition(".")[0] in talk} | {"room.updated", "room.reordered"}
    assert nobody == harmless - one


def test_a_type_is_its_name_everywhere() -> None:
    """In texts, JSON and comparisons a type is its name, no name stands twice, and each type has its meaning."""
    for type_ in EventType:
        assert f"{type_}" == str(type_) == type_.value == json.loads(json.dumps(type_))
        assert type_.name == type_.value.upper().replace(".", "_")
        assert type_.meaning
    names = [*EventType, *AuditAction, event_types.WEBHOOK_PINGED]
    assert len(set(names)) == len(names)


def test_an_unknown_type_is_read_and_published_as_it_is(tmp_path: Path) -> None:
    """A row of a newer log comes out of it whole, for clients and for a webhook that was to be told of it."""
    with direct.writing(tmp_path) as (_, writer, _room):
        wanted = webhooks.create_outgoing(writer, stage.OWNER, 60, OUT, Keys(b"h" * 32, b"s" * 32), now_ms=stage.NOW_MS)
        writer.run(
            "INSERT INTO events (type, payload, created_at) VALUES (?, ?, ?)", (NEWER, '{"id": "5"}', stage.NOW_MS)
        )
        (newest,) = gateway.replay(writer, writer.last_row_id() - 1, writer.last_row_id())
        assert (newest.type, newest.payload, newest.message) == (NEWER, {"id": "5"}, None)
        assert webhooks.get_webhook(writer, stage.OWNER, 60, now_ms=stage.NOW_MS).events == wanted.events
        batch = webhook_deliveries.next_batch(writer, 60, after_seq=0, now_ms=stage.NOW_MS)
        assert batch is not None
        assert [event.type for event in batch.events] == [NEWER]

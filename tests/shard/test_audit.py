"""The room's own record of what moderators did: one row for each act, in its transaction, chained."""

import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from ids import RoleId, UserId
from shard import access, permissions
from shard.actions import channels, messages, rooms, threads
from shard.actions.channels import ChannelDraft
from shard.engine.connections import Writer
from shard.errors import ForbiddenError
from shard.event_types import EventType
from shard.tables import audit, members
from shard.tables.audit import Filter
from shard.tables.messages import Draft
from tests.shard import direct, stage

NOW = stage.NOW_MS


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[tuple[apsw.Connection, Writer]]:
    """A room in which the owner made three channels."""
    with direct.writing(tmp_path) as (connection, writer, _):
        for name in ("one", "two", "three"):
            channels.create_channel(writer, stage.OWNER, ChannelDraft(name), now_ms=NOW)
        yield connection, writer


def actions(writer: Writer, wanted: Filter, *, before: int | None = None, limit: int = 50) -> list[int]:
    owner = access.open_channels(writer, stage.OWNER, now_ms=NOW)
    return [entry.id for entry in audit.page(writer, owner, wanted, before=before, limit=limit)]


def test_an_act_leaves_its_row(shard: tuple[apsw.Connection, Writer]) -> None:
    """An act is told with who did it, to what, and what it is now; a refused one leaves no row."""
    _, writer = shard
    with pytest.raises(ForbiddenError):
        channels.create_channel(writer, stage.ANNA, ChannelDraft("four"), now_ms=NOW)
    owner = access.open_channels(writer, stage.OWNER, now_ms=NOW)
    entries = audit.page(writer, owner, Filter(), limit=9)
    assert [entry.after for entry in entries] == [
        f'{{"name":"{name}","type":"text"}}' for name in ("three", "two", "one")
    ]
    assert {(entry.actor_id, entry.action, entry.target_type) for entry in entries} == {
        (stage.OWNER, "channel.created", "channel")
    }


def test_the_log_is_paged_and_filtered(shard: tuple[apsw.Connection, Writer]) -> None:
    """Pages go on before a number, newest first, and a filter leaves only what it is true of."""
    _, writer = shard
    audit.append(writer, EventType.MEMBER_KICKED, actor_id=stage.ANNA, target=("member", 13), reason="spam", now_ms=NOW)
    assert actions(writer, Filter()) == [4, 3, 2, 1]
    assert actions(writer, Filter(), before=3, limit=1) == [2]
    assert actions(writer, Filter(actor_id=stage.ANNA)) == [4]
    assert actions(writer, Filter(action="channel.created", actor_id=stage.OWNER)) == [3, 2, 1]
    assert actions(writer, Filter(target_id=13)) == [4]
    assert actions(writer, Filter(target_id=13, actor_id=stage.OWNER)) == []


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit_log SET reason = 'better' WHERE id = 2",
        "DELETE FROM audit_log WHERE id = 2",
        "UPDATE audit_log SET actor_id = 1 WHERE id = 2",
    ],
)
def test_a_changed_log_is_refused_and_found(shard: tuple[apsw.Connection, Writer], tampering: str) -> None:
    """Triggers refuse to change the log, and where they are gone the chain shows the first wrong row."""
    connection, writer = shard
    assert audit.verify(writer) is None
    with pytest.raises(apsw.ConstraintError, match="append-only"):
        connection.execute(tampering)
    connection.execute("DROP TRIGGER audit_log_update; DROP TRIGGER audit_log_delete")
    connection.execute(tampering)
    assert audit.verify(writer) == 2


def seen_by(writer: Writer, user_id: UserId) -> list[str]:
    """Return what somebody with VIEW_AUDIT_LOG reads, oldest first, as targets."""
    entries = rooms.read_audit(writer, user_id, Filter(), before=None, limit=50, now_ms=NOW)
    return [f"{entry.target_type} {entry.action.partition('.')[2]}" for entry in reversed(entries)]


def test_what_is_in_a_private_channel_is_not_in_the_record(shard: tuple[apsw.Connection, Writer]) -> None:
    """Who reads the record without being an administrator reads nothing of channels that they do not see."""
    _, writer = shard
    hidden = channels.create_channel(writer, stage.OWNER, ChannelDraft("hidden"), now_ms=NOW).id
    thread = threads.open_thread(writer, stage.OWNER, hidden, "secret plan", now_ms=NOW).id
    message = messages.send_message(writer, stage.OWNER, hidden, Draft("secret"), now_ms=NOW).message.id
    category = writer.ids.next(NOW)
    writer.run("INSERT INTO categories (id, name, created_at) VALUES (?, 'secrets', 1)", (category,))
    writer.run("UPDATE channels SET category_id = ? WHERE id = ?", (category, hidden))
    session, hook = writer.ids.next(NOW), writer.ids.next(NOW)
    writer.run("INSERT INTO voice_sessions (id, channel_id, started_at) VALUES (?, ?, 1)", (session, hidden))
    writer.run(
        "INSERT INTO webhooks (id, channel_id, name, direction, token_hash, created_by, created_at) "
        "VALUES (?, ?, 'h', 'incoming', zeroblob(32), 11, 1)",
        (hook, hidden),
    )
    targets = {
        "message": message, "thread": thread, "category": category, "voice_session": session, "webhook": hook,
        "member": stage.BEN, "role": 101, "room": 1, "oddity": 5,
    }  # fmt: skip
    before = 4
    for kind, number in targets.items():
        audit.append(writer, EventType.ROOM_UPDATED, actor_id=stage.OWNER, target=(kind, number), now_ms=NOW)
    audit.append(writer, EventType.ROOM_UPDATED, actor_id=stage.OWNER, target=("channel", 5), now_ms=NOW)
    with pytest.raises(ForbiddenError):
        seen_by(writer, stage.ANNA)
    writer.run("INSERT INTO roles (id, name, permissions, position, created_at) VALUES (101, 'r', ?, 1, 1)",
               (permissions.VIEW_AUDIT_LOG,))  # fmt: skip
    members.grant(writer, stage.ANNA, RoleId(101), by=stage.OWNER, now_ms=NOW)
    whole = seen_by(writer, stage.OWNER)
    assert len(whole) == before + len(targets) + 1
    assert [line for line in whole if line not in ("oddity updated", "channel updated")] == seen_by(writer, stage.ANNA)
    writer.run("UPDATE channels SET is_private = 1 WHERE id = ?", (hidden,))
    open_acts = ["channel created"] * 3 + ["member updated", "role updated", "room updated"]
    assert seen_by(writer, stage.ANNA) == open_acts
    assert seen_by(writer, stage.OWNER) == whole
    writer.run("UPDATE roles SET permissions = ? WHERE id = 101", (permissions.ADMINISTRATOR,))
    assert seen_by(writer, stage.ANNA) == whole


def test_every_kind_of_target_has_its_place() -> None:
    """Whatever kind of thing the acts of a room concern, the record knows in which channel it is, if in any."""
    sources = (path.read_text(encoding="utf-8") for path in Path(channels.__file__).parent.glob("*.py"))
    kinds = {kind for source in sources for kind in re.findall(r"target=\(\"(\w+)\"|target = \(\"(\w+)\"", source)}
    named = {one or other for one, other in kinds}
    assert {"member", "channel", "room"} <= named
    assert named <= set(re.findall(r"WHEN '(\w+)'", audit._IS_SEEN))

"""The room's own record of what moderators did: one row for each act, in its transaction, chained."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from shard import access, audit
from shard.acts import shaping
from shard.acts.shaping import ChannelDraft
from shard.audit import Filter
from shard.connections import Writer
from shard.errors import ForbiddenError
from tests.shard import direct, stage

NOW = stage.NOW_MS


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[tuple[apsw.Connection, Writer]]:
    """A room in which the owner made three channels."""
    with direct.writing(tmp_path) as (connection, writer, _):
        for name in ("one", "two", "three"):
            shaping.create_channel(writer, stage.OWNER, ChannelDraft(name), now_ms=NOW)
        yield connection, writer


def actions(writer: Writer, wanted: Filter, *, before: int | None = None, limit: int = 50) -> list[int]:
    owner = access.open_room(writer, stage.OWNER, 0, now_ms=NOW)
    return [entry.id for entry in audit.page(writer, owner, wanted, before=before, limit=limit)]


def test_an_act_leaves_its_row(shard: tuple[apsw.Connection, Writer]) -> None:
    """An act is told with who did it, to what, and what it is now; a refused one leaves no row."""
    _, writer = shard
    with pytest.raises(ForbiddenError):
        shaping.create_channel(writer, stage.ANNA, ChannelDraft("four"), now_ms=NOW)
    owner = access.open_room(writer, stage.OWNER, 0, now_ms=NOW)
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
    audit.append(writer, "member.kicked", actor_id=stage.ANNA, target=("member", 13), reason="spam", now_ms=NOW)
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

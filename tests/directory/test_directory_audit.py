"""The audit log's chain: every way of tampering shows at the row it begins with."""

from pathlib import Path
from typing import Any

import apsw
import pytest

import sqlite
from directory import audit
from directory.audit import Filter
from directory.client_info import ClientInfo
from directory.database import Database

NOW_MS = 1_760_000_000_000
ROWS = 7


async def fill(database: Database) -> None:
    async with database.write() as writer:
        for number in range(ROWS):
            await audit.append(
                writer,
                audit.Action.ROOM_UPDATED,
                by=None,
                resource=("room", number),
                metadata={"to": "Ünï\u2028", "from": None},
                client=ClientInfo("::1", "curl/8"),
                now_ms=NOW_MS + number,
            )


async def test_append_and_read(database: Database) -> None:
    """Acts come back whole, newest first, by page and by what they were done to."""
    await fill(database)
    async with database.read() as reader:
        page = await audit.list_page(reader, limit=3)
        rest = await audit.list_page(reader, before=page[-1].id)
        (one,) = await audit.list_page(reader, Filter(resource=("room", 4)))
    assert [entry.id for entry in page + rest] == [7, 6, 5, 4, 3, 2, 1]
    assert (one.metadata, one.ip_address, one.created_at) == ({"to": "Ünï\u2028", "from": None}, "::1", NOW_MS + 4)


async def test_a_rolled_back_act_leaves_no_line(database: Database) -> None:
    """The line and the act are one transaction: the chain goes on as if nothing had been tried."""

    async def fail() -> None:
        async with database.write() as writer:
            await audit.append(writer, audit.Action.ROOM_UPDATED, by=None, now_ms=NOW_MS)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    await fill(database)
    async with database.read() as reader:
        assert await audit.verify(reader) is None
        assert (await audit.head(reader))[0] == ROWS


@pytest.mark.parametrize(
    ("tamper", "broken"),
    [
        ("SELECT 1", None),
        ('UPDATE audit_log SET metadata = \'{"to": "x"}\' WHERE id = 3', 3),
        ("UPDATE audit_log SET user_id = 5 WHERE id = 7", 7),
        ("UPDATE audit_log SET created_at = created_at + 1 WHERE id = 1", 1),
        ("UPDATE audit_log SET hash = zeroblob(32) WHERE id = 4", 4),
        ("DELETE FROM audit_log WHERE id = 5", 5),
        ("DELETE FROM audit_log WHERE id = 1", 1),
        ("DELETE FROM audit_log WHERE id = 2; UPDATE audit_log SET id = id - 1 WHERE id > 2", 2),
        ("UPDATE audit_log SET id = 99 WHERE id = 3; UPDATE audit_log SET id = 3 WHERE id = 4", 3),
        ("UPDATE audit_log SET ip_address = user_agent, user_agent = ip_address WHERE id = 6", 6),
    ],
)
async def test_tampering_shows(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch, tamper: str, broken: int | None
) -> None:
    """Whoever drops the triggers and changes, removes or moves a row is found at that row, on any page."""
    monkeypatch.setattr(audit, "VERIFY_PAGE", 3)
    await fill(database)
    shell: apsw.Connection = sqlite.connect(path)
    for name in ("update", "delete", "insert"):
        shell.execute(f"DROP TRIGGER audit_log_{name}")
    shell.execute(tamper)
    shell.close()
    async with database.read() as reader:
        assert await audit.verify(reader) == broken


async def test_a_row_with_a_right_hash_shows_too(database: Database, path: Path) -> None:
    """Who rewrites a row together with its hash breaks the chain at the row after it."""
    await fill(database)
    shell = sqlite.connect(path)
    shell.execute("DROP TRIGGER audit_log_update")
    rows: list[Any] = shell.execute(
        "SELECT id, user_id, action, resource_type, resource_id, metadata, ip_address, user_agent, created_at, hash "
        "FROM audit_log WHERE id IN (3, 4) ORDER BY id"
    ).fetchall()
    forged = (*rows[1][:5], '{"to":"forged"}', *rows[1][6:9])
    shell.execute(
        "UPDATE audit_log SET metadata = ?, hash = ? WHERE id = 4", (forged[5], audit.chained(rows[0][9], forged))
    )
    shell.close()
    async with database.read() as reader:
        assert await audit.verify(reader) == 5

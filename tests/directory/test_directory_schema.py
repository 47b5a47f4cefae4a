"""What the schema itself refuses, whoever asks."""

from pathlib import Path

import apsw
import pytest

import sqlite
from directory import audit
from directory.directory import Directory
from migrations import engine

NOW_MS = 1_760_000_000_000


@pytest.fixture
async def connection(world: object, directory: Directory, path: Path) -> apsw.Connection:
    """The directory as somebody with a database shell has it."""
    async with directory.database.write() as writer:
        for number in range(3):
            await audit.append(writer, audit.Action.JOB_STARTED, by=None, metadata={"number": number}, now_ms=NOW_MS)
    return sqlite.connect(path)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE users SET id = id + 1",
        "UPDATE users SET created_at = 5",
        "UPDATE users SET is_bot = 1",
        "UPDATE rooms SET kind = 'group', name = NULL, is_public = 0",
        "UPDATE rooms SET created_at = 5",
        "UPDATE audit_log SET action = 'nothing.done' WHERE id = 2",
        "DELETE FROM audit_log WHERE id = 3",
        "INSERT OR REPLACE INTO audit_log (id, action, created_at, hash) VALUES (2, 'nothing.done', 1, zeroblob(32))",
        "INSERT INTO audit_log (action, created_at, hash) VALUES ('nothing.done', 1, zeroblob(32))",
    ],
)
def test_what_never_changes(connection: apsw.Connection, sql: str) -> None:
    """Identity columns and the audit log refuse to be rewritten, also by REPLACE."""
    with pytest.raises(apsw.ConstraintError, match=r"never changes|append-only"):
        connection.execute(sql)
    connection.close()


def test_what_may_change(connection: apsw.Connection) -> None:
    """The triggers stop the identity columns only, and appending to the audit log goes on."""
    connection.execute("UPDATE users SET id = id, display_name = 'Someone', status = 'suspended'")
    connection.execute("UPDATE rooms SET kind = kind, state = 'readonly'")
    connection.execute(
        "INSERT INTO audit_log (id, action, created_at, hash) "
        "SELECT max(id) + 1, 'test.done', 1, zeroblob(32) FROM audit_log"
    )
    connection.close()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE users SET username = 'BOB' WHERE username = 'alice'",
        "UPDATE users SET email = 'ALICE@example.org' WHERE username = 'bob'",
        "UPDATE users SET username = 'no spaces' WHERE username = 'bob'",
        "UPDATE users SET status = 'deleted' WHERE username = 'bob'",
        "UPDATE rooms SET name = 'Lean'",
        "UPDATE rooms SET name = NULL",
        "UPDATE rooms SET state = 'gone'",
        "INSERT INTO credentials (user_id, password_hash, changed_at) SELECT id, 'hunter2', 1 FROM users",
        "INSERT INTO permissions (user_id, capability, granted_at) VALUES (1, 'admin', 1)",
        "INSERT INTO bots (user_id, owner_id, created_at) SELECT id, id, 1 FROM users",
        "INSERT INTO bots (user_id, owner_id, created_at) VALUES (1, 2, 1)",
        "INSERT INTO storage (user_id, room_id, size_bytes, asked_at) SELECT owner_id, id, -1, 1 FROM rooms",
        "INSERT INTO storage (user_id, room_id, size_bytes, asked_at) SELECT id, 1, 1, 1 FROM users",
        "INSERT INTO file_rooms (room_id, due_at) VALUES (1, 1)",
    ],
)
def test_what_is_refused(connection: apsw.Connection, sql: str) -> None:
    """Names are unique whatever their case, shapes are checked, and nothing hangs in the air."""
    with pytest.raises(apsw.ConstraintError):
        connection.execute(sql)
    connection.close()


def test_every_table_is_strict(connection: apsw.Connection) -> None:
    """No column takes a value of another type."""
    tables = connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    loose = [name for name, strict in tables if not strict and not name.startswith("sqlite_")]
    connection.close()
    assert loose == []


def test_every_table_of_the_data_model_is_there(connection: apsw.Connection) -> None:
    """The schema is written whole from the start."""
    found = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    connection.close()
    wanted = "users credentials sessions verification_tokens user_settings permissions rooms shards shard_sizes "
    wanted += "bots bot_tokens room_members invites global_bans audit_log runs run_failures erasures"
    assert set(wanted.split()) <= found


def test_alerts_are_kept_when_disks_are_added(tmp_path: Path) -> None:
    """The table of alerts is made anew with the kind of disks, and no alert and no delivery of one is lost."""
    files = engine.load(engine.CENTRAL_FOLDER)
    before = next(number for number, file in enumerate(files) if file.name == "disk_alerts")
    connection = sqlite.create(tmp_path / "directory.db", sqlite.DIRECTORY_APPLICATION_ID)
    engine.apply(connection, files[:before], now_ms=NOW_MS)
    add = "INSERT INTO alerts VALUES (?, NULL, ?, 'warn', 'ok', 1, 2, NULL, 3, NULL, NULL)"
    connection.execute(add, (5, "size"))
    connection.execute("INSERT INTO alert_tellings VALUES (5, 'log', NULL, 0, 9, NULL)")
    kept = connection.execute("SELECT * FROM alerts JOIN alert_tellings ON alert_id = id").fetchall()
    engine.apply(connection, files, now_ms=NOW_MS)
    assert connection.execute("SELECT * FROM alerts JOIN alert_tellings ON alert_id = id").fetchall() == kept
    connection.execute(add, (6, "disk"))
    connection.execute("INSERT INTO alert_tellings VALUES (6, 'mail', NULL, 0, 9, NULL)")
    connection.execute("DELETE FROM alerts")
    assert connection.execute("SELECT count(*) FROM alert_tellings").fetchall() == [(0,)]
    with pytest.raises(apsw.ConstraintError):
        connection.execute(add, (7, "other"))
    connection.close()

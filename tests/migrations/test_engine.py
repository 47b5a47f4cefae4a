"""The migration engine: every file once, whole, recorded, and never changed afterwards."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import sqlite
from migrations import engine

PROJECT = Path(__file__).parents[2]
NOW_MS = 1_700_000_000_000

USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY) STRICT;\n"
ROOMS = "CREATE TABLE rooms (id INTEGER PRIMARY KEY) STRICT;\nINSERT INTO rooms VALUES (1), (2);\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with one good migration in it."""
    made = tmp_path / "migrations"
    made.mkdir()
    put(made, "0001_users.sql", USERS)
    return made


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    """Open a new, empty database."""
    opened = sqlite.create(tmp_path / "test.db", sqlite.SHARD_APPLICATION_ID)
    yield opened
    opened.close()


def put(folder: Path, name: str, sql: str) -> None:
    (folder / name).write_text(sql, encoding="utf-8")


def apply(connection: apsw.Connection, folder: Path, *, now_ms: int = NOW_MS) -> list[int]:
    """Apply a folder and return the versions that were applied now."""
    return [migration.version for migration in engine.apply(connection, engine.load(folder), now_ms=now_ms)]


def versions(connection: apsw.Connection) -> list[int]:
    return [row.version for row in engine.applied(connection)]


def tables(connection: apsw.Connection) -> set[str]:
    return {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def test_a_new_database_has_applied_nothing(connection: apsw.Connection, folder: Path) -> None:
    """A database without a schema has no migrations behind it and all of them before it."""
    assert engine.applied(connection) == ()
    assert engine.pending(connection, engine.load(folder)) == engine.load(folder)


def test_each_file_is_applied_once_and_recorded(connection: apsw.Connection, folder: Path) -> None:
    """What was applied is kept with its name, digest and time, and a second run does only what is new."""
    assert apply(connection, folder) == [1]
    assert apply(connection, folder, now_ms=NOW_MS + 1) == []
    put(folder, "0002_rooms.sql", ROOMS)
    assert apply(connection, folder, now_ms=NOW_MS + 2) == [2]

    first, second = engine.applied(connection)
    assert (first.version, first.name, first.applied_at) == (1, "users", NOW_MS)
    assert (second.version, second.name, second.applied_at) == (2, "rooms", NOW_MS + 2)
    assert [first.sha256, second.sha256] == [migration.sha256 for migration in engine.load(folder)]
    assert tables(connection) == {"migrations", "users", "rooms"}
    assert engine.pending(connection, engine.load(folder)) == ()


def test_both_shipped_folders_apply(tmp_path: Path) -> None:
    """The directory's and the shards' own migrations bring an empty database to their newest version."""
    for number, shipped in enumerate((engine.CENTRAL_FOLDER, engine.SHARD_FOLDER)):
        connection = sqlite.create(tmp_path / f"{number}.db", sqlite.SHARD_APPLICATION_ID)
        assert apply(connection, shipped) == versions(connection) != []
        assert connection.pragma("integrity_check") == "ok"
        connection.close()


def test_every_statement_of_a_file_runs(connection: apsw.Connection, folder: Path) -> None:
    """A statement that returns rows does not end its file."""
    put(
        folder, "0002_rooms.sql", f"SELECT 1;\n{ROOMS}DELETE FROM rooms WHERE id = 1 RETURNING id;\nDROP TABLE users;\n"
    )
    assert apply(connection, folder) == [1, 2]
    assert tables(connection) == {"migrations", "rooms"}
    assert connection.execute("SELECT id FROM rooms").fetchall() == [(2,)]


def test_a_file_of_comments_is_a_migration(connection: apsw.Connection, folder: Path) -> None:
    """A file as `create` writes it, still without a statement, applies and is recorded."""
    engine.create(folder, "nothing yet")
    assert apply(connection, folder) == [1, 2]
    assert versions(connection) == [1, 2]


def test_a_changed_file_is_refused(connection: apsw.Connection, folder: Path) -> None:
    """A file that was edited after it was applied stops everything, and what comes after it is not applied."""
    put(folder, "0002_rooms.sql", ROOMS)
    put(folder, "0001_users.sql", USERS)
    assert apply(connection, folder) == [1, 2]
    put(folder, "0003_posts.sql", "CREATE TABLE posts (id INTEGER PRIMARY KEY) STRICT;\n")
    put(folder, "0001_users.sql", USERS + "-- and a thought\n")

    with pytest.raises(engine.ChangedMigrationError, match="0001_users was changed") as refused:
        apply(connection, folder)
    assert (refused.value.version, refused.value.name) == (1, "users")
    assert versions(connection) == [1, 2]

    put(folder, "0001_users.sql", USERS)
    assert apply(connection, folder) == [3]


def test_line_endings_are_not_a_change(connection: apsw.Connection, folder: Path) -> None:
    """A checkout that turned line ends into CRLF still holds the same files."""
    assert apply(connection, folder) == [1]
    (folder / "0001_users.sql").write_bytes(USERS.replace("\n", "\r\n").encode())
    assert apply(connection, folder) == []


def test_a_newer_database_is_refused(connection: apsw.Connection, folder: Path) -> None:
    """A database with versions that these files do not have is left alone."""
    put(folder, "0002_rooms.sql", ROOMS)
    assert apply(connection, folder) == [1, 2]
    (folder / "0002_rooms.sql").unlink()
    with pytest.raises(engine.DatabaseTooNewError) as refused:
        apply(connection, folder)
    assert (refused.value.database_version, refused.value.code_version) == (2, 1)


@pytest.mark.parametrize(
    "ending",
    [
        "this is no SQL;",
        "INSERT INTO rooms VALUES (2);",
        "INSERT OR ROLLBACK INTO rooms VALUES (2);",
        "COMMIT;",
        "COMMIT",
        "END TRANSACTION;",
        "ROLLBACK;",
        "COMMIT; BEGIN;",
        "BEGIN;",
        "VACUUM;",
        "DROP TABLE migrations;",
        "INSERT INTO migrations VALUES (2, 'rooms', hex(zeroblob(32)), 1);",
    ],
)
def test_a_failed_file_leaves_nothing_behind(connection: apsw.Connection, folder: Path, ending: str) -> None:
    """A file that fails, or tries to end its own transaction, is undone whole, while the files before it stay."""
    put(folder, "0002_rooms.sql", ROOMS + ending)
    with pytest.raises(engine.MigrationFailedError, match="0002_rooms failed and left nothing behind") as failed:
        apply(connection, folder)
    assert failed.value.version == 2
    assert isinstance(failed.value.cause, apsw.Error)
    assert not connection.in_transaction
    assert versions(connection) == [1]
    assert tables(connection) == {"migrations", "users"}

    put(folder, "0002_rooms.sql", ROOMS)
    assert apply(connection, folder) == [2]
    assert tables(connection) == {"migrations", "users", "rooms"}


def test_a_failed_first_file_leaves_an_empty_database(connection: apsw.Connection, folder: Path) -> None:
    """When even the first file fails, the table of migrations is not there either."""
    put(folder, "0001_users.sql", USERS + "this is no SQL;")
    with pytest.raises(engine.MigrationFailedError):
        apply(connection, folder)
    assert tables(connection) == set()
    assert engine.applied(connection) == ()


def test_the_connection_is_free_again(connection: apsw.Connection, folder: Path) -> None:
    """What a migration may not do, its connection may do again afterwards, whether the file failed or not."""
    put(folder, "0002_rooms.sql", "COMMIT;")
    with pytest.raises(engine.MigrationFailedError):
        apply(connection, folder)
    connection.execute("BEGIN; COMMIT")
    put(folder, "0002_rooms.sql", ROOMS)
    apply(connection, folder)
    connection.execute("BEGIN; COMMIT")


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["0002_rooms.sql"],
        ["0001_users.sql", "0003_rooms.sql"],
        ["0001_users.sql", "0001_rooms.sql"],
        ["0000_users.sql", "0001_rooms.sql"],
        ["0001_users.sql", "0002-rooms.sql"],
        ["0001_users.sql", "2_rooms.sql"],
        ["0001_users.sql", "0002_Rooms.sql"],
        ["0001_users.sql", "0002_.sql"],
        ["0001_users.sql", "notes.sql"],
    ],
)
def test_a_folder_with_gaps_doubles_or_odd_names_is_refused(tmp_path: Path, names: list[str]) -> None:
    """Files that are not 0001, 0002, ... each once and well named are not guessed about."""
    put(tmp_path, "README.md", "not a migration")
    for name in names:
        put(tmp_path, name, USERS)
    with pytest.raises(engine.BadMigrationFolderError):
        engine.load(tmp_path)
    for name in names:
        (tmp_path / name).unlink()
    put(tmp_path, "0001_users.sql", USERS)
    put(tmp_path, "0002_rooms.sql", ROOMS)
    assert [migration.version for migration in engine.load(tmp_path)] == [1, 2]


def test_create_writes_the_next_file(tmp_path: Path) -> None:
    """`create` numbers a new file after the last one and makes a file name of what it is called."""
    assert engine.create(tmp_path, "Users").name == "0001_users.sql"
    path = engine.create(tmp_path, "Add e-mail, to users!")
    assert path.name == "0002_add_e_mail_to_users.sql"
    assert [migration.name for migration in engine.load(tmp_path)] == ["users", "add_e_mail_to_users"]


def test_create_writes_no_statement(tmp_path: Path, connection: apsw.Connection) -> None:
    """Whatever a migration is called, its new file does nothing yet."""
    engine.create(tmp_path, "users\nCREATE TABLE users (id INTEGER) STRICT;")
    apply(connection, tmp_path)
    assert tables(connection) == {"migrations"}


@pytest.mark.parametrize("name", ["", "!?", "long" * 21])
def test_create_refuses_a_name_that_makes_no_file_name(folder: Path, name: str) -> None:
    """A name without letters or digits, or too long, is refused and no file is written."""
    with pytest.raises(engine.BadMigrationFolderError):
        engine.create(folder, name)
    assert len(engine.load(folder)) == 1
    engine.create(folder, "good name")
    assert len(engine.load(folder)) == 2


def test_two_connections_apply_each_file_once(tmp_path: Path, folder: Path) -> None:
    """Two processes that start together both end at the newest version, and every file ran once."""
    put(folder, "0002_rooms.sql", ROOMS)
    put(folder, "0003_more.sql", "INSERT INTO rooms SELECT id + 2 FROM rooms;\n")
    path = tmp_path / "shared.db"
    sqlite.create(path, sqlite.SHARD_APPLICATION_ID).close()
    together = threading.Barrier(4)
    failures: list[Exception] = []

    def start() -> None:
        opened = sqlite.connect(path)
        try:
            together.wait()
            apply(opened, folder)
        except engine.MigrationError as error:
            failures.append(error)
        finally:
            opened.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    opened = sqlite.connect(path)
    assert versions(opened) == [1, 2, 3]
    assert opened.execute("SELECT count(*) FROM rooms").fetchall() == [(4,)]
    opened.close()


def test_what_another_process_applied_is_judged_too(tmp_path: Path, folder: Path) -> None:
    """A process that lost the race to one with another file of the same number refuses, as at its start."""
    path = tmp_path / "shared.db"
    slow = sqlite.create(path, sqlite.SHARD_APPLICATION_ID)
    fast = sqlite.connect(path)
    other = tmp_path / "other"
    other.mkdir()
    put(other, "0001_users.sql", USERS + "-- of another release\n")
    overtaken = False

    def overtake(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        nonlocal overtaken
        if sql == "BEGIN IMMEDIATE" and not overtaken:
            overtaken = True
            apply(fast, other)
        return True

    slow.exec_trace = overtake
    with pytest.raises(engine.ChangedMigrationError):
        apply(slow, folder)
    assert overtaken
    slow.close()
    fast.close()


DYING = """
import os, signal, sys
from pathlib import Path
import sqlite
from migrations import engine

path, folder, moment = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
connection = sqlite.connect(path)

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def die_at(cursor, sql, bindings):
    if sql.lstrip().startswith(moment):
        die()
    return True

if moment == "busy":
    connection.set_progress_handler(die, 20_000)
elif moment == "committing":
    connection.set_commit_hook(die)
elif moment == "committed":
    connection.set_wal_hook(die)
else:
    connection.exec_trace = die_at
engine.apply(connection, engine.load(folder), now_ms=1)
"""

SERIES = "WITH RECURSIVE n (i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
SLOW = f"INSERT INTO rooms {SERIES} SELECT i FROM n;\nCREATE INDEX idx_rooms ON rooms (id DESC);\n"


@pytest.mark.crash
@pytest.mark.parametrize(
    ("moment", "after"),
    [
        ("CREATE TABLE rooms", [1]),
        ("INSERT INTO rooms VALUES", [1]),
        ("busy", [1]),
        ("CREATE INDEX", [1]),
        ("INSERT INTO migrations", [1]),
        ("COMMIT", [1]),
        ("committing", [1]),
        ("committed", [1, 2]),
    ],
)
def test_a_kill_leaves_one_version_whole(tmp_path: Path, folder: Path, moment: str, after: list[int]) -> None:
    """A process killed anywhere in a migration leaves the version before it, or after its commit the new one, whole."""
    path = tmp_path / "killed.db"
    connection = sqlite.create(path, sqlite.SHARD_APPLICATION_ID)
    assert apply(connection, folder) == [1]
    connection.close()
    put(folder, "0002_rooms.sql", ROOMS + SLOW)

    command = [sys.executable, "-c", DYING, str(path), str(folder), moment]
    died = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stderr

    connection = sqlite.connect(path)
    assert versions(connection) == after
    assert tables(connection) == {"migrations", "users"} | ({"rooms"} if after == [1, 2] else set())
    assert connection.pragma("integrity_check") == "ok"
    assert apply(connection, folder) == [2][len(after) - 1 :]
    assert connection.execute("SELECT count(*) FROM rooms").fetchall() == [(5000,)]
    connection.close()

"""Connections: every pragma is set, a reader cannot write, and opening waits for a lock instead of failing."""

import threading
from contextlib import closing
from pathlib import Path

import apsw
import pytest

import sqlite

ID = sqlite.SHARD_APPLICATION_ID


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one table."""
    path = tmp_path / "one.db"
    connection = sqlite.create(path, ID)
    connection.execute("CREATE TABLE notes (text TEXT) STRICT")
    connection.close()
    return path


def test_a_connection_has_every_pragma(path: Path) -> None:
    """What is wanted of a connection is what SQLite says of it."""
    connection = sqlite.connect(path, cache_kib=321)
    values = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": sqlite.BUSY_TIMEOUT_MS,
        "trusted_schema": 0,
        "cell_size_check": 1,
        "wal_autocheckpoint": sqlite.WAL_PAGES_MAX,
        "journal_size_limit": 16 * 1024 * 1024,
        "temp_store": 2,
        "cache_size": -321,
        "auto_vacuum": 2,
        "application_id": ID,
        "query_only": 0,
    }
    assert {name: connection.pragma(name) for name in values} == values
    assert set(sqlite.PRAGMAS) <= set(values)
    connection.close()


def test_a_reader_sees_and_does_not_write(path: Path) -> None:
    """A read-only connection reads what a writer has committed and refuses every change."""
    writer, reader = sqlite.connect(path), sqlite.connect(path, read_only=True)
    writer.execute("INSERT INTO notes VALUES ('mine')")
    assert reader.execute("SELECT text FROM notes").fetchall() == [("mine",)]
    for change in ("INSERT INTO notes VALUES ('yours')", "DELETE FROM notes", "DROP TABLE notes", "CREATE TABLE t (x)"):
        with pytest.raises(apsw.ReadOnlyError):
            reader.execute(change)
    assert writer.execute("SELECT text FROM notes").fetchall() == [("mine",)]
    reader.close()
    writer.close()


def test_opening_waits_for_a_lock(path: Path) -> None:
    """A file that another connection holds exclusively for a moment is opened when it is let go."""
    holder = sqlite.connect(path)
    holder.pragma("locking_mode", "EXCLUSIVE")
    holder.execute("INSERT INTO notes VALUES ('held')")
    release = threading.Timer(0.2, holder.close)
    release.start()
    connection = sqlite.connect(path)
    assert connection.execute("SELECT text FROM notes").fetchall() == [("held",)]
    connection.close()
    release.join()


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    """Opening what is not there fails and leaves nothing behind."""
    with pytest.raises(apsw.CantOpenError):
        sqlite.connect(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A file that is no database is refused and keeps its content."""
    path = tmp_path / "letter.db"
    path.write_bytes(b"dear diary, " * 500)
    with pytest.raises(apsw.NotADBError):
        sqlite.connect(path)
    assert path.read_bytes() == b"dear diary, " * 500


def test_a_database_is_created_once_and_for_its_owner(path: Path) -> None:
    """Creating over a file is refused, and only its owner may read what was created."""
    with pytest.raises(FileExistsError):
        sqlite.create(path, ID)
    assert path.stat().st_mode & 0o777 == 0o600
    connection = sqlite.connect(path)
    assert connection.execute("SELECT count(*) FROM notes").fetchall() == [(0,)]
    connection.close()


@pytest.mark.parametrize(("version", "is_old"), [("3.51.2", True), ("3.9.9", True), ("3.51.3", False), ("4.0", False)])
def test_a_sqlite_that_loses_data_is_refused(monkeypatch: pytest.MonkeyPatch, version: str, is_old: bool) -> None:
    """A SQLite below the floor is refused with what to do, one at or above it is taken."""
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: version)
    if is_old:
        with pytest.raises(sqlite.OldSQLiteError, match="pip install --upgrade apsw"):
            sqlite.refuse_old_sqlite()
    else:
        sqlite.refuse_old_sqlite()


def test_the_sqlite_at_hand_is_new_enough() -> None:
    """This installation passes its own check."""
    sqlite.refuse_old_sqlite()


def test_a_folder_can_be_synced_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    """Syncing a folder succeeds silently; a folder that is not there, or a file, is an error."""
    sqlite.sync_folder(tmp_path)
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(OSError, match=r"No such|Not a directory"):
            sqlite.sync_folder(wrong)


def test_keys_are_counted_until_the_disk_is_full() -> None:
    """Each key has a count of its own; without space that is an error of the system, as of every other file."""
    with closing(sqlite.KeyCounts()) as counts:
        assert [counts.add(key) for key in (b"a", b"b", b"a", b"a")] == [1, 1, 2, 3]
        counts._connection.pragma("max_page_count", 8)

        def fill() -> None:
            for number in range(100_000):
                counts.add(number.to_bytes(16))

        with pytest.raises(OSError, match="no space left"):
            fill()

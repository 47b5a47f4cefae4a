"""Migrations: numbered SQL files, applied to a database, each exactly once and whole.

A file and its row in the `migrations` table are one transaction: no file is ever half applied. An applied file must not
change (its SHA-256 is kept), and a database from a newer release is left alone.

MigrationError
├── BadMigrationFolderError   the files on disk are not a gap-free NNNN_name.sql series
├── ChangedMigrationError     a file differs from what this database has applied
├── DatabaseTooNewError       the database has versions that these files do not
└── MigrationFailedError      SQLite refused a file; nothing of it was kept
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw

HERE = Path(__file__).parent
CENTRAL_FOLDER = HERE / "central"
SHARD_FOLDER = HERE / "shard"
_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]{1,80})\.sql")


class MigrationError(Exception):
    """Base of the errors of migrations."""


class BadMigrationFolderError(MigrationError):
    """The folder does not hold a gap-free series of NNNN_name.sql files."""


class ChangedMigrationError(MigrationError):
    """An applied file was edited afterwards, so the schema of the database is unknown."""

    def __init__(self, version: int, name: str) -> None:
        self.version, self.name = version, name
        super().__init__(
            f"migration {version:04d}_{name} was changed after this database applied it; "
            "restore the file and put the change into a new migration"
        )


class DatabaseTooNewError(MigrationError):
    """The database was migrated by a newer release."""

    def __init__(self, database_version: int, code_version: int) -> None:
        self.database_version, self.code_version = database_version, code_version
        super().__init__(
            f"the database is at schema version {database_version}, this release knows {code_version}; "
            "start the release that wrote it, or a newer one"
        )


class MigrationFailedError(MigrationError):
    """SQLite refused a file; its transaction was rolled back."""

    def __init__(self, version: int, name: str, cause: Exception) -> None:
        self.version, self.name, self.cause = version, name, cause
        reason = "a migration may not end its own transaction" if isinstance(cause, apsw.AuthError) else cause
        super().__init__(f"migration {version:04d}_{name} failed and left nothing behind: {reason}")


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration: the version, name, text and hash of its file."""

    version: int
    name: str
    sql: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of a database's `migrations` table; `applied_at` in milliseconds UTC."""

    version: int
    name: str
    sha256: str
    applied_at: int


def load(folder: Path) -> tuple[Migration, ...]:
    """Read a folder's migrations in order; raises BadMigrationFolderError for gaps, doubles and odd names."""
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise BadMigrationFolderError(f"{path.name} is not named NNNN_name.sql (lower case, digits, underscores)")
        sql = path.read_text(encoding="utf-8")
        digest = hashlib.sha256(sql.encode()).hexdigest()
        found.append(Migration(int(match[1]), match[2], sql, digest))
    versions = [migration.version for migration in found]
    if not found or versions != list(range(1, len(found) + 1)):
        raise BadMigrationFolderError(f"{folder} must hold versions 0001, 0002, ... without gaps; found {versions}")
    return tuple(found)


def applied(connection: apsw.Connection) -> tuple[Applied, ...]:
    """Return the migrations that a database has applied, oldest first; empty for a database without a schema."""
    if connection.pragma("table_info", "migrations") is None:
        return ()
    rows = connection.execute("SELECT version, name, sha256, applied_at FROM migrations ORDER BY version")
    return tuple(Applied(*row) for row in rows)


def pending(connection: apsw.Connection, migrations: Sequence[Migration]) -> tuple[Migration, ...]:
    """Return the migrations that a database lacks; raises ChangedMigrationError or DatabaseTooNewError."""
    done = applied(connection)
    if len(done) > len(migrations):
        raise DatabaseTooNewError(done[-1].version, migrations[-1].version)
    for row, migration in zip(done, migrations, strict=False):
        if row.sha256 != migration.sha256:
            raise ChangedMigrationError(row.version, row.name)
    return tuple(migrations[len(done) :])


def apply(connection: apsw.Connection, migrations: Sequence[Migration], *, now_ms: int) -> tuple[Migration, ...]:
    """Bring a database to the newest version and return the files that were applied now.

    Raises the errors of `pending`, and MigrationFailedError for the first file that SQLite refuses: the files before
    it stay applied, the failed one leaves no change.
    """
    todo = pending(connection, migrations)
    return tuple(migration for migration in todo if _apply_one(connection, migration, now_ms))


def _apply_one(connection: apsw.Connection, migration: Migration, now_ms: int) -> bool:
    """Apply one file, and return whether this call did; another process may have been faster."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, "
            "sha256 TEXT NOT NULL CHECK (length(sha256) = 64), applied_at INTEGER NOT NULL) STRICT"
        )
        row = connection.execute("SELECT sha256 FROM migrations WHERE version = ?", (migration.version,)).fetchone()
        if row is not None:
            connection.execute("ROLLBACK")
            if row[0] != migration.sha256:
                raise ChangedMigrationError(migration.version, migration.name)
            return False
        _run_file(connection, migration.sql)
        connection.execute(
            "INSERT INTO migrations (version, name, sha256, applied_at) VALUES (?, ?, ?, ?)",
            (migration.version, migration.name, migration.sha256, now_ms),
        )
        connection.execute("COMMIT")
        return True
    except apsw.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise MigrationFailedError(migration.version, migration.name, error) from error


def _run_file(connection: apsw.Connection, sql: str) -> None:
    """Execute a file inside the open transaction, which it may not end: its row must commit with it."""

    def authorize(operation: int, *_names: str | None) -> int:
        return apsw.SQLITE_DENY if operation == apsw.SQLITE_TRANSACTION else apsw.SQLITE_OK

    connection.authorizer = authorize
    try:
        # Fetched to the end: a statement that returns a row would stop the file in its middle.
        connection.execute(sql).fetchall()
    finally:
        connection.authorizer = None


def create(folder: Path, name: str) -> Path:
    """Write an empty file for the next version and return its path; raises BadMigrationFolderError for a bad name."""
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    version = len(load(folder)) + 1 if any(folder.glob("*.sql")) else 1
    path = folder / f"{version:04d}_{slug}.sql"
    if _FILE_NAME.fullmatch(path.name) is None:
        raise BadMigrationFolderError(f"{name!r} does not make a file name; use letters and digits, at most 80")
    with path.open("x", encoding="utf-8") as file:
        file.write(f"-- {' '.join(name.split())}\n")
    return path

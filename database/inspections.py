"""Inspection of a central store's file without opening it for use: nothing is created, migrated, moved or written."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import apsw

import sqlite
from database import errors
from database.connections import Connection
from database.database import Reader, Schema, Writer
from migrations import engine
from migrations.engine import Migration

FINDINGS_MAX: Final = 5
"""Findings reported for one check; a damaged file has thousands."""

SQLiteError: Final = apsw.Error
"""Errors of a file that fails during its use, for the callers that report it to an operator."""
ReadOnlyError: Final = apsw.ReadOnlyError
"""The one among them for a file that may be read and not written."""


@asynccontextmanager
async def opened(path: Path, schema: Schema) -> AsyncIterator[Reader]:
    """Lend a Reader of one snapshot, beside other users of the file.

    Raises WrongDatabaseError for a file that is missing, damaged or something else.
    """
    connection = await Connection.open(lambda: _connect(path, schema), store=schema.store)
    try:
        await connection.fetch_all("BEGIN")
        yield Reader(connection)
    except apsw.Error as error:
        raise errors.WrongDatabaseError(schema.store, path, _reason(error)) from error
    finally:
        await connection.close()


def pending(path: Path, schema: Schema) -> tuple[Migration, ...]:
    """Return the migrations that the file still lacks: all of them when there is no file yet.

    Raises WrongDatabaseError and the errors of `engine.load` and `engine.pending`.
    """
    migrations = engine.load(schema.migrations_folder)
    if not path.exists():
        return migrations
    connection = _connect(path, schema)
    try:
        return engine.pending(connection, migrations)
    except apsw.Error as error:
        raise errors.WrongDatabaseError(schema.store, path, _reason(error)) from error
    finally:
        connection.close()


async def optimize(writer: Writer[Any]) -> None:
    """Refresh the planner's statistics where they are out of date; cheap otherwise."""
    await writer.execute("PRAGMA optimize")


async def problems(reader: Reader) -> list[str]:
    """Return the faults of the file's pages and references."""
    pages = await reader.fetch_all(f"PRAGMA quick_check({FINDINGS_MAX})")
    broken = await reader.fetch_all(
        'SELECT "table", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2 LIMIT ?', (FINDINGS_MAX,)
    )
    return [
        *(f"the file is damaged: {' '.join(row[0].split())}" for row in pages if row[0] != "ok"),
        *(f"{count} rows of {table} point to missing rows of {parent}" for table, parent, count in broken),
    ]


def _connect(path: Path, schema: Schema) -> apsw.Connection:
    has_log = _has_log(path)
    try:
        connection = sqlite.connect(path, read_only=True, keeps_mode=True)
    except apsw.Error as error:
        raise errors.WrongDatabaseError(schema.store, path, _reason(error)) from error
    try:
        if has_log:
            # The log left by a crash is evidence: closing must not move it into the database.
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        found = connection.pragma("application_id")
        if found != schema.application_id:
            raise errors.WrongDatabaseError(schema.store, path, f"its application id is {found:#x}")
    except BaseException as error:
        connection.close()
        if isinstance(error, apsw.Error):
            raise errors.WrongDatabaseError(schema.store, path, _reason(error)) from error
        raise
    return connection


def _has_log(path: Path) -> bool:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except FileNotFoundError:  # nobody has the database open, or a server has just closed it
        return False


def _reason(error: apsw.Error) -> str:
    if isinstance(error, apsw.CantOpenError):
        return "it is missing or may not be read"
    if isinstance(error, apsw.NotADBError):
        return "it is no SQLite database"
    return f"it cannot be read ({error})"

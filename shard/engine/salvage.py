"""Salvage of a damaged shard: every row that can still be read is copied into a new file beside it.

Rows are copied table by table, in the order of their keys. Where a page cannot be read, the ids that the indexes of the
table still name lead on behind it, and from its end rows are read backwards; what lies between is lost. Texts that are
no UTF-8 are mended with U+FFFD. The indexes are made anew, and the word index begins anew.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apsw

import ids
import sqlite
from ids import RoomId
from migrations import engine
from shard.engine import files, texts, word_index
from shard.engine.connections import Writer
from shard.errors import BrokenShardError
from sqlite import DAMAGE

Connection = apsw.Connection
CHUNK_ROWS: Final = 500
"""Rows copied by one statement; one row at a time beside a page that cannot be read."""
NEEDED: Final = ("room", "channels")
"""Tables without whose every row a room is none."""
_UNREADABLE: Final = (apsw.CorruptError, apsw.NotADBError, apsw.IOError)


@dataclass(slots=True)
class Salvaged:
    """The rows of one table: copied, mended texts among them, and lost ones, as far as an index or the log names them.

    `is_whole` is False when a page of the table could not be read.
    """

    table: str
    copied: int = 0
    mended: int = 0
    lost: int = 0
    is_whole: bool = True


@dataclass(slots=True)
class Report:
    """Result of a salvage, by table, and rows that were dropped because what they belong to is lost."""

    tables: list[Salvaged] = field(default_factory=list)
    orphans: int = 0

    @property
    def copied(self) -> int:
        return sum(table.copied for table in self.tables)

    @property
    def mended(self) -> int:
        return sum(table.mended for table in self.tables)

    @property
    def is_whole(self) -> bool:
        return all(table.is_whole for table in self.tables)


def try_hold(path: Path, room_id: RoomId) -> apsw.Connection | None:
    """Open a damaged shard, and keep all others from it until it is closed; None while somebody has it open.

    Raises BrokenShardError for a file of which nothing can be read.
    """
    if not path.is_file():
        raise BrokenShardError(room_id, "its file is missing; restore it from a backup")
    try:
        connection = sqlite.connect(path)
    except apsw.Error as error:
        raise BrokenShardError(room_id, f"not even its first page can be read ({error})") from error
    try:
        sqlite.hold_alone(connection)
    except (apsw.BusyError, apsw.LockedError):
        connection.close()
        return None
    except apsw.Error as error:
        connection.close()
        raise BrokenShardError(room_id, f"its log cannot be moved into its file ({error})") from error
    return connection


def salvage(
    source: apsw.Connection,
    target: Path,
    room_id: RoomId,
    migrations: Sequence[engine.Migration],
    *,
    progress: Callable[[str], None] = lambda _table: None,
) -> Report:
    """Copy what of a damaged shard can be read into a new file, which is synced when this returns.

    `source` must be held alone. Raises BrokenShardError when not even the room and its channels can be read, and the
    errors of `sqlite.create`.
    """
    connection = sqlite.create(target, sqlite.SHARD_APPLICATION_ID)
    try:
        connection.pragma("synchronous", "OFF")
        sqlite.restore_image(connection, files.empty(tuple(migrations)))
        connection.pragma("foreign_keys", "OFF")
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        connection.pragma("ignore_check_constraints", "ON")
        report = Report()
        with connection:
            for table, columns in _tables(connection):
                progress(table)
                report.tables.append(_copy(source, connection, table, columns, room_id))
            _mend(connection, report)
            report.orphans = _drop_orphans(connection)
            word_index.renew(Writer(connection, room_id, ids.Sequence()))
        finding = connection.pragma("quick_check", 1)
        if finding != "ok":
            raise BrokenShardError(room_id, f"what was salvaged is not sound ({finding}); restore it from a backup")
        connection.pragma("synchronous", "FULL")
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        connection.close()
    return report


def _tables(connection: apsw.Connection) -> Iterator[tuple[str, list[str]]]:
    """Yield the ordinary tables of a shard in the order of their creation, with the columns that are stored."""
    names = connection.execute(
        "SELECT s.name FROM sqlite_schema s JOIN pragma_table_list l ON l.name = s.name AND l.schema = 'main' "
        "WHERE s.type = 'table' AND l.type = 'table' AND s.name NOT LIKE 'sqlite~_%' ESCAPE '~' "
        "AND s.name <> 'migrations' ORDER BY s.rowid"
    ).fetchall()
    for (name,) in names:
        rows = connection.execute("SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0", (name,)).fetchall()
        yield str(name), [str(row[0]) for row in rows]


def _copy(
    source: apsw.Connection, target: apsw.Connection, table: str, columns: Sequence[str], room_id: RoomId
) -> Salvaged:
    """Copy a table as far as it can be read."""
    done = Salvaged(table)
    known = [row[0] for row in source.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()]
    shared = [column for column in columns if column in known]
    if not shared:
        return done  # a table of a later migration
    keys = _keys(source, table)
    reading = _Reading(source, table, shared, keys)
    insert = f"INSERT OR IGNORE INTO {table} ({', '.join(shared)}) VALUES ({', '.join('?' * len(shared))})"  # noqa: S608
    for rows in reading.chunks():
        target.executemany(insert, rows)
        done.copied += len(rows)
    done.is_whole, done.lost = reading.is_whole, reading.lost
    if table in NEEDED and not done.is_whole:
        raise BrokenShardError(room_id, f"its table {table} cannot be read; restore it from a backup")
    return done


def _keys(connection: apsw.Connection, table: str) -> list[str]:
    """Return the columns by which the rows of a table lie in it."""
    rows = connection.execute("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (table,)).fetchall()
    (without_rowid,) = connection.execute(
        "SELECT wr FROM pragma_table_list WHERE name = ? AND schema = 'main'", (table,)
    ).fetchall()[0]
    return [str(row[0]) for row in rows] if without_rowid else ["rowid"]


class _Reading:
    """The rows of a table, as bytes where they are texts, in the order of its keys, around what cannot be read."""

    def __init__(self, connection: apsw.Connection, table: str, columns: Sequence[str], keys: Sequence[str]) -> None:
        self._connection = connection
        self._table = table
        self._width = len(columns)
        self._keys = keys
        # A text goes over as its bytes, and becomes a text again there: the driver refuses one that is no UTF-8.
        values = ", ".join(
            f"CASE typeof({column}) WHEN 'text' THEN CAST({column} AS BLOB) ELSE {column} END" for column in columns
        )
        kinds = ", ".join(f"typeof({column}) = 'text'" for column in columns)
        places = ", ".join(f"CASE typeof({key}) WHEN 'text' THEN CAST({key} AS BLOB) ELSE {key} END" for key in keys)
        self._select = f"SELECT {values}, {kinds}, {places} FROM {table}"  # noqa: S608
        self.is_whole = True
        self.lost = 0

    def chunks(self) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows that can be read."""
        place: tuple[Any, ...] | None = None
        seen: set[tuple[Any, ...]] = set()
        limit = CHUNK_ROWS
        while True:
            try:
                rows = self._after(place, limit)
            except _UNREADABLE:
                self.is_whole = False
                if limit > 1:
                    limit = 1
                    continue
                break
            if not rows:
                return
            place = rows[-1][2 * self._width :]
            yield [self._plain(row) for row in rows]
        yield from self._named_behind(place, seen)
        yield from self._from_the_end(place, seen)

    def _after(self, place: tuple[Any, ...] | None, limit: int) -> list[tuple[Any, ...]]:
        order = ", ".join(self._keys)
        where = "" if place is None else f"WHERE ({order}) > ({', '.join('?' * len(self._keys))})"
        return self._connection.execute(
            f"{self._select} {where} ORDER BY {order} LIMIT {limit}", place or ()
        ).fetchall()

    def _named_behind(
        self, place: tuple[Any, ...] | None, seen: set[tuple[Any, ...]]
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Yield rows behind a page that cannot be read, one by one, by the ids that the table's indexes name."""
        if self._keys != ["rowid"]:
            return
        begin = -(2**63) if place is None else place[0]
        for (rowid,) in sorted(self._indexed(begin)):
            try:
                rows = self._connection.execute(f"{self._select} WHERE rowid = ?", (rowid,)).fetchall()
            except _UNREADABLE:
                self.lost += 1
                continue
            if rows:
                seen.add((rowid,))
                yield [self._plain(row) for row in rows]

    def _indexed(self, begin: int) -> set[tuple[int]]:
        names = self._connection.execute("SELECT name FROM pragma_index_list(?)", (self._table,)).fetchall()
        found: set[tuple[int]] = set()
        for (name,) in names:
            # An index on a condition names some of the rows, and is not used for all.
            with contextlib.suppress(*_UNREADABLE, apsw.SQLError):
                for row in self._connection.execute(
                    f"SELECT rowid FROM {self._table} INDEXED BY {name} WHERE rowid > ?",  # noqa: S608
                    (begin,),
                ):
                    found.add(row)
        return found

    def _from_the_end(
        self, place: tuple[Any, ...] | None, seen: set[tuple[Any, ...]]
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Yield rows from the last one backwards, up to the page that cannot be read."""
        order = ", ".join(f"{key} DESC" for key in self._keys)
        names, last = ", ".join(self._keys), None
        while True:
            where = "" if last is None else f"WHERE ({names}) < ({', '.join('?' * len(self._keys))})"
            try:
                rows = self._connection.execute(
                    f"{self._select} {where} ORDER BY {order} LIMIT 1", last or ()
                ).fetchall()
            except _UNREADABLE:
                return
            if not rows:
                return
            last = rows[0][2 * self._width :]
            if last == place:
                return
            if last not in seen:
                yield [self._plain(row) for row in rows]

    def _plain(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """Return the values of a row: texts decoded, with DAMAGE where they are none any more."""
        return tuple(
            value.decode(errors="rookery-damage") if is_text else value
            for value, is_text in zip(row[: self._width], row[self._width : 2 * self._width], strict=True)
        )


def _mend(connection: apsw.Connection, report: Report) -> None:
    """Show a text that could not be read with U+FFFD, and count the rows."""
    by_name = {table.table: table for table in report.tables}
    reader = Writer(connection, RoomId(0), ids.Sequence())
    for table, columns in texts.tables(reader).items():
        if table not in by_name:
            continue
        where = " OR ".join(f"instr({column}, ?1)" for column in columns)
        sets = ", ".join(f"{column} = replace({column}, ?1, ?2)" for column in columns)
        connection.execute(f"UPDATE OR IGNORE {table} SET {sets} WHERE {where}", (DAMAGE, "\ufffd"))  # noqa: S608
        by_name[table].mended = connection.changes()


def _drop_orphans(connection: apsw.Connection) -> int:
    """Remove rows whose parent is lost, or what names it in them, as their deletion would; return their count."""
    count = 0
    while found := connection.execute('SELECT "table", rowid, fkid FROM pragma_foreign_key_check').fetchall():
        table, rowid, number = found[0]
        column, action = connection.execute(
            f'SELECT "from", on_delete FROM pragma_foreign_key_list({table!r}) WHERE id = ? ORDER BY seq',  # noqa: S608
            (number,),
        ).fetchall()[0]
        parent, key = connection.execute(
            f'SELECT "table", coalesce("to", \'rowid\') FROM pragma_foreign_key_list({table!r}) WHERE id = ?',  # noqa: S608
            (number,),
        ).fetchall()[0]
        missing = f"{column} IS NOT NULL AND {column} NOT IN (SELECT {key} FROM {parent})"  # noqa: S608
        if rowid is not None and action == "SET NULL":
            connection.execute(f"UPDATE {table} SET {column} = NULL WHERE {missing}")  # noqa: S608
        else:
            connection.execute(f"DELETE FROM {table} WHERE {missing}")  # noqa: S608
        count += connection.changes()
    return count

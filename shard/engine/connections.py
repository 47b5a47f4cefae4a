"""Readers and writers: the type of a function's first argument says whether it may change the shard.

A function that takes a Reader cannot write, and a Reader's connection refuses to. Both live as long as their
connection; the queues ensure that one thread at a time uses them.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, Literal, cast

import apsw

import ids
import sqlite
from shard.rows import Event

Checkpoint = Literal["moved", "cut"]
"""The treatment of the log after a commit: move the pages that no reader needs into the database, or cut it as well."""


PAGES_MAX: Final = 0xFFFFFFFE
"""The most pages that SQLite allows a database."""


class Reader:
    """A reading view of one snapshot of a shard."""

    __slots__ = ("_connection", "_execute", "on_damage", "room_id", "sql")

    def __init__(self, connection: apsw.Connection, room_id: ids.RoomId) -> None:
        self._connection = connection
        self._execute = connection.execute
        self.room_id = room_id
        self.sql = ""
        """The text of the last statement, for who finds it slow."""
        self.on_damage: Callable[[], None] = lambda: None
        """Called when a text was read that is no UTF-8 any more."""

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        self.sql = sql
        try:
            return self._execute(sql, parameters).fetchone()
        except UnicodeDecodeError:
            return self._damaged(sql, parameters)[0]

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return every row; the statement bounds how many."""
        self.sql = sql
        try:
            return self._execute(sql, parameters).fetchall()
        except UnicodeDecodeError:
            return self._damaged(sql, parameters)

    def chunks(self, sql: str, size: int) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of a whole table, `size` at a time."""
        rows = self._execute(sql)
        while chunk := list(islice(rows, size)):
            yield chunk

    def _damaged(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Return rows of which some texts are damaged: they have `sqlite.DAMAGE` where they cannot be read."""
        self.on_damage()
        return sqlite.fetch_damaged(self._connection, sql, parameters)

    def tokenize(self, text: str, name: str, arguments: list[str]) -> list[tuple[int, int, str]]:
        """Split a text into words with a tokenizer of FTS5: begin and end of each in UTF-8, and the folded word."""
        cut = self._connection.fts5_tokenizer(name, arguments)
        return cast(list[tuple[int, int, str]], cut(text.encode(), apsw.FTS5_TOKENIZE_DOCUMENT, None))


class Writer(Reader):
    """A writing view of a shard, inside the transaction that its queue holds open.

    `emitted` are the events that this transaction added to the log, published after the commit; `ids` generates the ids
    of everything in this shard. Work that is expensive per change is deferred with `later` to the transaction's end.
    From `full_bytes` on the room counts as full: what is deleted then is not kept in the log.
    """

    __slots__ = ("_has_reserve", "_later", "_pages_max", "checkpoint", "emitted", "full_bytes", "ids")

    def __init__(self, connection: apsw.Connection, room_id: ids.RoomId, sequence: ids.Sequence) -> None:
        super().__init__(connection, room_id)
        self.ids = sequence
        self.full_bytes: int | None = None
        self._pages_max: int | None = None
        self._has_reserve = False
        self.emitted: list[Event] = []
        self.checkpoint: Checkpoint | None = None
        self._later: list[tuple[Callable[[Writer, list[Any]], None], Any]] = []

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Execute one statement."""
        self.sql = sql
        self._execute(sql, parameters)

    def is_full(self) -> bool:
        """Tell whether the room counts as full, by the pages in use at this moment."""
        if self.full_bytes is None:
            return False
        used = self._connection.pragma("page_count") - self._connection.pragma("freelist_count")
        return bool(used * self._connection.pragma("page_size") >= self.full_bytes)

    def use_reserve(self) -> None:
        """Let this transaction grow the file beyond its size limit: for acts that free space, which need some first."""
        if self._has_reserve:
            return
        if self._pages_max is None:
            self._pages_max = self._connection.pragma("max_page_count")
        self._connection.pragma("max_page_count", PAGES_MAX)
        self._has_reserve = True

    def later(self, act: "Callable[[Writer, list[Any]], None]", item: Any) -> None:
        """Defer `act`: it is called once before the commit, with this item and all others of the transaction."""
        self._later.append((act, item))

    def settle(self) -> None:
        """Do the deferred work; called once, before the commit."""
        deferred: dict[Callable[[Writer, list[Any]], None], list[Any]] = {}
        for act, item in self._later:
            deferred.setdefault(act, []).append(item)
        self._later = []
        for act, items in deferred.items():
            act(self, items)

    def mark(self) -> tuple[int, int]:
        """Return a mark for `rewind`."""
        return len(self.emitted), len(self._later)

    def rewind(self, mark: tuple[int, int]) -> None:
        """Forget what was emitted and deferred since a mark, because a savepoint was rolled back to it."""
        emitted, later = mark
        del self.emitted[emitted:]
        del self._later[later:]

    def begin(self) -> None:
        """Forget the unfinished work of an earlier transaction."""
        self.emitted = []
        self._later = []
        self.checkpoint = None
        if self._has_reserve:
            # SQLite takes the present size instead of a smaller limit: then nothing grows the file further.
            self._connection.pragma("max_page_count", self._pages_max)
            self._has_reserve = False

    def changed(self) -> int:
        """Return how many rows the last statement changed."""
        return self._connection.changes()

    def changed_in_all(self) -> int:
        """Return how many rows this connection changed since it was opened."""
        return self._connection.total_changes()

    def last_row_id(self) -> int:
        """Return the rowid of the last inserted row."""
        return self._connection.last_insert_rowid()

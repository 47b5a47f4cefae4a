"""Readers and writers: what a function may do to a shard is the type of its first argument.

A function that takes a Reader cannot write, and a Reader's connection refuses to. Both live as long as their
connection; the lanes see to it that one thread at a time uses them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import apsw

import ids
from shard import words
from shard.rows import Event

Checkpoint = Literal["moved", "cut"]
"""What the lane does with the log after a commit: move what nobody reads any more into the database, or cut it too."""


class Reader:
    """Answers questions in one snapshot of a shard."""

    __slots__ = ("_connection", "_execute", "room_id")

    def __init__(self, connection: apsw.Connection, room_id: ids.RoomId) -> None:
        self._connection = connection
        self._execute = connection.execute
        self.room_id = room_id

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        return self._execute(sql, parameters).fetchone()

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return every row; the statement bounds how many."""
        return self._execute(sql, parameters).fetchall()

    def tokens(self, text: str) -> list[tuple[int, int, str]]:
        """Cut a text into words as the search index does: where each begins and ends in UTF-8, and the folded word."""
        cut = self._connection.fts5_tokenizer(*words.TOKENIZER)
        return cast(list[tuple[int, int, str]], cut(text.encode(), apsw.FTS5_TOKENIZE_DOCUMENT, None))


class Writer(Reader):
    """Changes a shard inside the transaction that its lane holds open.

    `emitted` is what the log gained in this transaction, published after the commit; `ids` gives out the numbers of
    everything in this shard. What costs much for each change is put off with `later` to the end of the transaction.
    """

    __slots__ = ("_later", "checkpoint", "emitted", "ids")

    def __init__(self, connection: apsw.Connection, room_id: ids.RoomId, sequence: ids.Sequence) -> None:
        super().__init__(connection, room_id)
        self.ids = sequence
        self.emitted: list[Event] = []
        self.checkpoint: Checkpoint | None = None
        self._later: list[tuple[Callable[[Writer, list[Any]], None], Any]] = []

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Execute one statement."""
        self._execute(sql, parameters)

    def later(self, act: "Callable[[Writer, list[Any]], None]", item: Any) -> None:
        """Have `act` done once before the commit, for this item and all others of the transaction."""
        self._later.append((act, item))

    def settle(self) -> None:
        """Do what was put off; called once, before the commit."""
        put_off: dict[Callable[[Writer, list[Any]], None], list[Any]] = {}
        for act, item in self._later:
            put_off.setdefault(act, []).append(item)
        self._later = []
        for act, items in put_off.items():
            act(self, items)

    def mark(self) -> tuple[int, int]:
        """Return a place for `rewind`."""
        return len(self.emitted), len(self._later)

    def rewind(self, mark: tuple[int, int]) -> None:
        """Forget what was emitted and put off since a mark, as a savepoint was rolled back to it."""
        emitted, later = mark
        del self.emitted[emitted:]
        del self._later[later:]

    def begin(self) -> None:
        """Forget what an earlier transaction left undone."""
        self.emitted = []
        self._later = []
        self.checkpoint = None

    def changed(self) -> int:
        """Return how many rows the last statement changed."""
        return self._connection.changes()

    def changed_in_all(self) -> int:
        """Return how many rows this connection changed since it was opened."""
        return self._connection.total_changes()

    def last_row_id(self) -> int:
        """Return the rowid of the last inserted row."""
        return self._connection.last_insert_rowid()

"""A connection that reads texts the disk has damaged, and notices slow statements, for the driver of central stores."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apsw

import sqlite


class TolerantConnection:
    """A connection for a driver that calls `execute` and `fetchall`; texts that are no UTF-8 have DAMAGE in them.

    `on_damage` is called at each such statement, on its thread.
    """

    __slots__ = ("connection", "on_damage")

    def __init__(self, connection: apsw.Connection, on_damage: Callable[[], None]) -> None:
        self.connection = connection
        self.on_damage = on_damage

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> "_TolerantCursor":
        """Begin a statement."""
        began = time.perf_counter()
        return _TolerantCursor(self, self.connection.execute(sql, parameters), sql, parameters, began)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> apsw.Cursor:
        """Execute a statement for each row of parameters."""
        return self.connection.executemany(sql, rows)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


class _TolerantCursor:
    __slots__ = ("_asked", "_began", "_cursor", "_over")

    def __init__(
        self, over: TolerantConnection, cursor: apsw.Cursor, sql: str, parameters: Sequence[Any], began: float
    ) -> None:
        self._over = over
        self._began = began
        self._cursor = cursor
        self._asked = (sql, parameters)

    def fetchall(self) -> list[tuple[Any, ...]]:
        try:
            return self._cursor.fetchall()
        except UnicodeDecodeError:
            self._over.on_damage()
            return sqlite.fetch_damaged(self._over.connection, *self._asked)
        finally:
            seconds = time.perf_counter() - self._began
            if 0 < sqlite.slow_statements.threshold_seconds < seconds:
                sqlite.slow_statements.note("directory", self._asked[0], seconds)

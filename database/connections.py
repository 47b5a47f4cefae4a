"""apsw connections behind aiosqlite's threads, and every quirk of that pairing.

aiosqlite expects a connection of the standard library; apsw's has no commit, rollback, fetchmany or row_factory. So
only `execute_fetchall`, `executemany` and `close` are used, transactions are SQL, and every statement is fetched whole
in its own hop to the thread. Nothing asks the connection from another thread, not even for `in_transaction`: apsw
refuses that while a statement runs.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self, TypeVar, cast

import aiosqlite
import apsw

from database import errors
from database.tolerant import TolerantConnection

Row = tuple[Any, ...]
Parameters = Sequence[Any]
T = TypeVar("T")

ITER_CHUNK_SIZE: Final = 64
"""A chunk size that aiosqlite requires for chunked iteration, which apsw cursors lack and this code does not use."""

DAMAGED: Final = "a text in the file of a store is damaged: restore it from a backup (rookery doctor says more)"
_NOTHING_TO_ROLL_BACK: Final = "no transaction is active"

log = logging.getLogger(__name__)

# Its debug lines show the parameters of statements: password hashes, addresses.
logging.getLogger("aiosqlite").setLevel(logging.INFO)


class Connection:
    """One connection and its thread; statements run in the order in which they were asked for.

    Errors name the store whose file it is.
    """

    __slots__ = ("_proxy", "_store")

    def __init__(self, proxy: aiosqlite.Connection, store: str) -> None:
        self._proxy = proxy
        self._store = store

    @classmethod
    async def open(cls, connect: Callable[[], apsw.Connection], *, store: str) -> Self:
        """Start a thread for the connection that `connect` opens; raises as `connect`."""
        return await to_the_end(cls._open(connect, store))

    @classmethod
    async def _open(cls, connect: Callable[[], apsw.Connection], store: str) -> Self:
        # A connector that fails leaves aiosqlite's thread to end after its event loop, with a traceback.
        with _translated(store):
            opened = await asyncio.to_thread(connect)
        tolerant = TolerantConnection(opened, lambda: log.error(DAMAGED, extra={"store": store}))
        return cls(await aiosqlite.Connection(lambda: cast(Any, tolerant), ITER_CHUNK_SIZE), store)

    async def fetch_all(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Run one statement to its end and return its rows."""
        with _translated(self._store):
            return cast(list[Row], await self._proxy.execute_fetchall(sql, parameters))

    async def execute_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Run one statement without result for each row, in one hop."""
        with _translated(self._store):
            await self._proxy.executemany(sql, rows)

    async def roll_back(self) -> None:
        """End the transaction, if one is open, after the statement that a cancelled task left running."""
        try:
            await self._proxy.execute_fetchall("ROLLBACK")
        except apsw.SQLError as error:
            # SQLite ends a transaction by itself when the disk is full or fails.
            if _NOTHING_TO_ROLL_BACK not in str(error):
                raise

    async def close(self) -> None:
        await to_the_end(self._proxy.close())


def with_flags(row: Row, *columns: int) -> Row:
    """Return a row with these columns as booleans, which SQLite has not."""
    return tuple(bool(value) if column in columns else value for column, value in enumerate(row))


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await work that must not be cut short: a cancellation is raised only when the work has ended."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from task.exception()
    return task.result()


@contextmanager
def _translated(store: str) -> Iterator[None]:
    try:
        yield
    except apsw.FullError as error:
        raise errors.StorageFullError(store) from error
    except apsw.BusyError as error:
        raise errors.DatabaseBusyError(store) from error
    except apsw.ConstraintError as error:
        raise errors.ConstraintError(store, str(error)) from error

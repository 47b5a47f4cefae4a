"""Queues of tasks for a shard: one for writes, one for reads, one for searches; one thread at a time serves each.

The write queue does all waiting tasks in one transaction with one sync, each task whole or not at all. A read queue
answers all waiting tasks in one snapshot. Results and events of a batch go to the event loop together, after the
commit, in commit order: nothing is published before it is durable.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, Protocol

import apsw

from shard.engine.connections import Checkpoint, Reader, Writer
from shard.engine.files import has_moved, translate
from shard.engine.open_shard import OpenShard
from shard.errors import BrokenShardError, DeadlineError, OutcomeUnknownError, ShardBusyError, UnavailableError
from shard.rows import Event
from sqlite import BUSY_TIMEOUT_MS, slow_statements

PROGRESS_STEPS: Final = 4_000
"""Virtual machine steps between two checks of the clock: about 0.2 ms."""
WRITE_DEADLINE_SECONDS: Final = 5.0
"""The limit of an action: none of ours takes this long, and none may hold the room's writer for ever.

It is stopped with 503 `deadline`; the other tasks of its batch stay.
"""
DAMAGED_TEXT: Final = "a text in its file cannot be read"
READ_BATCH_MAX: Final = 64
"""Reads answered in one snapshot; more would let the first wait for the last."""


class Task(NamedTuple):
    """An act with its arguments, and the future of its result."""

    act: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    future: Any
    deadline_seconds: float


class Outcome(NamedTuple):
    """Result of a task: its value, or its error."""

    task: Task
    value: Any
    error: Exception | None


class Work(Protocol):
    """Work for a worker thread."""

    def work(self) -> None:
        """Do the waiting work."""


Deliver = Callable[[OpenShard, Sequence[Event], Sequence[Outcome]], None]
"""Hands a batch to the event loop; called from worker threads."""


class Queue(ABC):
    """A bounded queue of tasks and the connection that serves it."""

    def __init__(
        self,
        shard: OpenShard,
        ready: "SimpleQueue[Work | None]",
        later: Callable[["Queue"], None],
        deliver: Deliver,
        *,
        queue_max: int,
        batch_max: int,
    ) -> None:
        self.shard = shard
        self._ready = ready
        self._later = later
        self._deliver = deliver
        self._queue_max = queue_max
        self._batch_max = batch_max
        self._waiting: deque[Task] = deque()
        self._is_scheduled = False
        self._lock = threading.Lock()
        self._connection: apsw.Connection | None = None
        self._generation = 0
        self._deadline = 0.0
        self._watched: Reader | None = None
        self._seen_sql: str | None = None
        self._seen_at = self._seen_until = 0.0
        shard.wakers.append(self.wake)

    @property
    def load(self) -> int:
        """Tasks that wait, plus one while a thread is at work."""
        return len(self._waiting) + self._is_scheduled

    def put(self, task: Task) -> None:
        """Queue a task, on the event loop; raises ShardBusyError when the queue is at its bound.

        The thread is scheduled at the end of the loop's turn: it then finds all tasks of the turn, and does not compete
        with the loop for the interpreter after the first one.
        """
        if len(self._waiting) >= self._queue_max:
            raise ShardBusyError(f"{self._queue_max} requests of this room wait already.")
        self._waiting.append(task)
        if self._must_schedule():
            self._later(self)

    def wake(self) -> None:
        """Schedule a thread, unless one is scheduled; from any thread."""
        if self._must_schedule():
            self.call()

    def call(self) -> None:
        """Schedule a thread now for a queue that is marked as scheduled."""
        self._ready.put(self)

    def _must_schedule(self) -> bool:
        with self._lock:
            must_schedule = not self._is_scheduled
            self._is_scheduled = True
        return must_schedule

    def work(self) -> None:
        """Serve one batch, on a worker thread."""
        if self._generation != self.shard.generation:
            self._disconnect()
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch_max))]
        if batch:
            try:
                events, outcomes = self._serve(batch)
            except Exception as error:  # every task has a caller that waits for its result
                explained = self._explain(error)
                events, outcomes = [], [Outcome(task, None, explained) for task in batch]
            if self._seen_sql is not None:
                self._tell_slow()
            self._deliver(self.shard, events, outcomes)
        with self._lock:
            self._is_scheduled = bool(self._waiting) or self._generation != self.shard.generation
            if self._is_scheduled:
                self._ready.put(self)

    @abstractmethod
    def _serve(self, batch: list[Task]) -> tuple[Sequence[Event], list[Outcome]]:
        """Do a batch and return its events in commit order with one outcome for each task."""

    def _connected(self, connection: apsw.Connection) -> None:
        self._connection = connection
        connection.set_progress_handler(self._is_too_late, PROGRESS_STEPS)

    def _is_too_late(self) -> bool:
        """Called by SQLite every PROGRESS_STEPS: short statements never come here."""
        now = time.monotonic()
        if self._watched is not None and slow_statements.threshold_seconds:
            self._watch(self._watched, now)
        return now > self._deadline

    def _watch(self, watched: Reader, now: float) -> None:
        """Note the statement that runs, and since when it was seen."""
        if watched.sql is not self._seen_sql:
            self._tell_slow()
            self._seen_sql, self._seen_at = watched.sql, now
        self._seen_until = now

    def _tell_slow(self) -> None:
        """Report the statement that was seen last, if it was slow."""
        seconds = self._seen_until - self._seen_at
        sql, self._seen_sql = self._seen_sql, None
        if sql is not None and 0 < slow_statements.threshold_seconds < seconds:
            slow_statements.note("shards", sql, seconds, room_id=self.shard.room_id)

    def _disconnect(self) -> None:
        self._generation = self.shard.generation
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self.shard.disconnect(connection)

    def _note_damaged_text(self) -> None:
        self.shard.note_damage(DAMAGED_TEXT)

    def _explain(self, error: Exception) -> Exception:
        """Return the error of this package for the error of a task."""
        if isinstance(error, apsw.InterruptError):
            return DeadlineError("This took too long and was stopped; ask for less at once.")
        if isinstance(error, StopIteration):
            # A future refuses it (PEP 479), and then no task of the batch would be answered.
            return RuntimeError(f"an act raised {error!r}")
        if isinstance(error, UnicodeDecodeError):
            self.shard.note_damage(DAMAGED_TEXT)
            return BrokenShardError(self.shard.room_id, DAMAGED_TEXT)
        return translate(error, self.shard.room_id) if isinstance(error, apsw.Error) else error


class ReadQueue(Queue):
    """Reads, each batch in one snapshot."""

    _reader: Reader

    def _serve(self, batch: list[Task]) -> tuple[Sequence[Event], list[Outcome]]:
        if self._connection is None:
            connection, self._reader = self.shard.connect_reader()
            self._reader.on_damage = self._note_damaged_text
            self._watched = self._reader
            self._connected(connection)
        assert self._connection is not None
        self._deadline = float("inf")
        self._connection.execute("BEGIN")
        try:
            return (), [self._answer(task) for task in batch]
        finally:
            self._deadline = float("inf")
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _answer(self, task: Task) -> Outcome:
        self._deadline = time.monotonic() + task.deadline_seconds
        try:
            return Outcome(task, task.act(self._reader, *task.arguments, **task.options), None)
        except Exception as error:  # delivered to the caller
            if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
                # All connections must be closed before an operator replaces the damaged file.
                self.shard.retire()
                self.shard.note_damage(f"its file is damaged ({error})")
            return Outcome(task, None, self._explain(error))


class _SpoiledTransactionError(Exception):
    """A task failed after it had written, and there is no savepoint to roll back its changes alone."""


class _LostTransactionError(Exception):
    """SQLite rolled the whole transaction back during one task."""

    def __init__(self, task: Task, cause: Exception) -> None:
        self.task, self.cause = task, cause


_STORAGE_ERRORS = (apsw.FullError, apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.ReadOnlyError)
"""Errors that concern all tasks of the batch, not only the one that raised them."""


class WriteQueue(Queue):
    """Writes, each batch in one transaction, in which every task is kept whole or not at all.

    A savepoint costs a copy of every page that is changed under it, twice as much as the changes themselves. Nearly
    every task that fails does so before it writes anything, so a batch is first done without savepoints; when one
    fails later, the batch is rolled back and done again with a savepoint for each task.
    """

    _writer: Writer

    def _serve(self, batch: list[Task]) -> tuple[Sequence[Event], list[Outcome]]:
        if self._connection is not None and has_moved(self._connection):
            # All that is written to an unlinked file is lost when the file is closed.
            self._stop(BrokenShardError(self.shard.room_id, "its file was moved or replaced while it was open"))
        if self._connection is None:
            connection, self._writer = self.shard.connect_writer()
            self._writer.on_damage = self._note_damaged_text
            self._watched = self._writer
            self._connected(connection)
        failed: list[Outcome] = []
        do = self._do_plainly
        while batch:
            try:
                return self._transact(batch, do, failed)
            except _SpoiledTransactionError:
                do = self._do_in_savepoint
            except _LostTransactionError as lost:
                # Nothing of the others is committed yet, so they are done again without it.
                failed.append(Outcome(lost.task, None, self._explain(lost.cause)))
                batch = [task for task in batch if task is not lost.task]
        return (), failed

    def _transact(
        self, batch: list[Task], do: Callable[[apsw.Connection, Task], Outcome], failed: list[Outcome]
    ) -> tuple[Sequence[Event], list[Outcome]]:
        assert self._connection is not None
        self._writer.begin()
        self._deadline = float("inf")
        try:
            if self._connection.in_transaction:  # a spoiled one
                self._connection.execute("ROLLBACK")
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [do(self._connection, task) for task in batch]
            self._writer.settle()
        except apsw.Error as error:
            return (), failed + self._undo(batch, error)
        self._deadline = float("inf")
        try:
            self._connection.execute("COMMIT")
        except apsw.FullError as error:
            return (), failed + self._undo(batch, error)
        except apsw.Error as error:
            unknown = OutcomeUnknownError()
            unknown.__cause__ = error
            self._stop(BrokenShardError(self.shard.room_id, "the disk failed during a write; it is being reopened"))
            return (), failed + [Outcome(task, None, unknown) for task in batch]
        if self._writer.checkpoint is not None:
            self._settle_log(self._connection, self._writer.checkpoint)
        return self._writer.emitted, failed + outcomes

    def _settle_log(self, connection: apsw.Connection, how: Checkpoint) -> None:
        """Move the log into the database, except for pages that a reader needs: the writer waits for no reader."""
        mode = apsw.SQLITE_CHECKPOINT_TRUNCATE if how == "cut" else apsw.SQLITE_CHECKPOINT_PASSIVE
        connection.set_busy_timeout(0)
        try:
            connection.wal_checkpoint(mode=mode)
        except apsw.BusyError:
            # All pages that could be moved were; the next commit that leaves the log too long tries again.
            return
        except apsw.Error as error:
            self._stop(BrokenShardError(self.shard.room_id, f"its log could not be emptied ({error})"))
        finally:
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)

    def _do_plainly(self, connection: apsw.Connection, task: Task) -> Outcome:
        changes = connection.total_changes()
        try:
            return Outcome(task, self._act(task), None)
        except _STORAGE_ERRORS:
            raise
        except Exception as error:  # delivered to the caller; the other tasks of the batch stay
            if not connection.in_transaction:
                raise _LostTransactionError(task, error) from error
            if connection.total_changes() != changes:
                raise _SpoiledTransactionError from error
            return Outcome(task, None, self._explain(error))

    def _do_in_savepoint(self, connection: apsw.Connection, task: Task) -> Outcome:
        mark = self._writer.mark()
        connection.execute("SAVEPOINT task")
        try:
            value = self._act(task)
        except _STORAGE_ERRORS:
            raise
        except Exception as error:  # delivered to the caller; the other tasks of the batch stay
            if not connection.in_transaction:
                raise _LostTransactionError(task, error) from error
            connection.execute("ROLLBACK TO task")
            connection.execute("RELEASE task")
            self._writer.rewind(mark)
            return Outcome(task, None, self._explain(error))
        connection.execute("RELEASE task")
        return Outcome(task, value, None)

    def _act(self, task: Task) -> Any:
        """Do a task, and interrupt it at its deadline; the rest of the batch is not interrupted then."""
        self._deadline = time.monotonic() + task.deadline_seconds
        try:
            return task.act(self._writer, *task.arguments, **task.options)
        finally:
            self._deadline = float("inf")

    def _undo(self, batch: list[Task], error: apsw.Error) -> list[Outcome]:
        """Roll a whole batch back; an error of the disk, or a damaged file, closes the shard."""
        assert self._connection is not None
        self._deadline = float("inf")
        explained = self._explain(error)
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error:
            self._stop(UnavailableError(str(explained)))
        if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
            self.shard.note_damage(f"its file is damaged ({error})")
        if isinstance(error, (apsw.IOError, apsw.CorruptError, apsw.NotADBError)):
            assert isinstance(explained, UnavailableError)
            self._stop(explained)
        return [Outcome(task, None, explained) for task in batch]

    def _stop(self, failure: UnavailableError) -> None:
        self.shard.fail(failure)
        self._disconnect()

"""One open shard: its connections, and their shutdown when the disk fails.

A shard fails stop. After an I/O error in a commit the content of the log is unknown, so every connection is closed
before the file is opened again: the first opener then recovers the log, and what it finds counts.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import apsw

import ids
from migrations import engine
from shard.engine import files, word_index
from shard.engine.connections import Reader, Writer
from shard.errors import ShardBusyError, UnavailableError

log = logging.getLogger(__name__)
C = TypeVar("C")

REOPEN_AFTER_SECONDS = 2.0
"""A broken shard is tried again this often at most: long enough to cost nothing, short enough to heal unattended."""


class OpenShard:
    """The connections of one room, shared by its queues; every method may be called from any thread."""

    def __init__(
        self,
        folder: Path,
        room_id: ids.RoomId,
        migrations: Sequence[engine.Migration],
        clock: Callable[[], int],
        *,
        bounds: files.Bounds = files.UNBOUNDED,
        generator: ids.Generator | None = None,
        note_damage: Callable[[ids.RoomId, str], None] = lambda _room_id, _damage: None,
    ) -> None:
        self.room_id = room_id
        self._note_damage = note_damage
        self._path = files.path_of(folder, room_id)
        self._migrations = migrations
        self._clock = clock
        self._bounds = bounds
        self._generator = generator
        self._lock = threading.Lock()
        self._failure: UnavailableError | None = None
        self._retry_at = 0.0
        self._must_check = False
        self._connected = 0
        self.is_unindexed = False
        """True if messages were missing from the word index when the shard was opened."""
        self.generation = 0
        """Counts calls of `retire`; a queue closes a connection of an older generation before anything else."""
        self.wakers: list[Callable[[], None]] = []
        """One function for each queue, which schedules a thread for it."""

    @property
    def is_connected(self) -> bool:
        """True while a queue has a connection."""
        return self._connected > 0

    def connect_writer(self) -> tuple[apsw.Connection, Writer]:
        """Open the one writing connection; raises the errors of `files.open_writer`, or the last failure."""
        with self._lock:
            self._refuse_while_broken()
            return self._counted(self._open_writer)

    def connect_reader(self) -> tuple[apsw.Connection, Reader]:
        """Open a reading connection to a migrated shard; raises the errors of `connect_writer`."""
        with self._lock:
            self._refuse_while_broken()
            return self._counted(self._open_reader)

    def disconnect(self, connection: apsw.Connection) -> None:
        """Close a connection; the last one moves the log into the database."""
        with self._lock:
            self._connected -= 1
            try:
                connection.close()
            except apsw.Error as error:
                # Everything acknowledged is in the log already; the next open recovers it.
                log.warning("closing a shard failed", extra={"room_id": self.room_id, "reason": str(error)})

    def note_damage(self, damage: str) -> None:
        """Tell of damage that a task met, in words that an operator reads."""
        self._note_damage(self.room_id, damage)

    def bound(self, bounds: files.Bounds) -> None:
        """Set other bounds; the connections are reopened with them soon."""
        self._bounds = bounds
        self.retire()

    def retire(self) -> None:
        """Tell every queue to close its connection."""
        self.generation += 1
        for wake in self.wakers:
            wake()

    def fail(self, failure: UnavailableError) -> None:
        """Close all connections and answer `failure` until the next try to open and check the file."""
        with self._lock:
            self._remember(failure)
            self._must_check = True
        self.retire()
        log.error("a shard failed", extra={"room_id": self.room_id, "reason": str(failure)})

    def _refuse_while_broken(self) -> None:
        if self._failure is not None and time.monotonic() < self._retry_at:
            # Raised for every request: a kept traceback would grow with each.
            raise self._failure.with_traceback(None)
        if self._must_check and self._connected:
            raise ShardBusyError("This room is being reopened after a disk error.")

    def _remember(self, failure: UnavailableError) -> None:
        self._failure = failure
        self._retry_at = time.monotonic() + REOPEN_AFTER_SECONDS

    def _counted(self, connect: Callable[[], C]) -> C:
        try:
            connected = connect()
        except UnavailableError as failure:
            if not isinstance(failure, ShardBusyError):
                self._remember(failure)
                log.error("a shard cannot be opened", extra={"room_id": self.room_id, "reason": str(failure)})  # noqa: TRY400
            raise
        self._failure = None
        self._connected += 1
        return connected

    def _open_writer(self) -> tuple[apsw.Connection, Writer]:
        opened = files.open_writer(
            self._path,
            self.room_id,
            self._migrations,
            now_ms=self._clock(),
            check=self._must_check,
            bounds=self._bounds,
            generator=self._generator,
        )
        self._must_check = False
        self.is_unindexed = word_index.unindexed_until(opened[1]) > 0
        return opened

    def _open_reader(self) -> tuple[apsw.Connection, Reader]:
        if self._must_check:
            self._open_writer()[0].close()
        connection, reader, is_behind = files.open_reader(self._path, self.room_id, self._migrations)
        if is_behind:
            try:
                self._open_writer()[0].close()
            except BaseException:
                connection.close()
                raise
        else:
            self.is_unindexed = word_index.unindexed_until(reader) > 0
        return connection, reader

"""The pool of open shards: every room is reached through it, and only the rooms in use are open.

Lives on one event loop; worker threads serve the queues that have tasks. Writers wait for the disk, not for the
interpreter, so several commit side by side.
"""

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Concatenate, Final, ParamSpec, TypeVar

from ids import Generator, RoomId
from migrations import engine
from shard.engine import files, threads
from shard.engine.connections import Reader, Writer
from shard.engine.files import UNBOUNDED, Bounds
from shard.engine.open_shard import OpenShard
from shard.engine.queues import (
    READ_BATCH_MAX,
    WRITE_DEADLINE_SECONDS,
    Outcome,
    Queue,
    ReadQueue,
    Task,
    Work,
    WriteQueue,
)
from shard.engine.space import Limit, Space
from shard.engine.suspensions import QueueName, Suspension, Suspensions
from shard.errors import BrokenShardError, OutcomeUnknownError, ShardBusyError, ShardFullError
from shard.rows import Event

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

Publish = Callable[[RoomId, Sequence[Event]], None]
"""Receives, on the event loop, all events of one commit, after it, in commit order, before any reply is sent; an empty
sequence when the outcome of a commit is unknown: the log may have events that were not published."""

QUIET_SECONDS_MAX: Final = 10.0
"""Time for a room's tasks and connections to end; if any is left then, the room is not suspended."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """The pool's bounds; each answers ShardBusyError (503) when it is reached."""

    open_max: int = 128
    queue_max: int = 1_024
    batch_max: int = 256
    writers: int = 16
    readers: int = 2
    read_deadline_seconds: float = 1.0
    write_deadline_seconds: float = WRITE_DEADLINE_SECONDS
    idle_close_seconds: float = 300.0
    bounds: Bounds = UNBOUNDED


class _Entry:
    """An open shard with its queues, as the event loop sees it."""

    def __init__(self, shard: OpenShard, writing: WriteQueue, reading: ReadQueue, searching: ReadQueue) -> None:
        self.shard = shard
        self.writing = writing
        self.reading = reading
        self.searching = searching
        self.used_at = time.monotonic()

    @property
    def load(self) -> int:
        return self.writing.load + self.reading.load + self.searching.load


class ShardPool:
    """The open shards; runs acts in them by room id, until `close`."""

    def __init__(
        self,
        folder: Path,
        migrations: Sequence[engine.Migration],
        *,
        limits: PoolLimits,
        clock: Callable[[], int],
        publish: Publish,
        generator: Generator | None = None,
    ) -> None:
        self._folder = folder
        self._migrations = migrations
        self._limits = limits
        self._clock = clock
        self._publish = publish
        self._generator = generator or Generator()
        self._loop = asyncio.get_running_loop()
        self._entries: OrderedDict[RoomId, _Entry] = OrderedDict()
        self.space = Space(limits.bounds)
        self._quarantined: Mapping[RoomId, str] = {}
        self._damages: dict[RoomId, str] = {}
        self._is_closed = False
        self._writes: SimpleQueue[Work | None] = SimpleQueue()
        self._reads: SimpleQueue[Work | None] = SimpleQueue()
        self._searches: SimpleQueue[Work | None] = SimpleQueue()
        self._called: list[Queue] = []
        self._delivery = threading.Lock()
        self._delivered: list[tuple[OpenShard, Sequence[Event], Sequence[Outcome]]] = []
        self._creating = ThreadPoolExecutor(1, thread_name_prefix="shard-create")
        self._threads = [
            *(threads.start(f"shard-write-{number}", self._writes) for number in range(limits.writers)),
            *(threads.start(f"shard-read-{number}", self._reads) for number in range(limits.readers)),
            *(threads.start(f"shard-search-{number}", self._searches) for number in range(limits.readers)),
        ]
        self._sweeper = self._loop.call_later(limits.idle_close_seconds / 4, self._sweep)
        self.suspensions = Suspensions(self.has, self._enqueue, waiting_max=limits.queue_max)
        """The rooms that accept no task now; wakes hibernated rooms."""

    @property
    def open_count(self) -> int:
        """Shards that are open now."""
        return len(self._entries)

    @property
    def waiting_count(self) -> int:
        """Tasks that wait or are being done."""
        return self.suspensions.load + sum(entry.load for entry in self._entries.values())

    @property
    def schema_version(self) -> int:
        """The schema version of open shards."""
        return self._migrations[-1].version

    def has(self, room_id: RoomId) -> bool:
        """Tell whether the room's file exists, without opening it."""
        return files.path_of(self._folder, room_id).exists()

    def discard_unfinished(self, room_id: RoomId) -> None:
        """Remove the unfinished shard of a killed process."""
        files.discard_unfinished(self._folder, room_id)

    def limit(self, size_limits: Mapping[RoomId, Limit]) -> None:
        """Set the rooms that have a size limit of their own; an open room is reopened with its new limit."""
        before = {room_id: self.space.bounds(room_id) for room_id in self._entries}
        self.space.limits = dict(size_limits)
        for room_id, bounds in before.items():
            if bounds != self.space.bounds(room_id):
                self._entries[room_id].shard.bound(self.space.bounds(room_id))

    def quarantine(self, rooms: Mapping[RoomId, str]) -> None:
        """Set the rooms that answer no request, each with the reason; an open one is closed."""
        self._quarantined = dict(rooms)
        for room_id in rooms:
            if room_id in self._entries:
                self._entries[room_id].shard.retire()

    def _note_damage(self, room_id: RoomId, damage: str) -> None:
        self._damages.setdefault(room_id, damage)

    def take_damages(self) -> dict[RoomId, str]:
        """Return the rooms in which tasks met damage since the last call, and the first of each."""
        # Worker threads put into it meanwhile.
        return dict(self._damages.popitem() for _ in range(len(self._damages)))

    async def create(
        self, room_id: RoomId, initialize: Callable[Concatenate[Writer, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Make a room's shard, and return the result of `initialize`.

        Raises FileExistsError for a shard that is already there, ShardFullError without space, and BrokenShardError
        when the disk fails.
        """
        if self.space.is_disk_full:
            raise ShardFullError("The disk is full: no room can be created until there is space.")
        now_ms = self._clock()

        def build() -> T:
            return files.create(
                self._folder,
                room_id,
                self._migrations,
                lambda writer: initialize(writer, *args, **kwargs),
                now_ms=now_ms,
                generator=self._generator,
            )

        return await self._loop.run_in_executor(self._creating, build)

    def write(
        self, room_id: RoomId, act: Callable[Concatenate[Writer, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """Do an act in the room's next transaction, and return its result once it is durable.

        The act is done, and its events are published, even if the awaiting task is cancelled. Raises the errors of the
        act and every UnavailableError and ShardFullError.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(room_id, "writing", Task(act, args, kwargs, future, self._limits.write_deadline_seconds))
        return future

    def read(
        self, room_id: RoomId, act: Callable[Concatenate[Reader, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """Do a reading act in one snapshot, which has everything that was acknowledged before."""
        future: asyncio.Future[T] = self._loop.create_future()
        deadline_seconds = self._limits.read_deadline_seconds
        self._put(room_id, "reading", Task(act, args, kwargs, future, deadline_seconds))
        return future

    def search(
        self,
        deadline_seconds: float,
        room_id: RoomId,
        act: Callable[Concatenate[Reader, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Awaitable[T]:
        """Do a reading act as `read` does, on a queue and threads of its own, so that no page waits for a long search.

        Raises DeadlineError at the deadline.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(room_id, "searching", Task(act, args, kwargs, future, deadline_seconds))
        return future

    def is_away(self, room_id: RoomId) -> bool:
        """Tell whether a room is hibernated or suspended; a request for it would wake it."""
        if self.suspensions.is_shut(room_id):
            return True
        return room_id not in self._entries and self.suspensions.must_wake(room_id)

    def unindexed(self) -> list[RoomId]:
        """Return the open rooms that had older messages outside their word index when they were opened."""
        return [room_id for room_id, entry in self._entries.items() if entry.shard.is_unindexed]

    def indexed(self, room_id: RoomId) -> None:
        """Note that all messages of a room are in its word index."""
        if room_id in self._entries:
            self._entries[room_id].shard.is_unindexed = False

    def shut(self, room_id: RoomId) -> AbstractAsyncContextManager[Suspension]:
        """Suspend a room for the block: its queued tasks are done and its connections closed first, later tasks wait
        until the block ends.

        Raises ShardBusyError when the room is suspended already, or its tasks do not end in time.
        """
        return self.suspensions.shut(room_id, self._rest)

    async def _rest(self, room_id: RoomId) -> None:
        entry, ends_at = self._entries.get(room_id), self._loop.time() + QUIET_SECONDS_MAX
        while entry is not None and (entry.load or entry.shard.is_connected or room_id in self._entries):
            if self._loop.time() > ends_at:
                raise ShardBusyError("This room does not come to rest.")
            if not entry.load and room_id in self._entries:
                self._retire(room_id)
            await asyncio.sleep(0.002)  # worker threads set no event

    def _put(self, room_id: RoomId, queue: QueueName, task: Task) -> None:
        is_open = room_id in self._entries
        if (
            (self.suspensions or not is_open)
            and not self._is_closed
            and self.suspensions.hold(room_id, queue, task, is_open=is_open)
        ):
            return
        self._enqueue(room_id, queue, task)

    def _enqueue(self, room_id: RoomId, queue: QueueName, task: Task) -> None:
        entry = self._entry(room_id)
        (entry.writing if queue == "writing" else entry.reading if queue == "reading" else entry.searching).put(task)

    def _later(self, queue: Queue) -> None:
        if not self._called:
            self._loop.call_soon(self._call_threads)
        self._called.append(queue)

    def _call_threads(self) -> None:
        called, self._called = self._called, []
        for queue in called:
            queue.call()

    def _entry(self, room_id: RoomId) -> _Entry:
        if self._is_closed:
            raise ShardBusyError("The server is shutting down.")
        if room_id in self._quarantined:
            raise BrokenShardError(room_id, f"it is in quarantine ({self._quarantined[room_id]})")
        entry = self._entries.get(room_id)
        if entry is None:
            self._make_space()
            entry = self._entries[room_id] = self._new_entry(room_id)
        else:
            self._entries.move_to_end(room_id)
        entry.used_at = time.monotonic()
        return entry

    def _new_entry(self, room_id: RoomId) -> _Entry:
        limits, common = self._limits, (self._later, self._deliver)
        shard = OpenShard(
            self._folder,
            room_id,
            self._migrations,
            self._clock,
            bounds=self.space.bounds(room_id),
            generator=self._generator,
            note_damage=self._note_damage,
        )
        return _Entry(
            shard,
            WriteQueue(shard, self._writes, *common, queue_max=limits.queue_max, batch_max=limits.batch_max),
            ReadQueue(shard, self._reads, *common, queue_max=limits.queue_max, batch_max=READ_BATCH_MAX),
            ReadQueue(shard, self._searches, *common, queue_max=limits.queue_max, batch_max=1),
        )

    def _make_space(self) -> None:
        if len(self._entries) < self._limits.open_max:
            return
        idle = next((room_id for room_id, entry in self._entries.items() if not entry.load), None)
        if idle is None:
            raise ShardBusyError(f"All {self._limits.open_max} shards that may be open at once are in use.")
        self._retire(idle)

    def _retire(self, room_id: RoomId) -> None:
        self._entries.pop(room_id).shard.retire()

    def _sweep(self) -> None:
        oldest = time.monotonic() - self._limits.idle_close_seconds
        for room_id, entry in list(self._entries.items()):
            if entry.used_at < oldest and not entry.load:
                self._retire(room_id)
        self._sweeper = self._loop.call_later(self._limits.idle_close_seconds / 4, self._sweep)

    def _deliver(self, shard: OpenShard, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        """Hand a batch to the event loop, from a worker thread; one wakeup of the loop serves several batches."""
        with self._delivery:
            must_wake = not self._delivered
            self._delivered.append((shard, events, outcomes))
        if must_wake:
            self._loop.call_soon_threadsafe(self._settle_delivered)

    def _settle_delivered(self) -> None:
        with self._delivery:
            delivered, self._delivered = self._delivered, []
        for shard, events, outcomes in delivered:
            self._settle(shard, events, outcomes)

    def _settle(self, shard: OpenShard, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        """Publish a commit, then set the results of its tasks: one callback for a whole batch."""
        if events or (outcomes and isinstance(outcomes[0].error, OutcomeUnknownError)):
            try:
                self._publish(shard.room_id, events)
            except Exception:  # the log has the events; a subscriber's fault must not cost a reply
                log.exception("publishing a commit failed", extra={"room_id": shard.room_id})
        for task, value, error in outcomes:
            if task.future.done():
                continue
            if error is None:
                task.future.set_result(value)
            else:
                if isinstance(error, ShardFullError):
                    self.space.short.add(shard.room_id)
                task.future.set_exception(error)

    async def close(self) -> None:
        """Finish the queued tasks, close every shard, end the threads."""
        self._is_closed = True
        self._sweeper.cancel()
        await self.suspensions.close()
        while self.waiting_count:  # noqa: ASYNC110 - at the very end
            await asyncio.sleep(0.01)  # worker threads set no event
        for room_id in list(self._entries):
            self._retire(room_id)
        await self._loop.run_in_executor(None, self._end_threads)

    def _end_threads(self) -> None:
        self._creating.shutdown()
        for _ in range(self._limits.writers):
            self._writes.put(None)
        for _ in range(self._limits.readers):
            self._reads.put(None)
            self._searches.put(None)
        for thread in self._threads:
            thread.join()

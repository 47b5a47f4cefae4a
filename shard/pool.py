"""The pool of open shards: every room is reached through it, and only the rooms in use are open.

Lives on one event loop; worker threads take the lanes that have something to do. Writers wait for the disk, not for the
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

from ids import RoomId
from migrations import engine
from shard import files
from shard.connections import Reader, Writer
from shard.errors import BrokenShardError, OutcomeUnknownError, ShardBusyError
from shard.files import UNBOUNDED, Bounds
from shard.gates import Gate, Gates, LaneName
from shard.lanes import READ_BATCH_MAX, WRITE_DEADLINE_SECONDS, Lane, Outcome, ReadLane, Task, Work, WriteLane
from shard.open_shards import OpenShard
from shard.rows import Event

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

Publish = Callable[[RoomId, Sequence[Event]], None]
"""Told on the event loop of all events of one commit, after it, in commit order, before any reply goes out; of none
when a commit's outcome is unknown: the log may have more than was told."""


QUIET_SECONDS_MAX: Final = 10.0
"""How long a room's tasks and connections may take to end before it is not shut after all."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """The pool's bounds; each answers ShardBusyError (503) when it is reached."""

    open_max: int = 128
    queue_max: int = 1_024
    batch_max: int = 256
    writers: int = 16
    readers: int = 2
    read_deadline_seconds: float = 1.0
    idle_close_seconds: float = 300.0
    bounds: Bounds = UNBOUNDED


class _Entry:
    """An open shard with its lanes, as the event loop sees it."""

    def __init__(self, shard: OpenShard, writing: WriteLane, reading: ReadLane, searching: ReadLane) -> None:
        self.shard = shard
        self.writing = writing
        self.reading = reading
        self.searching = searching
        self.used_at = time.monotonic()

    @property
    def load(self) -> int:
        return self.writing.load + self.reading.load + self.searching.load


class ShardPool:
    """Runs acts in shards by room id; open it with `open`, close it with `close`."""

    def __init__(
        self,
        folder: Path,
        migrations: Sequence[engine.Migration],
        *,
        limits: PoolLimits,
        clock: Callable[[], int],
        publish: Publish,
    ) -> None:
        self._folder = folder
        self._migrations = migrations
        self._limits = limits
        self._clock = clock
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._entries: OrderedDict[RoomId, _Entry] = OrderedDict()
        self._size_limits: Mapping[RoomId, int] = {}
        self._quarantined: Mapping[RoomId, str] = {}
        self._is_closed = False
        self._writes: SimpleQueue[Work | None] = SimpleQueue()
        self._reads: SimpleQueue[Work | None] = SimpleQueue()
        self._searches: SimpleQueue[Work | None] = SimpleQueue()
        self._called: list[Lane] = []
        self._delivery = threading.Lock()
        self._delivered: list[tuple[OpenShard, Sequence[Event], Sequence[Outcome]]] = []
        self._creating = ThreadPoolExecutor(1, thread_name_prefix="shard-create")
        self._threads = [
            *(_start(f"shard-write-{number}", self._writes) for number in range(limits.writers)),
            *(_start(f"shard-read-{number}", self._reads) for number in range(limits.readers)),
            *(_start(f"shard-search-{number}", self._searches) for number in range(limits.readers)),
        ]
        self._sweeper = self._loop.call_later(limits.idle_close_seconds / 4, self._sweep)
        self.gates = Gates(self.has, self._admit, held_max=limits.queue_max)
        """What shuts rooms, and has those brought back that are hibernated."""

    @property
    def open_count(self) -> int:
        """Shards that are open now."""
        return len(self._entries)

    @property
    def waiting_count(self) -> int:
        """Tasks that wait or are being done."""
        return self.gates.load + sum(entry.load for entry in self._entries.values())

    @property
    def schema_version(self) -> int:
        """The version that shards are at once they are open."""
        return self._migrations[-1].version

    def has(self, room_id: RoomId) -> bool:
        """Tell whether the room's file stands, whatever is in it."""
        return files.path_of(self._folder, room_id).exists()

    def discard_unfinished(self, room_id: RoomId) -> None:
        """Remove what a killed process left of a shard that never got its name."""
        files.discard_unfinished(self._folder, room_id)

    def limit(self, size_limits: Mapping[RoomId, int]) -> None:
        """Hold these rooms to limits of their own, in bytes, and no others; an open one is opened anew for it."""
        before, self._size_limits = self._size_limits, dict(size_limits)
        for room_id in before.keys() | size_limits.keys():
            if before.get(room_id) != size_limits.get(room_id) and room_id in self._entries:
                self._entries[room_id].shard.bound(self._bounds(room_id))

    def quarantine(self, rooms: Mapping[RoomId, str]) -> None:
        """Let nobody into these rooms, each with the reason, and into all others again; an open one is closed."""
        self._quarantined = dict(rooms)
        for room_id in rooms:
            if room_id in self._entries:
                self._entries[room_id].shard.retire()

    def _bounds(self, room_id: RoomId) -> Bounds:
        own = self._size_limits.get(room_id)
        return self._limits.bounds if own is None else self._limits.bounds._replace(size_bytes_max=own)

    async def create(
        self, room_id: RoomId, found: Callable[Concatenate[Writer, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Make a room's shard; raises FileExistsError if it is there and ShardFullError without space."""
        now_ms = self._clock()

        def build() -> T:
            return files.create(
                self._folder,
                room_id,
                self._migrations,
                lambda writer: found(writer, *args, **kwargs),
                now_ms=now_ms,
            )

        return await self._loop.run_in_executor(self._creating, build)

    def write(
        self, room_id: RoomId, act: Callable[Concatenate[Writer, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """Do an act in the room's next transaction; the result comes when it is durable.

        The act is done, and its events are published, also when whoever awaits it is cancelled. Raises what the act
        raises and every UnavailableError and ShardFullError.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(room_id, "writing", Task(act, args, kwargs, future, WRITE_DEADLINE_SECONDS))
        return future

    def read(
        self, room_id: RoomId, act: Callable[Concatenate[Reader, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """Ask something of a room in one snapshot that has all that was acknowledged before."""
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
        """Do as `read`, on a lane and threads apart, so that no page waits for a long search.

        Raises DeadlineError when the deadline is over.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(room_id, "searching", Task(act, args, kwargs, future, deadline_seconds))
        return future

    def is_away(self, room_id: RoomId) -> bool:
        """Tell whether a room is hibernated, or on its way there or back: asking it would bring it back."""
        return self.gates.is_shut(room_id) or (room_id not in self._entries and self.gates.must_wake(room_id))

    def shut(self, room_id: RoomId) -> AbstractAsyncContextManager[Gate]:
        """Let nobody into a room while the block lasts: what was asked is done first, its connections are closed, and
        who comes then waits until the block ends.

        Raises ShardBusyError when the room is shut already, or does not come to rest.
        """
        return self.gates.shut(room_id, self._rest)

    async def _rest(self, room_id: RoomId) -> None:
        entry, ends_at = self._entries.get(room_id), self._loop.time() + QUIET_SECONDS_MAX
        while entry is not None and (entry.load or entry.shard.is_connected or room_id in self._entries):
            if self._loop.time() > ends_at:
                raise ShardBusyError("This room does not come to rest.")
            if not entry.load and room_id in self._entries:
                self._retire(room_id)
            await asyncio.sleep(0.002)  # worker threads set no event

    def _put(self, room_id: RoomId, lane: LaneName, task: Task) -> None:
        is_open = room_id in self._entries
        if (
            (self.gates or not is_open)
            and not self._is_closed
            and self.gates.hold(room_id, lane, task, is_open=is_open)
        ):
            return
        self._admit(room_id, lane, task)

    def _admit(self, room_id: RoomId, lane: LaneName, task: Task) -> None:
        entry = self._entry(room_id)
        (entry.writing if lane == "writing" else entry.reading if lane == "reading" else entry.searching).put(task)

    def _later(self, lane: Lane) -> None:
        if not self._called:
            self._loop.call_soon(self._call_threads)
        self._called.append(lane)

    def _call_threads(self) -> None:
        called, self._called = self._called, []
        for lane in called:
            lane.call()

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
        shard = OpenShard(self._folder, room_id, self._migrations, self._clock, bounds=self._bounds(room_id))
        return _Entry(
            shard,
            WriteLane(shard, self._writes, *common, queue_max=limits.queue_max, batch_max=limits.batch_max),
            ReadLane(shard, self._reads, *common, queue_max=limits.queue_max, batch_max=READ_BATCH_MAX),
            ReadLane(shard, self._searches, *common, queue_max=limits.queue_max, batch_max=1),
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
        """Hand a batch to the event loop, from a worker thread; the loop is woken once for all that it finds then."""
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
        """Publish a commit, then answer those who wait for it: one callback for a whole batch."""
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
                task.future.set_exception(error)

    async def close(self) -> None:
        """Finish what is queued, close every shard, end the threads."""
        self._is_closed = True
        self._sweeper.cancel()
        await self.gates.close()
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


def _start(name: str, ready: "SimpleQueue[Work | None]") -> threading.Thread:
    thread = threading.Thread(target=_work, args=(ready,), name=name, daemon=True)
    thread.start()
    return thread


def _work(ready: "SimpleQueue[Work | None]") -> None:
    """Take lanes from the queue until it says stop."""
    while (work := ready.get()) is not None:
        try:
            work.work()
        except Exception:  # a lane answers its tasks itself; what comes here is our own mistake
            log.exception("a worker met an unexpected error")

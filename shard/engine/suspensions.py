"""Suspensions of rooms: while the file of a room is hibernated or woken, its tasks wait instead of being refused.

Waiting is bounded, and the tasks are queued when the suspension ends. A room without a file is woken at the first
request for it: once, for any number of requests. Lives on one event loop.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Literal, NamedTuple

from ids import RoomId
from shard.engine.queues import Task
from shard.errors import ShardBusyError, ShardError, UnavailableError, WakingError

log = logging.getLogger(__name__)

WAITING_SECONDS_MAX: Final = 10.0
"""Time for which a request waits until its room is woken: a person has given up by then.

Beyond it 503 `room-waking`; the waking continues.
"""
WAKINGS_MAX: Final = 8
"""Rooms that are woken at once: more would compete for the disk, and none would be in time.

Beyond them 503 `busy`.
"""
WAKE_AGAIN_SECONDS: Final = 2.0
"""Pause before a room that could not be woken is tried again."""

QueueName = Literal["writing", "reading", "searching"]

Wake = Callable[[RoomId], Awaitable[None]]
"""Wakes a room if it is hibernated. Raises ShardError."""


class WaitingTask(NamedTuple):
    """A task, the queue that it is for, and the end of its wait by the event loop's clock."""

    queue: QueueName
    task: Task
    until: float


class Suspension:
    """The suspension of one room, with its waiting tasks. `requested` is set as soon as there is one."""

    def __init__(self, waiting_max: int) -> None:
        self.requested = asyncio.Event()
        self._waiting: dict[int, tuple[WaitingTask, asyncio.TimerHandle]] = {}
        self._waiting_max = waiting_max

    @property
    def load(self) -> int:
        """The count of waiting tasks."""
        return len(self._waiting)

    def hold(self, waiting: WaitingTask) -> None:
        """Add a waiting task; raises ShardBusyError when there are too many."""
        if len(self._waiting) >= self._waiting_max:
            raise ShardBusyError(f"{self._waiting_max} requests of this room wait already.")
        key = id(waiting.task)
        self._waiting[key] = waiting, asyncio.get_running_loop().call_at(waiting.until, self._give_up, key)
        self.requested.set()

    def _give_up(self, key: int) -> None:
        waiting, _ = self._waiting.pop(key)
        _refuse(
            waiting.task, WakingError("This room is being brought back from object storage; ask again in a moment.")
        )

    def end(self, resume: Callable[[WaitingTask], None]) -> None:
        """Resume all waiting tasks, in their order; a ShardError of `resume` is the result of its task."""
        released, self._waiting = self._waiting, {}
        for waiting, timer in released.values():
            timer.cancel()
            try:
                resume(waiting)
            except ShardError as error:
                _refuse(waiting.task, error)


def _refuse(task: Task, error: Exception) -> None:
    if not task.future.done():
        task.future.set_exception(error)


class Suspensions:
    """The suspensions of all rooms. `has_file` tells if a room's file exists, `enqueue` puts a task into a queue."""

    def __init__(
        self,
        has_file: Callable[[RoomId], bool],
        enqueue: Callable[[RoomId, QueueName, Task], None],
        *,
        waiting_max: int,
    ) -> None:
        self._has_file = has_file
        self._enqueue = enqueue
        self._waiting_max = waiting_max
        self._wake: Wake | None = None
        self._by_room: dict[RoomId, Suspension] = {}
        self._wakings: set[asyncio.Task[None]] = set()
        self._unconfirmed: set[RoomId] = set()
        self._failed: dict[RoomId, tuple[ShardError, float]] = {}

    @property
    def load(self) -> int:
        """The count of waiting tasks."""
        return sum(suspension.load for suspension in self._by_room.values())

    def __bool__(self) -> bool:
        return bool(self._by_room)

    def wake_with(self, wake: Wake) -> None:
        """Set the function that wakes rooms; it is called at requests for rooms without a file."""
        self._wake = wake

    def require_wake(self, room_id: RoomId) -> None:
        """Require a call of `wake` before a room's file is opened again, even if it exists: it may be out of date."""
        self._unconfirmed.add(room_id)

    def must_wake(self, room_id: RoomId) -> bool:
        """Tell whether `wake` has to be called before a room is opened."""
        return self._wake is not None and (room_id in self._unconfirmed or not self._has_file(room_id))

    def is_shut(self, room_id: RoomId) -> bool:
        """Tell whether a room is suspended now."""
        return room_id in self._by_room

    def hold(self, room_id: RoomId, queue: QueueName, task: Task, *, is_open: bool, until: float | None = None) -> bool:
        """Let a task wait if its room is suspended, or must be woken because it is not open; return whether it waits.

        Raises ShardBusyError when too many wait, and the error of the last waking if that was a moment ago.
        """
        suspension = self._by_room.get(room_id)
        if suspension is None and not is_open and self.must_wake(room_id):
            suspension = self._begin_waking(room_id)
        if suspension is None:
            return False
        suspension.hold(WaitingTask(queue, task, until or asyncio.get_running_loop().time() + WAITING_SECONDS_MAX))
        return True

    @asynccontextmanager
    async def shut(self, room_id: RoomId, rest: Callable[[RoomId], Awaitable[None]]) -> AsyncIterator[Suspension]:
        """Suspend a room for the block, which begins when `rest` has returned.

        Raises ShardBusyError when the room is suspended already, and the errors of `rest`.
        """
        if room_id in self._by_room:
            raise ShardBusyError("This room is just being hibernated or woken.")
        suspension = self._by_room[room_id] = Suspension(self._waiting_max)
        try:
            await rest(room_id)
            yield suspension
        finally:
            del self._by_room[room_id]
            suspension.end(lambda waiting: self._resume(room_id, waiting))

    def _resume(self, room_id: RoomId, waiting: WaitingTask) -> None:
        if not self.hold(room_id, waiting.queue, waiting.task, is_open=False, until=waiting.until):
            self._enqueue(room_id, waiting.queue, waiting.task)

    def _begin_waking(self, room_id: RoomId) -> Suspension:
        loop = asyncio.get_running_loop()
        error, again_at = self._failed.get(room_id, (None, 0.0))
        if error is not None and loop.time() < again_at:
            # Raised for every request: a kept traceback would grow with each.
            raise error.with_traceback(None)
        if len(self._wakings) >= WAKINGS_MAX:
            raise ShardBusyError(f"{WAKINGS_MAX} rooms are being brought back from object storage already.")
        suspension = self._by_room[room_id] = Suspension(self._waiting_max)
        waking = loop.create_task(self._wake_room(room_id, suspension))
        self._wakings.add(waking)
        waking.add_done_callback(self._wakings.discard)
        return suspension

    async def _wake_room(self, room_id: RoomId, suspension: Suspension) -> None:
        assert self._wake is not None
        failure: ShardError | None = UnavailableError("The server is shutting down.")
        self._unconfirmed.add(room_id)
        try:
            await self._wake(room_id)
            failure = None
            self._unconfirmed.discard(room_id)
            self._failed.pop(room_id, None)
        except ShardError as error:
            failure = error
            self._failed[room_id] = error, asyncio.get_running_loop().time() + WAKE_AGAIN_SECONDS
        except Exception:  # the waiting tasks need a result, whatever the error is
            log.exception("a room could not be woken", extra={"room_id": room_id})
            failure = UnavailableError("This room could not be brought back from object storage; ask again.")
        finally:
            del self._by_room[room_id]
            suspension.end(lambda waiting: self._resume_woken(room_id, waiting, failure))

    def _resume_woken(self, room_id: RoomId, waiting: WaitingTask, failure: ShardError | None) -> None:
        if failure is not None:
            raise failure.with_traceback(None)
        self._enqueue(room_id, waiting.queue, waiting.task)

    async def close(self) -> None:
        """Cancel the wakings under way; the tasks that wait for them are refused."""
        for waking in list(self._wakings):
            waking.cancel()
        await asyncio.gather(*self._wakings, return_exceptions=True)

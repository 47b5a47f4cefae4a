"""Gates before rooms that nobody is let into for a moment, because their files are being put away or brought back.

Whoever comes meanwhile waits, for a bounded time, and goes on by itself. A room whose file is not there is brought back
when it is asked for: once, however many ask. Lives on one event loop.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Literal, NamedTuple

from ids import RoomId
from shard.errors import ShardBusyError, ShardError, UnavailableError, WakingError
from shard.lanes import Task

log = logging.getLogger(__name__)

WAITING_SECONDS_MAX: Final = 10.0
"""How long a request waits for its room to be brought back before it is told to ask again: whoever waits for a page has
given up by then."""
WAKINGS_MAX: Final = 8
"""Rooms that are brought back at once: more would fight for the disk, and none would be in time."""
WAKE_AGAIN_SECONDS: Final = 2.0
"""A room that could not be brought back is tried again this often at most."""

LaneName = Literal["writing", "reading", "searching"]

Wake = Callable[[RoomId], Awaitable[None]]
"""Brings the file of a room that is hibernated back, and does nothing for one that is not. Raises ShardError."""


class Held(NamedTuple):
    """A task that waits, the lane it goes into, and until when it waits, by the event loop's clock."""

    lane: LaneName
    task: Task
    until: float


class Gate:
    """One shut room. `wanted` is set as soon as somebody waits."""

    def __init__(self, held_max: int) -> None:
        self.wanted = asyncio.Event()
        self._held: dict[int, tuple[Held, asyncio.TimerHandle]] = {}
        self._held_max = held_max

    @property
    def load(self) -> int:
        """Tasks that wait."""
        return len(self._held)

    def hold(self, held: Held) -> None:
        """Have a task wait; raises ShardBusyError when too many do."""
        if len(self._held) >= self._held_max:
            raise ShardBusyError(f"{self._held_max} requests of this room wait already.")
        key = id(held.task)
        self._held[key] = held, asyncio.get_running_loop().call_at(held.until, self._give_up, key)
        self.wanted.set()

    def _give_up(self, key: int) -> None:
        held, _ = self._held.pop(key)
        _refuse(held.task, WakingError("This room is being brought back from object storage; ask again in a moment."))

    def open(self, admit: Callable[[Held], None]) -> None:
        """Let everything that waits go on, in its order; what cannot be admitted hears why."""
        waiting, self._held = self._held, {}
        for held, timer in waiting.values():
            timer.cancel()
            try:
                admit(held)
            except ShardError as error:
                _refuse(held.task, error)


def _refuse(task: Task, error: Exception) -> None:
    if not task.future.done():
        task.future.set_exception(error)


class Gates:
    """The gates of all rooms. `has_file` tells whether a room's file stands, `admit` puts a task into its lane."""

    def __init__(
        self, has_file: Callable[[RoomId], bool], admit: Callable[[RoomId, LaneName, Task], None], *, held_max: int
    ) -> None:
        self._has_file = has_file
        self._admit = admit
        self._held_max = held_max
        self._wake: Wake | None = None
        self._gates: dict[RoomId, Gate] = {}
        self._wakings: set[asyncio.Task[None]] = set()
        self._doubted: set[RoomId] = set()
        self._failed: dict[RoomId, tuple[ShardError, float]] = {}

    @property
    def load(self) -> int:
        """Tasks that wait."""
        return sum(gate.load for gate in self._gates.values())

    def __bool__(self) -> bool:
        return bool(self._gates)

    def wake_with(self, wake: Wake) -> None:
        """Have rooms without a file brought back by `wake` when they are asked for."""
        self._wake = wake

    def doubt(self, room_id: RoomId) -> None:
        """Have `wake` asked before a room's file is opened again, even if it stands: it may be the room no more."""
        self._doubted.add(room_id)

    def must_wake(self, room_id: RoomId) -> bool:
        """Tell whether a room that is not open has to be brought back, or asked about, before it is."""
        return self._wake is not None and (room_id in self._doubted or not self._has_file(room_id))

    def is_shut(self, room_id: RoomId) -> bool:
        """Tell whether nobody is let into a room now."""
        return room_id in self._gates

    def hold(self, room_id: RoomId, lane: LaneName, task: Task, *, is_open: bool, until: float | None = None) -> bool:
        """Have a task wait if its room is shut, or must be brought back because it is not open; return whether it does.

        Raises ShardBusyError when too many wait, and what the last waking raised where that is a moment ago.
        """
        gate = self._gates.get(room_id)
        if gate is None and not is_open and self.must_wake(room_id):
            gate = self._begin_waking(room_id)
        if gate is None:
            return False
        gate.hold(Held(lane, task, until or asyncio.get_running_loop().time() + WAITING_SECONDS_MAX))
        return True

    @asynccontextmanager
    async def shut(self, room_id: RoomId, rest: Callable[[RoomId], Awaitable[None]]) -> AsyncIterator[Gate]:
        """Let nobody into a room while the block lasts, which begins when `rest` has returned.

        Raises ShardBusyError when the room is shut already, and what `rest` raises.
        """
        if room_id in self._gates:
            raise ShardBusyError("This room is just being hibernated or woken.")
        gate = self._gates[room_id] = Gate(self._held_max)
        try:
            await rest(room_id)
            yield gate
        finally:
            del self._gates[room_id]
            gate.open(lambda held: self._let_in(room_id, held))

    def _let_in(self, room_id: RoomId, held: Held) -> None:
        if not self.hold(room_id, held.lane, held.task, is_open=False, until=held.until):
            self._admit(room_id, held.lane, held.task)

    def _begin_waking(self, room_id: RoomId) -> Gate:
        loop = asyncio.get_running_loop()
        error, again_at = self._failed.get(room_id, (None, 0.0))
        if error is not None and loop.time() < again_at:
            # Raised for every request: a kept traceback would grow with each.
            raise error.with_traceback(None)
        if len(self._wakings) >= WAKINGS_MAX:
            raise ShardBusyError(f"{WAKINGS_MAX} rooms are being brought back from object storage already.")
        gate = self._gates[room_id] = Gate(self._held_max)
        waking = loop.create_task(self._bring_back(room_id, gate))
        self._wakings.add(waking)
        waking.add_done_callback(self._wakings.discard)
        return gate

    async def _bring_back(self, room_id: RoomId, gate: Gate) -> None:
        assert self._wake is not None
        failure: ShardError | None = UnavailableError("The server is shutting down.")
        self._doubted.add(room_id)
        try:
            await self._wake(room_id)
            failure = None
            self._doubted.discard(room_id)
            self._failed.pop(room_id, None)
        except ShardError as error:
            failure = error
            self._failed[room_id] = error, asyncio.get_running_loop().time() + WAKE_AGAIN_SECONDS
        except Exception:  # whatever it is, those who wait hear that it did not work
            log.exception("a room could not be woken", extra={"room_id": room_id})
            failure = UnavailableError("This room could not be brought back from object storage; ask again.")
        finally:
            del self._gates[room_id]
            gate.open(lambda held: self._after_waking(room_id, held, failure))

    def _after_waking(self, room_id: RoomId, held: Held, failure: ShardError | None) -> None:
        if failure is not None:
            raise failure.with_traceback(None)
        self._admit(room_id, held.lane, held.task)

    async def close(self) -> None:
        """End the wakings that are under way; whoever waits for one hears it."""
        for waking in list(self._wakings):
            waking.cancel()
        await asyncio.gather(*self._wakings, return_exceptions=True)

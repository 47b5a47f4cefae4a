"""Positions of a client in its rooms. The numbers of a room's events follow each other: a missing or repeated one is an
error.

There are two positions in each room: of what was received, from where a new connection resumes; and of what was taken
by iterating, which is what a program keeps.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rookery.client import events as client_events
from rookery.client.errors import SequenceError
from rookery.client.event_queue import BYTES_MAX, PAUSE_BYTES, EventQueue
from rookery.client.events import Event, Fields, Happening, Resumed, Resync

RESUMED_MAX: Final = 1_000
"""Rooms that a server lets one client resume, as many as it may be subscribed to.

Other rooms begin with a `Resync`.
"""


class Positions:
    """Passes happenings from the connection to the iterator, and follows both in each room.

    `reconnect_is_due` is set when frames were dropped because too much waited, and there is space again.
    """

    def __init__(self, positions: Mapping[str, int], may_read: asyncio.Event) -> None:
        self._received = dict(positions)
        self._unsubscribed: set[str] = set()
        self._queue = EventQueue()
        self._may_read = may_read
        self.taken = dict(positions)
        self.is_dropping = False
        self.reconnect_is_due = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Return whether reading should stop; frames that are read only to be dropped do not count."""
        return self._queue.is_full and not self.is_dropping

    def resume(self) -> dict[str, int]:
        """Return the positions to resume from; of too many rooms, of those that were subscribed last."""
        return dict(list(self._received.items())[-RESUMED_MAX:])

    async def next(self) -> Happening:
        """Return the next happening; raises the error that ended the client."""
        while True:
            item = await self._queue.take()
            self._may_read.set()
            if self.is_dropping and not self._queue.is_full:
                self.reconnect_is_due.set()
            for room_id, position in item.positions.items():
                if position is None:
                    self.taken.pop(room_id, None)
                else:
                    self.taken[room_id] = position
            if item.happening is not None:
                return item.happening

    def end(self, error: Exception) -> None:
        """Raise an error after what waits."""
        self._queue.end(error)

    def receive_ready(self, d: Fields, size: int) -> list[str]:
        """Receive `ready`, and return the rooms in it that the client unsubscribed from."""
        self.reconnect_is_due.clear()
        self.is_dropping = False
        resumed, missed = self.resume(), []
        ready = client_events.ready(d)
        rooms = [room_id for room_id in ready.rooms if room_id not in self._unsubscribed]
        for room_id in rooms:
            if room_id not in resumed:
                last_seq = ready.rooms[room_id]["last_seq"]
                if self._received.get(room_id, last_seq) != last_seq:
                    missed.append(Resync(room_id, last_seq, "too_many_rooms"))
                self._received[room_id] = last_seq
        if not self._drops():
            # However many rooms it has, there must be space beside it.
            self._queue.put(ready, {room_id: self._received[room_id] for room_id in rooms}, min(size, PAUSE_BYTES))
            for resync in missed:
                self._queue.put(resync, {}, 0)
        return [room_id for room_id in ready.rooms if room_id in self._unsubscribed]

    def subscribe(self, room_id: str, position: int) -> None:
        """Begin with a room at a position, unless it is subscribed already."""
        self._unsubscribed.discard(room_id)
        if room_id not in self._received:
            self._received[room_id] = position
            self._queue.put(None, {room_id: position}, 0)

    def unsubscribe(self, room_id: str) -> None:
        """Drop a room, also on later connections, until it is subscribed again."""
        self._unsubscribed.add(room_id)
        self._received.pop(room_id, None)
        self.taken.pop(room_id, None)
        self._queue.forget(room_id)

    def _drops(self) -> bool:
        self.is_dropping = self.is_dropping or self._queue.size > BYTES_MAX
        return self.is_dropping

    def receive(self, op: str, d: Fields, size: int) -> None:
        """Receive a frame about a room or the user; raises SequenceError."""
        room_id = d.get("room_id")
        if room_id is None:
            if not self._drops():
                for happening in client_events.other_happenings(op, d):
                    self._queue.put(happening, {}, size)
            return
        if self._drops():
            if op == "joined":
                self._received.setdefault(room_id, d["last_seq"])
            return
        if op == "joined":
            self._unsubscribed.discard(room_id)
            self._received[room_id] = d["last_seq"]
        elif room_id not in self._received:
            # On its way when the room was dropped.
            return
        if op == "events":
            self._receive_events(room_id, d, size)
            return
        happenings = client_events.other_happenings(op, d)
        for happening in happenings:
            self._queue.put(happening, self._advance(room_id, happening), size // len(happenings))

    def _advance(self, room_id: str, happening: Happening) -> dict[str, int | None]:
        """Return the position that a happening other than an event leads to."""
        match happening:
            case Resync(seq=seq):
                self._received[room_id] = seq
            case Resumed(seq=seq) if seq != self._received[room_id]:
                raise SequenceError(room_id, self._received[room_id], seq)
            case client_events.Removed():
                del self._received[room_id]
                return {room_id: None}
            case client_events.Joined() | Resumed():
                pass
            case _:
                return {}
        return {room_id: self._received[room_id]}

    def _receive_events(self, room_id: str, d: Fields, size: int) -> None:
        events = [client_events.event(room_id, one) for one in d["events"]]
        steps = follow(room_id, self._received[room_id], events, d["skipped"])
        self._received[room_id] = steps[-1][1]
        for event, position in steps:
            self._queue.put(event, {room_id: position}, size // len(steps))


Step = tuple[Event | None, int]
"""An event, and the position after it and the hidden ones behind it."""


def follow(room_id: str, position: int, events: Iterable[Event], skipped: Iterable[Sequence[int]]) -> list[Step]:
    """Return the steps of a frame from a position, at least one; raises SequenceError if it does not follow there.

    A span of hidden events may begin below the position.
    """
    numbers: list[tuple[int, int, Event | None]] = [(event.seq, event.seq, event) for event in events]
    numbers += [(first, last, None) for first, last in skipped]
    steps: list[Step] = []
    for first, last, event in sorted(numbers, key=lambda number: number[0]):
        if first > position + 1 or (event is not None and first <= position):
            raise SequenceError(room_id, position, first)
        position = max(position, last)
        if event is not None:
            steps.append((event, position))
        elif steps:
            steps[-1] = (steps[-1][0], position)
    return steps or [(None, position)]

"""How far a client has heard each room. The numbers of a room's events follow each other: what is missing or comes
twice is an error, not something to go on from.

There are two places in each room: how far was heard, from where a new connection goes on; and how far was taken by
whoever iterates, which is what they keep.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rookery.client import happenings
from rookery.client.errors import SequenceError
from rookery.client.happenings import Event, Fields, Happening, Resumed, Resync
from rookery.client.inboxes import BYTES_MAX, PAUSE_BYTES, Inbox

RESUMED_MAX: Final = 1_000
"""Rooms of which a server lets one client go on; so many does it hear at most."""


class Hearing:
    """What comes of rooms, from the connection to whoever iterates.

    `renewal` is set when something was left out because too much waited, and now there is room: connect anew.
    """

    def __init__(self, places: Mapping[str, int], go_on: asyncio.Event) -> None:
        self._heard = dict(places)
        self._left: set[str] = set()
        self._inbox = Inbox()
        self._go_on = go_on
        self.places = dict(places)
        self.leaves_out = False
        self.renewal = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be read; what is read only to be left out does not count."""
        return self._inbox.is_full and not self.leaves_out

    def resume(self) -> dict[str, int]:
        """Return the places that a new connection goes on from; of too many rooms, of those that were begun last."""
        return dict(list(self._heard.items())[-RESUMED_MAX:])

    async def next(self) -> Happening:
        """Return what happened next; raises why nothing more will."""
        while True:
            item = await self._inbox.take()
            self._go_on.set()
            if self.leaves_out and not self._inbox.is_full:
                self.renewal.set()
            for room_id, place in item.places.items():
                if place is None:
                    self.places.pop(room_id, None)
                else:
                    self.places[room_id] = place
            if item.happening is not None:
                return item.happening

    def end(self, error: Exception) -> None:
        """Let nothing more come after what waits."""
        self._inbox.end(error)

    def greet(self, d: Fields, size: int) -> list[str]:
        """Take in `ready`, and return the rooms that one hears again though one does not want to."""
        self.renewal.clear()
        self.leaves_out = False
        resumed, missed = self.resume(), []
        greeting = happenings.ready(d)
        rooms = [room_id for room_id in greeting.rooms if room_id not in self._left]
        for room_id in rooms:
            if room_id not in resumed:
                last_seq = greeting.rooms[room_id]["last_seq"]
                if self._heard.get(room_id, last_seq) != last_seq:
                    missed.append(Resync(room_id, last_seq, "too_many_rooms"))
                self._heard[room_id] = last_seq
        if not self._has_no_room():
            # However many rooms there are, there must be room beside it.
            self._inbox.put(greeting, {room_id: self._heard[room_id] for room_id in rooms}, min(size, PAUSE_BYTES))
            for resync in missed:
                self._inbox.put(resync, {}, 0)
        return [room_id for room_id in greeting.rooms if room_id in self._left]

    def begin(self, room_id: str, place: int) -> None:
        """Hear a room from a place on, unless it is heard already."""
        self._left.discard(room_id)
        if room_id not in self._heard:
            self._heard[room_id] = place
            self._inbox.put(None, {room_id: place}, 0)

    def leave(self, room_id: str) -> None:
        """Hear nothing more of a room, also on later connections, until it is begun again."""
        self._left.add(room_id)
        self._heard.pop(room_id, None)
        self.places.pop(room_id, None)
        self._inbox.forget(room_id)

    def _has_no_room(self) -> bool:
        self.leaves_out = self.leaves_out or self._inbox.size > BYTES_MAX
        return self.leaves_out

    def take_in(self, op: str, d: Fields, size: int) -> None:
        """Take in what the server tells of a room; raises SequenceError."""
        room_id = d["room_id"]
        if self._has_no_room():
            if op == "joined":
                self._heard.setdefault(room_id, d["last_seq"])
            return
        if op == "joined":
            self._left.discard(room_id)
            self._heard[room_id] = d["last_seq"]
        elif room_id not in self._heard:
            # On its way when the room was left.
            return
        if op == "events":
            self._hear(room_id, d, size)
            return
        told = happenings.told(op, d)
        for happening in told:
            self._inbox.put(happening, self._moved(room_id, happening), size // len(told))

    def _moved(self, room_id: str, happening: Happening) -> dict[str, int | None]:
        """Return the place that something other than an event leads to."""
        match happening:
            case Resync(seq=seq):
                self._heard[room_id] = seq
            case Resumed(seq=seq) if seq != self._heard[room_id]:
                raise SequenceError(room_id, self._heard[room_id], seq)
            case happenings.Removed():
                del self._heard[room_id]
                return {room_id: None}
            case happenings.Joined() | Resumed():
                pass
            case _:
                return {}
        return {room_id: self._heard[room_id]}

    def _hear(self, room_id: str, d: Fields, size: int) -> None:
        events = [happenings.event(room_id, one) for one in d["events"]]
        steps = follow(room_id, self._heard[room_id], events, d["skipped"])
        self._heard[room_id] = steps[-1][1]
        for event, place in steps:
            self._inbox.put(event, {room_id: place}, size // len(steps))


Step = tuple[Event | None, int]
"""An event and the place that one has after it, and after the hidden ones behind it."""


def follow(room_id: str, place: int, events: Iterable[Event], skipped: Iterable[Sequence[int]]) -> list[Step]:
    """Return where a frame leads from a place, at least one step; raises SequenceError if it does not follow there.

    A span of hidden events may begin below the place.
    """
    numbers: list[tuple[int, int, Event | None]] = [(event.seq, event.seq, event) for event in events]
    numbers += [(first, last, None) for first, last in skipped]
    steps: list[Step] = []
    for first, last, event in sorted(numbers, key=lambda number: number[0]):
        if first > place + 1 or (event is not None and first <= place):
            raise SequenceError(room_id, place, first)
        place = max(place, last)
        if event is not None:
            steps.append((event, place))
        elif steps:
            steps[-1] = (steps[-1][0], place)
    return steps or [(None, place)]

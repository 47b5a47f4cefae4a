"""Clients of the gateway's benchmarks: listeners that only count, samples that read each event, and senders."""

import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from bench.gateway_client import Client, Crowd
from bench.gateway_world import Person, Room
from bench.traffic import TEXT

STAMP = re.compile(rb"@(\d{19})")
"""The load's clock in nanoseconds at the send, in the text of a message."""


def stamped() -> bytes:
    """Return the text of a message sent now: 80 bytes."""
    return TEXT[:60].encode() + b"@%019d" % time.perf_counter_ns()


def op_of(payload: memoryview) -> bytes:
    """Return the op of a frame of the server, without reading its JSON: `op` comes first."""
    return bytes(payload[7:19]).partition(b'"')[0]


class Listener(Client):
    """A client that receives everything, and from `ready` on only counts it."""

    def __init__(self, port: int, person: Person) -> None:
        super().__init__(port)
        self._person = person
        self.is_ready = False

    def receive_text(self, payload: memoryview) -> None:
        """Identify after `hello`, and count from `ready` on."""
        op = op_of(payload)
        if op == b"hello":
            self.send_text(b'{"op":"identify","d":{"token":"%b"}}' % self._person.token.encode())
        elif op == b"ready":
            self.is_ready = True
            self.readable = self.count
        elif op != b"presences":
            raise AssertionError(bytes(payload[:500]))


class Sample(Listener):
    """A client that reads everything: `events` of the room, in `frames`, and the age of each, in milliseconds."""

    def __init__(self, port: int, person: Person) -> None:
        super().__init__(port, person)
        self.events = self.frames = 0
        self.ages: list[float] = []
        self.last = b""

    def receive_text(self, payload: memoryview) -> None:
        """Note the ages of the events in a frame."""
        if op_of(payload) != b"events":
            super().receive_text(payload)
            self.readable = self.read
            return
        now = time.perf_counter_ns()
        self.last = bytes(payload)
        ages = [(now - int(stamp)) / 1e6 for stamp in STAMP.findall(self.last)]
        self.ages += ages
        self.events += len(ages)
        self.frames += 1


class Sender(Client):
    """A client that sends into one room, and receives its events only if it `listens`. `on_ok` is called when a message
    is stored."""

    def __init__(
        self, port: int, person: Person, room: Room, mark: str, on_ok: "Callable[[Sender], None]", *, listens: bool
    ) -> None:
        super().__init__(port)
        self._person = person
        self._listens = listens
        self._on_ok = on_ok
        self._beginning = b'{"op":"send","ref":1,"d":{"room_id":"%d","channel_id":"%d","nonce":"%b-' % (
            room.id,
            room.channel_id,
            mark.encode(),
        )
        self._unsubscribe = b'{"op":"unsubscribe","ref":0,"d":{"room_id":"%d"}}' % room.id
        self.is_ready = False
        self.sent = 0
        self._sent_at: deque[int] = deque()
        self.latencies: list[float] = []
        """Latencies of the stored messages, in milliseconds."""

    def receive_text(self, payload: memoryview) -> None:
        """Identify after `hello`; note every answer."""
        op = op_of(payload)
        if op == b"hello":
            self.send_text(b'{"op":"identify","d":{"token":"%b"}}' % self._person.token.encode())
        elif op == b"ready":
            if self._listens:
                self.is_ready = True
            else:
                self.send_text(self._unsubscribe)
        elif op == b"ok":
            if self.is_ready:
                self.latencies.append((time.perf_counter_ns() - self._sent_at.popleft()) / 1e6)
                self._on_ok(self)
            self.is_ready = True
        elif op not in (b"events", b"presences"):
            raise AssertionError(bytes(payload[:500]))

    def send(self) -> None:
        """Send the next message, with the time in it. Answers of one connection come in the order of its messages."""
        self.sent += 1
        self._sent_at.append(time.perf_counter_ns())
        self.send_text(self._beginning + b'%d","content":"%b"}}' % (self.sent, stamped()))


def open_senders(
    crowd: Crowd,
    port: int,
    room: Room,
    mark: str,
    on_ok: Callable[[Sender], None],
    *,
    people: Sequence[Person],
    listens: bool = False,
) -> list[Sender]:
    """Connect a sender for each person, and wait until all may send."""
    makers = [
        partial(Sender, port, person, room, f"{mark}-{at}", on_ok, listens=listens) for at, person in enumerate(people)
    ]
    senders: list[Sender] = []
    for client in crowd.open(makers):
        assert isinstance(client, Sender)
        senders.append(client)
    crowd.turn_until(lambda: all(sender.is_ready for sender in senders), 60)
    return senders


def open_listeners(crowd: Crowd, port: int, people: Sequence[Person], samples: int) -> list[Listener]:
    """Connect a listener for each person, the first few of them samples, and wait until all are `ready`."""
    kinds = [Sample] * samples + [Listener] * (len(people) - samples)
    makers = [partial(kind, port, person) for kind, person in zip(kinds, people, strict=True)]
    listeners: list[Listener] = []
    for client in crowd.open(makers):
        assert isinstance(client, Listener)
        listeners.append(client)
    crowd.turn_until(lambda: all(listener.is_ready for listener in listeners), 60)
    return listeners

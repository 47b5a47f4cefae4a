"""Fan-out of messages by 64 senders to 1,000 subscribers, beside bare socket writes; and of messages by one sender,
beside uvicorn's own WebSocket protocols."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import gateway_world, servers
from bench.figures import Figure
from bench.gateway_bare import ORDER
from bench.gateway_client import Client, Counter, Crowd, framed
from bench.gateway_people import Sample, Sender, open_listeners, open_senders
from bench.gateway_yardstick import OURS, PROTOCOLS
from bench.servers import Server

LISTENERS, SENDERS, SAMPLES = 1_000, 64, 10
ROUNDS = 3
WARMING = 2_000
EVENTS = 8_000
BARE_EVENTS = 200
HALF_SECONDS = 5.0
SLOW_EVENTS = 200


class Fast(NamedTuple):
    """A run in which all senders send as fast as allowed: events a second, and the share of its core that the load
    itself used."""

    per_second: float
    events_in_frame: float
    load: float


class Slow(NamedTuple):
    """A run with one event under way at a time: milliseconds until a subscriber has it and until the last one has it,
    and microseconds of the server's processor for each."""

    p50: float
    p99: float
    last: float
    cost: float


def measure(folder: Path) -> list[Figure]:
    """Measure the gateway and the bare writes in turns, then everything with one slow sender."""
    servers.pin_load()
    world = gateway_world.build(folder, people=LISTENERS + SENDERS, rooms=1)
    fast: list[Fast] = []
    bare: list[float] = []
    with servers.rookery(folder) as server:
        stage = _Stage(server, world)
        stage.run(WARMING)
        frame = framed(stage.one_event())
        for _ in range(ROUNDS):
            fast.append(stage.run(EVENTS))
            bare.append(_bare(len(frame), BARE_EVENTS))
        rate = median(one.per_second for one in fast)
        ages = stage.run_paced(rate / 2)
        slow = {"the gateway": stage.run_slowly()}
        stage.crowd.close()
    for protocol in (OURS, *PROTOCOLS):
        slow[protocol] = _yardstick(protocol, frame)
    ratios = [one.per_second * LISTENERS / other for one, other in zip(fast, bare, strict=True)]
    own = median(one.load for one in fast)
    return [
        Figure("bare writes of framed events to 1,000 sockets (yardstick)", median(bare), "/s"),
        Figure("events delivered to 1,000 listeners, 64 senders", rate * LISTENERS, "/s"),
        Figure("events delivered, as a multiple of bare writes", median(ratios), at_least=5.0),
        Figure("the same, least of three rounds", min(ratios)),
        Figure("sends acknowledged meanwhile", rate, "/s"),
        Figure("events in a frame meanwhile", median(one.events_in_frame for one in fast)),
        Figure("share of its core that the load used itself", own),
        Figure("age of an event at the client at half of that load, p50", ages[len(ages) // 2], "ms"),
        Figure(
            "age of an event at the client at half of that load, p99", ages[len(ages) * 99 // 100], "ms", at_most=150
        ),
        *_slow_figures(slow),
    ]


def _slow_figures(slow: dict[str, Slow]) -> list[Figure]:
    best = min(slow[protocol].last for protocol in PROTOCOLS)
    figures = []
    for name, one in slow.items():
        figures += [
            Figure(f"one event to 1,000, until the last has it, median: {name}", one.last, "ms"),
            Figure(f"one event to 1,000, age at a client, p99: {name}", one.p99, "ms"),
            Figure(f"one event to 1,000, processor time for each: {name}", one.cost, "µs"),
        ]
    ratio = slow["the gateway"].last / best
    return [*figures, Figure("one event to 1,000, the gateway as a multiple of uvicorn's best", ratio, at_most=1.0)]


class _Stage:
    """A server with its listeners and senders in place."""

    def __init__(self, server: Server, world: gateway_world.World) -> None:
        self._server = server
        self.crowd = Crowd()
        room = world.rooms[0]
        self._listeners = open_listeners(self.crowd, server.port, world.people[:LISTENERS], SAMPLES)
        self._samples = [one for one in self._listeners if isinstance(one, Sample)]
        self._free: list[Sender] = []
        self._left = self._stored = 0
        people = world.people[LISTENERS:]
        self._senders = open_senders(self.crowd, server.port, room, "fan", self._send_next, people=people)
        self.crowd.settle()

    def _send_next(self, sender: Sender) -> None:
        self._stored += 1
        if self._left:
            self._left -= 1
            sender.send()
        else:
            self._free.append(sender)

    def one_event(self) -> bytes:
        """Return a frame of events with a single event."""
        before = [one.received for one in self._listeners]
        self._begin()
        self._senders[0].send()
        self._end(1, before)
        return self._samples[0].last

    def _begin(self) -> None:
        self._left = self._stored = 0
        self._free = []
        for sample in self._samples:
            sample.events = sample.frames = 0
            sample.ages.clear()

    def _end(self, events: int, before: Sequence[int]) -> None:
        """Wait until every subscriber has every event, and ensure that they do."""
        self.crowd.turn_until(
            lambda: self._stored == events and all(one.events == events for one in self._samples), 120
        )
        self.crowd.turn_until(lambda: len(self._gains(before)) == 1, 30)

    def _gains(self, before: Sequence[int]) -> set[int]:
        return {one.received - had for one, had in zip(self._listeners, before, strict=True)}

    def run(self, events: int) -> Fast:
        """Let all senders send, each again as soon as it is answered."""
        before = [one.received for one in self._listeners]
        self._begin()
        used, started = time.process_time(), time.perf_counter()
        self._left = events - len(self._senders)
        for sender in self._senders:
            sender.send()
        self._end(events, before)
        seconds = time.perf_counter() - started
        return Fast(events / seconds, events / self._samples[0].frames, (time.process_time() - used) / seconds)

    def run_paced(self, rate: float) -> list[float]:
        """Send at a rate, and return the ages of all events at the samples, sorted, in milliseconds."""
        before = [one.received for one in self._listeners]
        self._begin()
        self._free = list(self._senders)
        started, sent = time.perf_counter(), 0
        while (seconds := time.perf_counter() - started) < HALF_SECONDS:
            while sent < seconds * rate and self._free:
                self._free.pop().send()
                sent += 1
            self.crowd.turn(0.0005)
        assert sent > 0.98 * rate * HALF_SECONDS, "the senders could not keep the pace"
        self._end(sent, before)
        return sorted(age for sample in self._samples for age in sample.ages)

    def run_slowly(self) -> Slow:
        """Send one event after the other, each when all subscribers have received the one before."""
        self._begin()
        return _one_by_one(self.crowd, self._server, self._listeners, self._senders[0].send)


def _one_by_one(crowd: Crowd, server: Server, listeners: Sequence[Counter], send: Callable[[], None]) -> Slow:
    arrivals: list[float] = []

    def arrived(listener: Counter) -> None:
        listener.count()
        arrivals.append(time.perf_counter())

    for listener in listeners:
        listener.readable = partial(arrived, listener)
    before = [listener.received for listener in listeners]
    ages: list[float] = []
    lasts: list[float] = []
    used = server.processor_seconds()
    for _ in range(SLOW_EVENTS):
        arrivals.clear()
        said = time.perf_counter()
        send()
        crowd.turn_until(lambda: len(arrivals) >= len(listeners), 10)
        crowd.settle(0.005)
        assert len(arrivals) == len(listeners), "every frame comes in one piece"
        ages += [(at - said) * 1000 for at in arrivals]
        lasts.append(ages[-1])
    used = server.processor_seconds() - used
    assert len({one.received - had for one, had in zip(listeners, before, strict=True)}) == 1
    ages.sort()
    cost = used / len(ages) * 1e6
    return Slow(ages[len(ages) // 2], ages[len(ages) * 99 // 100], median(lasts), cost)


def _yardstick(protocol: str, frame: bytes) -> Slow:
    with servers.broadcast(protocol) as server:
        crowd = Crowd()
        clients = list(crowd.open([partial(Client, server.port)] * LISTENERS))
        crowd.settle()
        slow = _one_by_one(crowd, server, clients, partial(clients[0].write, frame))
        crowd.close()
    return slow


def _bare(size: int, events: int) -> float:
    """Return the number of frames of a size that a process writes in a second, each to 1,000 sockets."""
    with servers.bare(LISTENERS) as server:
        crowd = Crowd()
        listeners = [Counter(server.port) for _ in range(LISTENERS)]
        for listener in listeners:
            crowd.add(listener)
        orders = Counter(server.port)
        crowd.add(orders)
        crowd.turn_until(lambda: orders.received == 1, 10)
        started = time.perf_counter()
        orders.socket.sendall(ORDER.pack(events, size) + bytes(size))
        crowd.turn_until(lambda: all(one.received == events * size for one in listeners), 60)
        seconds = time.perf_counter() - started
        crowd.close()
    return events * LISTENERS / seconds

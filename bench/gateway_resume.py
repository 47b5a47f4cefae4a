"""Reconnection of all clients at once after a restart: each far behind in twenty rooms, while others keep sending."""

import time
from functools import partial
from pathlib import Path

from bench import gateway_world, servers
from bench.figures import Figure
from bench.gateway_client import HEARTBEAT, HEARTBEAT_SECONDS, Client, Crowd
from bench.gateway_people import Sender, op_of, open_senders
from bench.gateway_world import Person, Room, World
from bench.traffic import TEXT

CLIENTS = 10_000
ROOMS, ROOMS_EACH = 100, 20
BEHIND = 100
"""Events that each client missed in each of its rooms."""
SENDERS = 8
CALM_SECONDS = 3.0
EVERY_SECONDS = 0.02
"""Interval of the sends meanwhile, in a room of the senders' own."""
CLOCK_SECONDS = 0.1
STORM_SECONDS_MAX = 300.0


class Returning(Client):
    """A client that resumes all of its rooms; notes when it was `ready` and when it had all events."""

    def __init__(self, port: int, person: Person, resume: bytes) -> None:
        super().__init__(port)
        self._identify = b'{"op":"identify","d":{"token":"%b","resume":{%b}}}' % (person.token.encode(), resume)
        self.ready_at = self.done_at = 0.0
        self.resumed = self.events = 0

    def receive_text(self, payload: memoryview) -> None:
        """Identify after `hello`, and count rooms and events."""
        op = op_of(payload)
        if op == b"events":
            self.events += bytes(payload).count(b'"seq":')
        elif op == b"resumed":
            self.resumed += 1
            self.done_at = time.perf_counter()
        elif op == b"ready":
            self.ready_at = time.perf_counter()
        elif op == b"hello":
            self.send_text(self._identify)
        elif op not in (b"presences", b"heartbeat"):
            raise AssertionError(bytes(payload[:500]))


class Stream:
    """Messages at a steady pace from a few senders."""

    def __init__(self, crowd: Crowd, port: int, room: Room) -> None:
        self._free: list[Sender] = []
        self._senders = open_senders(crowd, port, room, "meanwhile", self._free.append, people=room.people)
        self._free.extend(self._senders)
        self._next_at = 0.0

    def begin(self) -> None:
        """Forget what was measured."""
        for sender in self._senders:
            sender.latencies.clear()
        self._next_at = time.perf_counter()

    def send_due(self) -> None:
        """Send the messages that are due, if senders are free."""
        while self._free and time.perf_counter() >= self._next_at:
            self._free.pop().send()
            self._next_at += EVERY_SECONDS

    def latencies(self) -> list[float]:
        """Return the latencies of all stored messages, in milliseconds, sorted."""
        return sorted(latency for sender in self._senders for latency in sender.latencies)


def measure(folder: Path, scale: float = 1.0) -> list[Figure]:
    """Build the site, restart the server, and let all clients reconnect."""
    servers.pin_load()
    count = int(CLIENTS * scale)
    built = time.perf_counter()
    world = gateway_world.build(
        folder, people=count, rooms=ROOMS, rooms_each=ROOMS_EACH, messages=BEHIND, message=TEXT, apart=SENDERS
    )
    built = time.perf_counter() - built
    with servers.rookery(folder) as server:
        crowd = Crowd()
        stream = Stream(crowd, server.port, world.rooms[-1])
        calm = _calm(crowd, stream)
        before = server.memory_mib()
        used = server.processor_seconds()
        clocks: list[tuple[float, float]] = []

        def look() -> None:
            stream.send_due()
            now = time.perf_counter()
            if not clocks or now - clocks[-1][0] > CLOCK_SECONDS:
                clocks.append((now, server.processor_seconds() - used))

        crowd.meanwhile = look
        clients, started = _storm(crowd, server.port, world, stream, count)
        seconds = time.perf_counter() - started
        used = server.processor_seconds() - used
        storm = stream.latencies()
        memory = server.memory_mib() - before
        crowd.close()
    missing = [one for one in clients if one.events < BEHIND * ROOMS_EACH]
    assert not missing, f"{len(missing)} have not got everything"
    ready = sorted(one.ready_at - started for one in clients)
    done = sorted(one.done_at - started for one in clients)
    late = started + ready[len(ready) * 99 // 100]
    events = sum(one.events for one in clients)
    return [
        Figure(f"building {ROOMS} rooms and {count:,} people", built, "s"),
        Figure(f"ready of {count:,} who come back at once, p50", ready[len(ready) // 2], "s"),
        Figure(f"ready of {count:,} who come back at once, p99", ready[len(ready) * 99 // 100], "s", at_most=10.0),
        Figure(f"having resumed {ROOMS_EACH} rooms, {BEHIND} events behind in each, p50", done[len(done) // 2], "s"),
        Figure("the same, last of all", done[-1], "s"),
        Figure(
            "processor time of the server until 99 of 100 were ready",
            next((it for at, it in clocks if at > late), used),
            "s",
        ),
        Figure("processor time of the server until all had everything", used, "s"),
        Figure("events told", events),
        Figure("events told a second", events / seconds, "/s"),
        Figure("memory that the server took for it", memory, "MiB"),
        Figure("sends before, p99", calm[len(calm) * 99 // 100], "ms"),
        Figure("sends meanwhile", len(storm) / seconds, "/s"),
        Figure("sends asked for meanwhile", 1 / EVERY_SECONDS, "/s"),
        Figure("sends meanwhile, p50", storm[len(storm) // 2], "ms"),
        Figure("sends meanwhile, p99", storm[len(storm) * 99 // 100], "ms"),
        Figure("sends meanwhile, slowest", storm[-1], "ms"),
    ]


def _calm(crowd: Crowd, stream: Stream) -> list[float]:
    stream.begin()
    crowd.meanwhile = stream.send_due
    crowd.read_for(CALM_SECONDS)
    return stream.latencies()


def _storm(crowd: Crowd, port: int, world: World, stream: Stream, count: int) -> tuple[list[Returning], float]:
    """Let all clients connect and resume; return them when all have every event, and the time of the beginning."""
    missed: dict[Person, list[bytes]] = {person: [] for person in world.people}
    for room in world.rooms[:ROOMS]:
        place = b'"%d":%d' % (room.id, room.last_seq - BEHIND)
        for person in room.people:
            missed[person].append(place)
    makers = [partial(Returning, port, person, b",".join(missed[person])) for person in world.people[:count]]
    clients: list[Returning] = []
    started = time.perf_counter()
    stream.begin()
    for client in crowd.open(makers):
        assert isinstance(client, Returning)
        clients.append(client)
    waiting = set(clients)
    said = time.monotonic()

    def is_done() -> bool:
        waiting.difference_update([one for one in waiting if one.resumed == ROOMS_EACH])
        return not waiting

    while not is_done():
        assert time.perf_counter() - started < STORM_SECONDS_MAX, f"{len(waiting)} are still waiting"
        crowd.read_for(0.2)
        if time.monotonic() - said > HEARTBEAT_SECONDS:
            said = time.monotonic()
            for client in clients:
                client.send_text(HEARTBEAT)
    crowd.meanwhile = None
    return clients, started

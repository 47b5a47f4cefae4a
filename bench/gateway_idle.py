"""Cost of connections that only send heartbeats: memory of each, and processor time; beside the same over uvicorn's own
WebSocket protocols."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench import gateway_world, servers
from bench.figures import Figure
from bench.gateway_client import HEARTBEAT, HEARTBEAT_SECONDS, Client, Crowd
from bench.gateway_people import Listener, open_listeners
from bench.gateway_yardstick import OURS, PROTOCOLS
from bench.servers import Server

CONNECTIONS = 5_000
ROOMS, ROOMS_EACH = 50, 5
YARDSTICK_SECONDS = 20.0
"""The interval of uvicorn's pings."""
CALM_SECONDS = 12.0
"""Time until all presences are delivered."""


def measure(folder: Path, scale: float = 1.0) -> list[Figure]:
    """Connect many clients to a new server, leave them idle for half a minute, and do the same with uvicorn's
    protocols."""
    servers.pin_load()
    count = int(CONNECTIONS * scale)
    return _product(folder, count) + [one for protocol in (OURS, *PROTOCOLS) for one in _yardstick(protocol, count)]


def _product(folder: Path, count: int) -> list[Figure]:
    world = gateway_world.build(folder, people=count, rooms=ROOMS, rooms_each=ROOMS_EACH, messages=10)
    with servers.rookery(folder) as server:
        crowd = Crowd()
        open_listeners(crowd, server.port, world.people[:1], 0)  # for the memory that all connections share
        crowd.settle()
        empty = server.memory_mib()
        opened = time.perf_counter()
        listeners = open_listeners(crowd, server.port, world.people[1:], 0)
        seconds = time.perf_counter() - opened
        crowd.read_for(CALM_SECONDS)
        full = server.memory_mib()
        share = _idle_share(crowd, server, listeners)
        later = server.memory_mib()
        crowd.close()
    return [
        Figure("memory of the server before", empty, "MiB"),
        Figure(
            f"memory of a connection in {ROOMS_EACH} rooms, of {count:,}", _each(full - empty, count), "KiB", at_most=40
        ),
        Figure("the same after half a minute of heartbeats", _each(later - empty, count), "KiB"),
        Figure(f"processor of the server while {count:,} idle, heartbeats included", share * 100, "%", at_most=2.0),
        Figure(f"connecting {count:,}, one after the other answered", seconds, "s"),
    ]


def _each(mib: float, count: int) -> float:
    return mib * 1024 / (count - 1)


def _idle_share(crowd: Crowd, server: Server, listeners: Sequence[Listener]) -> float:
    """Let every client send one heartbeat in half a minute, and return the share of a core that this takes."""
    used, started, said = server.processor_seconds(), time.monotonic(), 0
    while (seconds := time.monotonic() - started) < HEARTBEAT_SECONDS:
        while said < len(listeners) * seconds / HEARTBEAT_SECONDS:
            listeners[said].send_text(HEARTBEAT)
            said += 1
        crowd.turn(0.01)
    return (server.processor_seconds() - used) / seconds


def _yardstick(protocol: str, count: int) -> list[Figure]:
    with servers.broadcast(protocol) as server:
        crowd = Crowd()
        list(crowd.open([partial(Client, server.port)]))
        crowd.settle()
        empty = server.memory_mib()
        list(crowd.open([partial(Client, server.port)] * (count - 1)))
        crowd.settle()
        each = _each(server.memory_mib() - empty, count)
        used = server.processor_seconds()
        crowd.read_for(YARDSTICK_SECONDS)
        share = (server.processor_seconds() - used) / YARDSTICK_SECONDS
        crowd.close()
    return [
        Figure(f"memory of a connection with nothing behind it: {protocol}", each, "KiB"),
        Figure(f"processor while these idle, the protocol's own pings included: {protocol}", share * 100, "%"),
    ]

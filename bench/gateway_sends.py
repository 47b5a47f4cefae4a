"""Sends over the gateway beside sends over HTTP: the same room, the same messages, 64 connections, in turns."""

import time
from pathlib import Path
from statistics import median

from bench import gateway_world, load, servers
from bench.figures import Figure
from bench.gateway_client import Crowd
from bench.gateway_people import Sender, open_senders
from bench.gateway_world import Room
from bench.traffic import CONNECTIONS, bodies

ROUNDS = 5
AT_ONCE = 4
"""Messages of one connection under way at the same time, which HTTP does not allow on one connection."""
SENDS = 10_000
WARMING = 2_000


def measure(folder: Path) -> list[Figure]:
    """Send by HTTP, over the gateway, and over connections that also receive the room's events, round by round."""
    servers.pin_load()
    world = gateway_world.build(folder, people=CONNECTIONS, rooms=1)
    http: list[float] = []
    gateway: list[float] = []
    ahead: list[float] = []
    hearing: list[float] = []
    tails: list[float] = []
    costs: dict[str, list[float]] = {"http": [], "gateway": []}
    with servers.rookery(folder) as server:
        _by_http(server, world.rooms[0], "warm", WARMING)
        for number in range(ROUNDS):
            used = server.processor_seconds()
            http.append(_by_http(server, world.rooms[0], f"http-{number}", SENDS))
            costs["http"].append((server.processor_seconds() - used) / SENDS * 1e6)
            used = server.processor_seconds()
            rate, latencies = _by_gateway(server, world.rooms[0], f"gateway-{number}", listens=False)
            costs["gateway"].append((server.processor_seconds() - used) / SENDS * 1e6)
            gateway.append(rate)
            tails.append(latencies[len(latencies) * 99 // 100])
            ahead.append(_by_gateway(server, world.rooms[0], f"ahead-{number}", listens=False, at_once=AT_ONCE)[0])
            hearing.append(_by_gateway(server, world.rooms[0], f"hearing-{number}", listens=True)[0])
    ratios = [one / other for one, other in zip(gateway, http, strict=True)]
    ratios_ahead = [one / other for one, other in zip(ahead, http, strict=True)]
    return [
        Figure("sends over HTTP, 64 connections (yardstick)", median(http), "/s"),
        Figure("sends over the gateway, 64 connections", median(gateway), "/s"),
        Figure("sends over the gateway, as a multiple of HTTP", median(ratios), at_least=2.0),
        Figure("the same, least and greatest of five rounds", min(ratios)),
        Figure("", max(ratios)),
        Figure(f"sends over the gateway, {AT_ONCE} at once on each connection", median(ahead), "/s"),
        Figure(f"{AT_ONCE} at once on each connection, as a multiple of HTTP", median(ratios_ahead), at_least=2.0),
        Figure("sends over the gateway, p99", median(tails), "ms"),
        Figure("sends over the gateway whose 64 connections hear the room, too", median(hearing), "/s"),
        Figure("processor time of a send over HTTP", median(costs["http"]), "µs"),
        Figure("processor time of a send over the gateway", median(costs["gateway"]), "µs"),
    ]


def _by_http(server: servers.Server, room: Room, mark: str, count: int) -> float:
    path = f"/v1/rooms/{room.id}/channels/{room.channel_id}/messages"
    requests = [
        load.request("POST", path, token=room.people[at % CONNECTIONS].token, body=body)
        for at, body in enumerate(bodies(count, mark))
    ]
    sent = load.run(server.port, requests, connections=CONNECTIONS)
    assert not sent.failures, "every message must be acknowledged"
    return sent.per_second


def _by_gateway(
    server: servers.Server, room: Room, mark: str, *, listens: bool, at_once: int = 1
) -> tuple[float, list[float]]:
    """Return the rate, and all latencies in milliseconds, sorted."""
    crowd = Crowd()
    left, done = SENDS, 0

    def send_next(sender: Sender) -> None:
        nonlocal left, done
        done += 1
        if left:
            left -= 1
            sender.send()

    senders = open_senders(crowd, server.port, room, mark, send_next, people=room.people, listens=listens)
    crowd.settle()
    started = time.perf_counter()
    for sender in senders * at_once:
        left -= 1
        sender.send()
    crowd.turn_until(lambda: done == SENDS, 120)
    rate = SENDS / (time.perf_counter() - started)
    crowd.close()
    return rate, sorted(latency for sender in senders for latency in sender.latencies)

"""Sends and reads in one room, beside the same uvicorn echoing JSON."""

import json
from pathlib import Path
from statistics import median

from bench import load, servers
from bench.figures import Figure

CONNECTIONS = 64
ROUNDS = 3
SENDS = 10_000
PAGES = 6_000
HISTORY = 10_000
TEXT = "A message of eighty characters, which is about what people say to each other here"[:74]


def bodies(count: int, mark: str) -> list[bytes]:
    """Return so many messages of 80 bytes, each with a nonce of its own."""
    return [json.dumps({"content": f"{TEXT} {at:05d}", "nonce": f"{mark}-{at}"}).encode() for at in range(count)]


def measure(folder: Path) -> list[Figure]:
    """Measure round by round, everything next to its yardstick, and take the medians."""
    servers.pin_load()
    rates: dict[str, list[float]] = {"echo": [], "send": [], "page": [], "tail": []}
    with servers.echo() as yardstick, servers.rookery(folder) as server:
        token = servers.sign_up(server)
        room = servers.found(server, token, "bench")
        _send(server, room, bodies(HISTORY, "history"))
        echoes = [load.request("POST", "/echo", token=token, body=body) for body in bodies(SENDS, "echo")]
        pages = [load.request("GET", room.messages, token=token)] * PAGES
        for number in range(ROUNDS):
            rates["echo"].append(load.run(yardstick.port, echoes, connections=CONNECTIONS).per_second)
            sent = _send(server, room, bodies(SENDS, f"round-{number}"))
            rates["send"].append(sent.per_second)
            rates["tail"].append(sent.p99_ms / sent.p50_ms)
            read = load.run(server.port, pages, connections=CONNECTIONS)
            assert not read.failures, "every page must be answered"
            rates["page"].append(read.per_second)
    echo = median(rates["echo"])
    send_ratio = median(send / echo for send, echo in zip(rates["send"], rates["echo"], strict=True))
    page_ratio = median(page / echo for page, echo in zip(rates["page"], rates["echo"], strict=True))
    return [
        Figure("echo of JSON, 64 connections (yardstick)", echo, "/s"),
        Figure("durable sends, one room, 64 connections", median(rates["send"]), "/s"),
        Figure("durable sends, as a share of the echo", send_ratio, at_least=0.35),
        Figure("durable sends, p99 over p50", median(rates["tail"]), at_most=4.0),
        Figure("newest 50 of a channel with 10,000 messages and more", median(rates["page"]), "/s"),
        Figure("newest 50, as a share of the echo", page_ratio, at_least=0.25),
    ]


def _send(server: servers.Server, room: servers.Community, contents: list[bytes]) -> load.Result:
    requests = [load.request("POST", room.messages, token=room.token, body=body) for body in contents]
    sent = load.run(server.port, requests, connections=CONNECTIONS)
    assert not sent.failures, "every message must be acknowledged"
    return sent

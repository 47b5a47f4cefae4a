"""Time of the first page of a room whose shard is not open yet."""

import time
from pathlib import Path
from statistics import median

from bench import load, servers
from bench.figures import Figure
from bench.traffic import CONNECTIONS, bodies

ROOMS = 30
HISTORY = 2_000


def measure(folder: Path) -> list[Figure]:
    """Fill some rooms, start the server anew, and ask each for its newest page, once."""
    servers.pin_load()
    with servers.rookery(folder) as server:
        token = servers.sign_up(server)
        rooms = [servers.found(server, token, f"bench-{number}") for number in range(ROOMS)]
        for room in rooms:
            requests = [load.request("POST", room.messages, token=token, body=body) for body in bodies(HISTORY, "cold")]
            assert not load.run(server.port, requests, connections=CONNECTIONS).failures
    started = time.perf_counter()
    with servers.rookery(folder) as server:
        start_seconds = time.perf_counter() - started
        server.call("GET", "/v1/users/me", token=token)
        times = []
        for room in rooms:
            asked = time.perf_counter()
            page = server.call("GET", room.messages, token=token)
            times.append((time.perf_counter() - asked) * 1000)
            assert len(page["messages"]) == 50
    return [
        Figure("from start to the first answer", start_seconds, "s", at_most=0.5),
        Figure("opening a shard and serving its newest page, median", median(times), "ms", at_most=20),
        Figure("opening a shard and serving its newest page, slowest of 30", max(times), "ms"),
    ]

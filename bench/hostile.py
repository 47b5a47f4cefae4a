"""A server under slow and hostile clients: its memory, what a well-behaved client notices, and how it ends."""

import http.client
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench import servers
from bench.figures import Figure, percentile
from bench.hostile_clients import KINDS, attack

ROUNDS: Final = 3
ROUND_SECONDS: Final = 3.0
REQUESTS_PER_SECOND: Final = 100.0
GROWTH_MIB_MAX: Final = 64.0
SLOWER_MAX: Final = 1.5
GRACE_SECONDS: Final = 5
ATTACKER, WITNESS = "127.0.0.3", "127.0.0.2"


def measure(folder: Path) -> list[Figure]:
    """Measure each kind by itself, in turns with quiet, and then stop the server under some of them at once."""
    servers.pin_load()
    settings = f"shutdown_grace_seconds = {GRACE_SECONDS}\n[limits.rates.user]\nper_second = 1000\nburst = 1000\n"
    figures: list[Figure] = []
    with servers.rookery(folder, settings + "[limits.rates.address]\nper_second = 100\nburst = 500\n") as server:
        token = servers.sign_up(server)
        server.call("GET", "/openapi.json")  # made at the first request
        _ask(server.port, token, ROUND_SECONDS)
        for name in KINDS:
            figures += _kind(server, token, name)
        with _attacking(server.port, *list(KINDS)[:5], "stalled bodies", "sockets that only ping"):
            time.sleep(ROUND_SECONDS)
            began = time.perf_counter()
            server.process.terminate()
            server.process.wait(60)
            figures.append(Figure("SIGTERM", time.perf_counter() - began, "s", at_most=GRACE_SECONDS + 1.0))
    return figures


def _kind(server: servers.Server, token: str, name: str) -> list[Figure]:
    before, most = server.memory_mib(), 0.0
    quiet: list[float] = []
    attacked: list[float] = []
    for _ in range(ROUNDS):
        quiet += _ask(server.port, token, ROUND_SECONDS)
        with _attacking(server.port, name):
            time.sleep(0.5)
            attacked += _ask(server.port, token, ROUND_SECONDS)
            most = max(most, server.memory_mib())
        time.sleep(0.5)
    slower = _p99(attacked) / _p99(quiet)
    return [
        Figure(f"{name}: growth", most - before, "MiB", at_most=GROWTH_MIB_MAX),
        Figure(
            f"{name}: p99 {_p99(quiet) * 1000:.2f} → {_p99(attacked) * 1000:.2f} ms", slower, "x", at_most=SLOWER_MAX
        ),
    ]


def _p99(seconds: list[float]) -> float:
    return percentile(seconds, 99)


def _ask(port: int, token: str, seconds: float) -> list[float]:
    """Send requests at a steady rate over one connection, and return the time of each."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=(WITNESS, 0))
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        connection.request("GET", "/v1/users/me", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        found.append(time.perf_counter() - began)
        assert answer.status == 200, f"the witness was answered {answer.status}"
        time.sleep(max(0.0, 1 / REQUESTS_PER_SECOND - found[-1]))
    connection.close()
    return found


@contextmanager
def _attacking(port: int, *names: str) -> Iterator[None]:
    attackers = [multiprocessing.Process(target=attack, args=(name, port, ATTACKER)) for name in names]
    for each in attackers:
        each.start()
    try:
        yield
    finally:
        for each in attackers:
            each.terminate()
            each.join()

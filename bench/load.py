"""Load generator: keep-alive HTTP/1.1 connections that each send the next request when the last is answered.

It parses no more of an answer than its status and length, so one core of it outruns one core of any server here.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import uvloop


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run: answers per second, latencies in milliseconds, and statuses other than 2xx."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failures: int


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, requests: Callable[[], bytes | None], latencies: list[float], done: Callable[[], None]) -> None:
        self._requests = requests
        self._latencies = latencies
        self._done = done
        self._buffer = b""
        self.failures = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not registered as asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        request = self._requests()
        if request is None:
            self._transport.close()
            self._done()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        at = head.lower().index(b"content-length:") + 15
        if len(rest) < int(head[at:].split(b"\r\n", 1)[0]):
            return
        self._latencies.append(time.perf_counter() - self._sent_at)
        self.failures += head[9:10] != b"2"
        self._buffer = b""
        self._next()


def request(method: str, path: str, *, token: str | None = None, body: bytes = b"") -> bytes:
    """Return one request, ready to write."""
    lines = [f"{method} {path} HTTP/1.1", "Host: bench"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def run(port: int, requests: Sequence[bytes], *, connections: int) -> Result:
    """Send every request once, over so many connections, and return the result."""
    return uvloop.run(_run(port, requests, connections))


async def _run(port: int, requests: Sequence[bytes], connections: int) -> Result:
    loop = asyncio.get_running_loop()
    waiting = iter(requests)
    latencies: list[float] = []
    ended = loop.create_future()
    open_count = connections

    def done() -> None:
        nonlocal open_count
        open_count -= 1
        if not open_count:
            ended.set_result(None)

    started = time.perf_counter()
    clients: list[_Client] = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: _Client(lambda: next(waiting, None), latencies, done), "127.0.0.1", port
        )
        clients.append(client)
    await ended
    seconds = time.perf_counter() - started
    latencies.sort()
    return Result(
        per_second=len(latencies) / seconds,
        p50_ms=latencies[len(latencies) // 2] * 1000,
        p99_ms=latencies[len(latencies) * 99 // 100] * 1000,
        failures=sum(client.failures for client in clients),
    )

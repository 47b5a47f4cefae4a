"""A proxy before a real S3 server that distinguishes requests, and breaks those that a test chooses.

The twelve kinds are those of which networks, balancers and object stores are known; each leaves the server in a state
that a store has to cope with. A connection carries one request.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qs, urlsplit

HEAD_BYTES_MAX = 65_536
STALL_SECONDS = 30.0


class Kind(StrEnum):
    """A kind of fault."""

    REFUSE = "refuse"
    """The connection is closed before anything is read."""
    RESET_UPLOAD = "reset-upload"
    """The connection is reset in the middle of the request."""
    RESET_ANSWER = "reset-answer"
    """The connection is reset in the middle of the answer."""
    STALL = "stall"
    """Nothing is answered, and nothing refused."""
    BUSY = "503"
    """The server says that it is busy, and has done nothing."""
    ERROR_AFTER = "500-after"
    """The server has done what was asked, and says that it failed."""
    LOST_ANSWER = "lost-answer"
    """The server has done what was asked, and its answer never comes."""
    TRUNCATE = "truncate"
    """The answer is whole by its length, and half of its body is missing."""
    FLIP = "flip"
    """One bit of the answer's body is another."""
    FLIP_UPLOAD = "flip-upload"
    """One bit of the request's body is another."""
    STALE_LIST = "stale-list"
    """A list is as it was when it was first asked for."""
    MISSING = "missing"
    """An object that is there is said not to be."""


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of a client's request by which tests choose."""

    method: str
    path: str
    body: bytes

    @property
    def is_list(self) -> bool:
        return self.method == "GET" and "list-type" in parse_qs(urlsplit(self.path).query)


def everything(_request: Request) -> bool:
    """Choose every request."""
    return True


@dataclass
class FaultProxy:
    """Passes everything on, except the requests that `chooses` takes, of which the next `times` meet `kind`."""

    target: str
    kind: Kind | None = None
    times: int = 0
    chooses: Callable[[Request], bool] = everything
    spoiled: int = 0
    """How many requests met a fault."""
    requests: int = 0
    endpoint: str = ""
    _lists: dict[str, bytes] = field(default_factory=dict)

    def spoil(self, kind: Kind, times: int = 1, chooses: Callable[[Request], bool] = everything) -> None:
        """Have the next chosen requests meet a fault."""
        self.kind, self.times, self.chooses, self.spoiled = kind, times, chooses, 0

    def heal(self) -> None:
        """Pass everything on from now on."""
        self.kind, self.times = None, 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one request."""
        self.requests += 1
        if self.kind is Kind.REFUSE and self.chooses is everything and self.times:
            self._count()
            return
        head = await reader.readuntil(b"\r\n\r\n")
        if b"\r\nexpect:" in head.lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(_length(head))
        method, path, _ = head.split(b" ", 2)
        request = Request(method.decode(), path.decode(), body)
        kind = self.kind if self.times and self.chooses(request) else None
        if kind is not None:
            self._count()
        await self._answer(kind, request, head, writer)

    def _count(self) -> None:
        self.times -= 1
        self.spoiled += 1

    async def _answer(self, kind: Kind | None, request: Request, head: bytes, writer: asyncio.StreamWriter) -> None:
        match kind:
            case Kind.REFUSE | Kind.RESET_UPLOAD:
                _reset(writer)
                return
            case Kind.STALL:
                await asyncio.sleep(STALL_SECONDS)
                return
            case Kind.BUSY:
                writer.write(_problem(503, "SlowDown"))
                return
            case Kind.MISSING:
                writer.write(_problem(404, "NoSuchKey"))
                return
        body = _flipped(request.body) if kind is Kind.FLIP_UPLOAD else request.body
        answer = await self._ask(head, body)
        if request.is_list:
            first = self._lists.setdefault(request.path, answer)
            answer = first if kind is Kind.STALE_LIST else answer
        match kind:
            case Kind.LOST_ANSWER:
                _reset(writer)
                return
            case Kind.ERROR_AFTER:
                answer = _problem(500, "InternalError")
            case Kind.TRUNCATE:
                answer = _truncated(answer)
            case Kind.FLIP:
                answer = _flipped_answer(answer)
            case Kind.RESET_ANSWER:
                writer.write(answer[: len(answer) // 2])
                await writer.drain()
                _reset(writer)
                return
        writer.write(answer)

    async def _ask(self, head: bytes, body: bytes) -> bytes:
        """Pass a request on, and return the whole answer."""
        target = urlsplit(self.target)
        from_server, to_server = await asyncio.open_connection(target.hostname, target.port)
        with contextlib.closing(to_server):
            lines = [
                line for line in head[:-4].split(b"\r\n") if not line.lower().startswith((b"expect:", b"connection:"))
            ]
            to_server.write(b"\r\n".join([*lines, b"Connection: close", b"", b""]) + body)
            await to_server.drain()
            return await from_server.read(-1)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def _problem(status: int, code: str) -> bytes:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode()
    head = f"HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


def _flipped(body: bytes) -> bytes:
    at = len(body) // 2
    return body[:at] + bytes([body[at] ^ 4]) + body[at + 1 :] if body else body


def _flipped_answer(answer: bytes) -> bytes:
    head, gap, body = answer.partition(b"\r\n\r\n")
    return head + gap + _flipped(body)


def _truncated(answer: bytes) -> bytes:
    head, gap, body = answer.partition(b"\r\n\r\n")
    half = body[: len(body) // 2]
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length:")]
    # The answer to a HEAD has a length and no body: it is left alone.
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(half)]) + gap + half if body else answer


@contextlib.asynccontextmanager
async def faulty(target: str) -> AsyncIterator[FaultProxy]:
    """Run a proxy on a free port of loopback."""
    proxy = FaultProxy(target)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        gone = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*gone), contextlib.closing(writer):
            await proxy.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
    proxy.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)

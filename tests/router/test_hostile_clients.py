"""Slow and hostile clients of HTTP: memory is bounded, connections end in time, and others are served meanwhile."""

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rookery.server import http_protocol, peers, periodic
from tests.router.clients import client_of, raw, receive
from tests.router.serving import Place, Process, Running, process, serving, until
from tests.router.test_gateway_floods import MIB, memory_bytes

pytestmark = pytest.mark.security

GET = b"GET /v1/site HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v1/auth/anonymous HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
UNREAD_KINDS = {"of the site": GET, "of all routes": b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"}


@contextlib.contextmanager
def connected(server: Running, *sent: bytes, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Connect from an address and send bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60, source_address=(source, 0)) as connection:
        for part in sent:
            connection.sendall(part)
        yield connection


def pour(connection: socket.socket, data: bytes) -> None:
    """Send as much as the server takes without an answer being read: until it takes nothing for a while."""
    connection.settimeout(0.3)
    with contextlib.suppress(TimeoutError, ConnectionError):
        connection.sendall(data)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with short time limits."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(periodic, "LATE_EVERY_SECONDS", 0.05)
        for name in ("HEAD_SECONDS", "LATE_SECONDS", "LINGER_SECONDS", "CLOSING_SECONDS"):
            patched.setattr(http_protocol, name, 0.3)
        patched.setattr(http_protocol, "seconds_for", lambda _size_bytes: 0.3)
        with serving(Place(tmp_path_factory.mktemp("hasty"), server={"connections_per_address_max": "20"})) as server:
            yield server


def test_pipelined_requests_do_not_pile_up(tmp_path: Path) -> None:
    """Megabytes of requests cost no memory while nobody reads the responses, and SIGTERM ends the server as ever."""
    with process(Place(tmp_path, server={"shutdown_grace_seconds": "1"})) as served, contextlib.ExitStack() as stack:
        raw(served.running, GET)
        before = memory_bytes(served)
        for sort in UNREAD_KINDS.values():
            for connection in [stack.enter_context(connected(served.running)) for _ in range(3)]:
                pour(connection, sort * (8 * MIB // len(sort)))
        assert memory_bytes(served) - before < 64 * MIB
        assert raw(served.running, GET).startswith(b"HTTP/1.1 200 ")
        for left in (b"", GET[:-2], CHUNKED + b"1\r\n"):
            stack.enter_context(connected(served.running, left))
        end(served)


def end(served: Process) -> None:
    """Stop a server, which must end within the patience of `wait`."""
    served.terminate()
    served.wait()


@pytest.mark.parametrize("size", [1, 7, 60, 200, 1_000_000])
def test_pipelined_requests_are_answered_in_their_order(server: Running, size: int) -> None:
    """Requests with bodies, in chunks and without are all answered, however the bytes are cut into packets."""
    paths = [b"/v1/site", b"/none"] * 3
    bodies = [b"", b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n"]
    ends = [b"", b"{\r\n}", b"1\r\n{\r\n1;x=y\r\n}\r\n0\r\nA: b\r\n\r\n", b""]
    kinds = [bodies[number % 4] + b"\r\n" + ends[number % 4] for number in range(len(paths))]
    data = b"".join(b"GET %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%b" % pair
                    for pair in zip(paths, kinds, strict=True))  # fmt: skip
    cut = [data[start : start + size] for start in range(0, len(data), size)]
    last = b"GET /v1/site HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with connected(server, *cut, last) as connection:
        statuses = re.findall(rb"HTTP/1.1 (\d+)", receive(connection, until_closed=True))
    assert statuses == [b"200", b"404"] * 3 + [b"200"]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (GET[:-2], b"HTTP/1.1 408 "),
        (b"\r\n", b"HTTP/1.1 408 "),
        (POST + b"Content-Length: 9\r\n\r\n{", b"HTTP/1.1 408 "),
        (CHUNKED + b"1\r\n{\r\n", b"HTTP/1.1 408 "),
        (b"POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 404 "),
        (GET + GET[:-1], b"HTTP/1.1 200 "),
    ],
    ids=["silence", "half a head", "an empty line", "half a body", "half a chunked body", "answered early", "a second"],
)
def test_a_late_client_is_hung_up_on(hasty: Running, sent: bytes, answer: bytes) -> None:
    """Whoever sends no whole request in time is told 408 if it began one, and its connection ends."""
    assert raw(hasty, sent, until_closed=True).startswith(answer)


def test_a_client_that_does_not_read_is_cut(hasty: Running) -> None:
    """Responses that nobody reads are let go of with their connection."""
    with connected(hasty) as connection:
        pour(connection, UNREAD_KINDS["of all routes"] * 200)
        until(lambda: is_cut(connection))


def is_cut(connection: socket.socket) -> bool:
    """Tell whether the other side has let go of a connection."""
    try:
        connection.settimeout(0)
        connection.send(b"x")
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return False


def test_an_address_has_so_many_connections(hasty: Running) -> None:
    """Beyond its bound an address is answered 503, but for health checks; other addresses are served."""
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(connected(hasty, b"GET /v1/site HTTP/1.1\r\nHost: x\r\n"))
        health = GET.replace(b"/v1/site", b"/healthz")
        assert raw(hasty, health, until_closed=True).startswith(b"HTTP/1.1 200 ")
        assert raw(hasty, GET, until_closed=True).startswith(b"HTTP/1.1 503 ")
        with connected(hasty, GET, source="127.0.0.2") as other:
            assert receive(other).startswith(b"HTTP/1.1 200 ")
        for _ in range(2 * peers.RESERVE_MAX):
            stack.enter_context(connected(hasty))
        assert raw(hasty, health, until_closed=True).startswith(b"HTTP/1.1 200 ")
    until(lambda: raw(hasty, GET).startswith(b"HTTP/1.1 200 "))


def test_a_proxy_has_no_bound_of_an_address(tmp_path: Path) -> None:
    """The clients of all addresses come from a trusted proxy's own."""
    settings = {"connections_per_address_max": "2", "trusted_proxies": '["127.0.0.0/8"]'}
    with serving(Place(tmp_path, server=settings)) as server, contextlib.ExitStack() as stack:
        for _ in range(5):
            assert receive(stack.enter_context(connected(server, GET))).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "sent",
    [
        GET[:-2] + b"a:\r\n" * 200,
        GET[:-2] + b"a:\r\n" * 200 + b"\r\n",
        GET[:-2] + b"a: " + b"x" * 40_000 + b"\r\n\r\n",
        b"\r\n" * 40_000,
        CHUNKED + b"1;" + b"x" * 50_000,
        CHUNKED + b"0\r\na: " + b"x" * 50_000,
        CHUNKED + b"1;xxxxxxxxxxxxxxxxxxxxxxxx\r\n{\r\n" * 4_000,
    ],
    ids=["headers", "whole", "a long one", "empty lines", "an extension", "a trailer", "extensions"],
)
def test_much_beside_the_content_is_refused(server: Running, sent: bytes) -> None:
    """Heads that are too long or have too many headers, and chunks with much beside their content, are 400."""
    assert raw(server, sent, until_closed=True).startswith(b"HTTP/1.1 400 ")


def test_chunks_may_be_small(server: Running) -> None:
    """Some thousand chunks of one byte are read like any other body, and a body of nothing else is 400."""
    few, many = b"1\r\n \r\n" * 3_000, b"1\r\n \r\n" * 40_000
    assert raw(server, CHUNKED + few + b"2\r\n{}\r\n0\r\n\r\n").startswith(b"HTTP/1.1 201 ")
    assert raw(server, CHUNKED + many, until_closed=True).startswith(b"HTTP/1.1 400 ")
    large = b"1000\r\n" + b" " * 4_096 + b"\r\n"
    assert raw(server, CHUNKED + large * 20, until_closed=True).startswith(b"HTTP/1.1 413 ")


def test_an_early_answer_is_not_lost(server: Running) -> None:
    """Whoever sends a body to its end, although it was refused before, reads the refusal and then the end."""
    with connected(server, POST + b"Content-Length: 1000000\r\n\r\n") as connection:
        connection.sendall(b"x")
        head = connection.recv(20)
        for _ in range(10):
            connection.sendall(b"x" * 99_999)
        connection.sendall(b"x" * 9)
        assert (head + receive(connection, until_closed=True)).startswith(b"HTTP/1.1 413 ")


def test_a_trailer_is_no_header(tmp_path: Path) -> None:
    """What comes behind a chunked body claims no address, also where a proxy's headers are trusted."""
    place = Place(tmp_path, server={"trusted_proxies": '["127.0.0.0/8"]'})
    with serving(place) as server, client_of(server) as nobody:
        answer = raw(server, CHUNKED + b"2\r\n{}\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
        guest = nobody.with_token(json.loads(answer.partition(b"\r\n\r\n")[2])["token"])
        assert guest.get("/v1/users/me/sessions")["sessions"][0]["ip"] == "127.0.0.1"


def test_ended_connections_are_counted(hasty: Running) -> None:
    """Operators see how many connections are open, and how many were ended and why."""
    raw(hasty, b"", until_closed=True)
    page = raw(hasty, GET.replace(b"/v1/site", b"/metrics"))
    assert b"\nrookery_connections " in page
    assert b'rookery_connections_ended_total{reason="silent"}' in page

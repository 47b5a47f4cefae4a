"""Bodies of any size, clients that hang up or dawdle: what the server does with a connection."""

import json
import re
import socket
import time
import tracemalloc

import pytest

from tests.router.clients import Client, Room, raw, receive
from tests.router.serving import Running, until

BODY_BYTES_MAX = 65_536


@pytest.fixture(scope="module")
def room(owner: Client) -> Room:
    """A community to talk in."""
    return owner.found()


def post(owner: Client, room: Room, *headers: str, body: bytes = b"") -> bytes:
    """Return the bytes of a POST of a message."""
    lines = [
        f"POST {room.general}/messages HTTP/1.1", "Host: x", f"Authorization: Bearer {owner.token}",
        "Content-Type: application/json", *headers, "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + body


def message(content: str, **fields: str) -> bytes:
    return json.dumps({"content": content, **fields}).encode()


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def contents(owner: Client, room: Room) -> list[str]:
    return [row["content"] for row in owner.get(f"{room.general}/messages", limit=100)["messages"]]


def figure(client: Client, name: str) -> float:
    """Return one of the server's figures."""
    found = re.search(rf"^{name} (\S+)$", client.ask("GET", "/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_a_declared_giant_is_refused_unread(server: Running, owner: Client, room: Room) -> None:
    """A length beyond the limit is refused before any of the body is sent, and the connection ends."""
    answer = raw(server, post(owner, room, "Content-Length: 10485760"), until_closed=True)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer
    assert b"#problem-body-too-large" in answer


def test_ten_megabytes_are_refused_without_keeping_them(server: Running, owner: Client, room: Room) -> None:
    """A body of 10 MB is refused after its first part, and never held in memory."""
    declared = post(owner, room, "Content-Length: 10485760", body=b" " * 10_485_760)
    undeclared = post(owner, room, "Transfer-Encoding: chunked", body=chunked(*[b" " * 65_536] * 160))
    for request in (declared, undeclared):
        tracemalloc.start()
        answer = raw(server, request, until_closed=True)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # The server may hang up while the rest is under way, and the answer may be lost with it.
        assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")
        assert peak_bytes < 4_000_000
    assert owner.ask("GET", room.path).status_code == 200


def test_the_limit_is_exact_however_a_body_comes(server: Running, owner: Client, room: Room) -> None:
    """A body of just the limit passes and one byte more does not, declared or in chunks."""
    whole = message("whole").ljust(BODY_BYTES_MAX)
    for body, status in ((whole, b"201"), (whole + b" ", b"413")):
        declared = post(owner, room, f"Content-Length: {len(body)}", body=body)
        halves = post(owner, room, "Transfer-Encoding: chunked", body=chunked(body[:9], body[9:-1], body[-1:]))
        for request in (declared, halves):
            assert raw(server, request).startswith(b"HTTP/1.1 " + status)


def test_a_refused_body_does_not_spoil_the_connection(server: Running, owner: Client, room: Room) -> None:
    """When a request is refused before its body is read, the next one on its connection is still understood."""
    body = message("unread")
    refused = f"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    sent = message("after a refusal")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(refused)
        assert receive(connection).startswith(b"HTTP/1.1 404 ")
        connection.sendall(body + post(owner, room, f"Content-Length: {len(sent)}", body=sent))
        assert receive(connection).startswith(b"HTTP/1.1 201 ")
    assert contents(owner, room)[0] == "after a refusal"


def test_requests_in_a_row_are_answered_in_a_row(server: Running, owner: Client, room: Room) -> None:
    """Requests that are sent without waiting are done in their order."""
    bodies = [message(f"in a row {number}") for number in range(5)]
    requests = b"".join(post(owner, room, f"Content-Length: {len(body)}", body=body) for body in bodies)
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(requests)
        answers = b""
        while answers.count(b"HTTP/1.1 201 ") < len(bodies):
            answers += connection.recv(65_536)
    assert contents(owner, room)[:5] == [f"in a row {number}" for number in (4, 3, 2, 1, 0)]


def test_no_content_has_no_length(server: Running, nobody: Client) -> None:
    """A 204 has neither a body nor a length (RFC 9110, section 8.6)."""
    request = f"POST /v1/auth/logout HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {nobody.guest().token}\r\n\r\n"
    answer = raw(server, request.encode())
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert b"content-length" not in answer.lower()
    assert b"transfer-encoding" not in answer.lower()


def test_whoever_hangs_up_after_asking_has_said_it_once(server: Running, owner: Client) -> None:
    """A message whose sender is gone before the answer is stored once and published once."""
    room = owner.found()
    before = figure(owner, "rookery_events_total")
    for number in range(10):
        body = message(f"gone {number}", nonce=str(number))
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(post(owner, room, f"Content-Length: {len(body)}", body=body))
    until(lambda: len(contents(owner, room)) == 10)
    assert sorted(contents(owner, room)) == [f"gone {number}" for number in range(10)]
    for number in range(10):
        again = owner.ask("POST", f"{room.general}/messages", {"content": "again", "nonce": str(number)})
        assert (again.status_code, again.json()["content"]) == (200, f"gone {number}")
    assert figure(owner, "rookery_events_total") - before == 10


def test_half_a_request_says_nothing(server: Running, owner: Client) -> None:
    """A request whose sender hangs up before it is whole leaves nothing behind but a figure."""
    room = owner.found()
    before = figure(owner, "rookery_http_hung_up_total")
    body = message("never")
    request = post(owner, room, f"Content-Length: {len(body)}", body=body)
    for length in (len(request) - 1, len(request) - len(body)):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(request[:length])
            time.sleep(0.05)
    until(lambda: figure(owner, "rookery_http_hung_up_total") == before + 2)
    assert contents(owner, room) == []


def test_a_dawdler_keeps_nobody_waiting(server: Running, owner: Client, room: Room) -> None:
    """While one client sends its request byte by byte others are served, and in the end it is too."""
    body = message("at last")
    request = post(owner, room, f"Content-Length: {len(body)}", body=body)
    dawdlers = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(50)]
    try:
        for dawdler in dawdlers:
            dawdler.sendall(request[:-1])
        assert owner.say(room, "meanwhile")["content"] == "meanwhile"
        for byte in request[-1:]:
            dawdlers[0].sendall(bytes([byte]))
        assert receive(dawdlers[0]).startswith(b"HTTP/1.1 201 ")
    finally:
        for dawdler in dawdlers:
            dawdler.close()
    assert contents(owner, room)[:2] == ["at last", "meanwhile"]


def test_a_length_that_is_none_is_refused(server: Running, owner: Client, room: Room) -> None:
    """Two ways to tell a body's length, or none that is a number, are hung up on: proxies might read them otherwise."""
    body = message("smuggled")
    for headers in (
        ("Content-Length: 5x",),
        ("Content-Length: -1",),
        ("Content-Length: 5", f"Content-Length: {len(body)}"),
        (f"Content-Length: {len(body)}", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked, identity",),
    ):
        answer = raw(server, post(owner, room, *headers, body=body), until_closed=True)
        assert answer.startswith(b"HTTP/1.1 400 ")
    assert "smuggled" not in contents(owner, room)

"""What no honest client sends: broken JSON, wrong fields, odd characters, odd methods, odd addresses."""

import gzip
import json
import re
from typing import Any

import pytest

from tests.router.clients import Client, Room, raw
from tests.router.serving import Running
from tests.shard.test_visible_text import INVISIBLE

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def room(owner: Client) -> Room:
    """A community to talk in."""
    return owner.found()


@pytest.mark.parametrize(
    "body",
    [
        b"{", b'{"content": "x"', b'{"content": "x"}}', b"{'content': 'x'}", b'{"content": "x",}', b"nope", b"\x00",
        b" ",
        b'{"content": "\xff"}', b'{"content": "\xed\xa0\x80"}', b'{"content": "\xc0\xaf"}', b'{"content": "\\ud800"}',
        b'{"content": "\\udc00\\ud800"}', b'{"content": "\\ud800x"}', b'{"content": "\\x"}', b'{"content": "a\nb"}',
        b'{"content": "x", "nonce": ' + b"[" * 5_000, b'{"content": ' * 5_000, '{"content": "x"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"content": "x"}',
    ],
)  # fmt: skip
def test_what_is_not_json_is_malformed(owner: Client, room: Room, body: bytes) -> None:
    """Broken JSON, broken UTF-8, lone surrogates and bottomless nesting are refused before anything is done."""
    refusal = owner.refused("POST", f"{room.general}/messages", content=body, headers=JSON)
    assert (refusal.status, refusal.type) == (400, "bad-request")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.content"),
        ([], "body"),
        ("text", "body"),
        (None, "body"),
        ({"content": None}, "body.content"),
        ({"content": 5}, "body.content"),
        ({"content": ["x"]}, "body.content"),
        ({"content": ""}, "body.content"),
        ({"content": " \n\t\u00a0\u2003"}, "body.content"),
        ({"content": "x" * 8_001}, "body.content"),
        ({"content": "a\0b"}, "body.content"),
        ({"content": "x", "extra": 1}, "body.extra"),
        ({"content": "x", "user_id": "1"}, "body.user_id"),
        ({"content": "x", "nonce": ""}, "body.nonce"),
        ({"content": "x", "nonce": "n" * 65}, "body.nonce"),
        ({"content": "x", "nonce": "\0"}, "body.nonce"),
        ({"content": "x", "nonce": 5}, "body.nonce"),
        ({"content": "x", "thread_id": 5}, "body.thread_id"),
        ({"content": "x", "thread_id": "-5"}, "body.thread_id"),
        ({"content": "x", "thread_id": "0"}, "body.thread_id"),
        ({"content": "x", "thread_id": "05"}, "body.thread_id"),
        ({"content": "x", "thread_id": "5.0"}, "body.thread_id"),
        ({"content": "x", "thread_id": "²"}, "body.thread_id"),
        ({"content": "x", "thread_id": "٣"}, "body.thread_id"),
        ({"content": "x", "thread_id": str(2**63)}, "body.thread_id"),
        ({"content": "x", "thread_id": "9" * 5_000}, "body.thread_id"),
        ({"content": "x", "reply_to_id": {}}, "body.reply_to_id"),
    ],
)
def test_a_wrong_field_is_named(owner: Client, room: Room, body: Any, field: str) -> None:
    """Missing, unknown and wrong fields are refused, and the answer names them."""
    content = json.dumps(body, ensure_ascii=False).encode()
    refusal = owner.refused("POST", f"{room.general}/messages", content=content, headers=JSON)
    assert (refusal.status, refusal.type) == (422, "invalid")
    assert f"'{field}'" in refusal.errors


@pytest.mark.parametrize("blank", INVISIBLE, ids=ascii)
def test_a_blank_message_is_refused_wherever_it_comes_from(owner: Client, room: Room, blank: str) -> None:
    """Sent, edited, sent by a webhook, or as a reason: what cannot be seen says nothing."""
    sent = owner.say(room, "x")
    hook = owner.post(f"{room.path}/webhooks/incoming", {"name": "ci", "channel_id": room.channels["general"]})
    for method, path in (
        ("POST", f"{room.general}/messages"),
        ("PATCH", f"{room.general}/messages/{sent['id']}"),
        ("POST", hook["url"][hook["url"].index("/v1/") :]),
    ):
        assert "body.content" in owner.refused(method, path, {"content": blank}).errors
    owner.did("DELETE", f"{room.path}/webhooks/{hook['webhook']['id']}")


@pytest.mark.parametrize("blank", ["\u200b", "\u3164 \u3164", "\u202e"], ids=ascii)
def test_names_are_clean(owner: Client, blank: str) -> None:
    """Every sort of name is one line without overrides and zero-width spaces, and one without a visible sign is 422."""
    room = owner.found()
    thread = owner.post(f"{room.general}/threads", {"title": "twigs"})
    sorts = [
        ("PATCH", "/v1/users/me", "display_name"),
        ("PATCH", room.path, "display_name"),
        ("POST", f"{room.path}/channels", "name"),
        ("POST", f"{room.path}/categories", "name"),
        ("POST", f"{room.path}/roles", "name"),
        ("POST", f"{room.general}/threads", "title"),
        ("PATCH", f"{room.general}/threads/{thread['id']}", "title"),
    ]
    for method, path, field in sorts:
        assert f"body.{field}" in owner.refused(method, path, {field: blank}).errors
        answer = owner.did(method, path, {field: f"ne\u202est\n{blank}{field[0]}{method[1]}"})
        assert f"nest {field[0]}{method[1]}" in str(answer)


def test_all_wrong_fields_are_named_at_once(owner: Client, room: Room) -> None:
    """One answer tells of every fault."""
    refusal = owner.refused("POST", f"{room.general}/messages", {"content": 5, "nonce": "", "x": 1})
    assert all(f"body.{name}" in refusal.errors for name in ("content", "nonce", "x"))


def test_the_last_of_equal_keys_counts(owner: Client, room: Room) -> None:
    """JSON with a key twice has one meaning here, whatever others make of it."""
    body = b'{"content": "first", "content": "last"}'
    response = owner.ask("POST", f"{room.general}/messages", content=body, headers=JSON)
    assert response.json()["content"] == "last"


@pytest.mark.parametrize(
    "params",
    [
        "limit=0", "limit=101", "limit=-1", "limit=x", "limit=1.5", "limit=", "limit=1e9", "limit=" + "9" * 400,
        "limit=true", "before=x", "before=-1", "before=0", "before=", "after=9223372036854775808", "around=1%00",
        "unknown=1", "thread_id=%D9%A3", "%ff=1", "limit=%ff", "limit=%ED%A0%80", "before", "&".join(["a=1"] * 40),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_refused(owner: Client, room: Room, params: str) -> None:
    """Parameters that are unknown, of the wrong type or out of bounds are refused."""
    refusal = owner.refused("GET", f"{room.general}/messages?{params}")
    assert (refusal.status, refusal.type) == (422, "invalid")
    assert "query" in refusal.errors


def test_a_search_for_nul_is_refused(owner: Client, room: Room) -> None:
    """U+0000 is no more welcome in a query than in a body."""
    assert owner.refused("GET", f"{room.path}/search?q=a%00b").status == 422


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx",
     "text/json", "application/json, text/plain"],
)  # fmt: skip
def test_a_body_must_be_declared_as_json(owner: Client, room: Room, content_type: str) -> None:
    """A body of another type, which a foreign page could send unasked, is refused; parameters of the type are not."""
    body = b'{"content": "x"}'
    path = f"{room.general}/messages"
    refusal = owner.refused("POST", path, content=body, headers={"content-type": content_type})
    assert (refusal.status, refusal.type) == (415, "not-json")
    declared = {"content-type": "Application/JSON; charset=utf-8"}
    assert owner.ask("POST", path, content=body, headers=declared).status_code == 201


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "x"])
def test_a_compressed_body_is_called_so(owner: Client, room: Room, encoding: str) -> None:
    """A body with a Content-Encoding is 415 and the answer says which are read; identity is no encoding."""
    path, body = f"{room.general}/messages", b'{"content": "x"}'
    response = owner.ask("POST", path, content=gzip.compress(body), headers=JSON | {"content-encoding": encoding})
    assert (response.status_code, response.json()["type"]) == (415, "/docs#problem-encoded-body")
    assert response.headers["accept-encoding"] == "identity"
    assert owner.ask("POST", path, content=body, headers=JSON | {"content-encoding": "Identity"}).status_code == 201
    two = [("content-type", "application/json"), ("content-encoding", "gzip"), ("content-encoding", "identity")]
    headers = [*two, ("authorization", f"Bearer {owner.token}")]
    assert owner.http.post(path, content=gzip.compress(body), headers=headers).status_code == 415


def test_a_route_without_a_body_takes_none(owner: Client) -> None:
    """Where nothing is to be said, an empty object passes and fields are refused."""
    room = owner.found(is_public=True)
    assert owner.ask("POST", f"{room.path}/join", {}).status_code == 200
    assert owner.refused("POST", f"{room.path}/join", {"as": "admin"}).status == 422
    assert owner.ask("POST", f"{room.path}/join?x=1").status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/", "/v1", "/v1/", "/v1/rooms/", "//v1/rooms", "/V1/rooms", "/v1/rooms/0", "/v1/rooms/-1",
        "/v1/rooms/01", "/v1/rooms/1.0", "/v1/rooms/%31x", "/v1/rooms/1%0a", "/v1/rooms/%00", "/v1/rooms/1%00",
        "/v1/rooms/%ff", "/v1/rooms/%ED%A0%80", "/v1/rooms/9223372036854775807", "/v1/rooms/9223372036854775808",
        "/v1/rooms/" + "9" * 5_000, "/v1/rooms/%D9%A3", "/v1/rooms/by-name/%00", "/v1/rooms/by-name/%ff",
        "/v1/rooms/by-name/" + "x" * 10_000, "/v1/invites/%00", "/v1/invites/%F0%9F%92%A9", "/v1/users/1",
        "/v1/rooms/1%2F2",
    ],
)  # fmt: skip
def test_an_address_of_nothing_is_not_found(owner: Client, path: str) -> None:
    """Whatever is in an address, nothing is there unless something is."""
    refusal = owner.refused("GET", path)
    assert (refusal.status, refusal.type) == (404, "not-found")


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
def test_other_methods_hear_which_there_are(owner: Client, room: Room, method: str) -> None:
    """A method that an address does not answer is told those that it does."""
    response = owner.ask(method, f"{room.general}/messages")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, POST"


def test_head_is_get_without_its_body(owner: Client, room: Room) -> None:
    """HEAD answers with GET's status and headers."""
    for path in (room.path, "/healthz", "/docs"):
        got, head = owner.ask("GET", path), owner.ask("HEAD", path)
        assert (head.status_code, head.headers["content-length"]) == (200, got.headers["content-length"])
    assert owner.ask("HEAD", "/v1/rooms/1").status_code == 404
    assert owner.ask("HEAD", "/v1/auth/login").status_code == 405


@pytest.mark.parametrize(
    "line",
    [b"GET /v1/rooms/\xff HTTP/1.1", b"GET /\x00 HTTP/1.1", b"GET / HTTP/9.9", b"\x16\x03\x01\x02\x00"],
)
def test_what_is_not_http_is_hung_up_on(server: Running, line: bytes) -> None:
    """Bytes that are not HTTP are answered with 400 and the end of the connection."""
    answer = raw(server, line + b"\r\nHost: x\r\n\r\n", until_closed=True)
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.security
@pytest.mark.parametrize(
    "lines",
    [
        b"", b"Host: x\r\nHost: x\r\n", b"Host: x\r\nhost: y\r\n", b"Host: x, y\r\n", b"Host: x y\r\n",
        b"Host: a/b\r\n", b"Host: u@x\r\n", b"Host: x:y\r\n", b"Host: [::1\r\n", b"Host: \xff\r\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "upgrade",
    [b"", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"],
)
def test_one_host_is_needed(server: Running, lines: bytes, upgrade: bytes) -> None:
    """Without a Host, with two, or with what is none, a request is 400 and the connection closed (RFC 9112, 3.2)."""
    answer = raw(server, b"GET /healthz HTTP/1.1\r\n" + lines + upgrade + b"\r\n", until_closed=True)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"one Host header" in answer


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.0\r\n", b"GET /healthz HTTP/1.1\r\nHost:\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: chat.example:8787\r\n", b"GET /healthz HTTP/1.1\r\nHost: a_b\r\n",
    ],
)  # fmt: skip
def test_a_host_that_can_be_is_served(server: Running, head: bytes) -> None:
    """HTTP/1.0 needs no Host; an empty one, addresses and names with a port are served."""
    assert raw(server, head + b"\r\n").startswith(b"HTTP/1.1 200 ")


def test_a_wrong_host_waits_for_its_turn(server: Running) -> None:
    """Of two requests sent at once the first is answered first, though the second has no Host."""
    answer = raw(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n", until_closed=True)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"400"]


def test_a_websocket_is_refused(server: Running) -> None:
    """An upgrade of another path than the gateway's finds nobody, and is no error of ours."""
    request = (
        b"GET /v1/rooms HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert raw(server, request, until_closed=True).startswith(b"HTTP/1.1 404 ")


def test_a_mistake_of_ours_is_told_without_its_text(owner: Client, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw is a 500 with a request id, and its text stays in the log."""

    def fail(*_arguments: object) -> None:
        raise RuntimeError("the secret inside")

    with monkeypatch.context() as broken:
        broken.setattr("router.schemas.threads.thread", fail)
        refusal = owner.refused("POST", f"{room.general}/threads", {"title": "broken"})
    assert (refusal.status, refusal.type) == (500, "unexpected")
    assert "secret" not in refusal.detail

"""Bodies at the level of ASGI: bounded however they come, and never half."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive

from router import asgi
from router.asgi import Asked, ClientGoneError
from router.errors import BodyTooLargeError, MalformedError, NotJSONError

BYTES_MAX = 32
JSON = Asked(content_type=b"application/json")


class Sender:
    """Sends parts, and knows how many were asked for."""

    def __init__(self, parts: Iterable[bytes], *, hangs_up: bool = False) -> None:
        self._messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        if hangs_up:
            self._messages.append({"type": "http.disconnect"})
        else:
            self._messages[-1]["more_body"] = False
        self.taken = 0

    async def __call__(self) -> Message:
        self.taken += 1
        return self._messages[self.taken - 1]


async def read(receive: Receive, asked: Asked = JSON) -> bytes:
    return await asgi.read_json(asked, receive, BYTES_MAX)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=6))
async def test_a_body_comes_whole_or_is_refused(parts: list[bytes]) -> None:
    """Parts come together in order up to the bound, and one byte beyond it is refused without taking the rest."""
    sender, body = Sender(parts), b"".join(parts)
    if len(body) <= BYTES_MAX:
        assert await read(sender) == body
        return
    with pytest.raises(BodyTooLargeError):
        await read(sender)
    assert len(b"".join(parts[: sender.taken - 1])) <= BYTES_MAX


@given(st.lists(st.binary(max_size=5), max_size=6))
async def test_half_a_body_is_none(parts: list[bytes]) -> None:
    """When the client hangs up, whatever came before is not a request."""
    with pytest.raises(ClientGoneError):
        await read(Sender(parts, hangs_up=True))


@pytest.mark.parametrize(
    ("length", "error"),
    [
        (b"32", None),
        (b"33", BodyTooLargeError),
        (b"9" * 30, BodyTooLargeError),
        (b"x", MalformedError),
        (b"-1", MalformedError),
    ],
)
async def test_a_declared_length_is_believed_before_reading(length: bytes, error: type[Exception] | None) -> None:
    """A length beyond the bound is refused unread, and one that is none is malformed."""
    sender = Sender([b"{}"])
    asked = Asked(content_type=b"application/json", content_length=length)
    if error is None:
        assert await read(sender, asked) == b"{}"
        return
    with pytest.raises(error):
        await read(sender, asked)
    assert sender.taken == 0


async def test_only_json_is_read() -> None:
    """A body that is not declared as JSON is refused, and no body needs no declaration."""
    assert await read(Sender([b""]), Asked()) == b""
    assert await read(Sender([b"{}"]), Asked(content_type=b"APPLICATION/json ;charset=utf-8")) == b"{}"
    for content_type in (b"", b"text/plain", b"application/json5"):
        with pytest.raises(NotJSONError):
            await read(Sender([b"{}"]), Asked(content_type=content_type))


async def sent(status: int, body: bytes, *, has_body: bool) -> tuple[dict[bytes, bytes], bytes]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await asgi.answer(send, status, [(b"x-own", b"1")], body, has_body=has_body)
    start, end = messages
    assert start["status"] == status
    return dict(start["headers"]), end["body"]


@pytest.mark.parametrize("has_body", [True, False])
async def test_an_answer_says_its_length(*, has_body: bool) -> None:
    """An answer has its own headers, the hardening and its length, also where HEAD leaves the body out."""
    headers, body = await sent(200, b"body", has_body=has_body)
    assert headers[b"content-length"] == b"4"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"x-own"] == b"1"
    assert body == (b"body" if has_body else b"")


async def test_no_content_has_no_length() -> None:
    """A 204 says no length (RFC 9110, section 8.6)."""
    headers, body = await sent(204, b"", has_body=True)
    assert b"content-length" not in headers
    assert body == b""

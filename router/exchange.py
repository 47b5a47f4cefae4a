"""One HTTP exchange at the level of ASGI: headers in, a bounded body in, one answer out."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from router.errors import BodyTooLargeError, MalformedError, NotJSONError

Headers = Sequence[tuple[bytes, bytes]]
NO_CONTENT = 204

HARDENING: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class ClientGoneError(Exception):
    """The client hung up before its request was whole; nobody is there to answer."""


@dataclass(slots=True)
class Asked:
    """The headers of a request that the edge looks at."""

    authorization: bytes = b""
    cookie: bytes = b""
    origin: bytes = b""
    content_type: bytes = b""
    content_length: bytes = b""
    user_agent: bytes = b""
    range: bytes = b""
    if_range: bytes = b""


_FIELDS = {
    b"authorization": "authorization",
    b"cookie": "cookie",
    b"origin": "origin",
    b"content-type": "content_type",
    b"content-length": "content_length",
    b"user-agent": "user_agent",
    b"range": "range",
    b"if-range": "if_range",
}


def read_headers(scope: Scope) -> Asked:
    """Return the headers that matter, each the last of its name."""
    asked = Asked()
    for name, value in scope["headers"]:
        field = _FIELDS.get(name)
        if field is not None:
            setattr(asked, field, value)
    return asked


async def read_json(asked: Asked, receive: Receive, bytes_max: int) -> bytes:
    """Return a JSON body, empty when there is none.

    Raises BodyTooLargeError before reading more than `bytes_max`, NotJSONError for another media type, and
    ClientGoneError when the client hangs up.
    """
    if asked.content_length:
        if not asked.content_length.isdigit():
            raise MalformedError("Content-Length is not a number.")
        if int(asked.content_length) > bytes_max:
            raise BodyTooLargeError(bytes_max)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        body = await _read_rest(body, receive, bytes_max)
    if len(body) > bytes_max:
        raise BodyTooLargeError(bytes_max)
    if body and asked.content_type.partition(b";")[0].strip().lower() != b"application/json":
        raise NotJSONError("Send JSON with the header Content-Type: application/json.")
    return body


async def _read_rest(first: bytes, receive: Receive, bytes_max: int) -> bytes:
    parts, size = [first], len(first)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > bytes_max:
            raise BodyTooLargeError(bytes_max)
        if not message.get("more_body", False):
            return b"".join(parts)


async def answer(send: Send, status: int, headers: Headers, body: bytes, *, has_body: bool = True) -> None:
    """Send one whole response; a HEAD request gets the headers alone."""
    # RFC 9110, section 8.6: an answer without content has no length either.
    length: Headers = () if status == NO_CONTENT else ((b"content-length", b"%d" % len(body)),)
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length, *HARDENING]})
    await send({"type": "http.response.body", "body": body if has_body else b""})

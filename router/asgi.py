"""HTTP exchange at the level of ASGI: the headers and a bounded body of a request, and one response."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

from starlette.types import Receive, Scope, Send

from router.errors import BodyTooLargeError, EncodedBodyError, MalformedError, NotJSONError

Headers = Sequence[tuple[bytes, bytes]]
NO_CONTENT = 204
NOT_MODIFIED = 304
THROTTLED: Final = "rookery.throttled"
"""Key in the scope of a request that was answered with 429."""

HARDENING: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
CACHE_CONTROL = b"cache-control"
NO_STORE = (CACHE_CONTROL, b"no-store")
HARDENED_UNSTORED: Headers = (*HARDENING, NO_STORE)


def hardened(headers: Headers) -> Headers:
    """Return an answer's headers with those that every answer has; no cache keeps it unless it says which may."""
    for name, _ in headers:
        if name == CACHE_CONTROL:
            return (*headers, *HARDENING)
    return (*headers, *HARDENED_UNSTORED)


class ClientGoneError(Exception):
    """Error of a client that disconnected before its request was complete; nobody receives a response."""


@dataclass
class Asked:
    """Headers of a request that dispatch reads."""

    authorization: bytes = b""
    cookie: bytes = b""
    origin: bytes = b""
    content_type: bytes = b""
    content_length: bytes = b""
    content_encoding: bytes = b""
    user_agent: bytes = b""
    range: bytes = b""
    if_range: bytes = b""
    if_match: bytes = b""
    if_none_match: bytes = b""


_FIELDS = {
    b"authorization": "authorization",
    b"cookie": "cookie",
    b"origin": "origin",
    b"content-type": "content_type",
    b"content-length": "content_length",
    b"content-encoding": "content_encoding",
    b"user-agent": "user_agent",
    b"range": "range",
    b"if-range": "if_range",
    b"if-match": "if_match",
    b"if-none-match": "if_none_match",
}
_LISTS = frozenset((b"if-match", b"if-none-match", b"content-encoding"))
"""Headers whose values are lists, which may stand in several lines (RFC 9110, section 5.3)."""


def read_headers(scope: Scope) -> Asked:
    """Return the headers that matter, each the last of its name, lists of several lines as one."""
    # Defaults are read from the class: __init__ would store eleven of them for every request.
    asked = Asked.__new__(Asked)
    for name, value in scope["headers"]:
        field = _FIELDS.get(name)
        if field is not None:
            before = getattr(asked, field) if name in _LISTS else b""
            setattr(asked, field, b"%b, %b" % (before, value) if before else value)
    return asked


def refuse_encoded(asked: Asked) -> None:
    """Raise EncodedBodyError for a body that is compressed."""
    if asked.content_encoding.strip().lower() not in (b"", b"identity"):
        raise EncodedBodyError


async def read_json(
    asked: Asked,
    receive: Receive,
    bytes_max: int,
    *,
    in_parts: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> bytes:
    """Return a JSON body, empty when there is none; one that comes in parts is read within `in_parts`.

    Raises BodyTooLargeError before reading more than `bytes_max`, NotJSONError for another media type,
    EncodedBodyError for a compressed one, and ClientGoneError when the client hangs up.
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
        with in_parts():
            body = await _read_rest(body, receive, bytes_max)
    if len(body) > bytes_max:
        raise BodyTooLargeError(bytes_max)
    if body:
        refuse_encoded(asked)
    if body and asked.content_type.partition(b";")[0].strip().lower() != b"application/json":
        raise NotJSONError("Send JSON with the header Content-Type: application/json.")
    return body


async def _read_rest(first: bytes, receive: Receive, bytes_max: int) -> bytes:
    body, is_more = bytearray(first), True
    while is_more:
        if len(body) > bytes_max:
            raise BodyTooLargeError(bytes_max)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body += message.get("body", b"")
        is_more = message.get("more_body", False)
    return bytes(body)


async def answer(send: Send, status: int, headers: Headers, body: bytes, *, has_body: bool = True) -> None:
    """Send one whole response; a HEAD request gets the headers alone."""
    # RFC 9110, section 8.6: an answer without content has no length either; that of a 304 would be the file's.
    length: Headers = () if status in (NO_CONTENT, NOT_MODIFIED) else ((b"content-length", b"%d" % len(body)),)
    await send({"type": "http.response.start", "status": status, "headers": hardened([*headers, *length])})
    await send({"type": "http.response.body", "body": body if has_body else b""})

"""The head of a request: its bounds, its faults, and the answer that tells of them.

A proxy and the server behind it must not read one head in two ways (RFC 9112, section 11.2), and a head must not take
more memory than its bounds.
"""

import re
from collections.abc import Sequence
from typing import Final

from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope

HEAD_BYTES_MAX: Final = 32_768
"""Request line and headers together; beyond it 400. The parser itself keeps a head of any length: one of 180 MB took
the process from 52 to 219 MB."""
HEADERS_MAX: Final = 128
"""Headers of one request; beyond it 400. Short ones cost thirty times their bytes."""
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]*)(?::[0-9]*)?")
"""RFC 3986, section 3.2.2, without the comma, which would be two hosts in one line."""
_HOST_WANTED: Final = "A request of HTTP/1.1 has one Host header, with a host."
EMPTY: Final = "A request does not begin with empty lines."


def refusal(status: int, text: str) -> ASGI3Application:
    """Return an application that answers in plain text, after which the connection closes."""
    body = text.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]

    async def refuse(_scope: Scope, _receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return refuse


def head_excess(head_bytes: int, headers: Sequence[object] | None) -> str | None:
    """Return the fault of a head that is too long, whole or not; `headers` are those read so far."""
    if head_bytes > HEAD_BYTES_MAX:
        return "The request's headers are too long."
    if len(headers or ()) > HEADERS_MAX:
        return "The request has too many headers."
    return None


def host_fault(hosts: Sequence[bytes], version: str) -> str | None:
    """Return the fault of a request of this version of HTTP without one good Host (RFC 9112, section 3.2)."""
    if not hosts:
        return None if version == "1.0" else _HOST_WANTED
    if len(hosts) > 1 or _HOST.fullmatch(hosts[0]) is None:
        return _HOST_WANTED
    return None

"""Streams of bodies that are too large for memory: uploads read as they arrive, downloads sent as they are read.

Each has a time limit, and an address has a bounded number at once, so that slow clients cannot hold resources that
others need.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

from starlette.types import Receive, Send

from router.asgi import Asked, ClientGoneError, Headers, hardened, refuse_encoded
from router.errors import MalformedError, TooManyRequestsError

BYTES_PER_SECOND_MIN: Final = 16_384
"""Minimum rate, three times that of a telephone modem: a slower client looks the same as one that never finishes."""
SECONDS_MIN: Final = 30
"""Least time limit of a body; the time of its bytes comes on top. Beyond it 408, or the connection ends."""
PER_ADDRESS_MAX: Final = 32
"""Bodies under way for one address; a browser opens six connections. Beyond it 429."""


def seconds_for(size_bytes: int) -> float:
    """Return the time limit of a body, in seconds."""
    return SECONDS_MIN + size_bytes / BYTES_PER_SECOND_MIN


@dataclass(frozen=True, slots=True)
class Upload:
    """Body of a request that its endpoint reads; `size_bytes` is its Content-Length, None if there is none."""

    content_type: str
    size_bytes: int | None
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Download:
    """Body of a response, of exactly `size_bytes`; `close` is always awaited at its end."""

    chunks: AsyncIterator[bytes]
    size_bytes: int
    close: Callable[[], Awaitable[None]]


def upload(asked: Asked, receive: Receive) -> Upload:
    """Return the body of a request that is to be read as it comes.

    Raises MalformedError for a wrong length, EncodedBodyError for a compressed one: its bytes are not the announced.
    """
    if asked.content_length and not asked.content_length.isdigit():
        raise MalformedError("Content-Length is not a number.")
    refuse_encoded(asked)
    size_bytes = int(asked.content_length) if asked.content_length else None
    return Upload(asked.content_type.decode("latin-1"), size_bytes, _receive(receive))


async def _receive(receive: Receive) -> AsyncIterator[bytes]:
    is_more = True
    while is_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        if chunk := message.get("body", b""):
            yield chunk
        is_more = message.get("more_body", False)


async def send_download(
    receive: Receive, send: Send, status: int, headers: Headers, download: Download, *, has_body: bool
) -> None:
    """Stream a response within its time limit.

    Raises ClientGoneError, TimeoutError, and the errors of reading: the response then stays unfinished, which the
    client notices.
    """
    length = (b"content-length", b"%d" % download.size_bytes)
    gone = asyncio.ensure_future(receive())  # nothing more comes but the end of the connection
    try:
        async with asyncio.timeout(seconds_for(download.size_bytes)):
            await send({"type": "http.response.start", "status": status, "headers": hardened([*headers, length])})
            if has_body:
                async for chunk in download.chunks:
                    if gone.done():
                        raise ClientGoneError
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        await download.close()


class Slots:
    """The bodies under way for each network of clients (`rate_limits.network_of`)."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextlib.contextmanager
    def taken(self, network: str) -> Iterator[None]:
        """Take a place while the block lasts; raises TooManyRequestsError when PER_ADDRESS_MAX are taken."""
        if self._taken[network] >= PER_ADDRESS_MAX:
            raise TooManyRequestsError(1)
        self._taken[network] += 1
        try:
            yield
        finally:
            self._taken[network] -= 1
            if not self._taken[network]:
                del self._taken[network]

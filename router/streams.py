"""Bodies that are too large to be held: uploads read as they come, downloads sent as they are read.

Each has a time in which all of it must pass, and an address a bounded number at once, so that nobody can hold what
others need by being slow.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

from starlette.types import Receive, Send

from router.errors import MalformedError, TooManyRequestsError
from router.exchange import HARDENING, Asked, ClientGoneError, Headers

BYTES_PER_SECOND_MIN: Final = 16_384
"""Slower than a telephone's modem times three: who is slower cannot be told from who does not want to finish."""
SECONDS_MIN: Final = 30
PER_ADDRESS_MAX: Final = 32
"""Bodies under way for one address; a browser opens six connections."""


def seconds_for(size_bytes: int) -> float:
    """Return how long a body may take."""
    return SECONDS_MIN + size_bytes / BYTES_PER_SECOND_MIN


@dataclass(frozen=True, slots=True)
class Upload:
    """A request's body that is read by its endpoint; `size_bytes` is what its head says, None where it says nothing."""

    content_type: str
    size_bytes: int | None
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Download:
    """An answer's body, of exactly `size_bytes`; `close` is awaited whatever happens to it."""

    chunks: AsyncIterator[bytes]
    size_bytes: int
    close: Callable[[], Awaitable[None]]


def upload(asked: Asked, receive: Receive) -> Upload:
    """Return the body of a request that is to be read as it comes; raises MalformedError for a wrong length."""
    if asked.content_length and not asked.content_length.isdigit():
        raise MalformedError("Content-Length is not a number.")
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
    """Send an answer as it is read, within the time that it may take.

    Raises ClientGoneError, TimeoutError, and what reading raises: the answer is then left unfinished, which the client
    sees.
    """
    length = (b"content-length", b"%d" % download.size_bytes)
    gone = asyncio.ensure_future(receive())  # nothing more comes but the end of the connection
    try:
        async with asyncio.timeout(seconds_for(download.size_bytes)):
            await send({"type": "http.response.start", "status": status, "headers": [*headers, length, *HARDENING]})
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
    """How many bodies are under way for each address."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextlib.contextmanager
    def taken(self, address: str) -> Iterator[None]:
        """Take a place while the block lasts; raises TooManyRequestsError when PER_ADDRESS_MAX are taken."""
        if self._taken[address] >= PER_ADDRESS_MAX:
            raise TooManyRequestsError(1)
        self._taken[address] += 1
        try:
            yield
        finally:
            self._taken[address] -= 1
            if not self._taken[address]:
                del self._taken[address]

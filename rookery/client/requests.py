"""Requests of a client without an answer yet. They are sent again, in the same order, on the next connection: a message
keeps its nonce, so it is stored once."""

import asyncio
import itertools
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import orjson
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from rookery.client.errors import RequestError, UnsendableError

log = logging.getLogger(__name__)

FRAME_BYTES_MAX: Final = 65_536
"""Of a request; a server closes the connection for more."""
UNANSWERED_MAX: Final = 64
"""Requests without an answer; further ones wait. A server runs so many at a time."""
FRAMES_PER_SECOND: Final = 45.0
"""Requests of a client in the long run, a bit less than a server lets pass; faster ones wait."""
BURST: Final = 250
"""Requests that a client may have saved up, likewise."""


@dataclass(slots=True, eq=False)
class _Request:
    frame: bytes
    repeats: bool
    answer: "asyncio.Future[Any]"
    link: ClientConnection | None = None


class Requests:
    """Sends requests over the current connection, and finds the request of an answer by its `ref`."""

    def __init__(self, frames_per_second: float, may_read: asyncio.Event) -> None:
        self._rate = frames_per_second
        self._may_read = may_read
        self._refs = itertools.count(1)
        self._slots = asyncio.Semaphore(UNANSWERED_MAX)
        self._unanswered: dict[int, _Request] = {}
        self._link: ClientConnection | None = None
        self._error: Exception | None = None
        self._due = 0.0

    @property
    def are_waiting(self) -> bool:
        """Return whether a request waits for its answer."""
        return bool(self._unanswered)

    async def ask(self, op: str, d: Mapping[str, Any], *, repeats: bool = True) -> Any:
        """Return what the answer carries. A request that does not repeat is not sent while there is no connection, nor
        again when it is lost: then the answer is None.

        Raises RequestError, the error that ended the client, and UnsendableError for what is no request.
        """
        ref = next(self._refs)
        frame = encode({"op": op, "ref": ref, "d": d})
        async with self._slots:
            await self._pace()
            if self._error is not None:
                raise self._error
            if self._link is None and not repeats:
                return None
            request = self._unanswered[ref] = _Request(frame, repeats, asyncio.get_running_loop().create_future())
            self._may_read.set()
            try:
                if self._link is not None:
                    await _send(request, self._link)
                return await request.answer
            finally:
                del self._unanswered[ref]

    async def _pace(self) -> None:
        now = asyncio.get_running_loop().time()
        self._due = max(self._due, now - BURST / self._rate) + 1 / self._rate
        if self._due > now:
            await asyncio.sleep(self._due - now)

    async def attach(self, link: ClientConnection) -> None:
        """Send the unanswered requests over a new connection, in their order, and then new ones."""
        while unsent := [request for request in self._unanswered.values() if request.link is not link]:
            for request in unsent:
                await _send(request, link)
        self._link = link

    def detach(self) -> None:
        """Note that the connection is lost."""
        self._link = None
        for request in self._unanswered.values():
            if not request.repeats and not request.answer.done():
                request.answer.set_result(None)

    def answer(self, op: str, ref: Any, d: Any) -> None:
        """Pass an answer to its request, if that has not been given up."""
        request = self._unanswered.get(ref)
        if request is None or request.answer.done():
            if op == "error":
                log.warning("the gateway refused something: %s", RequestError(d))
        elif op == "error":
            request.answer.set_exception(RequestError(d))
        else:
            request.answer.set_result(d)

    def end(self, error: Exception) -> None:
        """Raise an error in all requests, those that wait and later ones."""
        self._error = error
        for request in self._unanswered.values():
            if not request.answer.done():
                request.answer.set_exception(error)


def encode(frame: Mapping[str, Any]) -> bytes:
    """Return a frame as JSON; raises UnsendableError for what has no JSON, or too much."""
    op = frame["op"]
    try:
        encoded = orjson.dumps(frame)
    except orjson.JSONEncodeError as error:  # a TypeError, of a text with half a surrogate pair among others
        raise UnsendableError(f"{op} cannot be sent as JSON ({error}).", "Nothing was sent; mend its texts.") from error
    if len(encoded) > FRAME_BYTES_MAX:
        raise UnsendableError(
            f"{op} has {len(encoded)} bytes, at most {FRAME_BYTES_MAX} can be sent at once.",
            "Nothing was sent; shorten it.",
        )
    return encoded


async def _send(request: _Request, link: ClientConnection) -> None:
    request.link = link
    with suppress(ConnectionClosed):  # the task that reads from it notices, and it is sent again
        await link.send(request.frame, text=True)

"""What a client asked for and has no answer to yet. It is asked again, in the same order, on the next connection: a
message keeps its nonce, so it is stored once."""

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

from rookery.client.errors import RequestError

log = logging.getLogger(__name__)

FRAME_BYTES_MAX: Final = 65_536
"""Of what is asked; a server closes the connection for more."""
UNANSWERED_MAX: Final = 64
"""Requests without an answer; further ones wait their turn. A server does so many at a time."""
FRAMES_PER_SECOND: Final = 45.0
"""Requests of a client in the long run, a bit less than a server lets pass; faster ones wait."""
BURST: Final = 250
"""Requests that a client may have saved up, likewise."""


@dataclass(slots=True, eq=False)
class _Asked:
    frame: bytes
    repeats: bool
    answer: "asyncio.Future[Any]"
    link: ClientConnection | None = None


class Requests:
    """Asks over whichever connection stands, and tells the answers from each other by their `ref`."""

    def __init__(self, frames_per_second: float, go_on: asyncio.Event) -> None:
        self._rate = frames_per_second
        self._go_on = go_on
        self._refs = itertools.count(1)
        self._turns = asyncio.Semaphore(UNANSWERED_MAX)
        self._asked: dict[int, _Asked] = {}
        self._link: ClientConnection | None = None
        self._error: Exception | None = None
        self._due = 0.0

    @property
    def are_waiting(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._asked)

    async def ask(self, op: str, d: Mapping[str, Any], *, repeats: bool = True) -> Any:
        """Return what the answer carries. What does not repeat is not asked while there is no connection, nor again
        when it is lost: then the answer is None.

        Raises RequestError, why the client ended, and ValueError for too large a request.
        """
        ref = next(self._refs)
        frame = orjson.dumps({"op": op, "ref": ref, "d": d})
        if len(frame) > FRAME_BYTES_MAX:
            raise ValueError(f"{op} has {len(frame)} bytes, at most {FRAME_BYTES_MAX} can be sent at once")
        async with self._turns:
            await self._pace()
            if self._error is not None:
                raise self._error
            if self._link is None and not repeats:
                return None
            asked = self._asked[ref] = _Asked(frame, repeats, asyncio.get_running_loop().create_future())
            self._go_on.set()
            try:
                if self._link is not None:
                    await _send(asked, self._link)
                return await asked.answer
            finally:
                del self._asked[ref]

    async def _pace(self) -> None:
        now = asyncio.get_running_loop().time()
        self._due = max(self._due, now - BURST / self._rate) + 1 / self._rate
        if self._due > now:
            await asyncio.sleep(self._due - now)

    async def attach(self, link: ClientConnection) -> None:
        """Ask again over a new connection, in the old order, and then let others ask over it."""
        while unsent := [asked for asked in self._asked.values() if asked.link is not link]:
            for asked in unsent:
                await _send(asked, link)
        self._link = link

    def detach(self) -> None:
        """Note that the connection is lost."""
        self._link = None
        for asked in self._asked.values():
            if not asked.repeats and not asked.answer.done():
                asked.answer.set_result(None)

    def answer(self, op: str, ref: Any, d: Any) -> None:
        """Hand an answer to whoever waits for it; nobody does who gave up."""
        asked = self._asked.get(ref)
        if asked is None or asked.answer.done():
            if op == "error":
                log.warning("the gateway refused something: %s", RequestError(d))
        elif op == "error":
            asked.answer.set_exception(RequestError(d))
        else:
            asked.answer.set_result(d)

    def end(self, error: Exception) -> None:
        """Raise this wherever an answer is waited for, and for whoever asks from now on."""
        self._error = error
        for asked in self._asked.values():
            if not asked.answer.done():
                asked.answer.set_exception(error)


async def _send(asked: _Asked, link: ClientConnection) -> None:
    asked.link = link
    with suppress(ConnectionClosed):  # whoever reads from it notices, and it is asked again
        await link.send(asked.frame, text=True)

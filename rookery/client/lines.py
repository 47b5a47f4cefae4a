"""Keeps a connection to the gateway, and makes another when it is lost, until a close code says that this is no use."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from rookery.client.errors import ENDINGS, EndedError, UnreachableError
from rookery.client.hearing import Hearing
from rookery.client.requests import Requests

log = logging.getLogger(__name__)

PATH: Final = "/v1/gateway"
MESSAGE_BYTES_MAX: Final = 16_777_216
"""Of one frame of the server: events have at most 1 MiB, but `ready` tells of up to 1,000 rooms."""
GREETING_SECONDS_MAX: Final = 60.0
"""From the handshake to `ready`; many who come back at the same time wait for each other."""
CLOSE_SECONDS: Final = 2.0
"""How long a server may take to answer a goodbye."""
SILENT_HEARTBEATS: Final = 2.5
"""After so many heartbeats without a word the server is taken to be gone."""
BACKOFF_SECONDS: Final = 1.0
"""Before the second try to connect; doubled for each further one."""
BACKOFF_SECONDS_MAX: Final = 60.0
TOO_CHATTY: Final = 4006
TOO_CHATTY_SECONDS: Final = 10.0
"""What the gateway asks of who sent too many frames."""
RETRIED_STATUSES: Final = frozenset({408, 425, 429})
"""Refusals of a handshake, beside those from 500 on, that are over after a while."""

Identity = Callable[[], Awaitable[Mapping[str, Any]]]
"""Returns what an `identify` needs beside the places."""

_RIGHT_ADDRESS: Final = "See that the server runs and that the address is right."
_HEARTBEAT: Final = '{"op":"heartbeat"}'
_dice = random.SystemRandom()


def address(url: str) -> str:
    """Return the gateway's address, given that or the server's."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return parts._replace(scheme=scheme, path=parts.path.rstrip("/") or PATH).geturl()


class Line:
    """One connection after another. `opened` is done when the first one stands."""

    def __init__(
        self, url: str, identity: Identity, hearing: Hearing, requests: Requests, go_on: asyncio.Event
    ) -> None:
        self._url = address(url)
        self._identity = identity
        self._hearing = hearing
        self._requests = requests
        self._go_on = go_on
        self._tries = 0
        self._complaint = ""
        self._renews = False
        self.opened = asyncio.Event()

    async def run(self) -> None:
        """Stay connected. Raises EndedError when the server wants no more, UnreachableError if the first try fails, and
        SequenceError."""
        while True:
            try:
                await self._converse()
            except (OSError, WebSocketException, UnreachableError) as error:
                is_renewal, self._renews = self._renews, False
                if not is_renewal:
                    self._raise_if_final(error)
                    seconds = self._backoff(error)
                    log.info("the gateway is lost, connecting again in %.1f s: %r", seconds, error)
                    await asyncio.sleep(seconds)

    def _raise_if_final(self, error: Exception) -> None:
        ended = _ending(error, self._complaint)
        if ended is not None:
            raise ended from error
        if isinstance(error, UnreachableError) and not self.opened.is_set():
            raise error
        if not self.opened.is_set():
            problem = f"{self._url} cannot be reached: {str(error) or type(error).__name__}."
            raise UnreachableError(problem, _RIGHT_ADDRESS) from error

    def _backoff(self, error: Exception) -> float:
        seconds = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS * 2.0**self._tries) * _dice.uniform(0.5, 1.0)
        self._tries = min(self._tries + 1, 16)
        is_chatty = isinstance(error, ConnectionClosed) and error.rcvd is not None and error.rcvd.code == TOO_CHATTY
        return max(seconds, TOO_CHATTY_SECONDS) if is_chatty else seconds

    async def _converse(self) -> None:
        """Hold one connection to its end, whose cause is raised."""
        async with connect(
            self._url,
            compression=None,
            max_size=MESSAGE_BYTES_MAX,
            # Heartbeats do this, and count the server's silence only while it is listened to.
            ping_interval=None,
            close_timeout=CLOSE_SECONDS,
        ) as link:
            async with asyncio.timeout(GREETING_SECONDS_MAX):
                heartbeat_seconds, left = await self._greet(link)
            self._tries = 0
            self.opened.set()
            companion = asyncio.create_task(self._keep(link, heartbeat_seconds))
            try:
                for room_id in left:
                    await link.send(_frame("unsubscribe", {"room_id": room_id}), text=True)
                await self._requests.attach(link)
                await self._listen(link, SILENT_HEARTBEATS * heartbeat_seconds)
            finally:
                self._requests.detach()
                companion.cancel()

    async def _greet(self, link: ClientConnection) -> tuple[float, list[str]]:
        """Say who one is. Returns the seconds between heartbeats, and the rooms that are to be left again."""
        self._complaint = ""
        hello = await link.recv(decode=False)
        try:
            heartbeat_seconds = orjson.loads(hello)["d"]["heartbeat_ms"] / 1000
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise UnreachableError(f"{self._url} is not a gateway: {hello[:80]!r}.", _RIGHT_ADDRESS) from error
        identity = await self._identity()
        await link.send(_frame("identify", {**identity, "resume": self._hearing.resume()}), text=True)
        while True:
            message = await link.recv(decode=False)
            said = orjson.loads(message)
            if said["op"] == "ready":
                return heartbeat_seconds, self._hearing.greet(said["d"], len(message))
            if said["op"] == "error":
                self._complaint = said["d"]["detail"] + "".join(
                    f" {error['field']}: {error['detail']}." for error in said["d"].get("errors") or ()
                )

    async def _keep(self, link: ClientConnection, heartbeat_seconds: float) -> None:
        """Send heartbeats, until the connection is to be renewed."""
        with suppress(ConnectionClosed):  # whoever reads from it notices
            while True:
                try:
                    async with asyncio.timeout(heartbeat_seconds * _dice.uniform(0.6, 0.9)):
                        await self._hearing.renewal.wait()
                    self._renews = True
                    await link.close()
                    return
                except TimeoutError:
                    await link.send(_HEARTBEAT)

    async def _listen(self, link: ClientConnection, silent_seconds: float) -> None:
        while True:
            while self._hearing.is_full and not self._requests.are_waiting:
                self._go_on.clear()
                await self._go_on.wait()
            async with asyncio.timeout(silent_seconds):
                message = await link.recv(decode=False)
            self._take(orjson.loads(message), len(message))

    def _take(self, said: Mapping[str, Any], size: int) -> None:
        op, d = said["op"], said["d"]
        if op in ("ok", "error"):
            if op == "ok" and isinstance(d, dict) and "last_seq" in d:
                # Before the events that follow it.
                self._hearing.begin(d["room_id"], d["last_seq"])
            self._requests.answer(op, said.get("ref"), d)
        elif op != "heartbeat":
            self._hearing.take_in(op, d, size)


def _frame(op: str, d: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"op": op, "d": d})


def _ending(error: Exception, complaint: str) -> EndedError | None:
    """Return why there is nothing to try again, if that is so."""
    if isinstance(error, ConnectionClosed):
        close = error.rcvd or error.sent
        if close is not None and close.code in ENDINGS:
            return EndedError(close.code, complaint or close.reason, ENDINGS[close.code])
    elif isinstance(error, InvalidStatus):
        response = error.response
        if response.status_code < 500 and response.status_code not in RETRIED_STATUSES:
            reason = (response.body or b"").decode(errors="replace").strip() or response.reason_phrase
            return EndedError(response.status_code, reason, _RIGHT_ADDRESS)
    return None

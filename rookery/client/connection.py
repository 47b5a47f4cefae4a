"""Connection to the gateway: it is replaced when it is lost, until a close code says that this is no use."""

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
from rookery.client.positions import Positions
from rookery.client.requests import Requests, encode

log = logging.getLogger(__name__)

PATH: Final = "/v1/gateway"
MESSAGE_BYTES_MAX: Final = 16_777_216
"""Of one frame of the server: events have at most 1 MiB, but `ready` has up to 1,000 rooms.

Beyond it the client closes with 1009.
"""
GREETING_SECONDS_MAX: Final = 60.0
"""From the handshake to `ready`; many that reconnect at the same time wait for each other. Then another try."""
CLOSE_SECONDS: Final = 2.0
"""Time that a server may take to answer a close frame."""
SILENT_HEARTBEATS: Final = 2.5
"""After so many heartbeats without a frame the server is taken to be gone. Then another connection."""
BACKOFF_SECONDS: Final = 1.0
"""Pause before the second try to connect; doubled for each further one."""
BACKOFF_SECONDS_MAX: Final = 60.0
"""The longest pause between two tries to connect; the first is 1 s."""
TOO_CHATTY: Final = 4006
TOO_CHATTY_SECONDS: Final = 10.0
"""Pause that the gateway asks for after too many frames."""
RETRIED_STATUSES: Final = frozenset({408, 425, 429})
"""Refusals of a handshake, beside those from 500 on, that end after a while."""

Identity = Callable[[], Awaitable[Mapping[str, Any]]]
"""Returns what an `identify` needs beside the positions."""

_RIGHT_ADDRESS: Final = "See that the server runs and that the address is right."
_HEARTBEAT: Final = '{"op":"heartbeat"}'
_dice = random.SystemRandom()


def address(url: str) -> str:
    """Return the gateway's address, given that or the server's."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return parts._replace(scheme=scheme, path=parts.path.rstrip("/") or PATH).geturl()


class Connection:
    """Connects, again and again. `opened` is set when the first connection has received `ready`; nothing is read while
    too much waits, until `may_read` is set."""

    def __init__(
        self, url: str, identity: Identity, positions: Positions, requests: Requests, may_read: asyncio.Event
    ) -> None:
        self._url = address(url)
        self._identity = identity
        self._positions = positions
        self._requests = requests
        self._may_read = may_read
        self._tries = 0
        self._refusal = ""
        self._reconnects = False
        self.opened = asyncio.Event()

    async def run(self) -> None:
        """Stay connected. Raises EndedError when the server ends it for good, UnreachableError if the first try fails,
        and SequenceError."""
        while True:
            try:
                await self._connect()
            except (OSError, WebSocketException, UnreachableError) as error:
                is_reconnecting, self._reconnects = self._reconnects, False
                if not is_reconnecting:
                    self._raise_if_final(error)
                    seconds = self._backoff(error)
                    log.info("the gateway is lost, connecting again in %.1f s: %r", seconds, error)
                    await asyncio.sleep(seconds)

    def _raise_if_final(self, error: Exception) -> None:
        ended = _ending(error, self._refusal)
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

    async def _connect(self) -> None:
        """Keep one connection to its end, whose cause is raised."""
        async with connect(
            self._url,
            compression=None,
            max_size=MESSAGE_BYTES_MAX,
            # Heartbeats do this, and count the server's silence only while frames are read.
            ping_interval=None,
            close_timeout=CLOSE_SECONDS,
        ) as link:
            async with asyncio.timeout(GREETING_SECONDS_MAX):
                heartbeat_seconds, unsubscribed = await self._identify(link)
            self._tries = 0
            self.opened.set()
            heartbeats = asyncio.create_task(self._send_heartbeats(link, heartbeat_seconds))
            try:
                for room_id in unsubscribed:
                    await link.send(_frame("unsubscribe", {"room_id": room_id}), text=True)
                await self._requests.attach(link)
                await self._read(link, SILENT_HEARTBEATS * heartbeat_seconds)
            finally:
                self._requests.detach()
                heartbeats.cancel()

    async def _identify(self, link: ClientConnection) -> tuple[float, list[str]]:
        """Identify. Returns the seconds between heartbeats, and the rooms to unsubscribe from again."""
        self._refusal = ""
        hello = await link.recv(decode=False)
        try:
            heartbeat_seconds = orjson.loads(hello)["d"]["heartbeat_ms"] / 1000
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise UnreachableError(f"{self._url} is not a gateway: {hello[:80]!r}.", _RIGHT_ADDRESS) from error
        identity = await self._identity()
        await link.send(_frame("identify", {**identity, "resume": self._positions.resume()}), text=True)
        while True:
            message = await link.recv(decode=False)
            frame = orjson.loads(message)
            if frame["op"] == "ready":
                return heartbeat_seconds, self._positions.receive_ready(frame["d"], len(message))
            if frame["op"] == "error":
                self._refusal = frame["d"]["detail"] + "".join(
                    f" {error['field']}: {error['detail']}." for error in frame["d"].get("errors") or ()
                )

    async def _send_heartbeats(self, link: ClientConnection, heartbeat_seconds: float) -> None:
        """Send heartbeats, until the connection is to be replaced."""
        with suppress(ConnectionClosed):  # the task that reads from it notices
            while True:
                try:
                    async with asyncio.timeout(heartbeat_seconds * _dice.uniform(0.6, 0.9)):
                        await self._positions.reconnect_is_due.wait()
                    self._reconnects = True
                    await link.close()
                    return
                except TimeoutError:
                    await link.send(_HEARTBEAT)

    async def _read(self, link: ClientConnection, silent_seconds: float) -> None:
        while True:
            while self._positions.is_full and not self._requests.are_waiting:
                self._may_read.clear()
                await self._may_read.wait()
            async with asyncio.timeout(silent_seconds):
                message = await link.recv(decode=False)
            self._receive(orjson.loads(message), len(message))

    def _receive(self, frame: Mapping[str, Any], size: int) -> None:
        op, d = frame["op"], frame["d"]
        if op in ("ok", "error"):
            if op == "ok" and isinstance(d, dict) and "last_seq" in d:
                # Before the events that follow it.
                self._positions.subscribe(d["room_id"], d["last_seq"])
            self._requests.answer(op, frame.get("ref"), d)
        elif op != "heartbeat":
            self._positions.receive(op, d, size)


def _frame(op: str, d: Mapping[str, Any]) -> bytes:
    return encode({"op": op, "d": d})


def _ending(error: Exception, refusal: str) -> EndedError | None:
    """Return the error of a connection that is not to be tried again, None of others."""
    if isinstance(error, ConnectionClosed):
        close = error.rcvd or error.sent
        if close is not None and close.code in ENDINGS:
            return EndedError(close.code, refusal or close.reason, ENDINGS[close.code])
    elif isinstance(error, InvalidStatus):
        response = error.response
        if response.status_code < 500 and response.status_code not in RETRIED_STATUSES:
            reason = (response.body or b"").decode(errors="replace").strip() or response.reason_phrase
            return EndedError(response.status_code, reason, _RIGHT_ADDRESS)
    return None

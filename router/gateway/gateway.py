"""Gateway: handshakes, and the periodic tasks over all connections."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from websockets.http11 import Request

from directory.directory import Directory
from router.errors import TooManyRequestsError
from router.gateway import close_codes, frames
from router.gateway.connection import Connection
from router.gateway.hub import Hub
from router.gateway.identify import Identification
from router.gateway.metrics import GatewayMetrics
from router.gateway.ops import Ops
from router.gateway.own_state import OwnState
from router.gateway.presence import PUBLISH_EVERY_SECONDS, Presences
from router.gateway.requests import Dispatcher, Rates
from router.gateway.tickets import Tickets
from router.gateway.websocket import Socket
from router.rate_limits import Buckets, network_of
from router.room_access import RoomAccess
from shard.engine.pool import ShardPool
from shard.history.history import History

log = logging.getLogger(__name__)

PATH: Final = "/v1/gateway"
HEARTBEAT_MS: Final = 30_000
"""Interval at which a client sends a heartbeat, at least."""
SILENT_SECONDS: Final = 75.0
"""A client that sent nothing for so long is taken to be gone: two heartbeats and a bit. Then 4007."""
IDENTIFY_SECONDS: Final = 10.0
"""How long a client may take to identify. Then 4002."""
LOOK_EVERY_SECONDS: Final = 2.5
"""Interval of closing silent connections and sending what was held back: removals, spans of hidden events."""
FOREIGN_EVERY_SECONDS: Final = 2.0
"""Interval of comparing memberships after commits of another process: a long import makes many."""
SAVE_EVERY_SECONDS: Final = 60.0
"""Interval of saving the ends of logs into the directory: after a crash a client may receive events of so long
again."""
RECHECK_EVERY_SECONDS: Final = 60.0
"""Interval of checking the sessions of connected clients: they are extended, or have expired."""
_HELLO: Final = frames.message("hello", {"heartbeat_ms": HEARTBEAT_MS})

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """Settings of the gateway: `origins` are those of pages that may connect, beside programs, which send none; client
    addresses that `proxies` forward are trusted."""

    origins: frozenset[str]
    proxies: tuple[Network, ...]
    frame_bytes_max: int
    message_length_max: int
    ipv6_prefix_length: int


class Gateway:
    """Gateway of WebSockets; `run` works until it is cancelled."""

    def __init__(
        self,
        directory: Directory,
        pool: ShardPool,
        history: History,
        *,
        options: GatewayOptions,
        rates: Rates,
        addresses: Buckets,
        clock: Callable[[], int],
    ) -> None:
        self.metrics = GatewayMetrics(clock)
        self.hub = Hub(directory, pool, self.metrics)
        self.presences = Presences(self.hub)
        directory.database.listen(self.presences.apply)
        self.own_state = OwnState(self.hub)
        self.tickets = Tickets()
        self._identification = Identification(directory, pool, self.hub, self.presences, self.tickets, clock)
        room_access = RoomAccess(directory.rooms, directory.chats, pool)
        self.ops = Ops(
            self.hub,
            self.presences,
            self.own_state,
            self._identification,
            room_access,
            pool,
            history,
            options.message_length_max,
        )
        self.handler = Dispatcher(
            self.hub, self.presences, self._identification, self.ops.ops(), rates, self.metrics, clock
        )
        self._options = options
        self._rates = rates
        self._addresses = addresses
        self._unidentified: set[Connection] = set()
        self.frame_bytes_max = options.frame_bytes_max

    def refusal(self, request: Request, peer: str) -> tuple[int, str] | None:
        """Return the refusal of a handshake: another path, a foreign origin, too many from one address."""
        if request.path.partition("?")[0] != PATH:
            return 404, f"The gateway is at {PATH}."
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self._options.origins:
            return 403, "This origin is not on the list of the server's allowed_origins."
        try:
            network = network_of(self._client_address(request, peer), self._options.ipv6_prefix_length)
            self._addresses.take(network, time.monotonic())
        except TooManyRequestsError as error:
            return 429, str(error)
        return None

    def _client_address(self, request: Request, peer: str) -> str:
        """Return the address behind trusted proxies: the last one that is not itself such a proxy."""
        forwarded = ",".join(request.headers.get_all("X-Forwarded-For")).split(",")
        for address in (peer, *(one.strip() for one in reversed(forwarded) if one.strip())):
            if not self._is_proxy(address):
                return address
        return peer

    def _is_proxy(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._options.proxies)

    def opened(self, socket: Socket, request: Request, peer: str) -> Connection:
        """Greet a client."""
        now = asyncio.get_running_loop().time()
        connection = Connection(socket, self._client_address(request, peer), now, now, float(self._rates.frames.burst))
        self._unidentified.add(connection)
        self.hub.note_connection()
        self.metrics.opened += 1
        connection.write(_HELLO)
        return connection

    @property
    def connection_count(self) -> int:
        """Number of identified connections."""
        return len(self.hub.connections)

    @property
    def queued_bytes(self) -> int:
        """Bytes written to clients that have not read them."""
        return sum(connection.socket.queued_bytes for connection in self.hub.connections)

    async def run(self) -> None:
        """Recheck the sessions that are due until cancelled, and then close the hub."""
        try:
            await self._recheck_due()
        finally:
            self.hub.close()

    def periodic_tasks(self) -> tuple[tuple[str, float, Callable[[], Awaitable[object]]], ...]:
        """Return the periodic tasks, beside `run`: name, seconds between two runs, and function."""
        return (
            ("silent connections", LOOK_EVERY_SECONDS, self._close_silent),
            ("presences", PUBLISH_EVERY_SECONDS, self.presences.publish),
            ("memberships by other processes", FOREIGN_EVERY_SECONDS, self.hub.introduce_foreign),
            ("ends of logs", SAVE_EVERY_SECONDS, self.hub.save),
            ("session checks", RECHECK_EVERY_SECONDS, self._recheck_all),
        )

    async def _close_silent(self) -> None:
        """Close connections that are silent or do not identify, and send what was held back for long enough."""
        now = asyncio.get_running_loop().time()
        for connection in list(self._unidentified):
            if connection.is_ready or connection.is_closed():
                self._unidentified.discard(connection)
            elif now - connection.opened_at > IDENTIFY_SECONDS:
                connection.close(close_codes.NOT_IDENTIFIED)
        for connection in [one for one in self.hub.connections if now - one.received_at > SILENT_SECONDS]:
            connection.close(close_codes.SILENT)
        for connection in self.hub.connections:
            if connection.removals:
                connection.send_overdue_removals(now)
        self.hub.flush_skipped()

    async def _recheck_due(self) -> None:
        while True:
            await self.hub.recheck_is_due.wait()
            self.hub.recheck_is_due.clear()
            due, self.hub.to_recheck = self.hub.to_recheck, set()
            try:
                await self._identification.recheck(due)
            except Exception:  # retried until it succeeds
                log.exception("sessions could not be checked")
                self.hub.recheck(due)
                await asyncio.sleep(1.0)

    async def _recheck_all(self) -> None:
        self._identification.touch(self.hub.connections)
        self.hub.recheck(self.hub.connections)

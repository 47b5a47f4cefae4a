"""The gateway as one thing: who is let in at the handshake, and the chores that keep connections true."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from websockets.http11 import Request

from directory.directory import Directory
from ids import RoomId
from router.doors import RoomDoor
from router.errors import TooManyRequestsError
from router.gateway import closing, frames
from router.gateway.acts import Acts
from router.gateway.closing import Close
from router.gateway.connections import Connection
from router.gateway.desk import Desk, Rates
from router.gateway.hub import Hub
from router.gateway.identifying import Identification
from router.gateway.presence import TOLD_EVERY_SECONDS, Presences
from router.gateway.sockets import Receiver, Socket
from router.gateway.tallies import Tallies
from router.gateway.tickets import Tickets
from router.limits import Buckets
from shard.history import History
from shard.pool import ShardPool
from shard.rows import Event

log = logging.getLogger(__name__)

PATH: Final = "/v1/gateway"
HEARTBEAT_MS: Final = 30_000
"""How often a client says that it is there, at least."""
SILENT_SECONDS: Final = 75.0
"""Without a word for so long a client is taken to be gone: two heartbeats and a bit."""
IDENTIFY_SECONDS: Final = 10.0
LOOK_EVERY_SECONDS: Final = 2.5
"""How often silent connections are looked for."""
SAVE_EVERY_SECONDS: Final = 60.0
"""How often the ends of logs are written into the directory: who connects after a crash may be told of up to so much
again."""
RECHECK_EVERY_SECONDS: Final = 60.0
"""How often the sessions of connected clients are looked at: they slide meanwhile, or have expired."""
_HELLO: Final = frames.told("hello", {"heartbeat_ms": HEARTBEAT_MS})

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may connect: `origins` are the pages that may, beside programs, which send none; `proxies` are believed what
    they say of addresses."""

    origins: frozenset[str]
    proxies: tuple[Network, ...]
    frame_bytes_max: int
    message_length_max: int


class _Line:
    """A socket's way to the desk."""

    __slots__ = ("_connection", "_desk")

    def __init__(self, connection: Connection, desk: Desk) -> None:
        self._connection = connection
        self._desk = desk

    def received(self, message: bytes) -> None:
        self._desk.received(self._connection, message)

    def ticked(self) -> bool:
        return self._desk.ticked(self._connection)

    def writable(self) -> None:
        self._connection.release()

    def lost(self, close: Close | None) -> None:
        self._desk.lost(self._connection, close)


class Gateway:
    """Takes WebSockets and keeps them; `run` works until it is cancelled."""

    def __init__(
        self,
        directory: Directory,
        pool: ShardPool,
        history: History,
        *,
        admission: Admission,
        rates: Rates,
        addresses: Buckets,
        clock: Callable[[], int],
    ) -> None:
        self.tallies = Tallies(clock)
        self.hub = Hub(directory, pool, self.tallies)
        self.presences = Presences(self.hub)
        self.tickets = Tickets()
        self._identification = Identification(directory, pool, self.hub, self.presences, self.tickets, clock)
        door = RoomDoor(directory.rooms, directory.chats, pool)
        self.acts = Acts(
            self.hub, self.presences, self._identification, door, pool, history, admission.message_length_max
        )
        self._desk = Desk(self.hub, self.presences, self._identification, self.acts.ops(), rates, self.tallies, clock)
        self._admission = admission
        self._rates = rates
        self._addresses = addresses
        self._strangers: set[Connection] = set()
        self.frame_bytes_max = admission.frame_bytes_max

    def publish(self, room_id: RoomId, events: Sequence[Event]) -> None:
        """Tell of a commit."""
        self.hub.publish(room_id, events)

    def refusal(self, request: Request, peer: str) -> tuple[int, str] | None:
        """Return why a handshake is refused: another path, a page of elsewhere, too many from one address."""
        if request.path.partition("?")[0] != PATH:
            return 404, f"The gateway is at {PATH}."
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self._admission.origins:
            return 403, "This origin is not on the list of the server's allowed_origins."
        try:
            self._addresses.take(self._address(request, peer), time.monotonic())
        except TooManyRequestsError as error:
            return 429, str(error)
        return None

    def _address(self, request: Request, peer: str) -> str:
        """Return who is behind a proxy that is believed: the last address that is not itself such a proxy."""
        said = ",".join(request.headers.get_all("X-Forwarded-For")).split(",")
        for address in (peer, *(one.strip() for one in reversed(said) if one.strip())):
            if not self._is_proxy(address):
                return address
        return peer

    def _is_proxy(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._admission.proxies)

    def opened(self, socket: Socket, request: Request, peer: str) -> Receiver:
        """Greet a client."""
        now = asyncio.get_running_loop().time()
        connection = Connection(socket, self._address(request, peer), now, now, float(self._rates.frames.burst))
        self._strangers.add(connection)
        self.hub.come()
        self.tallies.opened += 1
        connection.write(_HELLO)
        return _Line(connection, self._desk)

    @property
    def connection_count(self) -> int:
        """Clients that have identified."""
        return len(self.hub.connections)

    @property
    def queued_bytes(self) -> int:
        """What was written to clients that have not read it."""
        return sum(connection.socket.queued_bytes for connection in self.hub.connections)

    async def run(self) -> None:
        """Look after connections until cancelled."""
        chores: tuple[tuple[float, Callable[[], Awaitable[None]]], ...] = (
            (LOOK_EVERY_SECONDS, self._look),
            (TOLD_EVERY_SECONDS, self.presences.tell),
            (SAVE_EVERY_SECONDS, self.hub.save),
            (RECHECK_EVERY_SECONDS, self._recheck_all),
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._recheck_suspects())
                for seconds, chore in chores:
                    group.create_task(_repeat(seconds, chore))
        finally:
            self.hub.close()

    async def _look(self) -> None:
        """End who is silent or does not say who it is, and tell of what was held back."""
        now = asyncio.get_running_loop().time()
        for connection in list(self._strangers):
            if connection.is_ready or connection.is_gone():
                self._strangers.discard(connection)
            elif now - connection.opened_at > IDENTIFY_SECONDS:
                connection.close(closing.NOT_IDENTIFIED)
        for connection in [one for one in self.hub.connections if now - one.heard_at > SILENT_SECONDS]:
            connection.close(closing.SILENT)
        self.hub.break_silences()

    async def _recheck_suspects(self) -> None:
        while True:
            await self.hub.suspected.wait()
            self.hub.suspected.clear()
            suspects, self.hub.suspects = self.hub.suspects, set()
            try:
                await self._identification.recheck(suspects)
            except Exception:  # asked again until it is known
                log.exception("sessions could not be looked at")
                self.hub.suspect(suspects)
                await asyncio.sleep(1.0)

    async def _recheck_all(self) -> None:
        self._identification.touch(self.hub.connections)
        self.hub.suspect(self.hub.connections)


async def _repeat(seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await chore()
        except Exception:  # a chore that fails is tried again; the gateway goes on
            log.exception("a chore of the gateway failed")

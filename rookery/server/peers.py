"""Connections of HTTP by the address they come from, with the bounds of each: their number, memory, and time.

A trusted proxy brings the clients of all addresses, so the number of its connections has no bound of its own.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, Protocol

from router.errors import TooManyRequestsError
from router.rate_limits import Buckets, Rate, network_of

log = logging.getLogger(__name__)

RESERVE_MAX: Final = 16
"""Connections above the bounds that may still ask for health; beyond it the oldest of them is cut."""
KEPT_BYTES_MAX: Final = 8_388_608
"""Bytes of one address that wait to be parsed: unfinished heads, and requests sent before the response to an earlier
one. Beyond it the connection that brought them is closed."""
UNREAD_BYTES_MAX: Final = 16_777_216
"""Bytes of responses that the clients of one address do not read; beyond it the one that stopped first is cut."""
THROTTLED_PER_SECOND: Final = 5.0
"""Responses with 429 that one address gets without a pause; at each further one its connection waits."""
THROTTLED_BURST: Final = 100
"""Number of such responses at once."""
TELL_EVERY_SECONDS: Final = 60.0
"""Interval of the log line about connections that were ended."""


class Connection(Protocol):
    """Connection of HTTP, as its bounds see it. Times are those of the event loop."""

    deadline: float
    """When its client is late with what it has to send."""
    unread_deadline: float
    """When its client is late with reading."""

    def is_closing(self) -> bool:
        """Return whether it has ended, but for bytes that its client has not read yet."""

    def end_late(self, now: float) -> str | None:
        """End it because a deadline passed, and return the reason; None if it is given a further deadline."""

    def abort(self) -> None:
        """Cut it, whatever it still has to write."""


@dataclass(slots=True)
class Peer:
    """Clients of one address, or of one IPv6 network."""

    network: str
    is_proxy: bool
    connections: int = 0
    kept_bytes: int = 0
    unread_bytes: int = 0
    unread: dict[Connection, int] = field(default_factory=dict)
    """Bytes that wait for each client that does not read, in the order in which they stopped."""

    def keep(self, change_bytes: int) -> bool:
        """Count bytes that are kept from now on, or no more, and return whether they are within the bound."""
        self.kept_bytes += change_bytes
        return self.kept_bytes <= KEPT_BYTES_MAX

    def read_on(self, connection: Connection) -> None:
        """Note that a client reads again, or is gone."""
        self.unread_bytes -= self.unread.pop(connection, 0)


class Peers:
    """All clients with connections, WebSockets included. Lives on the event loop."""

    def __init__(
        self,
        *,
        connections_max: int,
        per_address_max: int,
        proxies: Sequence[IPv4Network | IPv6Network] = (),
        ipv6_prefix_length: int = 64,
    ) -> None:
        self._connections_max = connections_max
        self._per_address_max = per_address_max
        self._proxies = proxies
        self._ipv6_prefix_length = ipv6_prefix_length
        self._peers: dict[str, Peer] = {}
        self._watched: set[Connection] = set()
        self._surplus: dict[Connection, None] = {}
        self._throttled = Buckets("throttled", Rate(THROTTLED_PER_SECOND, THROTTLED_BURST))
        self._told_at = 0.0
        self._told: Counter[str] = Counter()
        self.count = 0
        self.ended: Counter[str] = Counter()

    def enter(self, connection: Connection, address: str) -> Peer:
        """Count a new connection, and return its peer. Above the bounds the oldest of the surplus gives way, so that a
        health check comes through whatever others do."""
        network = network_of(address, self._ipv6_prefix_length)
        peer = self._peers.get(network)
        if peer is None:
            peer = self._peers[network] = Peer(network, self._is_proxy(address))
        is_full = self.count - len(self._surplus) >= self._connections_max
        if is_full or (not peer.is_proxy and peer.connections >= self._per_address_max):
            self._surplus[connection] = None
            self.ended["too-many"] += 1
            if len(self._surplus) > RESERVE_MAX:
                next(iter(self._surplus)).abort()
        peer.connections += 1
        self.count += 1
        self._watched.add(connection)
        return peer

    def is_surplus(self, connection: Connection) -> bool:
        """Return whether a connection is above the bounds: it gets one response, about health or with 503."""
        return connection in self._surplus

    def hand_over(self, connection: Connection, peer: Peer) -> Callable[[], None]:
        """Watch a connection no more, which is a WebSocket now, and return what to call when that is gone."""
        self._watched.discard(connection)
        return partial(self._leave, peer)

    def leave(self, connection: Connection, peer: Peer) -> None:
        """Forget a connection that is gone."""
        self._watched.discard(connection)
        self._surplus.pop(connection, None)
        peer.read_on(connection)
        self._leave(peer)

    def _leave(self, peer: Peer) -> None:
        peer.connections -= 1
        self.count -= 1
        if not peer.connections:
            self._peers.pop(peer.network, None)

    def stop_reading(self, connection: Connection, peer: Peer, size_bytes: int) -> None:
        """Note that a client does not read what was written; beyond the bound the first that stopped is cut."""
        peer.unread[connection] = size_bytes
        peer.unread_bytes += size_bytes
        if peer.unread_bytes > UNREAD_BYTES_MAX:
            first = next(iter(peer.unread))
            peer.read_on(first)
            self.ended["unread"] += 1
            first.abort()

    def may_go_on(self, peer: Peer, now: float) -> bool:
        """Return whether a client that was just throttled may send its next request without a pause.

        The clients of a proxy share its connections, so a pause would be for others.
        """
        if peer.is_proxy:
            return True
        try:
            self._throttled.take(peer.network, now)
        except TooManyRequestsError:
            return False
        return True

    async def end_late(self, clock: Callable[[], float]) -> None:
        """End the connections that are late, and log once a minute how many were ended and why."""
        now = clock()
        for connection in list(self._watched):
            if connection.deadline < now or connection.unread_deadline < now or connection.is_closing():
                reason = connection.end_late(now)
                if reason is not None:
                    self.ended[reason] += 1
        if self.ended != self._told and now - self._told_at >= TELL_EVERY_SECONDS:
            log.warning("connections were ended", extra={"reasons": dict(self.ended - self._told)})
            self._told, self._told_at = self.ended.copy(), now

    def _is_proxy(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._proxies)

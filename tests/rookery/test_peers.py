"""Bounds of connections by address, without a server."""

from ipaddress import ip_network

from rookery.server import peers
from rookery.server.peers import Peers


class Client:
    """A connection that notes its end."""

    deadline = unread_deadline = 1e9

    def __init__(self) -> None:
        self.is_cut = False

    def is_closing(self) -> bool:
        return False

    def end_late(self, now: float) -> str | None:
        """Say that it is late."""
        return f"late at {now}"

    def abort(self) -> None:
        self.is_cut = True


def test_addresses_are_counted_by_network() -> None:
    """A /64 of IPv6 is one address, the connections of a proxy have no bound, and who leaves makes room."""
    bounds = Peers(connections_max=6, per_address_max=2, proxies=(ip_network("10.0.0.0/8"),))
    clients = [Client() for _ in range(8)]
    entered = [bounds.enter(each, f"2001:db8::{number}") for number, each in enumerate(clients[:3])]
    assert [bounds.is_surplus(each) for each in clients[:3]] == [False, False, True]
    bounds.enter(clients[3], "2001:db8:0:1::1")
    for each in clients[4:7]:
        bounds.enter(each, "10.0.0.1")
    assert not any(map(bounds.is_surplus, clients[3:7]))
    bounds.enter(clients[7], "10.0.0.1")
    assert bounds.is_surplus(clients[7])
    for each, peer in zip(clients[:3], entered, strict=True):
        bounds.leave(each, peer)
    newcomer = Client()
    bounds.enter(newcomer, "2001:db8::9")
    assert not bounds.is_surplus(newcomer)


def test_the_oldest_above_the_bounds_gives_way() -> None:
    """Of connections above the bounds the newest stay, so that a health check is answered."""
    bounds = Peers(connections_max=1, per_address_max=1)
    clients = [Client() for _ in range(peers.RESERVE_MAX + 2)]
    for each in clients:
        bounds.enter(each, "192.0.2.1")
    assert [each.is_cut for each in clients[:3]] == [False, True, False]


def test_the_first_that_does_not_read_is_cut() -> None:
    """Beyond the bound of unread bytes the client goes that stopped first; who reads again counts no more."""
    bounds = Peers(connections_max=9, per_address_max=9)
    clients = [Client() for _ in range(4)]
    peer, *_ = [bounds.enter(each, "192.0.2.1") for each in clients]
    third = peers.UNREAD_BYTES_MAX // 3
    for each in clients[:3]:
        bounds.stop_reading(each, peer, third)
    peer.read_on(clients[0])
    bounds.stop_reading(clients[3], peer, third)
    assert not any(each.is_cut for each in clients)
    bounds.stop_reading(clients[0], peer, third)
    assert [each.is_cut for each in clients] == [False, True, False, False]
    assert peer.unread_bytes == 3 * third


def test_whoever_is_throttled_on_and_on_waits() -> None:
    """After many responses with 429 an address waits before each next one, and a proxy never does."""
    bounds = Peers(connections_max=9, per_address_max=9, proxies=(ip_network("10.0.0.0/8"),))
    client, proxy = bounds.enter(Client(), "192.0.2.1"), bounds.enter(Client(), "10.0.0.1")
    free = [bounds.may_go_on(client, 0.0) for _ in range(peers.THROTTLED_BURST + 1)]
    assert free == [True] * peers.THROTTLED_BURST + [False]
    assert bounds.may_go_on(client, 1.0)
    assert all(bounds.may_go_on(proxy, 0.0) for _ in range(peers.THROTTLED_BURST + 1))


async def test_late_connections_are_ended_and_counted() -> None:
    """A connection beyond its deadline is ended once, one with time left is not touched."""
    bounds = Peers(connections_max=9, per_address_max=9)
    early, late = Client(), Client()
    late.deadline = 5.0
    for each in (early, late):
        bounds.enter(each, "192.0.2.1")
    await bounds.end_late(lambda: 4.0)
    assert not bounds.ended
    await bounds.end_late(lambda: 6.0)
    assert bounds.ended == {"late at 6.0": 1}

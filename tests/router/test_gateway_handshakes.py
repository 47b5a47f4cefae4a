"""Who may open a WebSocket at all: origins, paths, versions, and so many from one address and in all."""

from pathlib import Path
from typing import Any

import pytest

from tests.router.clients import Client, client_of
from tests.router.serving import ORIGIN, Place, Running, serving, until
from tests.router.wires import PATH, Wire, handshake, knock, speaking, wired

pytestmark = pytest.mark.security

HANDSHAKES: dict[str, tuple[dict[str, str], int]] = {
    "a program": ({}, 101),
    "an allowed page": ({"Origin": ORIGIN}, 101),
    "the allowed page by http": ({"Origin": ORIGIN.replace("https", "http")}, 403),
    "the allowed page with more": ({"Origin": ORIGIN + ".evil.example"}, 403),
    "a page below it": ({"Origin": ORIGIN + "/"}, 403),
    "a foreign page": ({"Origin": "https://evil.example"}, 403),
    "a page of nowhere": ({"Origin": "null"}, 403),
    "an old version": ({"Sec_WebSocket_Version": "8"}, 400),
    "no version": ({"Sec_WebSocket_Version": ""}, 400),
    "no key": ({"Sec_WebSocket_Key": ""}, 400),
    "a short key": ({"Sec_WebSocket_Key": "YQ=="}, 400),
    "another path": ({"path": "/v1/gateway/"}, 404),
    "a path above": ({"path": "/v1"}, 404),
    "the API's path": ({"path": "/v1/rooms"}, 404),
    "a query": ({"path": PATH + "?encoding=json"}, 101),
}


@pytest.mark.parametrize(("headers", "status"), HANDSHAKES.values(), ids=HANDSHAKES)
def test_only_a_right_handshake_is_taken(server: Running, headers: dict[str, str], status: int) -> None:
    """Handshakes of foreign pages, at other places or of other protocols are refused with their status."""
    assert knock(server, **headers) == status


def test_the_servers_own_pages_may_connect(tmp_path: Path) -> None:
    """The origin of the public address is let in without being listed."""
    with serving(Place(tmp_path, server={"public_url": '"https://rooks.example"'})) as server:
        for origin, status in (("https://rooks.example", 101), (f"http://127.0.0.1:{server.port}", 403)):
            assert knock(server, Origin=origin) == status


def test_a_slow_handshake_holds_nobody_up(server: Running, owner: Client) -> None:
    """Whoever sends a handshake byte by byte gets in at its end, and others meanwhile."""
    wire = Wire(server)
    for byte in handshake():
        wire.socket.sendall(bytes([byte]))
    with speaking(server, owner) as speaker:
        speaker.settle()
    assert wire.status() == 101
    assert wire.next("hello")
    wire.close()


def limited(tmp_path: Path, **more: Any) -> Any:
    """Serve where an address has seven requests and gets no more."""
    return serving(Place(tmp_path, rates={"address": (0.01, 7)}, **more))


def test_guessing_tokens_has_a_rate(tmp_path: Path) -> None:
    """Whoever tries tokens at the gateway is stopped at the handshake, in one count with what they ask over HTTP."""
    with limited(tmp_path) as server, client_of(server) as nobody:  # the first reads the contract
        for number in range(5):
            with wired(server) as wire:
                wire.say("identify", {"token": f"guess-{number}"})
                assert wire.code() == 4003
        assert nobody.ask("GET", "/v1/site").status_code == 200
        assert knock(server) == 429
        assert nobody.ask("GET", "/v1/site").status_code == 429


@pytest.mark.parametrize("trusted", [True, False])
def test_only_a_trusted_proxy_says_who_is_behind_it(tmp_path: Path, trusted: bool) -> None:
    """X-Forwarded-For gives addresses counts of their own if a trusted proxy sends it, and changes nothing else."""
    proxies = {"trusted_proxies": '["127.0.0.0/8"]'} if trusted else {}
    with limited(tmp_path, server=proxies) as server:
        taken = [knock(server, X_Forwarded_For=f"6.6.6.6, 10.0.0.{number}") for number in range(12)]
        assert taken == [101] * 12 if trusted else [101] * 7 + [429] * 5
        spoofed = [knock(server, X_Forwarded_For=f"7.7.7.{number}, 10.9.9.9") for number in range(9)]
        assert spoofed == [101] * 7 + [429] * 2 if trusted else [429] * 9
        odd = [knock(server, X_Forwarded_For=said) for said in (",", "nonsense", "127.0.0.1, ::1")]
        assert odd == ([101] * 3 if trusted else [429] * 3)


def test_connections_are_bounded_with_those_of_http(tmp_path: Path) -> None:
    """Beyond connections_max a handshake is answered with 503, and taken again when somebody left."""
    with serving(Place(tmp_path, server={"connections_max": "5"})) as server:
        opened = [Wire(server).open() for _ in range(5)]
        assert knock(server) == 503
        opened.pop().close()
        until(lambda: knock(server) == 101)
        for wire in opened:
            wire.close()

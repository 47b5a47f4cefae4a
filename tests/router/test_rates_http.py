"""Rate limits over HTTP: each bucket is told in headers, refuses with Retry-After, and leaves others alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.router.clients import PASSWORD, Client, client_of
from tests.router.serving import Place, serving
from tests.router.wires import knock

SLOW = 0.01
"""Tokens a second: none comes back while a test runs."""


@contextmanager
def limited(folder: Path, **rates: tuple[float, int]) -> Iterator[Client]:
    with serving(Place(folder, rates=rates)) as server, client_of(server) as client:
        yield client


def policy(response: httpx.Response) -> tuple[str, str]:
    return response.headers["ratelimit-policy"], response.headers["ratelimit"]


def is_limited(response: httpx.Response) -> bool:
    """Tell whether an answer is a 429, which says when to come back."""
    if response.status_code != 429:
        return False
    assert 90 <= int(response.headers["retry-after"]) <= 100
    return True


def test_a_user_has_a_rate_of_their_own(tmp_path: Path) -> None:
    """Each user has so many requests, whatever the address, and hears after each how many are left."""
    with limited(tmp_path, user=(SLOW, 3)) as nobody:
        anna, ben = nobody.guest(), nobody.guest()
        told = [policy(anna.ask("GET", "/v1/users/me")) for _ in range(3)]
        assert told == [('"user";q=3;w=300', f'"user";r={left};t=100') for left in (2, 1, 0)]
        refused = anna.ask("GET", "/v1/users/me")
        assert is_limited(refused)
        assert refused.headers["ratelimit-policy"] == told[0][0]
        assert is_limited(anna.ask("GET", "/v1/rooms"))
        assert ben.ask("GET", "/v1/users/me").status_code == 200
        assert nobody.ask("GET", "/healthz").status_code == 200


def test_an_address_has_a_rate(tmp_path: Path) -> None:
    """An address has so many requests, with whatever tokens, valid or guessed."""
    with limited(tmp_path, address=(SLOW, 6)) as nobody:  # the first read the contract
        guest = nobody.guest()
        assert policy(nobody.ask("GET", "/v1/site")) == ('"address";q=6;w=600', '"address";r=3;t=100')
        assert guest.ask("GET", "/v1/users/me").status_code == 200
        for number in range(2):
            assert nobody.with_token(f"guess-{number}").ask("GET", "/v1/users/me").status_code == 401
        for client in (nobody, guest, nobody.with_token("guess")):
            assert is_limited(client.ask("GET", "/v1/users/me"))
        for path in ("/nowhere", "/v1/rooms/0"):
            assert is_limited(nobody.ask("GET", path))
        assert policy(nobody.ask("GET", "/healthz"))[0].startswith('"health"')
        assert nobody.ask("GET", "/readyz").status_code == 200


def test_writing_to_a_room_has_a_rate(tmp_path: Path) -> None:
    """All who write to one room share its rate; reading it and writing elsewhere go on."""
    with limited(tmp_path, room=(SLOW, 4)) as nobody:
        anna, ben = nobody.guest(), nobody.guest()
        room, elsewhere = anna.found(), anna.found()
        anna.admit(room, ben)
        said = {"content": "x"}
        answers = [who.ask("POST", f"{room.general}/messages", said) for who in (anna, ben, anna)]
        assert [answer.status_code for answer in answers] == [201] * 3
        assert is_limited(ben.ask("POST", f"{room.general}/messages", said))
        assert ben.ask("GET", f"{room.general}/messages").status_code == 200
        assert anna.ask("POST", f"{elsewhere.general}/messages", said).status_code == 201


@pytest.mark.security
def test_guessing_passwords_has_a_rate(tmp_path: Path) -> None:
    """Whoever tries passwords is stopped before any is hashed, right or wrong, and so is making accounts."""
    with limited(tmp_path, credentials=(SLOW, 3)) as nobody:
        nobody.register("anna")
        right = {"username": "anna", "password": PASSWORD}
        wrong = right | {"password": "guess 1234567"}
        tried = nobody.ask("POST", "/v1/auth/login", wrong)
        assert (tried.status_code, policy(tried)) == (401, ('"credentials";q=3;w=300', '"credentials";r=1;t=100'))
        assert nobody.ask("POST", "/v1/auth/login", right).status_code == 201
        for path, body in (("login", wrong), ("login", right), ("register", right), ("anonymous", {})):
            assert is_limited(nobody.ask("POST", f"/v1/auth/{path}", body))


@pytest.mark.security
@pytest.mark.parametrize(
    ("prefix_length", "addresses", "admitted"),
    [
        (64, [f"2001:db8:0:1:{number}::{number:x}" for number in range(25)], 3),
        (56, [f"2001:db8:0:{number:x}::1" for number in range(25)], 3),
        (64, [f"2001:db8:0:{number:x}::1" for number in range(25)], 25),
        (64, [f"203.0.113.{number}" for number in range(25)], 25),
        (64, [f"::ffff:203.0.113.{number}" for number in range(25)], 25),
        (64, ["203.0.113.7", "::ffff:203.0.113.7", "::ffff:cb00:7107", "203.0.113.7"], 3),
    ],
)
def test_a_network_guesses_passwords_at_one_rate(
    tmp_path: Path, prefix_length: int, addresses: list[str], admitted: int
) -> None:
    """Who has a whole IPv6 network tries as many passwords as who has one address; IPv4 addresses count singly."""
    place = Place(
        tmp_path,
        rates={"credentials": (SLOW, 3)},
        limits={"ipv6_prefix_length": prefix_length},
        server={"trusted_proxies": '["127.0.0.0/8"]'},
    )
    # One name takes fewer guesses than that (test_sign_ins.py).
    wrong = [{"username": f"anna{number}", "password": "guess 1234567"} for number in range(len(addresses))]
    with serving(place) as server, client_of(server) as nobody:
        tried = [
            nobody.ask("POST", "/v1/auth/login", body, headers={"x-forwarded-for": address}).status_code
            for body, address in zip(wrong, addresses, strict=True)
        ]
    assert tried == [401] * admitted + [429] * (len(addresses) - admitted)


@pytest.mark.security
def test_a_network_shares_every_limit_by_address(tmp_path: Path) -> None:
    """Requests and handshakes of the gateway are counted by network, and sessions keep the address."""
    place = Place(tmp_path, rates={"address": (SLOW, 8)}, server={"trusted_proxies": '["127.0.0.0/8"]'})
    addresses = (f"2001:db8::{number:x}" for number in range(1, 25))

    def behind(nobody: Client) -> httpx.Response:
        return nobody.ask("GET", "/v1/site", headers={"x-forwarded-for": next(addresses)})

    with serving(place) as server, client_of(server) as nobody:
        login = {"x-forwarded-for": next(addresses)}
        guest = nobody.with_token(nobody.did("POST", "/v1/auth/anonymous", {}, headers=login)["token"])
        (session,) = guest.get("/v1/users/me/sessions")["sessions"]
        assert session["ip"] == "2001:db8::1"
        assert [behind(nobody).status_code for _ in range(4)] == [200] * 4
        assert [knock(server, X_Forwarded_For=next(addresses)) for _ in range(3)] == [101] * 3
        assert knock(server, X_Forwarded_For=next(addresses)) == 429
        assert behind(nobody).status_code == 429
        assert nobody.ask("GET", "/v1/site", headers={"x-forwarded-for": "2001:db8:1::1"}).status_code == 200


def test_closed_registration_lets_nobody_new_in(tmp_path: Path) -> None:
    """Where registration is closed nobody signs up, also not as a guest."""
    with serving(Place(tmp_path, server={"registration": '"closed"'})) as server, client_of(server) as nobody:
        for path, body in (("register", {"username": "anna", "password": PASSWORD}), ("anonymous", {})):
            assert nobody.refused("POST", f"/v1/auth/{path}", body).status == 403


def test_configured_bounds_are_kept(tmp_path: Path) -> None:
    """The operator's bounds on messages, pages, rooms and members hold, and the page's default stays within."""
    bounds = {"message_length_max": 10, "page_size_max": 5, "rooms_owned_max": 1, "room_members_max": 2}
    with serving(Place(tmp_path, limits=bounds)) as server, client_of(server) as nobody:
        anna, ben, cleo = nobody.guest(), nobody.guest(), nobody.guest()
        room = anna.found(is_public=True)
        assert anna.refused("POST", "/v1/rooms", {"name": "second"}).type == "conflict"
        assert anna.say(room, "x" * 10)
        assert anna.refused("POST", f"{room.general}/messages", {"content": "x" * 11}).status == 422
        for path in (f"{room.general}/messages", f"{room.general}/threads", f"{room.path}/members", "/v1/rooms"):
            assert anna.ask("GET", path, params={"limit": 5}).status_code == 200
            assert "query.limit" in anna.refused("GET", path, params={"limit": 6}).errors
            assert anna.ask("GET", path).status_code == 200
        ben.post(f"{room.path}/join")
        assert cleo.refused("POST", f"{room.path}/join").type == "conflict"
        ben.post(f"{room.path}/join")
        ben.post(f"{room.path}/leave")
        cleo.post(f"{room.path}/join")

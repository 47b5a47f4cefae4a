"""What bots may: for every route of the table a token needs the one scope that the route names, and never more.

Each is asked with ids that nothing has: a scope is looked at before anything is.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sqlite
from router.scopes import MEANS, Scope
from tests.router.clients import Client, client_of
from tests.router.serving import Place, Running, serving

pytestmark = pytest.mark.security

ROOM = "/v1/rooms/{room_id}"
NOT_FOR_BOTS = {
    ("POST", ROOM + "/join"): "a bot is let in by people",
    ("POST", ROOM + "/leave"): "and is put out by them",
    ("PUT", ROOM + "/owner"): "a room belongs to a person,",
    ("DELETE", ROOM): "who alone may end it",
    ("PUT", ROOM + "/bots/{bot_id}"): "no bot lets others in",
    ("DELETE", ROOM + "/bots/{bot_id}"): "nor puts them out",
}
"""Routes of a room that are people's alone, and why."""


class Bots:
    """A bot with a token for every scope alone, one for all, and one for all but each."""

    def __init__(self, nobody: Client) -> None:
        self.owner = nobody.register("scopes_owner")
        self.id = self.owner.post("/v1/bots", {"username": "scopes_bot"})["user"]["id"]
        self.every = self.token([*Scope])
        self.only = {scope: self.token([scope]) for scope in Scope}
        self.without = {scope: self.token([one for one in Scope if one is not scope]) for scope in Scope}

    def token(self, scopes: list[Scope], **more: Any) -> Client:
        issued = self.owner.post(f"/v1/bots/{self.id}/tokens", {"name": "t", "scopes": scopes, **more})
        return self.owner.with_token(issued["token"])


@pytest.fixture(scope="module")
def bots(nobody: Client) -> Bots:
    return Bots(nobody)


def ask(client: Client, method: str, path: str) -> tuple[int, str]:
    """Ask for something that is not there, and return the status and the reason."""
    filled = re.sub(r"\{\w+_id\}", "1", re.sub(r"\{(?!\w+_id\})\w+\}", "x-x", path))
    response = client.ask(method, filled)
    is_problem = response.headers.get("content-type") == "application/problem+json"
    return response.status_code, response.json()["detail"] if is_problem else ""


def signed_in(nobody: Client) -> Iterator[tuple[str, str, str | None]]:
    """Return the method, path and scope of every route that asks who calls."""
    for method, path, operation in nobody.contract.operations():
        if "security" in operation:
            yield method, path, operation.get("x-bot-scope")


def test_every_route_of_a_room_says_what_a_bot_needs(nobody: Client) -> None:
    """A route of a room without a scope fails here: name it in the table, or why there is none in NOT_FOR_BOTS."""
    without = {(method, path) for method, path, scope in signed_in(nobody) if path.startswith(ROOM) and scope is None}
    assert without == NOT_FOR_BOTS.keys()


def test_what_is_not_for_bots(nobody: Client, bots: Bots) -> None:
    """Accounts, sessions, bots and the platform are people's: no token opens them, whatever its scopes."""
    closed = [(method, path) for method, path, scope in signed_in(nobody) if scope is None]
    assert ("POST", "/v1/bots") in closed
    assert ("GET", "/v1/users/me/sessions") in closed
    for method, path in closed:
        assert ask(bots.every, method, path) == (403, "This is not for bots."), (method, path)


def test_a_route_opens_to_its_scope_alone(nobody: Client, bots: Bots) -> None:
    """A token with every scope but the route's is refused by name, and one with nothing else gets past."""
    opened = [(method, path, Scope(scope)) for method, path, scope in signed_in(nobody) if scope is not None]
    assert {scope for _, _, scope in opened} <= set(Scope)
    for method, path, scope in opened:
        assert ask(bots.without[scope], method, path) == (403, f"This token lacks the scope {scope}."), (method, path)
        status, detail = ask(bots.only[scope], method, path)
        assert status != 401, (method, path)
        assert "scope" not in detail, (method, path, detail)
        assert "not for bots" not in detail, (method, path)


def test_where_nobody_is_asked_a_bot_is_nobody(nobody: Client, bots: Bots) -> None:
    """On routes that anyone may call a bot gets what nobody gets, and counts as its address does."""
    for method, path, operation in nobody.contract.operations():
        if "security" not in operation and method == "GET" and "{" not in path:
            as_bot, as_nobody = bots.every.ask(method, path), nobody.ask(method, path)
            assert as_bot.status_code == as_nobody.status_code
            assert as_bot.headers["ratelimit-policy"] == as_nobody.headers["ratelimit-policy"]
    assert bots.every.ask("GET", "/v1/users/me").headers["ratelimit-policy"].startswith('"user"')


def test_a_guessed_token_is_nobody(nobody: Client, bots: Bots) -> None:
    """A token that was never given out, a cut one and one of another case open nothing, on any route."""
    token = str(bots.every.token)
    guesses = ["rkb_", "rkb_" + "A" * 43, token[:-1], token + "A", token[4:], token.upper(), "RKB_" + token[4:]]
    for guess in guesses:
        assert ask(nobody.with_token(guess), "GET", "/v1/users/me")[0] == 401
    for method, path, _ in signed_in(nobody):
        assert ask(nobody.with_token(guesses[1]), method, path)[0] == 401


def test_a_token_in_a_cookie_is_nobody(nobody: Client, bots: Bots) -> None:
    """Browsers have sessions, and no page can be made to speak as a bot."""
    assert ask(bots.every, "GET", "/v1/users/me")[0] == 200
    headers = {"cookie": f"__Host-rookery={bots.every.token}"}
    for path in ("/v1/users/me", "/v1/rooms"):
        assert nobody.ask("GET", path, headers=headers).status_code == 401


def test_the_page_tells_of_every_scope() -> None:
    """Each scope has a meaning, and its row in docs/api/bots.md."""
    assert MEANS.keys() == set(Scope)
    page = (Path(__file__).parents[2] / "docs/api/bots.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z:]+)` \| (.+) \|$", page, re.MULTILINE) == [*MEANS.items()]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Running]:
    with serving(Place(tmp_path, rates={"user": (0.01, 20)})) as server:
        yield server


def test_a_bot_ends_with_its_owner_and_has_limits_of_its_own(own_server: Running) -> None:
    """A bot's rate is its own over all its tokens, and a suspended owner silences it."""
    with client_of(own_server) as nobody:
        owner = nobody.register("somebody")
        bot_id = owner.post("/v1/bots", {"username": "somebot"})["user"]["id"]
        issued = [
            owner.post(f"/v1/bots/{bot_id}/tokens", {"name": "t", "scopes": ["users:read"]})["token"] for _ in range(2)
        ]
        first, second = (nobody.with_token(token) for token in issued)
        for _ in range(10):
            assert first.get("/v1/users/me")["id"] == second.get("/v1/users/me")["id"] == bot_id
        assert first.refused("GET", "/v1/users/me").status == second.refused("GET", "/v1/users/me").status == 429
        assert owner.get("/v1/users/me")["username"] == "somebody"
        directory = sqlite.connect(own_server.place.folder / "data" / "directory.db")
        directory.execute("UPDATE users SET status = 'suspended' WHERE username = 'somebody'")
        directory.close()
        time.sleep(1.2)  # another process's change is seen within a second
        assert first.refused("GET", "/v1/users/me").status == 401

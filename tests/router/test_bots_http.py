"""Bots over HTTP: their making, their tokens, and their coming into rooms."""

import itertools
from typing import Any

import pytest

import sqlite
from router.scopes import Scope
from tests.router.clients import Client, Room
from tests.router.serving import Running

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def keeper(nobody: Client) -> Client:
    """Somebody with an account, who has bots."""
    return nobody.register("bot_keeper")


def make(keeper: Client, **fields: Any) -> str:
    """Return the id of a new bot."""
    made = keeper.post("/v1/bots", {"username": f"machine_{next(_numbers)}", **fields})
    return str(made["user"]["id"])


@pytest.fixture
def bot_id(keeper: Client) -> Any:
    """A private bot of the keeper's, deleted in the end."""
    made = make(keeper)
    yield made
    keeper.ask("DELETE", f"/v1/bots/{made}")


def token_of(keeper: Client, bot_id: str, *scopes: Scope) -> Client:
    issued = keeper.post(f"/v1/bots/{bot_id}/tokens", {"name": "t", "scopes": scopes or [*Scope]})
    return keeper.with_token(issued["token"])


def names(client: Client, room: Room, kind: str) -> list[tuple[str, str]]:
    """Return (action, target) of the room's audit log."""
    page = client.get(f"{room.path}/audit", action=kind)
    return [(entry["action"], entry["target_id"]) for entry in page["entries"]]


def test_a_bot_from_its_making_to_its_end(keeper: Client, other: Client) -> None:
    """Its owner makes, sees, changes and deletes it; others see a public one, and a private one not at all."""
    made = keeper.post("/v1/bots", {"username": "weather_bot", "display_name": "Weather"})
    path = f"/v1/bots/{made['user']['id']}"
    assert (made["user"]["is_bot"], made["owner_id"], made["is_public"]) == (True, keeper.id, False)
    assert made in keeper.get("/v1/bots")["bots"]
    assert other.get("/v1/bots")["bots"] == []
    hidden = other.refused("GET", path)
    assert hidden == other.refused("GET", "/v1/bots/1")
    changed = keeper.did("PATCH", path, {"is_public": True, "bio": "Rain.", "display_name": "Rain"})
    assert (changed["user"]["display_name"], changed["bio"], changed["is_public"]) == ("Rain", "Rain.", True)
    assert other.get(path) == changed
    assert other.get(f"/v1/users/{made['user']['id']}")["is_bot"]
    for method, more in (("PATCH", {"bio": "x"}), ("DELETE", None)):
        assert other.refused(method, path, more).status == 404
    assert keeper.did("PATCH", path, {}) == changed
    keeper.did("DELETE", path)
    assert keeper.refused("GET", path) == hidden
    assert other.get(f"/v1/users/{made['user']['id']}")["is_deleted"]


def test_only_people_with_accounts_make_bots(keeper: Client, other: Client, bot_id: str) -> None:
    """Guests and bots make none, and a name is given once."""
    assert other.refused("POST", "/v1/bots", {"username": "guests_bot"}).status == 403
    assert token_of(keeper, bot_id).refused("POST", "/v1/bots", {"username": "bots_bot"}).status == 403
    for name in ("bot_keeper", "bot_keepeR"):
        assert keeper.refused("POST", "/v1/bots", {"username": name}).type == "taken"
    assert keeper.refused("PATCH", f"/v1/bots/{bot_id}", {"is_public": None}).status == 422


@pytest.mark.parametrize(
    "body",
    [
        {"name": "t", "scopes": []}, {"name": "t", "scopes": ["everything"]}, {"name": "t"},
        {"name": " ", "scopes": ["voice"]}, {"name": "t", "scopes": ["voice"], "expires_in_seconds": 59},
        {"name": "t", "scopes": "voice"}, {"name": "t", "scopes": ["voice"] * 100},
    ],
)  # fmt: skip
def test_a_token_needs_a_name_and_scopes(keeper: Client, bot_id: str, body: Any) -> None:
    """A token that could do nothing, or what nobody knows, is not made."""
    assert keeper.refused("POST", f"/v1/bots/{bot_id}/tokens", body).status == 422


def test_a_token_is_told_once_and_ends_at_once(keeper: Client, nobody: Client, bot_id: str) -> None:
    """Lists have no token, and a revoked one is nobody's from the answer on."""
    tokens = f"/v1/bots/{bot_id}/tokens"
    body = {"name": "ci", "scopes": ["users:read", "users:read"], "expires_in_seconds": 3_600}
    issued = keeper.post(tokens, body)
    assert issued["token"].startswith("rkb_")
    assert issued["details"]["scopes"] == ["users:read"]
    listed = keeper.get(tokens)["tokens"]
    assert [row["id"] for row in listed] == [issued["details"]["id"]]
    assert issued["token"] not in str(listed)
    bot = nobody.with_token(issued["token"])
    me = bot.get("/v1/users/me")
    assert (me["id"], me["is_bot"], me["capabilities"]) == (bot_id, True, [])
    keeper.did("DELETE", f"{tokens}/{issued['details']['id']}")
    assert bot.refused("GET", "/v1/users/me").status == 401
    assert keeper.refused("DELETE", f"{tokens}/{issued['details']['id']}").status == 404


def test_a_deleted_bot_says_nothing_more(keeper: Client, bot_id: str) -> None:
    """A bot's tokens end with it."""
    bot = token_of(keeper, bot_id)
    assert bot.get("/v1/users/me")["id"] == bot_id
    keeper.did("DELETE", f"/v1/bots/{bot_id}")
    assert bot.refused("GET", "/v1/users/me").status == 401


def test_a_bot_comes_when_it_is_let_in(keeper: Client, owner: Client, other: Client, bot_id: str) -> None:
    """A bot cannot join by itself; let in by who manages the room it talks there, shown as a bot, until it is put
    out."""
    room = owner.found(is_public=True)
    code = owner.post(f"{room.path}/invites", {})["code"]
    bot = token_of(keeper, bot_id)
    for path in (f"{room.path}/join", f"/v1/invites/{code}/use"):
        assert bot.refused("POST", path).detail == "This is not for bots."
    assert bot.refused("POST", f"{room.general}/messages", {"content": "hi"}).status == 404
    keeper.did("PATCH", f"/v1/bots/{bot_id}", {"is_public": True})
    place = f"{room.path}/bots/{bot_id}"
    owner.admit(room, other)
    refusal = other.refused("PUT", place)
    assert refusal == other.refused("PUT", f"{room.path}/bots/1")
    assert refusal.status == 403
    for _ in range(2):
        owner.did("PUT", place, {"reason": "for the weather"})
    sent = bot.say(room, "Sunny.")
    page = other.get(f"{room.general}/messages", limit=1)
    assert page["messages"][0]["id"] == sent["id"]
    assert [user["is_bot"] for user in page["users"] if user["id"] == bot_id] == [True]
    assert [row["id"] for row in bot.get("/v1/rooms")["rooms"]] == [room.id]
    assert names(owner, room, "bot.added") == [("bot.added", bot_id)]
    assert other.refused("DELETE", place).status == 403
    for _ in range(2):
        owner.did("DELETE", place)
    assert bot.refused("POST", f"{room.general}/messages", {"content": "hi"}).status == 404
    assert bot.get("/v1/rooms")["rooms"] == []
    assert names(owner, room, "bot.removed") == [("bot.removed", bot_id)]


def test_a_private_bot_is_let_in_by_its_owner_alone(keeper: Client, owner: Client, bot_id: str) -> None:
    """To others who manage rooms a private bot is not there, and its owner needs the room's permission too."""
    room, own = owner.found(), keeper.found()
    owner.admit(room, keeper)
    place = f"{room.path}/bots/{bot_id}"
    hidden = owner.refused("PUT", place)
    assert hidden == owner.refused("PUT", f"{room.path}/bots/1")
    assert hidden.status == 404
    assert keeper.refused("PUT", place).status == 403
    keeper.did("PUT", f"{own.path}/bots/{bot_id}")
    assert token_of(keeper, bot_id).get(own.path)["is_member"]


def test_people_are_no_bots(owner: Client, other: Client) -> None:
    """Nobody is let in or put out as a bot who is a person."""
    room = owner.found()
    owner.admit(room, other)
    for method in ("PUT", "DELETE"):
        assert owner.refused(method, f"{room.path}/bots/{other.id}").status == 404
    assert other.get(room.path)["is_member"]


def test_scopes_only_take_away(keeper: Client, owner: Client, bot_id: str) -> None:
    """A token with every scope gives a bot nothing that its roles do not."""
    room = keeper.found()
    keeper.did("PUT", f"{room.path}/bots/{bot_id}")
    bot = token_of(keeper, bot_id)
    assert bot.refused("POST", f"{room.path}/channels", {"name": "mine"}).status == 403
    assert bot.refused("GET", owner.found().path).status == 404
    reading = token_of(keeper, bot_id, Scope.MESSAGES_READ)
    assert reading.get(f"{room.general}/messages")["messages"] is not None
    refusal = reading.refused("POST", f"{room.general}/messages", {"content": "hi"})
    assert (refusal.type, refusal.detail) == ("forbidden", "This token lacks the scope messages:write.")


def test_a_banned_bot_is_not_let_in(keeper: Client, bot_id: str) -> None:
    """A ban holds for bots, and says so to who would let one in."""
    room = keeper.found()
    keeper.did("PUT", f"{room.path}/bots/{bot_id}")
    keeper.did("PUT", f"{room.path}/bans/{bot_id}", {})
    assert keeper.refused("PUT", f"{room.path}/bots/{bot_id}").type == "conflict"
    keeper.did("DELETE", f"{room.path}/bans/{bot_id}")
    keeper.did("PUT", f"{room.path}/bots/{bot_id}")


def test_a_bot_of_the_same_rank_is_not_put_out(keeper: Client, owner: Client, other: Client, bot_id: str) -> None:
    """Who manages a room puts out the bots below them, and none beside them."""
    keeper.did("PATCH", f"/v1/bots/{bot_id}", {"is_public": True})
    room = owner.found()
    owner.admit(room, other)
    place = f"{room.path}/bots/{bot_id}"
    role_id = owner.post(f"{room.path}/roles", {"name": "stewards", "permissions": ["manage_room"]})["id"]
    for user_id in (other.id, bot_id):
        owner.did("PUT", place)
        owner.did("PUT", f"{room.path}/members/{user_id}/roles/{role_id}")
    assert other.refused("DELETE", place).status == 403
    owner.did("DELETE", f"{room.path}/members/{bot_id}/roles/{role_id}")
    other.did("DELETE", place)


def test_a_full_room_takes_no_bot(keeper: Client, server: Running, bot_id: str) -> None:
    """A bot counts as a member: at the room's limit none comes in, and one that is in stays."""
    room, late = keeper.found(), make(keeper)
    keeper.did("PUT", f"{room.path}/bots/{bot_id}")
    directory = sqlite.connect(server.place.folder / "data" / "directory.db")
    directory.execute("UPDATE rooms SET max_members = 2 WHERE id = ?", (int(room.id),))
    directory.close()
    assert keeper.refused("PUT", f"{room.path}/bots/{late}").type == "conflict"
    keeper.did("PUT", f"{room.path}/bots/{bot_id}")


def test_chats_take_no_bots(keeper: Client, other: Client, bot_id: str) -> None:
    """Bots are let into communities alone."""
    group = keeper.post("/v1/groups", {"user_ids": [other.id]})
    for method in ("PUT", "DELETE"):
        assert keeper.refused(method, f"/v1/rooms/{group['room']['id']}/bots/{bot_id}").type == "conflict"

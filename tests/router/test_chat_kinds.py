"""Every route of a room, asked once in a group and once in a direct chat: none makes a community out of either."""

from dataclasses import dataclass

import httpx
import pytest

import sqlite
from tests.router.clients import Client
from tests.router.matrix import worlds
from tests.router.matrix.rows import Row
from tests.router.route_table import declared
from tests.router.serving import Running
from tests.router.test_access_matrix import MATRIX

pytestmark = pytest.mark.security

KEYS = sorted(key for key in MATRIX if key[1].startswith("/v1/rooms/{room_id}"))
ONLY = {(route.method, route.path) for route in declared() if route.community_only}
COUNTS = {
    "group": {"channels": 1, "roles": 2},
    "direct": {"channels": 1, "roles": 1},
}
OF_COMMUNITIES = ("categories", "bans", "channel_overwrites", "category_overwrites", "webhooks")


class Ids(dict[str, str]):
    """Ids of a chat; of what it has not there is none."""

    def __missing__(self, name: str) -> str:
        return {"emoji": "\N{THUMBS UP SIGN}", "target_type": "role"}.get(name, "1")


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat, whoever may most in it, somebody else who is in it, and somebody who is not."""

    kind: str
    ids: Ids
    insider: Client
    stranger: Client

    def ask(self, who: Client, key: tuple[str, str], row: Row) -> httpx.Response:
        method, path = key
        params = {name: text.format_map(self.ids) for name, text in row.params.items()}
        return who.ask(method, path.format_map(self.ids), worlds.filled(row.body, self.ids), params=params)


def make(nobody: Client, kind: str) -> Chat:
    """Make a group or a direct chat with a message in it."""
    insider, other, stranger = (nobody.guest() for _ in range(3))
    if kind == "direct":
        made = insider.did("PUT", f"/v1/users/{other.id}/chat")
    else:
        made = insider.post("/v1/groups", {"user_ids": [other.id]})
    room_id, channel_id = made["room"]["id"], made["channels"][0]["id"]
    message = insider.post(f"/v1/rooms/{room_id}/channels/{channel_id}/messages", {"content": "hello"})
    ids = Ids(room_id=room_id, channel_id=channel_id, message_id=message["id"], user_id=other.id, role="x", number="1")
    return Chat(kind, ids, insider, stranger)


def counts(server: Running, room_id: str) -> dict[str, int]:
    """Return how many rows of each kind a shard has that shape a community."""
    shard = sqlite.connect(server.place.shards / f"{room_id}.db")
    try:
        tables = ("channels", "roles", *OF_COMMUNITIES)
        return {table: shard.execute(f"SELECT count(*) FROM {table}").get for table in tables}
    finally:
        shard.close()


@pytest.mark.parametrize("kind", COUNTS)
@pytest.mark.parametrize("key", KEYS, ids=map(" ".join, KEYS))
def test_no_route_makes_a_community_of_a_chat(nobody: Client, server: Running, kind: str, key: tuple[str, str]) -> None:
    """A route works, or says why not; the chat keeps its one channel and its roles, and is nothing to a stranger."""
    chat, row = make(nobody, kind), MATRIX[key]
    if row.of_roles["stranger"] == 404:
        assert chat.ask(chat.stranger, key, row).status_code == 404
    status = chat.ask(chat.insider, key, row).status_code
    if key in ONLY:
        assert status == 409
    else:
        assert status < 500
    assert counts(server, chat.ids["room_id"]) == dict.fromkeys(OF_COMMUNITIES, 0) | COUNTS[kind]


def test_every_closed_route_is_there() -> None:
    """What declares that only communities have it is a route of a room, and there are such."""
    assert set(KEYS) >= ONLY > set()


def test_what_a_group_is_told(nobody: Client) -> None:
    """Its owner hears that a group cannot be public or have an address, and renames it."""
    chat = make(nobody, "group")
    path = f"/v1/rooms/{chat.ids['room_id']}"
    for fields in ({"is_public": True}, {"name": "nest"}):
        assert chat.insider.refused("PATCH", path, fields).status == 409
    assert chat.insider.did("PATCH", path, {"display_name": "Nest"})["display_name"] == "Nest"
    assert chat.insider.did("PUT", f"{path}/owner", {"user_id": chat.ids["user_id"]})["owner_id"] == chat.ids["user_id"]

"""Changes of one's own state over HTTP: told to all of one's devices, in order, and to nobody else."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import pytest

from router.gateway import frames
from router.gateway.connection import Connection
from router.gateway.websocket import Socket
from tests.router.clients import PASSWORD, Client, Room
from tests.router.hearing import hearing
from tests.router.listening import Ear, unframed
from tests.router.serving import Running

OPS = {"read", "notifications", "block", "settings", "profile", "sessions"}


@dataclass(frozen=True, slots=True)
class World:
    """Somebody who changes things, with a message in a thread, and another person in the same room."""

    me: Client
    other: Client
    room: Room
    thread_id: str
    message_id: str
    reply_id: str

    @property
    def place(self) -> dict[str, str]:
        return {"room_id": self.room.id, "channel_id": self.room.channels["general"]}


@pytest.fixture(scope="module")
def world(owner: Client, other: Client) -> World:
    room = owner.found()
    owner.admit(room, other)
    thread_id = owner.post(f"{room.general}/threads", {"title": "Nests"})["id"]
    message_id = owner.say(room, "read me")["id"]
    reply_id = owner.say(room, "and me", thread_id=thread_id)["id"]
    return World(other, owner, room, thread_id, message_id, reply_id)


Act = Callable[[World], Any]
Told = Callable[[World], dict[str, Any]]
CHANGES: dict[str, tuple[Act, str, Told]] = {
    "a channel is read": (
        lambda world: world.me.did("PUT", f"{world.room.general}/read", {"last_read_id": world.message_id}),
        "read",
        lambda world: {**world.place, "thread_id": None, "last_read_id": world.message_id},
    ),
    "a thread is read": (
        lambda world: world.me.did("PUT", f"{world.room.general}/threads/{world.thread_id}/read", {}),
        "read",
        lambda world: {**world.place, "thread_id": world.thread_id, "last_read_id": world.reply_id},
    ),
    "a room is read": (
        lambda world: world.me.did("PUT", f"{world.room.path}/read"),
        "read",
        lambda world: {
            "room_id": world.room.id, "channel_id": None, "thread_id": None, "last_read_id": world.reply_id
        },
    ),
    "a room's level": (
        lambda world: world.me.did("PUT", f"{world.room.path}/notifications", {"level": "mentions"}),
        "notifications",
        lambda world: {"room_id": world.room.id, "channel_id": None, "level": "mentions"},
    ),
    "a channel's level": (
        lambda world: world.me.did("PUT", f"{world.room.general}/notifications", {"level": "none"}),
        "notifications",
        lambda world: {**world.place, "level": "none"},
    ),
    "no level": (
        lambda world: world.me.did("DELETE", f"{world.room.general}/notifications"),
        "notifications",
        lambda world: {**world.place, "level": None},
    ),
    "a block": (
        lambda world: world.me.did("PUT", f"/v1/users/me/blocks/{world.other.id}"),
        "block",
        lambda world: {"user_id": world.other.id, "is_blocked": True},
    ),
    "no block": (
        lambda world: world.me.did("DELETE", f"/v1/users/me/blocks/{world.other.id}"),
        "block",
        lambda world: {"user_id": world.other.id, "is_blocked": False},
    ),
    "settings": (
        lambda world: world.me.did("PATCH", "/v1/users/me/settings", {"theme": "dark", "settings": {"a": [1]}}),
        "settings",
        lambda world: {"theme": "dark", "settings": {"a": [1]}},
    ),
    "the profile": (
        lambda world: world.me.did("PATCH", "/v1/users/me", {"display_name": " Ada ", "timezone": "Europe/Oslo"}),
        "profile",
        lambda world: {"display_name": "Ada", "timezone": "Europe/Oslo"},
    ),
}  # fmt: skip


def of_own_state(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in said if message["op"] in OPS]


def test_every_change_is_told_to_ones_devices_alone(server: Running, world: World) -> None:
    """Each change is told once to every device of its user, as small as it is, and neither to another member of the
    room nor to whoever is blocked."""
    with ExitStack() as stack:
        first, second, stranger = (
            stack.enter_context(hearing(server, client.token))[0] for client in (world.me, world.me, world.other)
        )
        for name, (act, op, told) in CHANGES.items():
            act(world)
            for hearer in (first, second):
                assert hearer.op(op) == told(world), name
        for hearer in (first, second, stranger):
            hearer.quiet()
        count = len(CHANGES)
        assert [len(of_own_state(one.said)) for one in (first, second, stranger)] == [count, count, 0]


def test_what_changes_nothing_is_not_told(server: Running, world: World) -> None:
    """A block that there was not, an empty change, and a refused one are no news."""
    with hearing(server, world.me.token) as (hearer, _):
        world.me.did("DELETE", f"/v1/users/me/blocks/{world.other.id}")
        world.me.did("PATCH", "/v1/users/me", {})
        world.me.did("PATCH", "/v1/users/me/settings", {})
        world.me.refused("PATCH", "/v1/users/me/settings", {"theme": 5})
        world.me.refused("PUT", f"{world.room.path}/notifications", {"level": "loud"})
        world.me.refused("PUT", "/v1/rooms/1/read")
        assert hearer.quiet() == []


def test_changes_are_told_in_the_order_in_which_they_were_made(server: Running, world: World) -> None:
    """When many devices change one thing at once, the last that is told is what holds."""

    ids = [world.other.say(world.room, f"word {number}")["id"] for number in range(24)]
    marks = f"{world.room.general}/read"
    with hearing(server, world.me.token) as (hearer, _), ThreadPoolExecutor(8) as pool:

        def last(op: str, method: str, path: str, bodies: list[dict[str, Any]]) -> Any:
            list(pool.map(lambda body: world.me.did(method, path, body), bodies))
            return [hearer.op(op) for _ in bodies][-1]

        told = last("settings", "PATCH", "/v1/users/me/settings", [{"settings": {"id": one}} for one in ids])
        assert world.me.get("/v1/users/me/settings")["settings"] == told["settings"]
        marker = last("read", "PUT", marks, [{"last_read_id": one, "may_go_back": True} for one in ids])
    channels = {one["channel_id"]: one for one in world.me.get(f"{world.room.path}/unread")["channels"]}
    assert channels[world.place["channel_id"]]["last_read_id"] == marker["last_read_id"]


def test_a_bot_is_told_of_its_own_state(server: Running, world: World) -> None:
    """A bot's clients are told what the bot read and how its owner changed it, and its owner's are not."""
    maker = world.other.with_token(None).register("maker_of_bots")
    bot_id = maker.post("/v1/bots", {"username": "reading_bot", "is_public": True})["user"]["id"]
    scopes = ["messages:read", "rooms:read"]
    token = maker.post(f"/v1/bots/{bot_id}/tokens", {"name": "at home", "scopes": scopes})["token"]
    world.other.did("PUT", f"{world.room.path}/bots/{bot_id}")
    with hearing(server, token) as (bot, _), hearing(server, maker.token) as (hearer, _):
        maker.with_token(token).did("PUT", f"{world.room.general}/read", {})
        assert bot.op("read")["channel_id"] == world.place["channel_id"]
        maker.did("PATCH", f"/v1/bots/{bot_id}", {"bio": "It reads."})
        assert bot.op("profile") == {"bio": "It reads."}
        hearer.quiet()
        assert of_own_state(hearer.said) == []


def test_sessions_are_told_without_their_secrets(server: Running, world: World) -> None:
    """A sign-in elsewhere, its end, and a new password are told to those who stay, as nothing but a hint."""
    person = world.me.register("signs_in_often")
    asked = {"username": "signs_in_often", "password": PASSWORD}
    with hearing(server, person.token) as (hearer, _), hearing(server, world.other.token) as (stranger, _):
        phone = person.with_token(person.with_token(None).post("/v1/auth/login", asked)["token"])
        assert hearer.op("sessions") == {}
        phone.post("/v1/auth/logout")
        assert hearer.op("sessions") == {}
        person.with_token(None).post("/v1/auth/login", asked)
        assert hearer.op("sessions") == {}
        [ended] = [one["id"] for one in person.get("/v1/users/me/sessions")["sessions"] if not one["is_current"]]
        person.did("DELETE", f"/v1/users/me/sessions/{ended}")
        assert hearer.op("sessions") == {}
        changed = {"current_password": PASSWORD, "new_password": f"{PASSWORD}!"}
        person.did("POST", "/v1/users/me/password", changed)
        assert hearer.op("sessions") == {}
        assert hearer.quiet() == []
        stranger.quiet()
        assert of_own_state(stranger.said) == []


async def test_what_comes_before_ready_follows_it() -> None:
    """A change that is made while a client connects is told after `ready`, in order, once."""
    ear = Ear()
    connection = Connection(cast(Socket, ear), "", 0.0, 0.0, 1.0)
    for number in (1, 2):
        connection.notify(frames.message("settings", {"number": number}))
    assert ear.heard == b""
    connection.become_ready(frames.message("ready", {}))
    connection.notify(frames.message("settings", {"number": 3}))
    told = [json.dumps(message["d"].get("number")) for message in unframed(ear.heard)]
    assert told == ["null", "1", "2", "3"]

"""Who may call what: every route of the table, for everyone from a room's owner to nobody.

Nobody learns from an answer whether a room that they may not see exists: what is hidden answers as what is not there.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import sqlite
from tests.router.clients import PASSWORD, Client, Room, client_of
from tests.router.serving import Place, Running, serving

pytestmark = pytest.mark.security

ROLES = ("owner", "member", "stranger", "left", "elsewhere", "nobody")
ROOM, CHANNEL = "/v1/rooms/{room_id}", "/v1/rooms/{room_id}/channels/{channel_id}"

# The status for each of ROLES in a private room; "elsewhere" owns another one, "left" was in it.
MATRIX = {
    ("GET", "/v1/site"): "200 200 200 200 200 200",
    ("GET", "/healthz"): "200 200 200 200 200 200",
    ("GET", "/readyz"): "200 200 200 200 200 200",
    ("GET", "/metrics"): "200 200 200 200 200 200",
    ("GET", "/openapi.json"): "200 200 200 200 200 200",
    ("GET", "/docs"): "200 200 200 200 200 200",
    ("POST", "/v1/auth/register"): "201 201 201 201 201 201",
    ("POST", "/v1/auth/anonymous"): "201 201 201 201 201 201",
    ("POST", "/v1/auth/login"): "401 401 401 401 401 401",
    ("POST", "/v1/auth/logout"): "204 204 204 204 204 401",
    ("POST", "/v1/auth/logout-all"): "204 204 204 204 204 401",
    ("GET", "/v1/users/me"): "200 200 200 200 200 401",
    ("PATCH", "/v1/users/me"): "200 200 200 200 200 401",
    ("POST", "/v1/users/me/password"): "401 401 401 401 401 401",
    ("GET", "/v1/users/me/settings"): "200 200 200 200 200 401",
    ("PATCH", "/v1/users/me/settings"): "200 200 200 200 200 401",
    ("GET", "/v1/users/me/sessions"): "200 200 200 200 200 401",
    # The session of the member: the owner comes first, so that it is still there.
    ("DELETE", "/v1/users/me/sessions/{session_id}"): "404 204 404 404 404 401",
    ("GET", "/v1/users/{user_id}"): "200 200 200 200 200 401",
    ("GET", "/v1/rooms"): "200 200 200 200 200 401",
    ("POST", "/v1/rooms"): "201 201 201 201 201 401",
    ("GET", "/v1/rooms/public"): "200 200 200 200 200 401",
    ("GET", "/v1/rooms/by-name/{name}"): "200 200 404 404 404 401",
    ("GET", ROOM): "200 200 404 404 404 401",
    ("POST", ROOM + "/join"): "200 200 404 404 404 401",
    ("POST", ROOM + "/leave"): "409 204 404 404 404 401",
    ("GET", ROOM + "/members"): "200 200 404 404 404 401",
    ("POST", ROOM + "/invites"): "201 201 404 404 404 401",
    # Who has the code may use it.
    ("GET", "/v1/invites/{code}"): "200 200 200 200 200 401",
    ("POST", "/v1/invites/{code}/use"): "200 200 200 200 200 401",
    ("GET", ROOM + "/channels"): "200 200 404 404 404 401",
    ("POST", ROOM + "/channels"): "201 403 404 404 404 401",
    ("GET", ROOM + "/search"): "200 200 404 404 404 401",
    ("POST", CHANNEL + "/messages"): "201 201 404 404 404 401",
    ("GET", CHANNEL + "/messages"): "200 200 404 404 404 401",
    ("GET", CHANNEL + "/messages/{message_id}"): "200 200 404 404 404 401",
    ("POST", CHANNEL + "/threads"): "201 201 404 404 404 401",
    ("GET", CHANNEL + "/threads"): "200 200 404 404 404 401",
}

BODIES: dict[str, Any] = {
    "/v1/auth/register": {"username": "{role}_{number}", "password": PASSWORD},
    "/v1/auth/anonymous": {},
    "/v1/auth/login": {"username": "nobody_at_all", "password": PASSWORD},
    "/v1/users/me": {"display_name": "Me"},
    "/v1/users/me/password": {"current_password": PASSWORD, "new_password": PASSWORD},
    "/v1/users/me/settings": {"theme": "dark"},
    "/v1/rooms": {"name": "{role}-{number}"},
    ROOM + "/invites": {},
    ROOM + "/channels": {"name": "{role}"},
    CHANNEL + "/messages": {"content": "hello"},
    CHANNEL + "/threads": {"title": "{role}"},
}
# Faults that only show once a request is understood: they must not show first whether a room is there.
LATE_FAULTS = [
    ("GET", ROOM + "/search", {"q": "-"}, None),
    ("GET", ROOM + "/search", {"q": "x", "channel_id": "5"}, None),
    ("GET", ROOM + "/members", {"cursor": "nonsense"}, None),
    ("GET", CHANNEL + "/messages", {"before": "5", "after": "5"}, None),
    ("GET", CHANNEL + "/messages", {"thread_id": "5"}, None),
    ("GET", CHANNEL + "/threads", {"cursor": "nonsense"}, None),
    ("POST", CHANNEL + "/messages", {}, {"content": "x", "thread_id": "5"}),
    ("POST", CHANNEL + "/messages", {}, {"content": "x", "reply_to_id": "5"}),
    ("POST", ROOM + "/channels", {}, {"name": "general"}),
]
HIDDEN_IDS = ("room_id", "channel_id", "message_id", "session_id")
MISSING = "1"


@dataclass(frozen=True, slots=True)
class World:
    """A private room with people in every relation to it, and what is in it."""

    people: dict[str, Client]
    room: Room
    ids: dict[str, str]

    def url(self, path: str) -> str:
        return path.format_map(self.ids)

    def url_of_nothing(self, path: str) -> str:
        """Return the address of a thing of the same kind that is not there."""
        return path.format_map(self.ids | dict.fromkeys(HIDDEN_IDS, MISSING) | {"name": "x-x"})


@pytest.fixture
def world(nobody: Client) -> World:
    people = {role: nobody.guest() for role in ROLES[:-1]} | {"nobody": nobody}
    owner, member = people["owner"], people["member"]
    room = owner.found()
    owner.admit(room, member, people["left"])
    people["left"].post(f"{room.path}/leave")
    people["elsewhere"].found()
    ids = {
        "room_id": room.id,
        "name": room.name,
        "channel_id": room.channels["general"],
        "message_id": owner.say(room, "secret")["id"],
        "session_id": member.get("/v1/users/me/sessions")["sessions"][0]["id"],
        "user_id": owner.id,
        "code": owner.post(f"{room.path}/invites", {})["code"],
    }
    return World(people, room, ids)


def test_every_route_has_its_row(nobody: Client) -> None:
    """A route that is not in the matrix fails here, and so does a row without a route."""
    assert {(method, path) for method, path, _ in nobody.contract.operations()} == MATRIX.keys()


def call(world: World, role: str, method: str, url: str, path: str) -> httpx.Response:
    filled = {"role": role, "number": world.ids["message_id"]}
    body = BODIES.get(path) if method != "GET" else None
    body = body and {name: value.format_map(filled) for name, value in body.items()}
    params = {"q": "secret"} if path.endswith("/search") else {}
    return world.people[role].ask(method, url, body, params=params)


@pytest.mark.parametrize(("method", "path"), MATRIX, ids=map(" ".join, MATRIX))
def test_everyone_gets_what_is_theirs(world: World, method: str, path: str) -> None:
    """Each role gets the status of its row."""
    for role, status in zip(ROLES, MATRIX[method, path].split(), strict=True):
        response = call(world, role, method, world.url(path), path)
        assert (role, response.status_code) == (role, int(status))
        assert response.status_code < 400 or world.room.id not in response.text


HIDING = [row for row, statuses in MATRIX.items() if "404" in statuses]


@pytest.mark.parametrize(("method", "path"), HIDING, ids=map(" ".join, HIDING))
def test_what_is_hidden_answers_as_nothing(
    world: World, method: str, path: str, request: pytest.FixtureRequest
) -> None:
    """Whoever may not see a thing gets the answer that they get where there is none."""
    for role, status in zip(ROLES, MATRIX[method, path].split(), strict=True):
        if status == "404":
            hidden = call(world, role, method, world.url(path), path)
            nothing = call(world, role, method, world.url_of_nothing(path), path)
            assert told(hidden) == told(nothing)


def told(response: httpx.Response) -> dict[str, Any]:
    """Return all that an answer tells, without what differs between any two."""
    problem: dict[str, Any] = response.json()
    del problem["request_id"]
    return problem | {"status": response.status_code, "headers": sorted(response.headers)}


@pytest.mark.parametrize(("method", "path", "params", "body"), LATE_FAULTS)
def test_faults_do_not_tell_what_is_there(
    world: World, method: str, path: str, params: Any, body: Any, request: pytest.FixtureRequest
) -> None:
    """To a stranger a faulty request to a hidden room is answered as one to no room at all."""
    stranger = world.people["stranger"]
    hidden = stranger.ask(method, world.url(path), body, params=params)
    nothing = stranger.ask(method, world.url_of_nothing(path), body, params=params)
    assert told(hidden) == told(nothing)
    assert hidden.status_code in (404, 422)


def test_ids_of_elsewhere_lead_nowhere(nobody: Client) -> None:
    """In one room the ids of another one, both one's own, are as good as none: in paths, queries and bodies."""
    anna = nobody.guest()
    here, there = anna.found(), anna.found()
    channel, foreign = here.channels["general"], there.channels["general"]
    message, thread = anna.say(there, "x")["id"], anna.post(f"{there.general}/threads", {"title": "x"})["id"]
    sibling = f"{here.path}/channels/{here.channels['announcements']}"
    own, own_thread = anna.say(here, "x")["id"], anna.post(f"{here.general}/threads", {"title": "x"})["id"]
    cases: list[tuple[str, str, Any, tuple[str, ...]]] = [
        ("GET", here.path + "/channels/{}/messages", None, (foreign, message, own)),
        ("POST", here.path + "/channels/{}/messages", {"content": "x"}, (foreign, message, own)),
        ("GET", here.path + "/channels/{}/threads", None, (foreign,)),
        ("POST", here.path + "/channels/{}/threads", {"title": "y"}, (foreign,)),
        ("GET", here.general + "/messages/{}", None, (message, foreign, channel, own_thread)),
        ("GET", sibling + "/messages/{}", None, (own,)),
        ("GET", here.general + "/messages?thread_id={}", None, (thread, foreign, own)),
        ("GET", sibling + "/messages?thread_id={}", None, (own_thread,)),
        ("GET", here.path + "/search?q=x&channel_id={}", None, (foreign, own)),
        ("POST", here.general + "/messages", {"content": "x", "thread_id": "{}"}, (thread, own)),
        ("POST", sibling + "/messages", {"content": "x", "thread_id": "{}"}, (own_thread,)),
        ("POST", here.general + "/messages", {"content": "x", "reply_to_id": "{}"}, (message, channel, own_thread)),
        ("POST", sibling + "/messages", {"content": "x", "reply_to_id": "{}"}, (own,)),
    ]
    for method, path, body, values in cases:
        answers = {
            anna.refused(method, path.format(value), body and {key: text.format(value) for key, text in body.items()})
            for value in (*values, MISSING, str(2**63 - 1))
        }
        assert {answer.status for answer in answers} == {404}
        assert len(answers) == 1


def test_search_and_pages_stay_in_their_room(nobody: Client) -> None:
    """A member of two rooms finds in each what was said there."""
    anna = nobody.guest()
    here, there = anna.found(), anna.found()
    said = {room.id: anna.say(room, "the same words")["id"] for room in (here, there)}
    for room in (here, there):
        assert [row["id"] for row in anna.get(f"{room.path}/search", q="words")["messages"]] == [said[room.id]]
        assert [row["id"] for row in anna.get(f"{room.general}/messages", after="1")["messages"]] == [said[room.id]]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Running]:
    with serving(Place(tmp_path)) as server:
        yield server


def test_a_read_only_room_is_as_hidden_as_any(own_server: Running) -> None:
    """Members read a read-only room and hear why it takes nothing; strangers hear nothing of a private one."""
    with client_of(own_server) as nobody:
        anna, stranger = nobody.guest(), nobody.guest()
        hidden, public = anna.found(), anna.found(is_public=True)
        code = anna.post(f"{hidden.path}/invites", {})["code"]
        directory = sqlite.connect(own_server.place.folder / "data" / "directory.db")
        directory.execute("UPDATE rooms SET state = 'readonly'")
        directory.close()
        time.sleep(1.2)  # another process's change is seen within a second
        writes: list[tuple[str, Any]] = [
            ("/channels/1/messages", {"content": "x"}), ("/channels/1/threads", {"title": "x"}),
            ("/channels", {"name": "x"}), ("/join", None), ("/leave", None),
        ]  # fmt: skip
        for path, body in writes:
            assert anna.refused("POST", hidden.path + path, body).type == "storage-full"
            refusal = stranger.refused("POST", hidden.path + path, body)
            assert refusal == stranger.refused("POST", f"/v1/rooms/{MISSING}{path}", body)
            assert refusal.status == 404
        assert anna.get(hidden.path)["room"]["state"] == "readonly"
        assert stranger.refused("POST", f"{public.path}/join").status == 507
        assert stranger.refused("POST", f"/v1/invites/{code}/use").status == 507
        assert anna.get(f"/v1/invites/{code}")["uses"] == 0

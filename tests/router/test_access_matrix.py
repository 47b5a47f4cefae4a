"""Who may call what: every route of the table, for everyone from a room's owner to nobody.

Nobody learns from an answer whether a room that they may not see exists: what is hidden answers as what is not there.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import sqlite
from tests.router.clients import Client, client_of
from tests.router.matrix import (
    accounts,
    bots,
    channels,
    chats,
    files,
    fleet,
    messages,
    moderation,
    presence,
    reactions,
    roles,
    rooms,
    search,
    site_admin,
    threads,
    unread,
    voice,
    webhooks,
    worlds,
)
from tests.router.matrix.rows import CHANNEL, INSIDE, ROOM, Rows
from tests.router.matrix.worlds import Furnish, World
from tests.router.serving import Place, Running, serving
from tests.router.uploads import announced

pytestmark = pytest.mark.security

MATRIX: Rows = {
    **accounts.ROWS,
    **bots.ROWS,
    **chats.ROWS,
    **files.ROWS,
    **fleet.ROWS,
    **webhooks.ROWS,
    **presence.ROWS,
    **moderation.ROWS,
    **site_admin.ROWS,
    **reactions.ROWS,
    **unread.ROWS,
    **roles.ROWS,
    **rooms.ROWS,
    **search.ROWS,
    **channels.ROWS,
    **messages.ROWS,
    **threads.ROWS,
    **voice.ROWS,
}
FURNISH: tuple[Furnish, ...] = (
    bots.furnish,
    webhooks.furnish,
    moderation.furnish,
    voice.furnish,
    channels.furnish,
    threads.furnish,
    reactions.furnish,
    files.furnish,
    fleet.furnish,
)
# Faults that only show once a request is understood: they must not show first whether a room is there.
LATE_FAULTS = [
    ("GET", ROOM + "/search", {"q": "-"}, None),
    ("GET", ROOM + "/search", {"q": "x", "channel_id": "5"}, None),
    ("GET", ROOM + "/search", {"q": "x", "cursor": "nonsense"}, None),
    *(
        ("GET", ROOM + "/search", {"q": f"{value} x"}, None)
        for value in ("in:nowhere", "thread:nothing", "from:nobody_at_all", "mentions:nobody_at_all", "has:poem")
    ),
    ("GET", ROOM + "/members", {"cursor": "nonsense"}, None),
    ("GET", ROOM + "/members", {"q": "guest"}, None),
    ("GET", ROOM + "/audit", {"cursor": "nonsense"}, None),
    ("PUT", ROOM + "/bans/5", {}, {}),
    ("GET", ROOM + "/bans", {"cursor": "nonsense"}, None),
    ("DELETE", ROOM + "/channels/5/overwrites/nonsense/5", {}, {}),
    ("PUT", ROOM + "/owner", {}, {"user_id": "5"}),
    ("DELETE", ROOM + "/invites/nonsense", {}, None),
    ("POST", ROOM + "/invites", {}, {"role_id": "5"}),
    ("PATCH", ROOM, {}, {"name": "general"}),
    ("GET", CHANNEL + "/messages", {"before": "5", "after": "5"}, None),
    ("GET", CHANNEL + "/messages", {"thread_id": "5"}, None),
    ("GET", CHANNEL + "/threads", {"cursor": "nonsense"}, None),
    *(("GET", ROOM + path, {"cursor": "nonsense"}, None) for path in ("/threads", "/mentions", "/export")),
    ("GET", CHANNEL + "/pins", {"cursor": "nonsense"}, None),
    ("PUT", CHANNEL + "/messages/5/reactions/yes", {}, None),
    ("GET", CHANNEL + "/messages/5/reactions/yes/users", {}, None),
    ("PATCH", CHANNEL + "/threads/5", {}, {"title": "x"}),
    ("PUT", CHANNEL + "/threads/5/read", {}, {}),
    ("POST", CHANNEL + "/messages", {}, {"content": "x", "thread_id": "5"}),
    ("POST", CHANNEL + "/messages", {}, {"content": "x", "reply_to_id": "5"}),
    ("POST", CHANNEL + "/messages", {}, {"attachment_ids": ["5"]}),
    ("POST", CHANNEL + "/attachments", {}, announced(size_bytes=30_000_000)),
    ("POST", ROOM + "/channels", {}, {"name": "general"}),
]
MISSING = "1"


@pytest.fixture
def make_world(nobody: Client) -> Callable[[], World]:
    """Return a maker of worlds."""
    return lambda: worlds.make(nobody, FURNISH)


@pytest.fixture(scope="module")
def still(nobody: Client) -> World:
    """A world in which nothing is changed: for questions, and for requests that are all refused."""
    return worlds.make(nobody, FURNISH)


def test_every_route_has_its_row(nobody: Client) -> None:
    """A route that is not in the matrix fails here, and so does a row without a route."""
    assert {(method, path) for method, path, _ in nobody.contract.operations()} == MATRIX.keys()


def call(world: World, role: str, key: tuple[str, str], ids: dict[str, str]) -> httpx.Response:
    """Ask a route as somebody, with these ids in its path and body."""
    (method, path), row = key, MATRIX[key]
    ids = ids | {name: ids[other] for name, other in row.at.items()}
    filled = ids | {"role": role, "number": world.ids["message_id"]}
    params = {name: text.format_map(filled) for name, text in row.params.items()}
    return world.people[role].ask(method, path.format_map(ids), worlds.filled(row.body, filled), params=params)


@pytest.mark.parametrize("key", MATRIX, ids=map(" ".join, MATRIX))
def test_everyone_gets_what_is_theirs(make_world: Callable[[], World], still: World, key: tuple[str, str]) -> None:
    """Each role gets the status of its row, and no refusal names the room."""
    world = still if key[0] == "GET" else make_world()
    is_used = False
    for role, status in MATRIX[key].of_roles.items():
        if MATRIX[key].fresh and is_used:
            world = make_world()
        response = call(world, role, key, world.ids)
        is_used = response.is_success
        assert (role, response.status_code) == (role, status), response.text
        assert response.status_code < 400 or world.room.id not in response.text


HIDING = [key for key, row in MATRIX.items() if "404" in row.statuses]


@pytest.mark.parametrize("key", HIDING, ids=map(" ".join, HIDING))
def test_what_is_hidden_answers_as_nothing(still: World, key: tuple[str, str]) -> None:
    """Whoever may not see a thing gets the answer that they get where there is none."""
    world = still
    for role, status in MATRIX[key].of_roles.items():
        if status == 404:
            hidden = call(world, role, key, world.ids)
            # To whoever sees the room only the thing itself is hidden.
            missing = dict.fromkeys(MATRIX[key].at.values(), MISSING) if role in INSIDE else world.ids_of_nothing
            nothing = call(world, role, key, world.ids | missing)
            assert told(hidden) == told(nothing)


IN_CHANNELS = [key for key in MATRIX if key[1].startswith(CHANNEL)]


@pytest.mark.parametrize("key", IN_CHANNELS, ids=map(" ".join, IN_CHANNELS))
def test_a_private_channel_answers_as_nothing(
    make_world: Callable[[], World], still: World, key: tuple[str, str]
) -> None:
    """A member gets for everything in a channel that is hidden from them what they get where there is none."""
    world = still if key[0] == "GET" else make_world()
    for role in ("member", "bot"):
        hidden = call(world, role, key, world.ids | world.hidden)
        nothing = call(world, role, key, world.ids | dict.fromkeys(world.hidden, MISSING))
        assert hidden.status_code == 404
        assert told(hidden) == told(nothing)
    seen = call(world, "owner", key, world.ids | world.hidden)
    assert seen.status_code == MATRIX[key].of_roles["owner"]


def told(response: httpx.Response) -> dict[str, Any]:
    """Return all that an answer tells, without what differs between any two."""
    problem: dict[str, Any] = response.json()
    del problem["request_id"]
    return problem | {"status": response.status_code, "headers": sorted(response.headers)}


@pytest.mark.parametrize(("method", "path", "params", "body"), LATE_FAULTS)
def test_faults_do_not_tell_what_is_there(
    still: World, method: str, path: str, params: Any, body: Any, request: pytest.FixtureRequest
) -> None:
    """To a stranger a faulty request to a hidden room is answered as one to no room at all."""
    stranger = still.people["stranger"]
    hidden = stranger.ask(method, path.format_map(still.ids), body, params=params)
    nothing = stranger.ask(method, path.format_map(still.ids_of_nothing), body, params=params)
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
        ("GET", here.general + "/threads/{}", None, (thread, foreign, own)),
        ("GET", sibling + "/threads/{}", None, (own_thread,)),
        ("PATCH", sibling + "/threads/{}", {"title": "z"}, (own_thread,)),
        ("PUT", sibling + "/threads/{}/read", {}, (own_thread, own)),
        ("PUT", here.general + "/messages/{}/reactions/:x:", None, (message, own_thread)),
        ("PUT", sibling + "/messages/{}/reactions/:x:", None, (own,)),
        ("GET", sibling + "/messages/{}/reactions/:x:/users", None, (own,)),
        ("DELETE", sibling + "/messages/{}/reactions", {}, (own,)),
        ("PUT", sibling + "/messages/{}/pin", {}, (own,)),
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
        assert [invite["uses"] for invite in anna.get(f"{hidden.path}/invites")["invites"]] == [0]

"""Reading over HTTP: what is left to read in all of one's rooms, what calls one, and taking it all along."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from router.endpoints.unread import ROOMS_AT_ONCE
from tests.router.clients import Client, Room, client_of
from tests.router.serving import Place, Running, serving


@pytest.fixture(scope="module")
def room(owner: Client, other: Client) -> Room:
    """A community with two people in it."""
    made = owner.found()
    owner.admit(made, other)
    return made


def left(client: Client, room: Room) -> tuple[int, int]:
    """Return what somebody has not read of a room, and how much of it calls them."""
    (one,) = (one for one in client.get("/v1/unread", limit=100)["rooms"] if one["room_id"] == room.id)
    assert one["unread_count"] == sum(channel["unread_count"] for channel in one["channels"])
    return one["unread_count"], one["mention_count"]


def test_what_others_said_is_unread_until_it_is_marked(owner: Client, other: Client, room: Room) -> None:
    """Counts follow what is said, read, and marked as unread, in the list of rooms and in the room's own."""
    first = owner.say(room, "hello")["id"]
    last = owner.say(room, f"<@{other.id}>, look")["id"]
    assert (left(other, room), left(owner, room)) == ((2, 1), (0, 0))
    marked = other.did("PUT", f"{room.general}/read", {"last_read_id": first})
    assert marked == {"channel_id": room.channels["general"], "thread_id": None, "last_read_id": first}
    assert left(other, room) == (1, 1)
    assert other.did("PUT", f"{room.general}/read", {})["last_read_id"] == last
    assert left(other, room) == (0, 0)
    assert other.did("PUT", f"{room.general}/read", {"last_read_id": first})["last_read_id"] == last
    back = {"last_read_id": first, "may_go_back": True}
    assert other.did("PUT", f"{room.general}/read", back)["last_read_id"] == first
    (channel,) = (one for one in other.get(f"{room.path}/unread")["channels"] if one["unread_count"])
    assert (channel["channel_id"], channel["last_read_id"], channel["last_message_id"]) == (
        room.channels["general"], first, last,
    )  # fmt: skip
    assert (channel["mention_count"], channel["is_capped"]) == (1, False)
    other.did("PUT", f"{room.path}/read")
    assert left(other, room) == (0, 0)


def test_threads_are_read_by_themselves(owner: Client, other: Client) -> None:
    """A thread's unread messages are told apart, and reading it leaves what else its channel has."""
    room = owner.found()
    owner.admit(room, other)
    thread = owner.post(f"{room.general}/threads", {"title": "Moss"})["id"]
    owner.say(room, "outside")
    inside = owner.say(room, f"<@{other.id}>", thread_id=thread)["id"]
    (one,) = other.get(f"{room.path}/unread")["threads"]
    assert (one["thread_id"], one["title"], one["unread_count"], one["mention_count"]) == (thread, "Moss", 1, 1)
    assert left(other, room) == (2, 1)
    marked = other.did("PUT", f"{room.general}/threads/{thread}/read", {})
    assert (marked["thread_id"], marked["last_read_id"]) == (thread, inside)
    assert left(other, room) == (1, 0)
    assert other.get(f"{room.path}/unread")["threads"] == []


def test_rooms_come_page_by_page(owner: Client, nobody: Client) -> None:
    """The counts of many rooms come in pages, each room once, the one joined last first."""
    guest = nobody.guest()
    rooms = [owner.found() for _ in range(ROOMS_AT_ONCE + 3)]
    for room in rooms:
        owner.admit(room, guest)
        owner.say(room, "hello")
    walked: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = guest.get("/v1/unread", limit=ROOMS_AT_ONCE + 1, **cursor)
        assert {room["unread_count"] for room in page["rooms"]} == {1}
        assert page["unavailable_room_ids"] == []
        walked += [room["room_id"] for room in page["rooms"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert walked == [room.id for room in reversed(rooms)]


def test_hidden_channels_are_in_no_count(owner: Client, other: Client) -> None:
    """What is said in a channel that one does not see is in no count, no inbox and no export."""
    room = owner.found()
    owner.admit(room, other)
    hidden = owner.post(f"{room.path}/channels", {"name": "hidden", "is_private": True})["id"]
    role = owner.post(f"{room.path}/roles", {"name": "crew"})["id"]
    owner.did("PUT", f"{room.path}/members/{other.id}/roles/{role}")
    owner.post(f"{room.path}/channels/{hidden}/messages", {"content": f"<@&{role}> @everyone"})
    owner.post(f"{room.path}/channels/{hidden}/threads", {"title": "secret"})
    open_to_all = owner.say(room, f"<@&{role}>")["id"]
    assert left(other, room) == (1, 1)
    counted = other.get(f"{room.path}/unread")
    assert hidden not in {one["channel_id"] for one in counted["channels"] + counted["threads"]}
    assert [one["id"] for one in other.get(f"{room.path}/mentions")["messages"]] == [open_to_all]
    assert hidden not in {one["channel_id"] for one in other.get(f"{room.path}/export")["messages"]}
    assert hidden in {one["channel_id"] for one in owner.get(f"{room.path}/export")["messages"]}
    assert other.get(f"{room.path}/threads")["threads"] == []


def test_the_inbox_has_what_calls_one(owner: Client, other: Client) -> None:
    """One's inbox has the messages that call one, newest first, in pages, with those who wrote them."""
    room = owner.found()
    owner.admit(room, other)
    said = [owner.say(room, f"<@{other.id}> {number}")["id"] for number in range(3)]
    owner.say(room, "nobody")
    other.say(room, f"<@{other.id}>")
    first = other.get(f"{room.path}/mentions", limit=2)
    rest = other.get(f"{room.path}/mentions", limit=2, cursor=first["next_cursor"])
    assert [message["id"] for message in first["messages"] + rest["messages"]] == said[::-1]
    assert rest["next_cursor"] is None
    assert {user["id"] for user in first["users"]} == {owner.id, other.id}
    assert owner.get(f"{room.path}/mentions")["messages"] == []


def test_an_export_has_everything(owner: Client, other: Client) -> None:
    """Page by page an export has every message of a room, oldest first, with everyone who wrote."""
    room = owner.found()
    owner.admit(room, other)
    announcements = f"{room.path}/channels/{room.channels['announcements']}/messages"
    said = [
        other.say(room, "one")["id"],
        owner.post(announcements, {"content": "two"})["id"],
        other.say(room, "3")["id"],
    ]
    walked: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = other.get(f"{room.path}/export", limit=2, **cursor)
        assert len(page["messages"]) <= 2
        assert {user["id"] for user in page["users"]} == {message["user_id"] for message in page["messages"]}
        walked += [message["id"] for message in page["messages"] if message["content_type"] != "system"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert walked == said


def test_levels_are_ones_own(owner: Client, other: Client, room: Room) -> None:
    """One chooses what to be told of a room and of its channels, and sees it again where the counts are."""
    path, general = f"{room.path}/notifications", room.channels["general"]
    assert other.get(path) == {"level": "all", "channels": []}
    other.did("PUT", f"{room.general}/notifications", {"level": "none"})
    assert other.did("PUT", path, {"level": "mentions"}) == {
        "level": "mentions",
        "channels": [{"channel_id": general, "level": "none"}],
    }
    assert owner.get(path) == {"level": "all", "channels": []}
    (mine,) = (one for one in other.get("/v1/unread")["rooms"] if one["room_id"] == room.id)
    assert mine["notification_level"] == "mentions"
    (channel,) = (one for one in other.get(f"{room.path}/unread")["channels"] if one["channel_id"] == general)
    assert channel["notification_level"] == "none"
    other.did("DELETE", f"{room.general}/notifications")
    assert other.get(path)["channels"] == []
    assert other.refused("PUT", path, {"level": "some"}).type == "invalid"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, limits={"shards_open_max": 3})


@pytest.fixture
def small(place: Place) -> Iterator[Running]:
    """A server that opens few shards at once."""
    with serving(place) as server:
        yield server


def test_a_room_that_cannot_be_asked_is_named(place: Place) -> None:
    """A room whose file is broken is named as unavailable, and the counts of the others come all the same."""
    with serving(place) as server, client_of(server) as nobody:
        anna = nobody.guest()
        broken, whole = anna.found(), anna.found()
        token = anna.token
    (place.shards / f"{broken.id}.db").write_bytes(b"no database" * 1_000)
    with serving(place) as server, client_of(server) as nobody:
        page = nobody.with_token(token).get("/v1/unread")
        assert [room["room_id"] for room in page["rooms"]] == [whole.id]
        assert page["unavailable_room_ids"] == [broken.id]


def test_no_room_is_left_out_in_silence(small: Running) -> None:
    """With more rooms than shards may be open at once each is counted, or named as unavailable."""
    with client_of(small) as nobody:
        anna = nobody.guest()
        rooms = {anna.found().id for _ in range(12)}
        page = anna.get("/v1/unread")
        counted = {room["room_id"] for room in page["rooms"]}
        assert counted | {*page["unavailable_room_ids"]} == rooms
        assert not counted & {*page["unavailable_room_ids"]}
        assert len(counted) >= 3

"""Direct chats, groups and blocks over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import sqlite
from tests.router.clients import Answer, Client
from tests.router.matrix.chats import MUSIC
from tests.router.serving import Running

SOUND = "https://soundcloud.com/somebody/some-track"


def chat(one: Client, other: Client) -> tuple[str, str]:
    """Open the chat of two and return its room's and its channel's address."""
    return addresses(one.did("PUT", f"/v1/users/{other.id}/chat"))


def addresses(made: Any) -> tuple[str, str]:
    path = f"/v1/rooms/{made['room']['id']}"
    return path, f"{path}/channels/{made['channels'][0]['id']}"


def group(owner: Client, *others: Client, **fields: Any) -> tuple[str, str]:
    """Make a group and return its room's and its channel's address."""
    return addresses(owner.post("/v1/groups", {"user_ids": [other.id for other in others], **fields}))


def say(who: Client, channel: str, content: str = "hello") -> Any:
    return who.post(f"{channel}/messages", {"content": content})


def block(who: Client, other: Client) -> None:
    who.did("PUT", f"/v1/users/me/blocks/{other.id}")


def close(who: Client, audience: str = "nobody") -> None:
    who.did("PATCH", "/v1/users/me/settings", {"direct_messages_from": audience})


def ids_in(who: Client, path: str) -> set[str]:
    return {row["user_id"] for row in who.get(f"{path}/members")["members"]}


@pytest.fixture
def anna(nobody: Client) -> Client:
    return nobody.guest()


@pytest.fixture
def ben(nobody: Client) -> Client:
    return nobody.guest()


@pytest.fixture
def carl(nobody: Client) -> Client:
    return nobody.guest()


def test_a_pair_has_one_chat(anna: Client, ben: Client, carl: Client) -> None:
    """Whoever asks, and however often, two people have one chat, which they share with nobody."""
    first = anna.ask("PUT", f"/v1/users/{ben.id}/chat")
    assert first.status_code == 201
    for one, other in ((anna, ben), (ben, anna)):
        again = one.ask("PUT", f"/v1/users/{other.id}/chat")
        assert (again.status_code, again.json()) == (200, first.json())
    room = first.json()["room"]
    assert (room["kind"], room["owner_id"], room["name"], room["member_count"]) == ("direct", None, None, 2)
    path, channel = addresses(first.json())
    for who in (anna, ben):
        say(who, channel)
    assert len(anna.get(f"{channel}/messages")["messages"]) == 2
    assert carl.refused("GET", path) == carl.refused("GET", "/v1/rooms/1")
    assert carl.refused("POST", f"{channel}/messages", {"content": "x"}).status == 404
    assert chat(anna, carl)[0] != path


def test_my_rooms_tell_who_the_other_is(anna: Client, ben: Client, carl: Client) -> None:
    """The list of one's rooms names the other person of each direct chat, and brings their profile."""
    direct = chat(anna, ben)[0].rpartition("/")[2]
    together = group(carl, anna)[0].rpartition("/")[2]
    community = anna.found().id
    for who, other in ((anna, ben), (ben, anna)):
        mine = who.get("/v1/rooms")
        assert [user["id"] for user in mine["users"]] == [other.id]
        assert {row["direct_user_id"] for row in mine["rooms"] if row["id"] == direct} == {other.id}
    rows = {row["id"]: (row["kind"], row["direct_user_id"]) for row in anna.get("/v1/rooms")["rooms"]}
    assert rows == {direct: ("direct", ben.id), together: ("group", None), community: ("community", None)}


def test_two_hundred_who_ask_at_once_get_one_room(anna: Client, ben: Client) -> None:
    """However many open a pair's chat from both sides at the same moment, one of them makes it."""
    pairs = [(anna, ben.id), (ben, anna.id)] * 100
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda pair: pair[0].ask("PUT", f"/v1/users/{pair[1]}/chat"), pairs))
    assert sorted(answer.status_code for answer in answers) == [200] * 199 + [201]
    assert len({answer.json()["room"]["id"] for answer in answers}) == 1
    for who in (anna, ben):
        assert [row["kind"] for row in who.get("/v1/rooms")["rooms"]] == ["direct"]


def test_with_whom_there_is_no_chat(anna: Client) -> None:
    """Nobody chats with themselves, or with somebody who is not there."""
    assert anna.refused("PUT", f"/v1/users/{anna.id}/chat").status == 409
    assert anna.refused("PUT", "/v1/users/5/chat").status == 404
    assert anna.refused("POST", "/v1/groups", {"user_ids": ["5"]}).status == 404
    assert anna.refused("PUT", "/v1/users/me/blocks/5").status == 404
    assert anna.refused("PUT", f"/v1/users/me/blocks/{anna.id}").status == 409


WAYS = ("open", "group", "add")


def ways_to(anna: Client, ben: Client) -> dict[str, Answer]:
    """Return what Anna hears on every way to somebody new."""
    path, _ = group(anna)
    return {
        "open": anna.refused("PUT", f"/v1/users/{ben.id}/chat"),
        "group": anna.refused("POST", "/v1/groups", {"user_ids": [ben.id]}),
        "add": anna.refused("PUT", f"{path}/members/{ben.id}"),
    }


def test_the_blocked_cannot_tell(anna: Client, ben: Client) -> None:
    """On every way to somebody the blocked hear to the letter what all hear while that person takes no messages."""
    close(ben)
    closed = ways_to(anna, ben)
    assert set(closed.values()) == {closed["open"]}
    assert (closed["open"].status, closed["open"].type) == (403, "forbidden")
    close(ben, "shared")
    assert ways_to(anna, ben) == closed
    close(ben, "everyone")
    block(ben, anna)
    assert ways_to(anna, ben) == closed
    assert anna.get("/v1/users/me/blocks")["blocks"] == []
    assert anna.get(f"/v1/users/{ben.id}")["id"] == ben.id
    ben.did("DELETE", f"/v1/users/me/blocks/{anna.id}")
    chat(anna, ben)


def test_a_block_ends_talking_both_ways(anna: Client, ben: Client) -> None:
    """In their chat the blocked hear what a closed door answers, the other one what they did, and both read."""
    path, channel = chat(anna, ben)
    mine, theirs = say(anna, channel)["id"], say(ben, channel)["id"]
    close(ben)
    closed = anna.refused("POST", f"{channel}/messages", {"content": "x"})
    assert (closed.status, closed.type) == (403, "forbidden")
    say(ben, channel)
    close(ben, "shared")
    say(anna, channel)
    block(ben, anna)
    acts = [
        ("POST", f"{channel}/messages", {"content": "x"}),
        ("PATCH", f"{channel}/messages/{mine}", {"content": "x"}),
        ("PUT", f"{channel}/messages/{theirs}/reactions/\N{THUMBS UP SIGN}", None),
        ("PUT", f"{channel}/messages/{mine}/pin", None),
        ("POST", f"{channel}/threads", {"title": "x"}),
        ("PUT", f"{path}/music", {"url": MUSIC}),
    ]
    for method, address, body in acts:
        assert (address, anna.refused(method, address, body)) == (address, closed)
        assert (address, ben.refused(method, address, body).status) == (address, 409)
    anna.did("DELETE", f"{channel}/messages/{mine}")
    for who, other in ((anna, ben), (ben, anna)):
        assert theirs in [row["id"] for row in who.get(f"{channel}/messages")["messages"]]
        who.did("PUT", f"{channel}/read", {"last_read_id": theirs})
        assert [row["id"] for row in who.get("/v1/rooms")["rooms"]] == [path.rpartition("/")[2]]
        assert who.ask("PUT", f"/v1/users/{other.id}/chat").status_code == 200
    ben.did("DELETE", f"/v1/users/me/blocks/{anna.id}")
    for who in (anna, ben):
        say(who, channel)


def test_invites_of_who_blocks_do_not_work(anna: Client, ben: Client, carl: Client) -> None:
    """The blocked hear of the blocker's invites what they hear of any that does not work, and others use them."""
    room = ben.found()
    code = ben.post(f"{room.path}/invites", {"max_uses": 1})["code"]
    block(ben, anna)
    nothing = anna.refused("POST", "/v1/invites/nonsense/use")
    assert anna.refused("POST", f"/v1/invites/{code}/use") == nothing
    assert anna.refused("GET", f"/v1/invites/{code}") == anna.refused("GET", "/v1/invites/nonsense") == nothing
    carl.post(f"/v1/invites/{code}/use")


def test_a_block_is_for_two(anna: Client, ben: Client, carl: Client) -> None:
    """A block stops nobody else, and nothing in a group or community that both are in."""
    path, channel = group(carl, anna, ben)
    room = carl.found()
    carl.admit(room, anna, ben)
    block(ben, anna)
    for who in (anna, ben):
        say(who, channel)
        who.say(room, "hello")
        say(who, chat(who, carl)[1])
    assert ids_in(ben, path) == {anna.id, ben.id, carl.id}
    assert carl.did("PUT", f"{path}/members/{ben.id}") is None


def test_whom_one_blocks_is_listed(anna: Client, nobody: Client) -> None:
    """One's blocks come page by page, each once with a profile; setting and lifting twice is no harm."""
    others = [nobody.guest() for _ in range(3)]
    for other in (*others, others[0]):
        block(anna, other)
    first = anna.get("/v1/users/me/blocks", limit=2)
    rest = anna.get("/v1/users/me/blocks", limit=2, cursor=first["next_cursor"])
    listed = [row["user_id"] for row in first["blocks"] + rest["blocks"]]
    assert listed == sorted((other.id for other in others), key=int)
    assert [user["id"] for user in first["users"] + rest["users"]] == listed
    assert rest["next_cursor"] is None
    for _ in range(2):
        anna.did("DELETE", f"/v1/users/me/blocks/{others[0].id}")
    assert [row["user_id"] for row in anna.get("/v1/users/me/blocks")["blocks"]] == listed[1:]


def test_a_group_has_its_people(anna: Client, ben: Client, carl: Client, nobody: Client) -> None:
    """A group has whom its owner chose, each once; they talk, and for others it is not there."""
    path, channel = addresses(
        anna.post("/v1/groups", {"user_ids": [ben.id, carl.id, ben.id, anna.id], "display_name": "Nest"})
    )
    shown = ben.get(path)["room"]
    assert (shown["kind"], shown["display_name"], shown["owner_id"]) == ("group", "Nest", anna.id)
    assert (shown["member_count"], shown["is_public"]) == (3, False)
    assert ids_in(ben, path) == {anna.id, ben.id, carl.id}
    for who in (anna, ben, carl):
        say(who, channel)
    stranger = nobody.guest()
    for method, rest in (("GET", ""), ("PUT", f"/members/{stranger.id}"), ("POST", "/leave"), ("POST", "/join")):
        refusal = stranger.refused(method, path + rest)
        assert refusal == stranger.refused(method, f"/v1/rooms/1{rest}")
        assert refusal.status == 404


def test_a_group_has_a_bound(anna: Client, nobody: Client) -> None:
    """Ten are a full group, at its making and after, however often one is named."""
    others = [nobody.guest() for _ in range(10)]
    assert anna.refused("POST", "/v1/groups", {"user_ids": [other.id for other in others]}).status == 409
    path, _ = group(anna, *others[:9], others[0], anna)
    assert anna.refused("PUT", f"{path}/members/{others[9].id}").status == 409
    others[0].post(f"{path}/leave")
    anna.did("PUT", f"{path}/members/{others[9].id}")
    assert anna.get(path)["room"]["member_count"] == 10


@pytest.mark.security
def test_who_may_what_in_a_group(anna: Client, ben: Client, carl: Client, nobody: Client) -> None:
    """The owner ranks and adds, a moderator adds and removes members, a member neither, and strangers see no group."""
    stranger, fresh = nobody.guest(), nobody.guest()
    path, _ = group(anna, ben, carl)
    anna.did("PUT", f"{path}/moderators/{ben.id}")
    statuses = {
        ("PUT", f"/moderators/{carl.id}"): (204, 403, 403, 404),
        ("DELETE", f"/moderators/{carl.id}"): (204, 403, 403, 404),
        ("PUT", f"/members/{fresh.id}"): (204, 204, 403, 404),
        ("PUT", "/music"): (200, 200, 403, 404),
        ("DELETE", "/music"): (204, 204, 403, 404),
    }
    for (method, rest), wanted in statuses.items():
        body = {"url": MUSIC} if (method, rest) == ("PUT", "/music") else None
        got = [who.ask(method, path + rest, body).status_code for who in (anna, ben, carl, stranger)]
        assert (method, rest, *got) == (method, rest, *wanted)
    assert ben.refused("DELETE", f"{path}/members/{anna.id}").status == 403
    assert carl.refused("DELETE", f"{path}/members/{fresh.id}").status == 403
    ben.did("DELETE", f"{path}/members/{fresh.id}")
    anna.did("DELETE", f"{path}/members/{ben.id}")
    assert ids_in(anna, path) == {anna.id, carl.id}
    assert ben.refused("GET", path).status == 404
    assert [row["id"] for row in ben.get("/v1/rooms")["rooms"]] == []


def state_of(server: Running, path: str) -> str:
    """Return the state of a room that nobody can see any more."""
    directory = sqlite.connect(server.place.folder / "data" / "directory.db")
    try:
        return str(directory.execute("SELECT state FROM rooms WHERE id = ?", (int(path.rpartition("/")[2]),)).get)
    finally:
        directory.close()


def test_a_group_passes_on_and_ends(server: Running, anna: Client, ben: Client, carl: Client) -> None:
    """Whoever leaves first passes the group on, moderators before members, and with the last one it is gone."""
    path, channel = group(anna, ben, carl)
    anna.did("PUT", f"{path}/moderators/{carl.id}")
    for leaver, heir in ((anna, carl), (carl, ben)):
        leaver.post(f"{path}/leave")
        assert leaver.refused("POST", f"{path}/leave").status == 404
        assert ben.get(path)["room"]["owner_id"] == heir.id
    say(ben, channel)
    assert ben.get(path)["room"]["member_count"] == 1
    assert state_of(server, path) == "active"
    ben.post(f"{path}/leave")
    assert state_of(server, path) == "deleted"
    for who in (anna, ben, carl):
        assert who.refused("GET", path) == who.refused("GET", "/v1/rooms/1")
        assert who.get("/v1/rooms")["rooms"] == []


def test_all_leave_a_group_at_once(server: Running, nobody: Client) -> None:
    """A group that people leave all at one moment has an owner inside, or is gone with the last of them."""
    people = [nobody.guest() for _ in range(8)]
    leavers, stayer = people[:7], people[7]
    path, _ = group(*people)
    with ThreadPoolExecutor(7) as threads:
        left = list(threads.map(lambda who: who.ask("POST", f"{path}/leave").status_code, leavers))
    assert left == [204] * 7
    shown = stayer.get(path)["room"]
    assert (shown["owner_id"], shown["member_count"]) == (stayer.id, 1)
    path, _ = group(*people)
    with ThreadPoolExecutor(8) as threads:
        left = list(threads.map(lambda who: who.ask("POST", f"{path}/leave").status_code, people))
    assert left == [204] * 8
    assert state_of(server, path) == "deleted"
    assert all(who.refused("GET", path).status == 404 for who in people)


def test_nobody_leaves_a_direct_chat(anna: Client, ben: Client) -> None:
    """The two stay in their chat."""
    path, channel = chat(anna, ben)
    assert anna.refused("POST", f"{path}/leave").type == "conflict"
    say(anna, channel)


def test_what_a_room_listens_to(anna: Client, ben: Client) -> None:
    """Owners say what groups and communities listen to, either person what a direct chat does."""
    community = anna.found().path
    for path in (chat(anna, ben)[0], group(anna, ben)[0], community):
        assert anna.get(path)["room"]["music_url"] is None
        assert anna.did("PUT", f"{path}/music", {"url": MUSIC + "?si=abc#x"})["music_url"] == MUSIC
        assert anna.did("PUT", f"{path}/music", {"url": SOUND, "reason": "better"})["music_url"] == SOUND
        assert anna.get(path)["room"]["music_url"] == SOUND
        for _ in range(2):
            anna.did("DELETE", f"{path}/music")
        assert anna.get(path)["room"]["music_url"] is None
    path, _ = chat(anna, ben)
    assert ben.did("PUT", f"{path}/music", {"url": MUSIC})["music_url"] == MUSIC


@pytest.mark.security
@pytest.mark.parametrize(
    "url",
    [
        "http://open.spotify.com/track/4uLU6hMCjMI75M1A2tKUQC",
        "javascript:alert(1)//open.spotify.com/track/4uLU6hMCjMI75M1A2tKUQC",
        "https://open.spotify.com@evil.example/track/4uLU6hMCjMI75M1A2tKUQC",
        "https://evil@open.spotify.com/track/4uLU6hMCjMI75M1A2tKUQC",
        "https://open.spotify.com:8443/track/4uLU6hMCjMI75M1A2tKUQC",
        "https://open.spotify.com.evil.example/track/4uLU6hMCjMI75M1A2tKUQC",
        "https://open.spotify.com\\@evil.example/track/4uLU6hMCjMI75M1A2tKUQC",
        "https://evil.example/https://open.spotify.com/track/4uLU6hMCjMI75M1A2tKUQC",
        "https://open.spotify.com/track/4uLU6hMCjMI75M1A2tKUQC/../../redirect",
        "https://open.spotify.com/tr\nack/4uLU6hMCjMI75M1A2tKUQC",
        "https://open.spotify.com/redirect/4uLU6hMCjMI75M1A2tKUQC",
        "https://open.spotify.com/track/short",
        "https://\uff4fpen.spotify.com/track/4uLU6hMCjMI75M1A2tKUQC",
        "https://soundcloud.com/somebody",
        "https://soundcloud.com/somebody/../evil",
        "https://soundcloud.com//evil.example/x",
        "https://soundcloud.com/a/b%2f..%2fc",
        "https://m.soundcloud.com/somebody/some-track",
        "https://[open.spotify.com/track/4uLU6hMCjMI75M1A2tKUQC",
        "",
    ],
)
def test_other_links_are_no_music(owner: Client, url: str) -> None:
    """A link that is not plainly to Spotify's or SoundCloud's music is refused, however it is dressed up."""
    path = owner.get("/v1/rooms", limit=1)["rooms"]
    room = f"/v1/rooms/{path[0]['id']}" if path else owner.found().path
    refusal = owner.refused("PUT", f"{room}/music", {"url": url})
    assert (refusal.status, "body.url" in refusal.errors) == (422, True)


@pytest.mark.parametrize(
    "path", ["episode/4uLU6hMCjMI75M1A2tKUQC", "playlist/37i9dQZF1DXcBWIGoYBM5M", "show/4uLU6hMCjMI75M1A2tKUQC"]
)
def test_spotify_has_more_than_tracks(owner: Client, path: str) -> None:
    """Playlists, shows and episodes are music too."""
    url = f"https://open.spotify.com/{path}"
    assert owner.did("PUT", f"{owner.found().path}/music", {"url": url})["music_url"] == url


def test_sets_and_secret_links_are_music(owner: Client) -> None:
    """SoundCloud's sets and private links are taken."""
    room = owner.found().path
    for rest in ("a/sets/b", "a/b/s-AbC12", "a/sets/b/s-AbC12"):
        assert owner.did("PUT", f"{room}/music", {"url": f"https://soundcloud.com/{rest}"})["music_url"].endswith(rest)

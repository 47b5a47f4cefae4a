"""Finding, making, entering and leaving rooms over HTTP."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.router.clients import Client


def test_a_new_community_has_its_channels_and_its_owner(owner: Client) -> None:
    """Whoever founds a community is in it, with the default channels."""
    room = owner.found(display_name=" The Den ", description="warm", is_public=True)
    assert list(room.channels) == ["general", "announcements", "voice"]
    shown = owner.get(room.path)
    assert shown["is_member"]
    assert shown["room"]["display_name"] == "The Den"
    assert shown["room"]["member_count"] == 1
    assert shown["room"]["owner_id"] == owner.id
    assert shown == owner.get(f"/v1/rooms/by-name/{room.name}")
    assert owner.get(f"{room.path}/channels")["channels"] == shown["channels"]
    assert owner.get("/v1/rooms")["rooms"][0]["id"] == room.id


def test_one_of_two_creations_of_a_name_wins(owner: Client, other: Client) -> None:
    """Of two who found a community of one name at once, one gets it and the other hears that it is taken."""
    for number in range(5):
        body = {"name": f"same-{number}"}
        with ThreadPoolExecutor(4) as threads:
            asked = [threads.submit(who.ask, "POST", "/v1/rooms", body) for who in (owner, other) * 2]
            answers = [answer.result() for answer in asked]
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
        [winner] = [answer.json()["room"]["id"] for answer in answers if answer.status_code == 201]
        by_name = owner if owner.ask("GET", f"/v1/rooms/{winner}").status_code == 200 else other
        assert by_name.get(f"/v1/rooms/by-name/same-{number}")["room"]["id"] == winner


@pytest.mark.parametrize("name", ["search", "channels", "members", "invites", "join", "public", "by-name"])
def test_a_room_may_be_called_like_a_part_of_an_address(owner: Client, name: str) -> None:
    """No name of a community collides with another address."""
    made = owner.post("/v1/rooms", {"name": name})
    assert owner.get(f"/v1/rooms/by-name/{name}")["room"] == made["room"]


def test_a_public_room_can_be_seen_joined_and_left(owner: Client, other: Client) -> None:
    """Everybody sees a public room and joins it, and sees its channels only from inside; doing it twice is no harm."""
    room = owner.found(is_public=True)
    outside = other.get(room.path)
    assert (outside["is_member"], outside["channels"]) == (False, [])
    for _ in range(2):
        inside = other.post(f"{room.path}/join")
        assert inside["is_member"]
        assert len(inside["channels"]) == 3
        assert inside["room"]["member_count"] == 2
    for _ in range(2):
        other.post(f"{room.path}/leave")
    assert other.get(room.path) == outside
    assert other.refused("GET", f"{room.path}/channels").status == 404
    assert other.post(f"{room.path}/join")["is_member"]


def test_public_rooms_are_listed_largest_first(owner: Client, other: Client, nobody: Client) -> None:
    """The public list has public rooms alone, most members first, page by page."""
    public = [owner.found(is_public=True) for _ in range(3)]
    hidden = owner.found()
    other.post(f"{public[0].path}/join")
    seen: list[tuple[int, str]] = []
    cursor = None
    while True:
        page = other.get("/v1/rooms/public", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [(room["member_count"], room["id"]) for room in page["rooms"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(seen, key=lambda row: (-row[0], -int(row[1])))
    ids = [room_id for _, room_id in seen]
    assert len(ids) == len(set(ids))
    assert {room.id for room in public} <= set(ids)
    assert hidden.id not in ids


def test_my_rooms_come_page_by_page(nobody: Client) -> None:
    """The rooms one is in come the last joined first, each once."""
    guest = nobody.guest()
    rooms = [guest.found().id for _ in range(5)]
    first = guest.get("/v1/rooms", limit=3)
    rest = guest.get("/v1/rooms", limit=3, cursor=first["next_cursor"])
    assert [room["id"] for room in first["rooms"] + rest["rooms"]] == rooms[::-1]
    assert rest["next_cursor"] is None


def test_an_owner_stays(owner: Client) -> None:
    """The owner cannot leave the room behind."""
    room = owner.found()
    assert owner.refused("POST", f"{room.path}/leave").type == "conflict"
    assert owner.get(room.path)["is_member"]


def test_an_invite_lets_in_as_often_as_it_says(owner: Client, nobody: Client) -> None:
    """An invite shows where it leads, works for its number of uses, and is not spent by who is in already."""
    room = owner.found(display_name="Hidden")
    invite = owner.post(f"{room.path}/invites", {"max_uses": 1, "expires_in_seconds": 60})
    path = f"/v1/invites/{invite['code']}"
    first, second = nobody.guest(), nobody.guest()
    shown = {"name": room.name, "display_name": "Hidden", "icon_url": None, "member_count": 1}
    assert second.get(path) == {"code": invite["code"], "room": shown, "expires_at": invite["expires_at"]}
    owner.post(f"{path}/use")
    assert [kept["uses"] for kept in owner.get(f"{room.path}/invites")["invites"]] == [0]
    assert first.post(f"{path}/use")["is_member"]
    late = second.refused("POST", f"{path}/use")
    assert late == second.refused("POST", "/v1/invites/nonsense/use")
    assert late == second.refused("GET", "/v1/invites/nonsense")
    assert second.refused("GET", room.path).status == 404


@pytest.mark.security
@pytest.mark.parametrize("end", ["ban", "kick", "leave"])
def test_an_invite_ends_with_its_makers_membership(owner: Client, nobody: Client, end: str) -> None:
    """What somebody gave away lets nobody in once they were banned, kicked or left, also when they are back."""
    room = owner.found()
    maker, stranger = nobody.guest(), nobody.guest()
    owner.admit(room, maker)
    made = [maker.post(f"{room.path}/invites", {"max_uses": 5})["code"] for _ in range(2)]
    if end == "ban":
        owner.did("PUT", f"{room.path}/bans/{maker.id}", {"reason": "spam"})
    elif end == "kick":
        owner.did("DELETE", f"{room.path}/members/{maker.id}")
    else:
        maker.post(f"{room.path}/leave")
    unknown = stranger.refused("POST", "/v1/invites/nonsense/use")
    for code in made:
        assert stranger.refused("POST", f"/v1/invites/{code}/use") == unknown
        assert stranger.refused("GET", f"/v1/invites/{code}") == unknown
    entries = owner.get(f"{room.path}/audit", action="invite.revoked")["entries"]
    assert [(entry["actor_id"], entry["target_id"], entry["after"]) for entry in entries] == [
        (None, maker.id, {"codes": made})
    ]
    if end == "ban":
        owner.did("DELETE", f"{room.path}/bans/{maker.id}")
    owner.admit(room, maker)
    assert stranger.refused("POST", f"/v1/invites/{made[0]}/use") == unknown
    stranger.post(f"/v1/invites/{maker.post(f'{room.path}/invites', {})['code']}/use")


@pytest.mark.security
def test_an_invite_needs_its_makers_right(owner: Client, nobody: Client) -> None:
    """An invite does not work, and is not listed, while its maker may not invite; afterwards it does."""
    room = owner.found()
    maker, stranger = nobody.guest(), nobody.guest()
    owner.admit(room, maker)
    code = maker.post(f"{room.path}/invites", {"max_uses": 1})["code"]
    unknown = stranger.refused("POST", "/v1/invites/nonsense/use")
    everyone = next(role for role in owner.get(f"{room.path}/roles")["roles"] if role["id"] == room.id)
    allowed = everyone["permissions"]
    path = f"{room.path}/roles/{room.id}"
    owner.did("PATCH", path, {"permissions": [name for name in allowed if name != "create_invite"]})
    assert stranger.refused("POST", f"/v1/invites/{code}/use") == unknown
    assert stranger.refused("GET", f"/v1/invites/{code}") == unknown
    assert code not in {row["code"] for row in owner.get(f"{room.path}/invites")["invites"]}
    owner.did("PATCH", path, {"permissions": allowed})
    assert stranger.post(f"/v1/invites/{code}/use")["is_member"]


def test_one_use_lets_one_in(owner: Client, nobody: Client) -> None:
    """However many use an invite of one use at once, one of them is let in."""
    room = owner.found()
    code = owner.post(f"{room.path}/invites", {"max_uses": 1})["code"]
    guests = [nobody.guest() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        answers = threads.map(lambda guest: guest.ask("POST", f"/v1/invites/{code}/use"), guests)
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]
    assert owner.get(room.path)["room"]["member_count"] == 2


def test_members_come_page_by_page(owner: Client, nobody: Client) -> None:
    """A room's members are listed by id, each once, with their profiles, and without those who left."""
    room = owner.found()
    guests = [nobody.guest() for _ in range(4)]
    owner.admit(room, *guests)
    guests[0].post(f"{room.path}/leave")
    first = owner.get(f"{room.path}/members", limit=2)
    rest = owner.get(f"{room.path}/members", limit=2, cursor=first["next_cursor"])
    ids = [member["user_id"] for member in first["members"] + rest["members"]]
    assert ids == sorted([owner.id, *(guest.id for guest in guests[1:])], key=int)
    assert {user["id"] for user in first["users"]} == {member["user_id"] for member in first["members"]}
    assert rest["next_cursor"] is None


def test_only_those_who_may_create_channels(owner: Client, other: Client) -> None:
    """The owner adds channels at the end, members do not, and a name is given once."""
    room = owner.found()
    owner.admit(room, other)
    made = owner.post(f"{room.path}/channels", {"name": "Later", "description": "not now"})
    assert owner.get(f"{room.path}/channels")["channels"][-1] == made
    assert other.refused("POST", f"{room.path}/channels", {"name": "mine"}).type == "forbidden"
    assert owner.refused("POST", f"{room.path}/channels", {"name": "later"}).type == "conflict"


@pytest.mark.parametrize(
    "cursor", ["AA", "MS4y", "MS4yLjM", "LTE", "////", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OS4x", "w6kuMQ"]
)
def test_a_cursor_that_is_none_is_refused(owner: Client, cursor: str) -> None:
    """Cursors are opaque, and one that this server did not write never does worse than find nothing."""
    for path in ("/v1/rooms", "/v1/rooms/public"):
        response = owner.ask("GET", path, params={"cursor": cursor})
        assert response.status_code == (200 if cursor == "MS4y" else 422)

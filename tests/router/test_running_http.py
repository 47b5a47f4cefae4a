"""Running a room over HTTP: settings, a new owner, its end, and being found among the public ones."""

import pytest

from tests.router.clients import Client, Room


@pytest.fixture
def room(owner: Client, other: Client) -> Room:
    room = owner.found(display_name="The Den")
    owner.admit(room, other)
    return room


def test_settings_change_as_they_are_sent(room: Room, owner: Client, other: Client) -> None:
    """What is sent is changed and told, what is left out stays, and nothing new is nothing told."""
    name = f"{room.name}-moved"
    body = {"name": name, "description": "Warm", "icon_url": "https://a.example/i.png", "reason": "spring"}
    shown = owner.did("PATCH", room.path, body)
    assert (shown["name"], shown["display_name"], shown["description"]) == (name, "The Den", "Warm")
    assert owner.did("PATCH", room.path, {"description": "Warm"}) == shown
    assert owner.did("PATCH", room.path, {"description": None})["icon_url"] == body["icon_url"]
    assert other.get(f"/v1/rooms/by-name/{name}")["room"]["description"] is None
    assert owner.refused("GET", f"/v1/rooms/by-name/{room.name}").status == 404
    emptied, moved = owner.get(f"{room.path}/audit", action="room.updated")["entries"]
    assert moved["before"] == {"name": room.name, "description": None, "icon_url": None}
    assert (moved["after"]["name"], moved["reason"]) == (name, "spring")
    assert (emptied["before"], emptied["after"]) == ({"description": "Warm"}, {"description": None})


def test_settings_are_for_those_who_manage_the_room(room: Room, owner: Client, other: Client) -> None:
    """Members do not change settings, a taken name is refused, and so is what no room can be without."""
    assert other.refused("PATCH", room.path, {"description": "mine"}).type == "forbidden"
    taken = owner.found()
    assert owner.refused("PATCH", room.path, {"name": taken.name}).type == "taken"
    for wrong in ({"name": None}, {"display_name": None}, {"is_public": None}, {"icon_url": "javascript:x"}):
        assert owner.refused("PATCH", room.path, wrong).status == 422
    assert owner.get(room.path)["room"]["display_name"] == "The Den"


def test_a_room_opens_and_closes_to_the_public(room: Room, owner: Client, nobody: Client) -> None:
    """A room that becomes public can be seen and joined at once, and no more when it is private again."""
    guest = nobody.guest()
    owner.did("PATCH", room.path, {"is_public": True})
    assert guest.post(f"{room.path}/join")["is_member"]
    owner.did("PATCH", room.path, {"is_public": False})
    assert nobody.guest().refused("GET", room.path).status == 404
    assert guest.get(room.path)["is_member"]


def test_a_room_is_handed_over(room: Room, owner: Client, other: Client, nobody: Client) -> None:
    """The new owner has all that the old one had, who is a member now and can leave; doing it again is no harm."""
    path = f"{room.path}/owner"
    assert other.refused("PUT", path, {"user_id": other.id}).type == "forbidden"
    stranger = nobody.guest()
    assert owner.refused("PUT", path, {"user_id": stranger.id}) == owner.refused("PUT", path, {"user_id": "1"})
    assert owner.did("PUT", path, {"user_id": other.id, "reason": "tired"})["owner_id"] == other.id
    assert other.did("PUT", path, {"user_id": other.id})["owner_id"] == other.id
    assert owner.refused("PUT", path, {"user_id": owner.id}).type == "forbidden"
    assert other.get(room.path)["room"]["owner_id"] == other.id
    assert other.refused("POST", f"{room.path}/leave").type == "conflict"
    owner.post(f"{room.path}/leave")
    [act] = other.get(f"{room.path}/audit", action="room.transferred")["entries"]
    assert (act["before"], act["after"], act["reason"]) == (
        {"owner_id": owner.id}, {"owner_id": other.id}, "tired",
    )  # fmt: skip


def test_a_bot_owns_no_room(owner: Client, nobody: Client) -> None:
    """A room is handed over to people."""
    keeper = nobody.register("bot_keeper_of_rooms")
    room = keeper.found()
    bot_id = keeper.post("/v1/bots", {"username": "would_be_owner"})["user"]["id"]
    keeper.did("PUT", f"{room.path}/bots/{bot_id}")
    assert keeper.refused("PUT", f"{room.path}/owner", {"user_id": bot_id}).type == "conflict"
    assert keeper.get(room.path)["room"]["owner_id"] == keeper.id


def test_a_deleted_room_is_gone_for_everybody(room: Room, owner: Client, other: Client, nobody: Client) -> None:
    """After its owner deletes it a room answers as none to all, in every way, and its name is free."""
    code = owner.post(f"{room.path}/invites", {})["code"]
    assert other.refused("DELETE", room.path).type == "forbidden"
    owner.did("DELETE", room.path, {"reason": "moved"})
    nothing = owner.refused("GET", "/v1/rooms/1")
    for client in (owner, other):
        assert client.refused("GET", room.path) == nothing
        assert client.refused("GET", f"{room.path}/members") == nothing
        assert client.refused("POST", f"{room.general}/messages", {"content": "x"}) == nothing
        assert client.refused("DELETE", room.path) == nothing
        assert room.id not in [row["id"] for row in client.get("/v1/rooms", limit=100)["rooms"]]
    assert nobody.guest().refused("POST", f"/v1/invites/{code}/use").status == 404
    assert owner.post("/v1/rooms", {"name": room.name})["room"]["id"] != room.id


def test_public_rooms_are_searched(owner: Client, other: Client, nobody: Client) -> None:
    """A search has the public rooms with all its words alone, largest first, page by page."""
    rooms = [
        owner.found(is_public=True, display_name=f"Quokka watch {n}", description="Näh") for n in ("ash", "elm", "fir")
    ]
    owner.found(display_name="Quokka secrets")
    other.post(f"{rooms[1].path}/join")

    def found(q: str, **more: object) -> list[str]:
        return [room["id"] for room in other.get("/v1/rooms/public", q=q, **more)["rooms"]]

    assert found("quokka") == found("NÄH watch") == [rooms[1].id, rooms[2].id, rooms[0].id]
    assert found("quokka FIR") == [rooms[2].id]
    assert found("quokka wombat") == []
    first = other.get("/v1/rooms/public", q="quokka", limit=2)
    assert found("quokka", limit=2, cursor=first["next_cursor"]) == [rooms[0].id]
    for wrong in ("", " ", "a b c d e f", "x" * 101):
        assert other.refused("GET", "/v1/rooms/public", params={"q": wrong}).status == 422

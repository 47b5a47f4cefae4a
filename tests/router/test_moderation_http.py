"""Members and moderation over HTTP: what acts answer, and that both stores and every list follow them."""

from datetime import datetime
from typing import Any

import pytest

from tests.router.clients import Client, Room

MODERATES = ["kick_members", "ban_members", "time_out_members", "manage_nicknames", "view_audit_log", "manage_room"]


@pytest.fixture(scope="module")
def anna(nobody: Client) -> Client:
    return nobody.register("moderated_anna")


@pytest.fixture(scope="module")
def mod(nobody: Client) -> Client:
    return nobody.register("moderating_max")


@pytest.fixture
def room(owner: Client, anna: Client, mod: Client) -> Room:
    """A room with an owner, a moderator and a member."""
    room = owner.found()
    owner.admit(room, anna, mod)
    role = owner.post(f"{room.path}/roles", {"name": "moderators", "permissions": MODERATES})
    owner.did("PUT", f"{room.path}/members/{mod.id}/roles/{role['id']}")
    return room


def rooms_of(client: Client) -> list[str]:
    return [row["id"] for row in client.get("/v1/rooms", limit=100)["rooms"]]


def member(client: Client, room: Room, user: Client) -> Any:
    return client.get(f"{room.path}/members/{user.id}")


def acts(client: Client, room: Room, **wanted: Any) -> list[str]:
    return [entry["action"] for entry in client.get(f"{room.path}/audit", **wanted)["entries"]]


def test_a_member_is_shown_with_roles_and_profile(room: Room, owner: Client, mod: Client, nobody: Client) -> None:
    """One member is shown to members as in the list, with roles and profile, and nobody else is there."""
    shown = member(owner, room, mod)
    assert shown["user"]["username"] == "moderating_max"
    assert len(shown["member"]["role_ids"]) == 1
    assert shown["member"] in owner.get(f"{room.path}/members")["members"]
    stranger = nobody.guest()
    missing = owner.refused("GET", f"{room.path}/members/1")
    assert (missing.status, owner.refused("GET", f"{room.path}/members/{stranger.id}")) == (404, missing)


def test_members_are_found_by_name(room: Room, owner: Client, anna: Client, mod: Client, nobody: Client) -> None:
    """A search finds members of this room alone, by nickname and by username, page by page."""
    mod.did("PATCH", f"{room.path}/members/{anna.id}", {"nickname": "The Moderate"})

    def found(q: str, **more: Any) -> Any:
        return owner.get(f"{room.path}/members", q=q, **more)

    assert [row["user_id"] for row in found("moder")["members"]] == sorted([anna.id, mod.id], key=int)
    assert [row["user_id"] for row in found("the m")["members"]] == [anna.id]
    assert [row["user_id"] for row in found("MODERATED_")["members"]] == [anna.id]
    assert found("nobody at all") == {"members": [], "users": [], "next_cursor": None}
    first = found("moder", limit=1)
    rest = found("moder", limit=1, cursor=first["next_cursor"])
    assert first["users"][0]["id"] == first["members"][0]["user_id"]
    assert first["members"] + rest["members"] == found("moder")["members"]
    assert owner.refused("GET", f"{room.path}/members", params={"q": " "}).status == 422


def test_a_kick_puts_out_and_is_repeated_in_vain(room: Room, owner: Client, anna: Client, mod: Client) -> None:
    """The kicked find no room in any list, roles are lost, and another kick changes nothing."""
    for _ in range(2):
        mod.did("DELETE", f"{room.path}/members/{anna.id}", {"reason": " spam "})
    assert anna.refused("GET", room.path).status == 404
    assert room.id not in rooms_of(anna)
    assert owner.get(room.path)["room"]["member_count"] == 2
    [kick, *_] = mod.get(f"{room.path}/audit", action="member.kicked")["entries"]
    assert (kick["actor_id"], kick["target_id"], kick["reason"]) == (mod.id, anna.id, "spam")
    owner.admit(room, anna)
    assert room.id in rooms_of(anna)
    assert mod.refused("DELETE", f"{room.path}/members/{owner.id}").type == "forbidden"
    assert anna.refused("DELETE", f"{room.path}/members/{mod.id}").type == "forbidden"


def test_a_ban_keeps_out_by_any_way(room: Room, owner: Client, anna: Client, mod: Client, nobody: Client) -> None:
    """The banned come back neither by an invite nor by the door, and spend no invite; a lifted ban lets them."""
    code = owner.post(f"{room.path}/invites", {"max_uses": 1})["code"]
    owner.did("PATCH", room.path, {"is_public": True})
    path = f"{room.path}/bans/{anna.id}"
    ban = mod.did("PUT", path, {"reason": "spam"})
    assert (ban["banned_by"], ban["expires_at"], ban["reason"]) == (mod.id, None, "spam")
    assert mod.did("PUT", path, {"reason": "spam"}) == ban
    listed = owner.get(f"{room.path}/bans")
    assert listed["bans"] == [ban]
    assert {user["id"] for user in listed["users"]} == {anna.id, mod.id}
    for way in (f"{room.path}/join", f"/v1/invites/{code}/use"):
        assert anna.refused("POST", way).type == "forbidden"
    assert room.id not in rooms_of(anna)
    assert [invite["uses"] for invite in owner.get(f"{room.path}/invites")["invites"] if invite["max_uses"]] == [0]
    for _ in range(2):
        mod.did("DELETE", path, {"reason": "sorry"})
    assert anna.post(f"/v1/invites/{code}/use")["is_member"]
    assert acts(mod, room, target_id=anna.id) == ["member.unbanned", "member.banned"]
    stranger = nobody.guest()
    mod.did("PUT", f"{room.path}/bans/{stranger.id}", {"expires_in_seconds": 60})
    assert stranger.refused("POST", f"{room.path}/join").type == "forbidden"
    assert mod.refused("PUT", f"{room.path}/bans/1", {}).status == 404
    assert mod.refused("PUT", f"{room.path}/bans/{owner.id}", {}).type == "forbidden"
    assert mod.refused("PUT", f"{room.path}/bans/{mod.id}", {}).type == "forbidden"


def test_a_ban_takes_recent_words_along(room: Room, owner: Client, anna: Client, mod: Client) -> None:
    """With delete_message_seconds the messages of the banned go, everybody else's stay, and the search finds none."""
    for number in range(3):
        anna.say(room, f"buy now {number}")
    kept = owner.say(room, "buy milk")["id"]
    mod.did("PUT", f"{room.path}/bans/{anna.id}", {"delete_message_seconds": 3_600})
    said = [row for row in owner.get(f"{room.general}/messages")["messages"] if row["content_type"] == "text"]
    assert [row["id"] for row in said] == [kept]
    assert [row["id"] for row in owner.get(f"{room.path}/search", q="buy")["messages"]] == [kept]
    assert "member.messages_erased" in acts(mod, room)
    too_long = {"delete_message_seconds": 604_801}
    assert mod.refused("PUT", f"{room.path}/bans/{anna.id}", too_long).status == 422


def test_a_time_out_silences(room: Room, owner: Client, anna: Client, mod: Client) -> None:
    """In a time-out a member reads and does not write, until it is ended; it lasts 28 days at most."""
    path = f"{room.path}/members/{anna.id}/timeout"
    shown = mod.did("PUT", path, {"duration_seconds": 3_600, "reason": "loud"})
    assert shown == member(anna, room, anna)["member"]
    assert datetime.fromisoformat(shown["timed_out_until"]) > datetime.fromisoformat(shown["joined_at"])
    assert anna.refused("POST", f"{room.general}/messages", {"content": "x"}).type == "forbidden"
    for _ in range(2):
        mod.did("DELETE", path)
    assert anna.say(room, "x")
    [ended, begun] = mod.get(f"{room.path}/audit", target_id=anna.id)["entries"]
    assert begun["after"] == {"timed_out_until": shown["timed_out_until"]} == ended["before"]
    for body in ({"duration_seconds": 2_419_201}, {"duration_seconds": 0}, {}):
        assert mod.refused("PUT", path, body).status == 422
    assert mod.refused("PUT", f"{room.path}/members/1/timeout", {"duration_seconds": 60}).status == 404


def test_nicknames_are_in_both_stores(room: Room, owner: Client, anna: Client, mod: Client) -> None:
    """A nickname is seen in the room and in one's own list of rooms, and null takes it away."""
    path = f"{room.path}/members/{anna.id}"
    assert anna.did("PATCH", path, {"nickname": " Annie "})["nickname"] == "Annie"
    assert next(row for row in anna.get("/v1/rooms")["rooms"] if row["id"] == room.id)["nickname"] == "Annie"
    mod.did("PATCH", path, {"nickname": None, "reason": "rude"})
    assert next(row for row in anna.get("/v1/rooms")["rooms"] if row["id"] == room.id)["nickname"] is None
    assert anna.refused("PATCH", f"{room.path}/members/{mod.id}", {"nickname": "x"}).type == "forbidden"
    assert anna.refused("PATCH", path, {}).status == 422
    assert anna.refused("PATCH", path, {"nickname": "x" * 65}).status == 422


def test_the_record_comes_page_by_page_and_filtered(room: Room, owner: Client, anna: Client, mod: Client) -> None:
    """Acts are listed newest first with the people in them, and by actor, target and kind."""
    for seconds in (60, 120, 180):
        mod.did("PUT", f"{room.path}/members/{anna.id}/timeout", {"duration_seconds": seconds})
    owner.did("DELETE", f"{room.path}/members/{anna.id}")
    first = mod.get(f"{room.path}/audit", limit=2)
    rest = mod.get(f"{room.path}/audit", limit=2, cursor=first["next_cursor"])
    assert [entry["action"] for entry in first["entries"] + rest["entries"]] == ["member.kicked"] + [
        "member.timed_out"
    ] * 3
    assert {user["id"] for user in first["users"]} == {owner.id, anna.id, mod.id}
    assert acts(mod, room, actor_id=mod.id, target_id=anna.id) == ["member.timed_out"] * 3
    assert acts(mod, room, action="member.kicked", target_id=anna.id) == ["member.kicked"]
    assert mod.refused("GET", f"{room.path}/audit", params={"action": "kick"}).status == 422


def test_invites_are_listed_and_revoked(room: Room, owner: Client, anna: Client, mod: Client, nobody: Client) -> None:
    """People see and revoke the invites they made, who manages the room those of all, and a revoked one is none."""
    own, others = anna.post(f"{room.path}/invites", {}), owner.post(f"{room.path}/invites", {"max_uses": 9})
    assert [invite["code"] for invite in anna.get(f"{room.path}/invites")["invites"]] == [own["code"]]
    listed = mod.get(f"{room.path}/invites")
    assert {own["code"], others["code"]} <= {invite["code"] for invite in listed["invites"]}
    assert {user["id"] for user in listed["users"]} == {anna.id, owner.id}
    path = f"{room.path}/invites/{{}}"
    assert anna.refused("DELETE", path.format(others["code"])).type == "forbidden"
    assert anna.refused("DELETE", path.format("nonsense")).status == 404
    elsewhere = owner.found()
    assert owner.refused("DELETE", f"{elsewhere.path}/invites/{own['code']}").status == 404
    for _ in range(2):
        anna.did("DELETE", path.format(own["code"]))
        mod.did("DELETE", path.format(others["code"]), {"reason": "leaked"})
    guest = nobody.guest()
    for code in (own["code"], others["code"]):
        assert guest.refused("POST", f"/v1/invites/{code}/use") == guest.refused("GET", "/v1/invites/nonsense")
    [act] = mod.get(f"{room.path}/audit", action="invite.revoked")["entries"]
    assert (act["target_id"], act["after"]["code"], act["reason"]) == (owner.id, others["code"], "leaked")


def test_an_invite_brings_a_role(room: Room, owner: Client, mod: Client, nobody: Client) -> None:
    """Whoever comes by an invite with a role has it; only those make one who could grant the role."""
    role = owner.post(f"{room.path}/roles", {"name": "friends", "permissions": ["view_audit_log"]})["id"]
    invite = owner.post(f"{room.path}/invites", {"role_id": role})
    assert invite["role_id"] == role
    guest = nobody.guest()
    guest.post(f"/v1/invites/{invite['code']}/use")
    assert member(owner, room, guest)["member"]["role_ids"] == [role]
    assert "invite.created" in acts(guest, room)
    assert mod.refused("POST", f"{room.path}/invites", {"role_id": role}).type == "forbidden"
    assert owner.refused("POST", f"{room.path}/invites", {"role_id": "5"}).status == 404
    assert owner.refused("POST", f"{room.path}/invites", {"role_id": room.id}).type == "conflict"

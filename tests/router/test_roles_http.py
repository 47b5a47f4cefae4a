"""Roles over HTTP: what clients send, what they get, and what changes for whom."""

from typing import Any

import pytest

from tests.router.clients import Client, Room


@pytest.fixture
def room(owner: Client, other: Client) -> Room:
    """A community with two people in it."""
    made = owner.found()
    owner.admit(made, other)
    return made


def role(owner: Client, room: Room, name: str, *permissions: str, **fields: Any) -> Any:
    return owner.post(f"{room.path}/roles", {"name": name, "permissions": list(permissions), **fields})


def grant(by: Client, room: Room, person: Client, role_id: str) -> None:
    by.did("PUT", f"{room.path}/members/{person.id}/roles/{role_id}")


def test_a_role_comes_back_as_it_was_made(owner: Client, other: Client, room: Room) -> None:
    """A role is listed as it was made, the highest first, with everyone's last, whose id is the room's."""
    made = role(owner, room, "Owls", "pin_messages", "ban_members", color="#AABB00", is_mentionable=True)
    assert made["permissions"] == ["ban_members", "pin_messages"]
    assert (made["color"], made["is_mentionable"], made["position"]) == ("#aabb00", True, 1)
    role(owner, room, "Wrens")
    listed = other.get(f"{room.path}/roles")["roles"]
    assert [one["name"] for one in listed] == ["Owls", "Wrens", "everyone"]
    assert listed[0] == made | {"position": 2}
    assert (listed[-1]["id"], listed[-1]["is_everyones"]) == (room.id, True)


def test_a_role_changes_what_is_sent(owner: Client, room: Room) -> None:
    """Fields that are left out stay, null takes a color away, and permissions are replaced whole."""
    made = role(owner, room, "Owls", "pin_messages", color="#aabb00")
    path = f"{room.path}/roles/{made['id']}"
    assert owner.did("PATCH", path, {"name": "Barn owls"}) == made | {"name": "Barn owls"}
    assert owner.did("PATCH", path, {"color": None})["color"] is None
    changed = owner.did("PATCH", path, {"permissions": ["kick_members"], "reason": "spring"})
    assert changed["permissions"] == ["kick_members"]
    owner.did("DELETE", path, {"reason": "autumn"})
    assert owner.refused("DELETE", path).status == 404


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": None},
        {"permissions": ["fly"]},
        {"permissions": None},
        {"permissions": 8},
        {"color": "red"},
        {"is_mentionable": "yes"},
        {"position": 3},
        {"reason": "x" * 513},
    ],
)
def test_a_wrong_field_is_refused(owner: Client, room: Room, body: Any) -> None:
    """What is not a role's is refused with the field's name, in a new role and in an old one."""
    made = role(owner, room, "Owls")
    for method, path in (("POST", f"{room.path}/roles"), ("PATCH", f"{room.path}/roles/{made['id']}")):
        refusal = owner.refused(method, path, {"name": "x"} | body)
        assert refusal.status == 422
        assert f"body.{next(iter(body))}" in refusal.errors


def test_a_role_is_granted_and_revoked(owner: Client, other: Client, room: Room) -> None:
    """Who has a role may what it allows, is listed with it, and neither once it is revoked; both can be repeated."""
    made = role(owner, room, "Owls", "manage_channels")
    path = f"{room.path}/members/{other.id}/roles/{made['id']}"
    holders, channels = f"{room.path}/roles/{made['id']}/members", f"{room.path}/channels"
    assert other.refused("POST", channels, {"name": "a"}).status == 403
    for _ in range(2):
        assert owner.ask("PUT", path).status_code == 204
    page = other.get(holders)
    assert [one["user_id"] for one in page["members"]] == [user["id"] for user in page["users"]] == [other.id]
    assert page["members"][0]["granted_by"] == owner.id
    other.post(channels, {"name": "b"})
    for _ in range(2):
        assert owner.ask("DELETE", path).status_code == 204
    assert other.get(holders)["members"] == []
    assert other.refused("POST", channels, {"name": "c"}).status == 403


def test_holders_are_pages(nobody: Client, owner: Client, room: Room) -> None:
    """Walking the pages of who has a role meets everyone once."""
    made, people = role(owner, room, "Owls"), [nobody.guest() for _ in range(5)]
    owner.admit(room, *people)
    for person in people:
        grant(owner, room, person, made["id"])
    met: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = owner.get(f"{room.path}/roles/{made['id']}/members", limit=2, **cursor)
        met += [one["user_id"] for one in page["members"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert met == sorted((person.id for person in people), key=int)


def test_nobody_rises_by_themselves(nobody: Client, owner: Client, other: Client, room: Room) -> None:
    """Whoever manages roles neither gives what they lack nor touches what stands at their height or above."""
    high, own, low = (role(owner, room, name, *allowed) for name, allowed in (
        ("high", ("administrator",)), ("own", ("manage_roles", "kick_members")), ("low", ()),
    ))  # fmt: skip
    friend = nobody.guest()
    owner.admit(room, friend)
    grant(owner, room, other, own["id"])
    roles, members = f"{room.path}/roles", f"{room.path}/members"
    refused: list[tuple[str, str, Any]] = [
        ("POST", roles, {"name": "x", "permissions": ["ban_members"]}),
        ("PATCH", f"{roles}/{low['id']}", {"permissions": ["administrator"]}),
        ("PATCH", f"{roles}/{own['id']}", {"name": "mine"}),
        ("PATCH", f"{roles}/{room.id}", {"permissions": ["ban_members"]}),
        ("DELETE", f"{roles}/{high['id']}", None),
        ("PUT", f"{members}/{friend.id}/roles/{high['id']}", None),
        ("PUT", f"{members}/{friend.id}/roles/{own['id']}", None),
        ("PUT", f"{members}/{other.id}/roles/{low['id']}", None),
        ("PUT", f"{members}/{owner.id}/roles/{low['id']}", None),
    ]
    for method, path, body in refused:
        assert other.refused(method, path, body).status == 403, (method, path, body)
    grant(other, room, friend, low["id"])
    other.did("PATCH", f"{roles}/{low['id']}", {"permissions": ["kick_members"]})
    assert friend.get(f"{room.path}/permissions")["permissions"].count("kick_members") == 1


def test_roles_are_ordered_at_once(owner: Client, room: Room) -> None:
    """The whole order is set with one request, and one that is not the whole is a conflict."""
    made = [role(owner, room, name)["id"] for name in "abc"]
    order = f"{room.path}/roles/order"
    answer = owner.did("PUT", order, {"role_ids": made})
    assert [one["id"] for one in answer["roles"]] == [*made, room.id]
    assert [one["position"] for one in answer["roles"]] == [3, 2, 1, 0]
    for wrong in (made[:2], [*made, room.id], [*made, made[0]], [*made[:2], "7"]):
        assert owner.refused("PUT", order, {"role_ids": wrong}).status == 409


def test_i_am_told_what_i_may(owner: Client, other: Client, room: Room) -> None:
    """Permissions are told for the room and for each channel that one sees, and for no other."""
    made = role(owner, room, "Owls", "pin_messages")
    grant(owner, room, other, made["id"])
    hidden = owner.post(f"{room.path}/channels", {"name": "hidden", "is_private": True})["id"]
    owner.did("PUT", f"{room.general}/overwrites/role/{made['id']}", {"allow": ["manage_messages"]})
    mine, owners = other.get(f"{room.path}/permissions"), owner.get(f"{room.path}/permissions")
    assert (mine["rank"], owners["rank"]) == (1, None)
    assert "pin_messages" in mine["permissions"]
    assert "manage_messages" not in mine["permissions"]
    there = {one["channel_id"]: one["permissions"] for one in mine["channels"]}
    assert "manage_messages" in there[room.channels["general"]]
    assert hidden not in there
    assert hidden in {one["channel_id"] for one in owners["channels"]}
    assert "administrator" in owners["permissions"]

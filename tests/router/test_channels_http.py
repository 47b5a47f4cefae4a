"""Channels, categories and overwrites over HTTP."""

from typing import Any

import pytest

import sqlite
from tests.router.clients import Client, Room
from tests.router.serving import Running


@pytest.fixture
def room(owner: Client, other: Client) -> Room:
    """A community with two people in it."""
    made = owner.found()
    owner.admit(made, other)
    return made


def names(client: Client, room: Room) -> tuple[list[str], list[str]]:
    """Return the categories and channels that somebody is told of."""
    listed = client.get(f"{room.path}/channels")
    return [one["name"] for one in listed["categories"]], [one["name"] for one in listed["channels"]]


def test_a_channel_has_what_it_was_made_with(owner: Client, room: Room) -> None:
    """Every field of a new channel is kept and answered, and changed by those that are sent."""
    category = owner.post(f"{room.path}/categories", {"name": "Wood", "collapsed_by_default": True})
    fields = {
        "name": "Bark", "type": "announcement", "description": "d", "thread_mode": "required",
        "category_id": category["id"], "is_private": True, "slow_mode_seconds": 10, "auto_archive_hours": 24,
    }  # fmt: skip
    made = owner.post(f"{room.path}/channels", fields)
    assert made.items() >= fields.items()
    path = f"{room.path}/channels/{made['id']}"
    changes = {"name": "Leaf", "type": "text", "description": None, "is_archived": True, "slow_mode_seconds": 0}
    assert owner.did("PATCH", path, changes) == made | changes
    assert owner.did("PATCH", path, {"category_id": None})["category_id"] is None
    assert owner.get(f"{room.path}/channels")["categories"] == [category]


@pytest.mark.parametrize(
    "body",
    [
        {"name": None},
        {"type": "forum"},
        {"is_private": None},
        {"slow_mode_seconds": 21_601},
        {"slow_mode_seconds": -1},
        {"auto_archive_hours": 0},
        {"category_id": 5},
        {"description": "x" * 1_025},
        {"position": 1},
    ],
)
def test_a_wrong_field_is_refused(owner: Client, room: Room, body: Any) -> None:
    """What a channel cannot be is refused with the field's name."""
    refusal = owner.refused("PATCH", room.general, body)
    assert (refusal.status, f"body.{next(iter(body))}" in refusal.errors) == (422, True)


def test_a_state_that_forbids_is_a_conflict(owner: Client, room: Room) -> None:
    """A taken name, and a channel of words that shall be one of voice, are conflicts; a category of nowhere is not
    there."""
    assert owner.refused("PATCH", room.general, {"name": "Announcements"}).status == 409
    assert owner.refused("PATCH", room.general, {"type": "voice"}).status == 409
    assert owner.refused("PATCH", room.general, {"category_id": "7"}).status == 404


def test_a_private_channel_opens_for_a_role(owner: Client, other: Client, room: Room) -> None:
    """A private channel is there for whom an overwrite lets in, and gone again without it."""
    made = owner.post(f"{room.path}/channels", {"name": "hidden", "is_private": True})
    path, role = f"{room.path}/channels/{made['id']}", owner.post(f"{room.path}/roles", {"name": "Owls"})["id"]
    owner.did("PUT", f"{room.path}/members/{other.id}/roles/{role}")
    target = f"{path}/overwrites/role/{role}"
    assert "hidden" not in names(other, room)[1]
    said = {"target_type": "role", "target_id": role, "allow": ["view_channel"], "deny": ["send_messages"]}
    assert owner.did("PUT", target, {"allow": said["allow"], "deny": said["deny"], "reason": "night"}) == said
    assert owner.get(f"{path}/overwrites") == {"overwrites": [said]}
    assert "hidden" in names(other, room)[1]
    assert other.get(f"{path}/messages")["messages"] == []
    assert other.refused("POST", f"{path}/messages", {"content": "x"}).status == 403
    for _ in range(2):
        assert owner.ask("DELETE", target).status_code == 204
    assert other.refused("GET", f"{path}/messages").status == 404


def test_an_overwrite_is_for_a_role_or_a_member(owner: Client, other: Client, room: Room) -> None:
    """Nothing else has overwrites, nothing is allowed and denied at once, and the room's permissions are not theirs."""
    path = f"{room.general}/overwrites"
    assert owner.did("PUT", f"{path}/member/{other.id}", {"deny": ["send_messages"]})["target_type"] == "member"
    assert other.refused("POST", f"{room.general}/messages", {"content": "x"}).status == 403
    for wrong in (f"{path}/room/{other.id}", f"{path}/role/7", f"{path}/member/7"):
        assert owner.refused("PUT", wrong, {"deny": ["send_messages"]}).status == 404
    both = {"allow": ["send_messages"], "deny": ["send_messages"]}
    for body in (both, {"allow": ["administrator"]}, {"deny": ["ban_members"]}, {"allow": 8}):
        assert owner.refused("PUT", f"{path}/role/{room.id}", body).status == 422


def test_a_category_passes_on_what_it_allows(owner: Client, other: Client, room: Room) -> None:
    """Channels take over from their category what it says, and follow it."""
    category = owner.post(f"{room.path}/categories", {"name": "Wood"})["id"]
    path = f"{room.path}/categories/{category}"
    owner.did("PATCH", room.general, {"category_id": category})
    owner.did("PUT", f"{path}/overwrites/role/{room.id}", {"deny": ["send_messages"]})
    assert len(owner.get(f"{path}/overwrites")["overwrites"]) == 1
    assert other.refused("POST", f"{room.general}/messages", {"content": "x"}).status == 403
    assert owner.did("PATCH", path, {"is_private": True, "name": "Grove"})["name"] == "Grove"
    assert names(other, room) == ([], ["announcements", "voice"])
    owner.did("DELETE", f"{path}/overwrites/role/{room.id}")
    owner.did("DELETE", path)
    assert names(owner, room) == ([], ["general", "announcements", "voice"])
    assert names(other, room) == ([], ["announcements", "voice"])


def test_a_room_is_put_in_order_at_once(owner: Client, room: Room) -> None:
    """One request orders categories and channels and moves them, and one that is not the whole is a conflict."""
    first, second = (owner.post(f"{room.path}/categories", {"name": name})["id"] for name in "ab")
    placed = [{"id": room.channels[name], "category_id": first} for name in ("voice", "general", "announcements")]
    placed[1]["category_id"] = None
    answer = owner.did("PUT", f"{room.path}/channels/order", {"categories": [second, first], "channels": placed})
    assert [one["name"] for one in answer["categories"]] == ["b", "a"]
    assert [{"id": one["id"], "category_id": one["category_id"]} for one in answer["channels"]] == placed
    assert [one["position"] for one in answer["channels"]] == [0, 1, 2]
    for categories, channels in (([first], placed), ([first, second], placed[1:]), ([first, first], placed)):
        body = {"categories": categories, "channels": channels}
        assert owner.refused("PUT", f"{room.path}/channels/order", body).status == 409


def test_a_deleted_channel_leaves_nothing(owner: Client, other: Client, room: Room, server: Running) -> None:
    """Once a channel is deleted nobody finds it or what was said in it, and its file keeps no row of it."""
    sent = owner.say(room, "unforgettable")
    assert other.refused("DELETE", room.general).status == 403
    assert owner.ask("DELETE", room.general, {"reason": "spring"}).status_code == 204
    for client in (owner, other):
        assert client.refused("GET", f"{room.general}/messages/{sent['id']}").status == 404
        assert client.get(f"{room.path}/search", q="unforgettable")["messages"] == []
        assert names(client, room)[1] == ["announcements", "voice"]
    assert owner.refused("DELETE", room.general).status == 404
    shard = sqlite.connect(server.place.shards / f"{room.id}.db")
    assert shard.execute("SELECT (SELECT count(*) FROM channels), (SELECT count(*) FROM messages)").get == (2, 0)
    shard.close()


def test_what_is_another_rooms_leads_nowhere(owner: Client, other: Client, room: Room) -> None:
    """Roles, categories and channels of another room of one's own are as good as none, in paths and in bodies."""
    there = owner.found()
    category = owner.post(f"{room.path}/categories", {"name": "here"})["id"]
    role = owner.post(f"{there.path}/roles", {"name": "there"})["id"]
    foreign = owner.post(f"{there.path}/categories", {"name": "there"})["id"]
    cases: list[tuple[str, str, Any, str]] = [
        ("PATCH", "/roles/{}", {"name": "x"}, role),
        ("DELETE", "/roles/{}", None, role),
        ("GET", "/roles/{}/members", None, role),
        ("PUT", f"/members/{other.id}/roles/{{}}", None, role),
        ("PUT", f"/channels/{room.channels['general']}/overwrites/role/{{}}", {"allow": ["connect"]}, role),
        ("PUT", f"/categories/{category}/overwrites/role/{{}}", {"allow": ["connect"]}, role),
        ("PATCH", "/categories/{}", {"name": "x"}, foreign),
        ("DELETE", "/categories/{}", None, foreign),
        ("GET", "/categories/{}/overwrites", None, foreign),
        ("POST", "/channels", {"name": "x", "category_id": "{}"}, foreign),
        ("PATCH", f"/channels/{room.channels['general']}", {"category_id": "{}"}, foreign),
        ("PATCH", "/channels/{}", {"name": "x"}, there.channels["general"]),
        ("DELETE", "/channels/{}", None, there.channels["general"]),
        ("GET", "/channels/{}/overwrites", None, there.channels["general"]),
    ]
    for method, path, body, foreign_id in cases:
        answers = set()
        for value in (foreign_id, "1", str(2**63 - 1)):
            filled = body and {
                name: text.format(value) if isinstance(text, str) else text for name, text in body.items()
            }
            answers.add(owner.refused(method, room.path + path.format(value), filled))
        assert [answer.status for answer in answers] == [404], (method, path)

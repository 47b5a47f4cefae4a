"""Voice over HTTP: joining and leaving, who is in, and what is kept of it."""

from typing import Any

import pytest

from tests.router.clients import Client, Room


@pytest.fixture
def room(owner: Client, other: Client) -> Room:
    """A community with two people in it."""
    made = owner.found()
    owner.admit(made, other)
    return made


def voice(room: Room) -> str:
    return f"{room.path}/channels/{room.channels['voice']}/voice"


def people(session: Any) -> set[str]:
    return {one["user_id"] for one in session["participants"]}


def test_who_joins_is_in_until_they_leave(owner: Client, other: Client, room: Room) -> None:
    """A session is told to all who see its channel, with the people in it, and ends with the last of them."""
    assert owner.get(voice(room)) == {"session": None, "users": []}
    joined = owner.post(f"{voice(room)}/join")
    assert joined["may_speak"]
    assert [user["id"] for user in joined["users"]] == [owner.id]
    again = other.post(f"{voice(room)}/join")
    assert again["session"]["id"] == joined["session"]["id"]
    assert people(again["session"]) == {owner.id, other.id}
    for told in (owner.get(voice(room))["session"], *owner.get(f"{room.path}/voice")["sessions"]):
        assert people(told) == {owner.id, other.id}
        assert told["max_participants"] == 2
    owner.post(f"{voice(room)}/leave")
    assert people(other.get(voice(room))["session"]) == {other.id}
    for _ in range(2):
        other.post(f"{voice(room)}/leave")
    assert owner.get(f"{room.path}/voice") == {"sessions": [], "users": []}
    (record,) = owner.get(f"{voice(room)}/sessions")["sessions"]
    assert (record["id"], record["participant_count"]) == (joined["session"]["id"], 2)
    assert record["duration_ms"] is not None
    assert {span["user_id"] for span in record["spans"]} == {owner.id, other.id}
    assert all(span["left_at"] for span in record["spans"])


def test_history_comes_page_by_page(owner: Client, room: Room) -> None:
    """Sessions are listed newest first, each once, and the one that goes on has no end."""
    made = []
    for _ in range(3):
        made.append(owner.post(f"{voice(room)}/join")["session"]["id"])
        owner.post(f"{voice(room)}/leave")
    made.append(owner.post(f"{voice(room)}/join")["session"]["id"])
    first = owner.get(f"{voice(room)}/sessions", limit=3)
    rest = owner.get(f"{voice(room)}/sessions", limit=3, cursor=first["next_cursor"])
    assert [row["id"] for row in first["sessions"] + rest["sessions"]] == made[::-1]
    assert [row["ended_at"] is None for row in first["sessions"]] == [True, False, False]
    assert rest["next_cursor"] is None
    assert owner.refused("GET", f"{voice(room)}/sessions", params={"limit": 26}).status == 422


def test_a_channel_of_text_has_no_voice(owner: Client, room: Room) -> None:
    """Joining a text channel is refused, and nothing goes on in it."""
    assert owner.refused("POST", f"{room.general}/voice/join").type == "conflict"
    assert owner.get(f"{room.general}/voice")["session"] is None
    assert owner.get(f"{room.general}/voice/sessions")["sessions"] == []


def test_a_media_server_leaves_its_notes(nobody: Client, owner: Client, other: Client, room: Room) -> None:
    """Who manages channels, or a bot with the scope, keeps ids and recordings; null empties them, others may not."""
    session = other.post(f"{voice(room)}/join")["session"]
    path = f"{voice(room)}/sessions/{session['id']}"
    body = {"external_session_id": "sfu-7", "recording_url": "https://example.org/7.ogg"}
    assert other.refused("PATCH", path, body).status == 403
    keeper = nobody.register("sfu_keeper")
    bot_id = keeper.post("/v1/bots", {"username": "sfu_bot", "is_public": True})["user"]["id"]
    owner.did("PUT", f"{room.path}/bots/{bot_id}")
    issued = keeper.post(f"/v1/bots/{bot_id}/tokens", {"name": "sfu", "scopes": ["voice"]})
    noted = nobody.with_token(issued["token"]).did("PATCH", path, body)
    assert {name: noted[name] for name in body} == body
    assert owner.get(voice(room))["session"]["external_session_id"] == "sfu-7"
    kept = owner.did("PATCH", path, {"external_session_id": None, "reason": "wrong one"})
    assert (kept["external_session_id"], kept["recording_url"]) == (None, "https://example.org/7.ogg")
    assert owner.did("PATCH", path, {}) == kept
    for wrong in ("ftp://example.org/x", "javascript:alert(1)", "", "https://exa mple.org"):
        assert owner.refused("PATCH", path, {"recording_url": wrong}).status == 422
    assert owner.refused("PATCH", f"{voice(room)}/sessions/1", body).status == 404

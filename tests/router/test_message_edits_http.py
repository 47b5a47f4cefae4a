"""Changing what was said, over HTTP: edits, deletions, moves, mentions, quotes, slow mode, messages of the server."""

from typing import Any

import pytest

from tests.router.clients import Client, Room

MISSING = ("1", str(2**63 - 1))


@pytest.fixture
def room(owner: Client, other: Client) -> Room:
    """A community with two people in it."""
    made = owner.found()
    owner.admit(made, other)
    return made


def newest(client: Client, room: Room, **params: Any) -> Any:
    """Return the newest page of the first channel."""
    return client.get(f"{room.general}/messages", **params)


def test_an_edit_is_seen_by_all(owner: Client, other: Client, room: Room) -> None:
    """Everybody reads the new words at once, in pages, singly and by search, and the old ones in the history."""
    sent = other.say(room, "the frist words")
    path = f"{room.general}/messages/{sent['id']}"
    assert newest(owner, room, limit=1)["messages"] == [sent]
    edited = other.did("PATCH", path, {"content": "the first words"})
    assert edited == sent | {"content": "the first words", "edit_count": 1, "edited_at": edited["edited_at"]}
    assert edited["edited_at"] > sent["created_at"]
    assert other.did("PATCH", path, {"content": "the first words"}) == edited
    assert newest(owner, room, limit=1)["messages"] == [edited]
    assert owner.get(path) == edited
    for client in (owner, other):
        assert client.get(f"{path}/history") == {
            "versions": [
                {"content": "the frist words", "written_at": sent["created_at"]},
                {"content": "the first words", "written_at": edited["edited_at"]},
            ],
            "next_cursor": None,
        }
    assert owner.refused("PATCH", path, {"content": "mine"}).type == "forbidden"
    assert other.refused("PATCH", path, {"content": " "}).type == "invalid"
    assert other.refused("PATCH", path, {"content": "x" * 8_001}).type == "invalid"


def test_a_history_comes_page_by_page(other: Client, room: Room) -> None:
    """The cursor leads through all versions, each once, to the present one."""
    path = f"{room.general}/messages/{other.say(room, '0')['id']}"
    for number in range(1, 6):
        other.did("PATCH", path, {"content": str(number)})
    told: list[str] = []
    page: Any = {"next_cursor": None}
    while not told or page["next_cursor"]:
        place = {"cursor": page["next_cursor"]} if told else {}
        page = other.get(f"{path}/history", limit=2, **place)
        told += [version["content"] for version in page["versions"]]
    assert told == ["0", "1", "2", "3", "4", "5"]


def test_a_deleted_message_is_gone(owner: Client, other: Client, room: Room) -> None:
    """Its author deletes it, or who manages messages; to all it is then as none."""
    mine, hers = other.say(room, "one"), owner.say(room, "two")
    paths = [f"{room.general}/messages/{sent['id']}" for sent in (mine, hers)]
    assert other.refused("DELETE", paths[1]).type == "forbidden"
    assert other.ask("DELETE", paths[0]).status_code == 204
    assert owner.ask("DELETE", paths[1], {"reason": "off topic"}).status_code == 204
    for path in paths:
        for client in (owner, other):
            for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"content": "x"})):
                gone = client.refused(method, path, body)
                assert gone == client.refused(method, f"{room.general}/messages/{MISSING[0]}", body)
            assert client.refused("GET", f"{path}/history").status == 404
    assert [one["content_type"] for one in newest(owner, room)["messages"]] == ["system"]


@pytest.mark.parametrize("reason", ["", " ", "x" * 513, "a\0b", 5])
def test_a_reason_is_a_short_text(owner: Client, room: Room, reason: Any) -> None:
    """A reason without a visible character, too long or no text is refused, and nothing is deleted."""
    path = f"{room.general}/messages/{owner.say(room, 'x')['id']}"
    assert owner.refused("DELETE", path, {"reason": reason}).type == "invalid"
    assert owner.ask("DELETE", path, {"reason": " because "}).status_code == 204


def test_many_are_deleted_at_once(owner: Client, other: Client, room: Room) -> None:
    """Those of the channel go, others are passed over, and a page is the most that one request takes."""
    path = f"{room.general}/messages/bulk-delete"
    sent = [client.say(room, "spam")["id"] for client in (owner, other, other)]
    assert other.refused("POST", path, {"ids": sent}).type == "forbidden"
    assert owner.post(path, {"ids": [*sent[1:], sent[1], *MISSING], "reason": "spam"}) == {"ids": sent[1:]}
    assert owner.post(path, {"ids": sent[1:]}) == {"ids": []}
    for ids in ([], ["1"] * 101, ["x"], "1"):
        assert owner.refused("POST", path, {"ids": ids}).type == "invalid"
    assert owner.get(f"{room.general}/messages/{sent[0]}")["content"] == "spam"


def test_messages_move_between_threads(owner: Client, other: Client, room: Room) -> None:
    """A moved message is read in its new thread alone and in the channel, and out of any with null."""
    path = f"{room.general}/messages/move"
    thread = owner.post(f"{room.general}/threads", {"title": "Plans"})["id"]
    sent = other.say(room, "a plan")["id"]
    assert other.refused("POST", path, {"ids": [sent], "thread_id": thread}).type == "forbidden"
    assert owner.post(path, {"ids": [sent, MISSING[0]], "thread_id": thread}) == {"ids": [sent]}
    assert [one["id"] for one in newest(other, room, thread_id=thread)["messages"]] == [sent]
    assert newest(other, room, limit=1)["messages"][0]["thread_id"] == thread
    assert owner.post(path, {"ids": [sent], "thread_id": None}) == {"ids": [sent]}
    assert newest(other, room, thread_id=thread)["messages"] == []
    assert owner.refused("POST", path, {"ids": [sent]}).type == "invalid"
    for missing in MISSING:
        assert owner.refused("POST", path, {"ids": [sent], "thread_id": missing}).type == "not-found"


def test_ids_of_elsewhere_change_nothing(owner: Client, room: Room) -> None:
    """In another channel or room a message is as none, to every act on it."""
    sent = owner.say(room, "x")["id"]
    there = owner.found()
    sibling = f"{room.path}/channels/{room.channels['announcements']}"
    for place in (sibling, there.general):
        for method, end, body in (
            ("PATCH", "", {"content": "y"}),
            ("DELETE", "", None),
            ("GET", "/history", None),
        ):
            refusals = {owner.refused(method, f"{place}/messages/{number}{end}", body) for number in (sent, *MISSING)}
            assert {refusal.status for refusal in refusals} == {404}
            assert len(refusals) == 1
        assert owner.post(f"{place}/messages/bulk-delete", {"ids": [sent]}) == {"ids": []}
        assert owner.post(f"{place}/messages/move", {"ids": [sent], "thread_id": None}) == {"ids": []}
    assert owner.get(f"{room.general}/messages/{sent}")["content"] == "x"


def test_mentions_are_told_with_their_people(owner: Client, other: Client, room: Room) -> None:
    """A message names whom it calls, and its page brings them along, whether they wrote in it or not."""
    stranger = owner.guest()
    sent = owner.say(room, f"<@{other.id}> <@{stranger.id}> `<@{owner.id}>` @everyone")
    assert sent["mentions"] == {"user_ids": [other.id], "role_ids": [], "everyone": True}
    page = newest(owner, room, limit=1)
    assert page["messages"] == [sent]
    assert {user["id"] for user in page["users"]} == {owner.id, other.id}
    assert other.say(room, "@everyone")["mentions"]["everyone"] is False


def test_a_page_brings_its_quotes(owner: Client, other: Client, room: Room) -> None:
    """What a page replies to and does not have comes along with its author, until it is deleted."""
    quoted = other.say(room, "question")
    for _ in range(2):
        owner.say(room, "answer", reply_to_id=quoted["id"])
    page = newest(owner, room, limit=2)
    assert page["replied_to"] == [quoted]
    assert {user["id"] for user in page["users"]} == {owner.id, other.id}
    assert newest(owner, room, limit=3)["replied_to"] == []
    assert other.ask("DELETE", f"{room.general}/messages/{quoted['id']}").status_code == 204
    page = newest(owner, room, limit=2)
    assert page["replied_to"] == []
    assert {message["reply_to_id"] for message in page["messages"]} == {quoted["id"]}


def test_slow_mode_says_how_long_to_wait(owner: Client, other: Client, room: Room) -> None:
    """Too soon is 429 with the seconds to wait, a repeated nonce is answered, and who manages messages never waits."""
    owner.did("PATCH", room.general, {"slow_mode_seconds": 600})
    body = {"content": "x", "nonce": "n"}
    first = other.post(f"{room.general}/messages", body)
    refusal = other.ask("POST", f"{room.general}/messages", {"content": "y"})
    assert (refusal.status_code, refusal.json()["type"]) == (429, "/docs#problem-slow-mode")
    assert 590 <= int(refusal.headers["retry-after"]) <= 600
    assert other.post(f"{room.general}/messages", body) == first
    for _ in range(2):
        owner.say(room, "x")


def test_a_join_is_told_where_the_room_wants_it(owner: Client, room: Room) -> None:
    """Whoever comes is told of in the system channel, and nowhere when there is none."""
    path = f"{room.path}/system-channel"
    assert owner.get(path) == {"channel_id": room.channels["general"]}
    told = newest(owner, room, limit=1)["messages"][0]
    assert (told["content"], told["content_type"], told["metadata"]) == ("", "system", {"kind": "member_joined"})
    assert owner.did("PUT", path, {"channel_id": None, "reason": "too loud"}) == {"channel_id": None}
    owner.admit(room, owner.guest())
    assert newest(owner, room, limit=1)["messages"] == [told]
    announcements = room.channels["announcements"]
    assert owner.did("PUT", path, {"channel_id": announcements}) == {"channel_id": announcements}
    comer = owner.guest()
    owner.admit(room, comer)
    page = owner.get(f"{room.path}/channels/{announcements}/messages")
    assert [message["user_id"] for message in page["messages"]] == [comer.id]
    assert owner.refused("PUT", path, {"channel_id": room.channels["voice"]}).type == "conflict"
    assert owner.refused("PUT", path, {"channel_id": "1"}).type == "not-found"
    assert owner.refused("PUT", path, {}).type == "invalid"
    edit = owner.refused("PATCH", f"{room.general}/messages/{told['id']}", {"content": "x"})
    assert edit.type == "conflict"

"""Reactions and pins over HTTP."""

from urllib.parse import quote

import pytest

from tests.router.clients import Client, Room


@pytest.fixture(scope="module")
def room(owner: Client, other: Client) -> Room:
    """A community with two people in it."""
    made = owner.found()
    owner.admit(made, other)
    return made


@pytest.mark.parametrize("emoji", ["👍", "👨‍👩‍👧", "#️⃣", "🇪🇺", ":nest:", "❤️"])
def test_reactions_are_seen_by_everyone(owner: Client, other: Client, room: Room, emoji: str) -> None:
    """Whoever reads a message sees how many reacted with what, who that was, and which reactions are their own."""
    message = owner.say(room, "Is the nest ready?")
    path = f"{room.general}/messages/{message['id']}/reactions/{quote(emoji)}"
    other.did("PUT", path)
    other.did("PUT", path)
    page = other.get(f"{room.general}/messages", limit=1)
    assert page["messages"][0]["reactions"] == [{"emoji": emoji, "count": 1}]
    assert page["my_reactions"] == {message["id"]: [emoji]}
    assert owner.get(f"{room.general}/messages", limit=1)["my_reactions"] == {}
    who = owner.get(f"{path}/users")
    assert (who["user_ids"], [user["id"] for user in who["users"]], who["next_cursor"]) == (
        [other.id],
        [other.id],
        None,
    )
    other.did("DELETE", path)
    assert other.get(f"{room.general}/messages/{message['id']}")["reactions"] == []


@pytest.mark.parametrize(
    "spellings", [("❤", "❤\ufe0f"), ("👍\ufe0f", "👍"), ("🏳\u200d🌈", "🏳\ufe0f\u200d🌈")], ids=ascii
)
def test_spellings_of_an_emoji_are_one_reaction(
    owner: Client, other: Client, room: Room, spellings: tuple[str, str]
) -> None:
    """Two people who spell an emoji differently react with the same one; either spelling finds and removes it."""
    message = owner.say(room, "Is the nest ready?")
    one, full = (f"{room.general}/messages/{message['id']}/reactions/{quote(emoji)}" for emoji in spellings)
    owner.did("PUT", one)
    other.did("PUT", full)
    seen = owner.get(f"{room.general}/messages/{message['id']}")["reactions"]
    assert seen == [{"emoji": spellings[1], "count": 2}]
    assert owner.get(f"{one}/users")["user_ids"] == owner.get(f"{full}/users")["user_ids"] != []
    owner.did("DELETE", full)
    other.did("DELETE", one)
    assert owner.get(f"{room.general}/messages/{message['id']}")["reactions"] == []


def test_who_reacted_comes_page_by_page(owner: Client, other: Client, room: Room) -> None:
    """The list of who reacted goes on where the page before ended."""
    path = f"{room.general}/messages/{owner.say(room, 'x')['id']}/reactions/:nest:"
    for client in (owner, other):
        client.did("PUT", path)
    first = owner.get(f"{path}/users", limit=1)
    rest = owner.get(f"{path}/users", limit=1, cursor=first["next_cursor"])
    assert first["user_ids"] + rest["user_ids"] == sorted((owner.id, other.id), key=int)
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("text", ["yes", "1", "👍👍", ":Nest:", "%00", "%0A", "%FF", "👍" * 65])
def test_words_are_no_reactions(owner: Client, room: Room, text: str) -> None:
    """What is no emoji is refused by name, whether it is added, removed or looked at."""
    path = f"{room.general}/messages/{owner.say(room, 'x')['id']}/reactions/{text}"
    for method, end in (("PUT", ""), ("DELETE", ""), ("GET", "/users"), ("DELETE", "/users")):
        refusal = owner.refused(method, path + end)
        assert (refusal.type, "path.emoji" in refusal.errors) == ("invalid", True)


def test_moderators_remove_reactions(owner: Client, other: Client, room: Room) -> None:
    """Who manages messages removes the reactions of others, one, all of a kind or all, and the audit log says why."""
    message = f"{room.general}/messages/{owner.say(room, 'x')['id']}"
    reactions = f"{message}/reactions"
    for emoji in (":egg:", ":nest:", ":moss:"):
        other.did("PUT", f"{reactions}/{emoji}")
    for path in (f"{reactions}/:egg:/users/{other.id}", f"{reactions}/:nest:/users", reactions):
        assert other.refused("DELETE", path).type == "forbidden"
        owner.did("DELETE", path, {"reason": "tidying up"})
    assert owner.get(message)["reactions"] == []
    assert owner.refused("DELETE", f"{reactions}/:egg:/users/{other.id}").type == "not-found"
    acts = owner.get(f"{room.path}/audit", target_id=message.rpartition("/")[2])["entries"]
    assert [(act["action"], act["reason"]) for act in acts] == [
        ("reaction.cleared", "tidying up"), ("reaction.cleared", "tidying up"), ("reaction.removed", "tidying up"),
    ]  # fmt: skip


def test_pins_are_at_hand(owner: Client, other: Client) -> None:
    """A pinned message is on the channel's list, newest first, until it is unpinned, and the channel is told of it."""
    room = owner.found()
    owner.admit(room, other)
    said = [other.say(room, text)["id"] for text in ("first", "second", "third")]
    for message_id in (said[2], said[0]):
        owner.did("PUT", f"{room.general}/messages/{message_id}/pin", {"reason": "read this"})
    assert other.refused("PUT", f"{room.general}/messages/{said[1]}/pin").type == "forbidden"
    told = other.get(f"{room.general}/messages", limit=1)["messages"][0]
    assert (told["content_type"], told["metadata"]) == ("system", {"kind": "message_pinned", "message_id": said[0]})
    first = other.get(f"{room.general}/pins", limit=1)
    rest = other.get(f"{room.general}/pins", limit=1, cursor=first["next_cursor"])
    assert [message["id"] for message in first["messages"] + rest["messages"]] == [said[2], said[0]]
    assert [user["id"] for user in first["users"]] == [other.id]
    assert first["messages"][0]["is_pinned"]
    owner.did("DELETE", f"{room.general}/messages/{said[2]}/pin")
    assert [message["id"] for message in other.get(f"{room.general}/pins")["messages"]] == [said[0]]

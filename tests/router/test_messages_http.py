"""Talking over HTTP: sending, paging, threads."""

import pytest

from tests.router.clients import Client, Room

TEXTS = [
    "x",
    "  spaces stay  ",
    "line\nbreaks\tand\r\ntabs",
    "ümläut, 日本語, עברית, 👩‍👩‍👧",
    "\u202eright to left\ufffe\uffff\U0010ffff",
    "control \x01\x1f\x7f characters",
    "'; DROP TABLE messages; --",
    "<script>alert(1)</script>",
    '"\\"',
    "ü" * 8_000,
]


@pytest.fixture(scope="module")
def room(owner: Client, other: Client) -> Room:
    """A community with two people in it."""
    made = owner.found()
    owner.admit(made, other)
    return made


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_message_comes_back_as_it_was_sent(owner: Client, other: Client, room: Room, text: str) -> None:
    """Whatever characters a message has, readers get exactly these."""
    sent = owner.say(room, text)
    assert sent["content"] == text
    assert other.get(f"{room.general}/messages/{sent['id']}") == sent
    page = other.get(f"{room.general}/messages", limit=1)
    assert page["messages"] == [sent]
    assert [user["id"] for user in page["users"]] == [owner.id]


def test_pages_lead_both_ways(owner: Client) -> None:
    """From the newest page one walks back to the first message and forth again, meeting each once and in order."""
    room = owner.found()
    said = [owner.say(room, f"message {number}")["id"] for number in range(7)]
    messages = f"{room.general}/messages"

    page = owner.get(messages, limit=3)
    assert not page["has_newer"]
    back = [message["id"] for message in page["messages"]]
    while page["has_older"]:
        page = owner.get(messages, limit=3, before=back[-1])
        assert page["has_newer"]
        back += [message["id"] for message in page["messages"]]
    assert back == said[::-1]

    page = owner.get(messages, limit=3, after=said[0])
    forth = [message["id"] for message in page["messages"]]
    while page["has_newer"]:
        page = owner.get(messages, limit=3, after=forth[0])
        assert page["has_older"]
        forth = [message["id"] for message in page["messages"]] + forth
    assert forth == said[:0:-1]

    around = owner.get(messages, limit=3, around=said[3])
    assert [message["id"] for message in around["messages"]] == said[4:1:-1]
    assert (around["has_older"], around["has_newer"]) == (True, True)
    assert owner.get(messages, before=said[0])["messages"] == []
    assert owner.get(messages, after=said[-1])["messages"] == []
    assert len(owner.get(messages, after="1")["messages"]) == 7
    assert len(owner.get(messages, before=str(2**63 - 1))["messages"]) == 7
    assert len(owner.get(messages, around=str(2**63 - 1))["messages"]) == 7


@pytest.mark.parametrize("places", [("before", "after"), ("before", "around"), ("after", "around")])
def test_a_stretch_has_one_place(owner: Client, room: Room, places: tuple[str, str]) -> None:
    """Two places in one request are refused, each by its name."""
    refusal = owner.refused("GET", f"{room.general}/messages", params=dict.fromkeys(places, "5"))
    assert all(f"query.{place}" in refusal.errors for place in places)


def test_a_nonce_makes_one_message(owner: Client, other: Client, room: Room) -> None:
    """Repeating a nonce answers 200 with the message it made; another person's same nonce is another message."""
    body = {"content": "once", "nonce": "n-1"}
    first = owner.ask("POST", f"{room.general}/messages", body)
    again = owner.ask("POST", f"{room.general}/messages", body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert other.ask("POST", f"{room.general}/messages", body).status_code == 201
    elsewhere = f"{room.path}/channels/{room.channels['announcements']}/messages"
    assert owner.refused("POST", elsewhere, body).type == "conflict"


def test_a_thread_holds_its_messages(owner: Client, other: Client, room: Room) -> None:
    """Messages of a thread are read by themselves and in the channel, and the thread counts them."""
    thread = owner.post(f"{room.general}/threads", {"title": " Plans "})
    assert thread["title"] == "Plans"
    replied = other.say(room, "first", thread_id=thread["id"])
    reply = owner.say(room, "second", thread_id=thread["id"], reply_to_id=replied["id"])
    assert reply["reply_to_id"] == replied["id"]
    page = other.get(f"{room.general}/messages", thread_id=thread["id"])
    assert [message["content"] for message in page["messages"]] == ["second", "first"]
    listed = other.get(f"{room.general}/threads")["threads"]
    assert listed[0]["message_count"] == 2
    assert listed[0]["last_message_id"] == reply["id"]
    assert owner.refused("POST", f"{room.general}/threads", {"title": "Plans"}).type == "conflict"


def test_threads_come_page_by_page(owner: Client) -> None:
    """Threads are listed last active first, each once."""
    room = owner.found()
    made = [owner.post(f"{room.general}/threads", {"title": str(number)})["id"] for number in range(5)]
    first = owner.get(f"{room.general}/threads", limit=3)
    rest = owner.get(f"{room.general}/threads", limit=3, cursor=first["next_cursor"])
    assert [thread["id"] for thread in first["threads"] + rest["threads"]] == made[::-1]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("channel", ["voice", "announcements"])
def test_some_channels_are_not_for_everyone_to_write(owner: Client, other: Client, room: Room, channel: str) -> None:
    """Nobody writes in a voice channel, and in announcements only those who manage messages."""
    path = f"{room.path}/channels/{room.channels[channel]}/messages"
    assert other.refused("POST", path, {"content": "hi"}).status == (409 if channel == "voice" else 403)
    assert owner.ask("POST", path, {"content": "hi"}).status_code == (409 if channel == "voice" else 201)

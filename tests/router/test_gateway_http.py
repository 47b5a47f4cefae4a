"""The gateway over real sockets: saying who one is, hearing, asking, and what goes with it over HTTP."""

from typing import Any

import pytest

from directory import listeners
from tests.router.clients import Client, Room
from tests.router.hearing import hearing, open_socket
from tests.router.serving import Running


@pytest.fixture
def room(owner: Client, other: Client) -> Room:
    """A community with the owner and somebody else in it."""
    room = owner.found()
    owner.admit(room, other)
    return room


def seen(room: Room, name: str = "general") -> dict[str, str]:
    """Return a channel's address as requests have it."""
    return {"room_id": room.id, "channel_id": room.channels[name]}


def test_ready_tells_who_one_is_and_what_one_hears(server: Running, owner: Client, other: Client, room: Room) -> None:
    """After identify come the person, their rooms as HTTP has them with a place in each, and what was asked of them."""
    with hearing(server, other.token, overview=[room.id]) as (_, ready):
        assert ready["user"]["id"] == other.id
        listed = {one["id"]: one for one in other.get("/v1/rooms")["rooms"]}
        assert {one["id"]: {key: one[key] for key in one if key != "last_seq"} for one in ready["rooms"]} == listed
        assert {one["id"]: one["last_seq"] for one in ready["rooms"]}[room.id] > 0
        [overview] = ready["overviews"]
        assert {channel["id"] for channel in overview["channels"]} == set(room.channels.values())
        assert {one["channel_id"] for one in overview["unread"]} == set(room.channels.values())


def test_what_is_sent_is_acknowledged_and_told(server: Running, owner: Client, other: Client, room: Room) -> None:
    """A message of either way is told to everybody as HTTP has it, and the acknowledgement has its id."""
    with hearing(server, owner.token) as (one, ready), hearing(server, other.token) as (two, _):
        sent = one.ok("send", **seen(room), content="over the gateway", nonce="n-1")
        assert sent["is_new"]
        for hearer in (one, two):
            assert hearer.event("message.created")["d"] == owner.get(f"{room.general}/messages/{sent['id']}")
        by_http = other.say(room, "over HTTP")
        assert one.event("message.created")["d"] == two.event("message.created")["d"] == by_http
        start = next(listed["last_seq"] for listed in ready["rooms"] if listed["id"] == room.id)
        assert one.place(room.id, start) == start + 2


def test_a_nonce_is_one_message_whichever_way_it_goes(server: Running, owner: Client, room: Room) -> None:
    """The same nonce over the gateway and over HTTP is the same message."""
    first = owner.say(room, "once", nonce="both-ways")
    with hearing(server, owner.token) as (hearer, _):
        again = hearer.ok("send", **seen(room), content="once", nonce="both-ways")
    assert (again["id"], again["is_new"]) == (first["id"], False)


def test_messages_keep_the_order_of_their_sender(server: Running, owner: Client, room: Room) -> None:
    """Many messages that nobody waits for are stored in the order in which they were said."""
    texts = [f"number {number}" for number in range(150)]
    with hearing(server, owner.token) as (hearer, _):
        for text in texts:
            hearer.say("send", {**seen(room), "content": text})
        heard: list[str] = []
        while len(heard) < len(texts):
            heard += [event["d"]["content"] for event in hearer.op("events")["events"]]
    assert heard == texts


@pytest.mark.parametrize(
    ("op", "d", "refusal"),
    [
        ("send", {"content": "x"}, (422, "invalid")),
        ("send", {"room_id": "1", "channel_id": "1", "content": "x"}, (404, "not-found")),
        ("send", {"room_id": 1, "channel_id": "1", "content": "x"}, (422, "invalid")),
        ("send", {"room_id": "1", "channel_id": "1", "content": "x", "colour": "red"}, (422, "invalid")),
        ("typing", {"room_id": "1", "channel_id": "1"}, (404, "not-found")),
        ("read", {"room_id": "1", "channel_id": "1"}, (404, "not-found")),
        ("subscribe", {"room_id": "1"}, (404, "not-found")),
        ("presences", {"room_id": "1"}, (404, "not-found")),
        ("presence", {"status": "dancing"}, (422, "invalid")),
        ("dance", {}, (400, "bad-request")),
    ],
)
def test_what_cannot_be_done_is_told(
    server: Running, owner: Client, op: str, d: dict[str, Any], refusal: tuple[int, str]
) -> None:
    """A wrong request gets the problem that HTTP would answer, and the connection goes on."""
    with hearing(server, owner.token) as (hearer, _):
        assert hearer.refused(op, **d) == refusal
        hearer.say("heartbeat")
        assert hearer.next() == {"op": "heartbeat", "d": None}


def test_faults_name_their_fields(server: Running, owner: Client, room: Room) -> None:
    """What is wrong with a request is told field by field, from `d` on; too long a message too."""
    with hearing(server, owner.token) as (hearer, _):
        answer = hearer.ask("send", **seen(room), content="", nonce=5)
        assert {fault["field"] for fault in answer["d"]["errors"]} == {"d.content", "d.nonce"}
        answer = hearer.ask("send", **seen(room), content="x" * 8_001)
        assert [fault["field"] for fault in answer["d"]["errors"]] == ["d.content"]


def test_without_a_ref_only_failures_are_answered(server: Running, owner: Client, room: Room) -> None:
    """A request without a reference that succeeds leaves no answer."""
    with hearing(server, owner.token) as (hearer, _):
        hearer.say("presence", {"status": "away"})
        hearer.say("dance", {})
        assert hearer.next()["op"] == "error"


def test_resuming_goes_on_where_one_was(server: Running, owner: Client, other: Client, room: Room) -> None:
    """Whoever comes back with a place hears all that was said meanwhile, once, then that they have it, then live."""
    with hearing(server, other.token) as (hearer, ready):
        start = next(listed["last_seq"] for listed in ready["rooms"] if listed["id"] == room.id)
        owner.say(room, "before")
        hearer.event("message.created")
        place = hearer.place(room.id, start)
    missed = [owner.say(room, f"missed {number}")["id"] for number in range(300)]
    with hearing(server, other.token, resume={room.id: place}) as (hearer, _):
        resumed = hearer.op("resumed")
        assert resumed["room_id"] == room.id
        assert set(resumed["channel_ids"]) == set(room.channels.values())
        heard = [event for said in hearer.said if said["op"] == "events" for event in said["d"]["events"]]
        assert [event["d"]["id"] for event in heard] == missed
        assert hearer.place(room.id, place) == resumed["seq"]
        owner.say(room, "live again")
        assert hearer.event("message.created")["d"]["content"] == "live again"


def test_deleted_words_are_not_told_again(server: Running, owner: Client, other: Client, room: Room) -> None:
    """A replay tells a message as it is now: a deleted one by its id alone, an edited one with its new words."""
    owner.say(room, "first")
    gone, changed = owner.say(room, "to be deleted"), owner.say(room, "to be edited")
    messages = f"{room.general}/messages"
    with hearing(server, other.token, resume={room.id: 1}) as (hearer, _):
        hearer.op("resumed")
    owner.did("DELETE", f"{messages}/{gone['id']}")
    owner.did("PATCH", f"{messages}/{changed['id']}", {"content": "edited"})
    with hearing(server, other.token, resume={room.id: 1}) as (hearer, _):
        hearer.op("resumed")
        heard = str([said for said in hearer.said if said["op"] == "events"])
    assert "to be deleted" not in heard
    assert "to be edited" not in heard
    assert "'content': 'edited'" in heard


def test_rooms_come_and_go(server: Running, owner: Client, other: Client) -> None:
    """A room that one comes into is heard from then on, and one that one leaves no more."""
    with hearing(server, other.token) as (hearer, _):
        room = owner.found()
        owner.admit(room, other)
        joined = hearer.op("joined")
        assert joined["room_id"] == room.id
        assert hearer.event("member.joined")["actor_id"] == other.id
        owner.say(room, "welcome")
        assert hearer.event("message.created")["d"]["content"] in ("", "welcome")
        other.post(f"{room.path}/leave")
        assert hearer.op("removed") == {"room_id": room.id, "reason": "not_a_member"}
        owner.say(room, "they are gone")
        assert hearer.quiet() == []


def test_a_new_chat_is_heard_from_its_first_word(server: Running, owner: Client, other: Client) -> None:
    """Whoever is written to for the first time hears of the chat, and of the words."""
    with hearing(server, other.token) as (hearer, _):
        opened = owner.did("PUT", f"/v1/users/{other.id}/chat")
        room_id, channel_id = opened["room"]["id"], opened["channels"][0]["id"]
        assert hearer.op("joined")["room_id"] == room_id
        owner.post(f"/v1/rooms/{room_id}/channels/{channel_id}/messages", {"content": "hello"})
        assert hearer.event("message.created")["d"]["content"] == "hello"


def test_one_hears_what_one_wants(server: Running, owner: Client, other: Client, room: Room) -> None:
    """A connection that unsubscribed hears nothing of a room until it subscribes, from then or from a place on."""
    with hearing(server, other.token) as (hearer, _):
        hearer.ok("unsubscribe", room_id=room.id)
        other.did("PUT", f"{room.path}/notifications", {"level": "mentions"})
        assert hearer.op("notifications")["level"] == "mentions"
        owner.say(room, "unheard")
        assert hearer.quiet() == []
        overview = hearer.ok("subscribe", room_id=room.id, overview=True)
        assert {channel["id"] for channel in overview["channels"]} == set(room.channels.values())
        owner.say(room, "heard")
        assert hearer.event("message.created")["d"]["content"] == "heard"
        assert hearer.place(room.id, overview["last_seq"]) == overview["last_seq"] + 1
        assert hearer.refused("subscribe", room_id=room.id, after=1) == (409, "conflict")
        hearer.ok("unsubscribe", room_id=room.id)
        hearer.ok("subscribe", room_id=room.id, after=overview["last_seq"] - 1)
        assert hearer.event("message.created")["d"]["content"] == "unheard"
        assert hearer.op("resumed")["seq"] == overview["last_seq"] + 1


def test_typing_is_told_to_the_others(server: Running, owner: Client, other: Client, room: Room) -> None:
    """Who sees the channel is told for how long to show it, however it was said; the one who types is not."""
    with hearing(server, owner.token) as (one, _), hearing(server, other.token) as (two, _):
        one.ok("typing", **seen(room))
        told = {**seen(room), "thread_id": None, "user_id": owner.id, "seconds": 8}
        assert two.op("typing") == told
        other.did("POST", f"{room.general}/typing", {})
        assert one.op("typing") == {**told, "user_id": other.id}
        assert two.quiet() == []
        hidden = owner.post(f"{room.path}/channels", {"name": "hidden", "is_private": True})["id"]
        two.drain()
        one.ok("typing", room_id=room.id, channel_id=hidden)
        assert two.quiet() == []
        assert two.refused("typing", room_id=room.id, channel_id=hidden) == (404, "not-found")
        assert one.refused("typing", **seen(room, "voice")) == (409, "conflict")


def test_a_marker_is_told_to_ones_other_connections(server: Running, owner: Client, other: Client, room: Room) -> None:
    """Reading on one device marks the others, and nobody else's."""
    message = owner.say(room, "read me")
    with (
        hearing(server, other.token) as (phone, _),
        hearing(server, other.token) as (desk, _),
        hearing(server, owner.token) as (stranger, _),
    ):
        marker = phone.ok("read", **seen(room), last_read_id=message["id"])
        assert marker["last_read_id"] == message["id"]
        assert desk.op("read") == {"room_id": room.id, **marker}
        assert phone.quiet() == stranger.quiet() == []
        unread = {one["channel_id"]: one for one in other.get(f"{room.path}/unread")["channels"]}
        assert unread[room.channels["general"]]["last_read_id"] == message["id"]


def test_a_ticket_stands_for_a_session_once(server: Running, owner: Client) -> None:
    """A ticket opens the gateway for whoever asked for it, a second time for nobody."""
    ticket = owner.post("/v1/gateway/tickets")["ticket"]
    with hearing(server, None, ticket=ticket) as (_, ready):
        assert ready["user"]["id"] == owner.id
    with open_socket(server) as hearer:
        hearer.say("identify", {"ticket": ticket})
        assert hearer.closed() == 4003


@pytest.mark.parametrize(
    "said", [{}, {"token": "x", "ticket": "y"}, {"token": ""}, {"token": "x", "resume": {"a": 1}}, 5]
)
def test_a_wrong_identify_is_told_and_ends_it(server: Running, said: Any) -> None:
    """What is wrong with an identify is told before the connection ends."""
    with open_socket(server) as hearer:
        hearer.say("identify", said)
        assert hearer.next()["d"]["status"] == 422
        assert hearer.closed() == 4001


def test_nothing_is_done_before_identify(server: Running, room: Room) -> None:
    """Whoever asks before they said who they are is sent away; a heartbeat is answered."""
    with open_socket(server) as hearer:
        hearer.say("heartbeat")
        assert hearer.next()["op"] == "heartbeat"
        hearer.say("send", {**seen(room), "content": "x"})
        assert hearer.closed() == 4002


def test_a_session_that_ends_closes_its_connections(server: Running, nobody: Client) -> None:
    """Logging out ends the connections of that session alone; the others are told."""
    person = nobody.register("two_sessions")
    again = nobody.post("/v1/auth/login", {"username": "two_sessions", "password": "correct horse battery"})
    with hearing(server, person.token) as (ends, _), hearing(server, again["token"]) as (stays, _):
        person.post("/v1/auth/logout")
        assert ends.closed() == 4004
        assert stays.op("sessions") == {}
        assert stays.quiet() == []


def test_a_room_that_one_was_not_told_of_is_resumed(
    server: Running, owner: Client, other: Client, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is in more rooms than `ready` tells of resumes the others all the same; a room of others is removed."""
    owner.say(room, "in the older room")
    newer, strange = owner.found(), owner.found()
    owner.admit(newer, other)
    monkeypatch.setattr(listeners, "ROOMS_MAX", 1)
    with hearing(server, other.token, resume={room.id: 1, strange.id: 1}) as (hearer, ready):
        assert [one["id"] for one in ready["rooms"]] == [newer.id]
        assert hearer.op("resumed")["room_id"] == room.id
        assert hearer.op("removed") == {"room_id": strange.id, "reason": "not_a_member"}
        owner.say(room, "live")
        assert hearer.event("message.created")["d"]["content"] == "live"

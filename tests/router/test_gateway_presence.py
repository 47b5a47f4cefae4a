"""Who is there: told soon, seldom, and to those alone whom it concerns."""

from collections.abc import Iterator
from typing import Any

import pytest

from router.gateway import gateway, presence
from tests.router.clients import Client, Room, client_of
from tests.router.hearing import Hearer, hearing
from tests.router.serving import Place, Running, serving
from tests.router.wires import Speaker, speaking

TOLD_SECONDS, LASTS_SECONDS = 0.1, 0.5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server at which five seconds are a tenth of one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "PUBLISH_EVERY_SECONDS", TOLD_SECONDS)
        patch.setattr(presence, "LINGER_SECONDS", LASTS_SECONDS)
        patch.setattr(presence, "PEOPLE_MAX", 4)
        with serving(Place(tmp_path_factory.mktemp("server"))) as running:
            yield running


@pytest.fixture(scope="module")
def nobody(server: Running) -> Iterator[Client]:
    with client_of(server) as client:
        yield client


@pytest.fixture
def people(nobody: Client) -> list[Client]:
    """Somebody who founds rooms, and two others."""
    return [nobody.guest() for _ in range(3)]


@pytest.fixture
def room(people: list[Client]) -> Room:
    owner, *others = people
    room = owner.found()
    owner.admit(room, *others)
    return room


def view(person: Client, status: str, activity: str | None = None, room: Room | None = None) -> dict[str, Any]:
    """Return how somebody is told to be present."""
    room_id = None if room is None else room.id
    return {"user_id": person.id, "status": status, "activity": activity, "room_id": room_id}


def told_of(hearer: Hearer, person: Client, room: Room) -> dict[str, Any]:
    """Return what is told next of somebody in a room."""
    found = hearer.until(
        lambda said: (
            said["op"] == "presences"
            and said["d"]["room_id"] == room.id
            and any(one["user_id"] == person.id for one in said["d"]["presences"])
        )
    )
    one: dict[str, Any]
    [one] = [one for one in found["d"]["presences"] if one["user_id"] == person.id]
    return one


def test_coming_and_going_is_told(server: Running, people: list[Client], room: Room) -> None:
    """Who shares a room hears that somebody is there, what they do, and that they are gone after a while."""
    anna, ben, _ = people
    with hearing(server, anna.token) as (hearer, _):
        with hearing(server, ben.token) as (other, _):
            assert told_of(hearer, ben, room) == view(ben, "online")
            other.ok("presence", status="away", activity="browsing", room_id=room.id)
            assert told_of(hearer, ben, room) == view(ben, "away", "browsing", room)
        assert told_of(hearer, ben, room) == view(ben, "offline")


def test_which_other_room_one_looks_at_is_not_told(server: Running, people: list[Client], room: Room) -> None:
    """The room that somebody looks at is told in that room alone."""
    anna, ben, _ = people
    other = anna.found()
    anna.admit(other, ben)
    with hearing(server, anna.token) as (hearer, _), hearing(server, ben.token) as (speaker, _):
        told_of(hearer, ben, room)
        speaker.ok("presence", status="online", room_id=other.id)
        heard = {said["d"]["room_id"]: said["d"]["presences"] for said in (hearer.next(), hearer.next())}
        assert heard == {room.id: [view(ben, "online")], other.id: [view(ben, "online", room=other)]}


def test_the_most_present_connection_counts(server: Running, people: list[Client], room: Room) -> None:
    """Somebody with several connections is as present as the most present of them."""
    anna, ben, _ = people
    with hearing(server, anna.token) as (hearer, _), hearing(server, ben.token) as (desk, _):
        told_of(hearer, ben, room)
        with hearing(server, ben.token, presence={"status": "away", "activity": "idle"}):
            desk.ok("presence", status="away", activity="chatting")
            assert told_of(hearer, ben, room)["status"] == "away"
            desk.ok("presence", status="online", activity="chatting")
            assert told_of(hearer, ben, room) == view(ben, "online", "chatting")
            desk.ok("presence", status="offline")
            assert told_of(hearer, ben, room) == view(ben, "away", "idle")


def test_whoever_comes_back_soon_was_not_away(server: Running, people: list[Client], room: Room) -> None:
    """A connection that is replaced within its time is no coming and going."""
    anna, ben, _ = people
    with hearing(server, anna.token) as (hearer, _):
        with hearing(server, ben.token):
            told_of(hearer, ben, room)
        with hearing(server, ben.token):
            said = hearer.hush(LASTS_SECONDS + 2 * TOLD_SECONDS)
    assert [one for one in said if one["op"] == "presences"] == []


def test_whoever_comes_back_unseen_is_unseen(
    server: Running, people: list[Client], room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a connection said that is gone does not outlast what the next one says."""
    monkeypatch.setattr(presence, "LINGER_SECONDS", 60)
    anna, ben, _ = people
    with hearing(server, anna.token) as (hearer, _):
        with hearing(server, ben.token):
            assert told_of(hearer, ben, room) == view(ben, "online")
        with hearing(server, ben.token, presence={"status": "offline"}):
            assert told_of(hearer, ben, room) == view(ben, "offline")


def test_who_is_blocked_notices_nothing(server: Running, people: list[Client], room: Room) -> None:
    """Neither of two people of whom one blocks the other is told of the other, also when the block is new."""
    anna, ben, chris = people
    with (
        hearing(server, anna.token) as (one, _),
        hearing(server, chris.token) as (witness, _),
        hearing(server, ben.token) as (two, _),
    ):
        told_of(one, ben, room)
        anna.did("PUT", f"/v1/users/me/blocks/{ben.id}")
        assert ben.id not in str(anna.get(f"{room.path}/presences"))
        one.drain()
        two.drain()
        two.ok("presence", status="away")
        one.ok("presence", status="away")
        told_of(witness, ben, room)
        assert ben.id not in str(one.drain())
        assert anna.id not in str([said for said in two.drain() if said["op"] == "presences"])
        there = {each["user_id"] for each in two.ok("presences", room_id=room.id)["presences"]}
        assert there == {ben.id, chris.id}


def test_presence_is_asked_for(server: Running, people: list[Client], room: Room, nobody: Client) -> None:
    """Who is in a room may ask who is there, of all or of some, over either way; others may not."""
    anna, ben, _ = people
    with hearing(server, anna.token) as (hearer, _), hearing(server, ben.token):
        told_of(hearer, ben, room)
        everybody = hearer.ok("presences", room_id=room.id)
        assert sorted(everybody["presences"], key=str) == sorted([view(anna, "online"), view(ben, "online")], key=str)
        assert anna.get(f"{room.path}/presences") == everybody
        assert hearer.ok("presences", room_id=room.id, user_ids=[ben.id])["presences"] == [view(ben, "online")]
        with hearing(server, nobody.guest().token) as (stranger, _):
            assert stranger.refused("presences", room_id=room.id) == (404, "not-found")


def test_large_rooms_are_told_nothing_by_themselves(
    server: Running, people: list[Client], room: Room, nobody: Client
) -> None:
    """Where many are connected, presences come to who asks for them."""
    anna, *_ = people
    crowd = [nobody.guest() for _ in range(4)]
    anna.admit(room, *crowd)
    with hearing(server, anna.token) as (hearer, _):
        hearings = [hearing(server, one.token) for one in crowd]
        for one in hearings:
            one.__enter__()
        hearer.hush(3 * TOLD_SECONDS)
        hearer.said.clear()
        with hearing(server, people[1].token):
            said = hearer.hush(4 * TOLD_SECONDS)
            assert [one for one in said if one["op"] == "presences"] == []
            assert people[1].id in str(hearer.ok("presences", room_id=room.id))
        for one in hearings:
            one.__exit__(None, None, None)


def presences(speaker: Speaker, room: Room) -> dict[str, str]:
    found = speaker.did("presences", {"room_id": room.id})["presences"]
    return {one["user_id"]: one["status"] for one in found}


@pytest.mark.security
def test_the_blocked_see_nothing_of_each_other(
    server: Running, nobody: Client, people: list[Client], room: Room
) -> None:
    """Neither of two people of whom one blocks the other is told how the other is, from the answer to the block on,
    before or after they connect; everybody else is."""
    anna, ben, cleo, dora = *people, nobody.guest()
    anna.admit(room, dora)
    anna.did("PUT", f"/v1/users/me/blocks/{ben.id}")
    with (
        speaking(server, anna) as one,
        speaking(server, ben) as two,
        speaking(server, cleo) as three,
        speaking(server, dora) as four,
    ):
        assert {anna.id, ben.id} <= presences(three, room).keys()
        assert ben.id not in presences(one, room)
        assert anna.id not in presences(two, room)
        cleo.did("PUT", f"/v1/users/me/blocks/{ben.id}")
        assert ben.id not in presences(three, room)
        assert cleo.id not in presences(two, room)
        # They may have been told of each other before the block.
        blocked_at = {speaker: len(speaker.heard) for speaker in (two, three)}
        for speaker in (one, two, three):
            speaker.say("presence", {"status": "away", "activity": "chatting", "room_id": room.id})
        away = {anna.id, ben.id, cleo.id}
        while away:
            told = four.next("presences")["d"]["presences"]
            away -= {person["user_id"] for person in told if person["status"] == "away"}
        for speaker, since, hidden in (
            (one, 0, {ben.id}),
            (two, 0, {anna.id}),
            (two, blocked_at[two], {cleo.id}),
            (three, blocked_at[three], {ben.id}),
        ):
            speaker.settle()
            frames = [frame["d"]["presences"] for frame in speaker.heard[since:] if frame["op"] == "presences"]
            assert not {person["user_id"] for people in frames for person in people} & hidden

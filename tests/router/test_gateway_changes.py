"""Sight that changes while somebody listens: from the commit that changes it on nothing else is told, and sessions that
end close their sockets within a second."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from typer.testing import CliRunner

import sqlite
from rookery import cli
from tests.router.clients import PASSWORD, Client, Room, client_of
from tests.router.serving import Place, Running, serving, until
from tests.router.wires import Speaker, speaking

pytestmark = pytest.mark.security

PATIENCE_SECONDS = 20.0
"""The promise is a second; the rest is for a busy machine, and far below what a heartbeat would need to notice."""
_numbers = itertools.count(1)


@pytest.fixture
def room(owner: Client) -> Room:
    return owner.found()


@pytest.fixture
def guest(owner: Client, room: Room) -> Client:
    """A member of the room."""
    member = owner.with_token(None).guest()
    owner.admit(room, member)
    return member


def storm(owner: Client, room: Room, act: Callable[[], None], *, talkers: int = 8, words: int = 6) -> None:
    """Do something while many messages are sent, so that they share commits with it."""
    begun = threading.Event()

    def talk(number: int) -> None:
        begun.wait()
        for at in range(words):
            owner.say(room, f"word {number} {at}")

    with ThreadPoolExecutor(talkers + 1) as pool:
        talking = [pool.submit(talk, number) for number in range(talkers)]
        begun.set()
        time.sleep(0.01)
        act()
        for each in talking:
            each.result()


def log_of(server: Running, room: Room) -> list[tuple[int, str]]:
    connection = sqlite.connect(server.place.shards / f"{room.id}.db")
    try:
        return list(connection.execute("SELECT seq, type FROM events ORDER BY seq"))
    finally:
        connection.close()


OUT: dict[str, Callable[[Client, Client, Room], None]] = {
    "kicked": lambda owner, guest, room: owner.did("DELETE", f"{room.path}/members/{guest.id}", {}),
    "banned": lambda owner, guest, room: owner.did("PUT", f"{room.path}/bans/{guest.id}", {}),
    "left": lambda owner, guest, room: guest.post(f"{room.path}/leave"),
}


@pytest.mark.parametrize("put_out", OUT.values(), ids=OUT)
def test_whoever_is_out_hears_nothing_of_that_commit_or_later_ones(
    server: Running, owner: Client, guest: Client, room: Room, put_out: Callable[[Client, Client, Room], None]
) -> None:
    """With messages in the same commit and behind it, nothing from the end of a membership on is told to its member."""
    for _ in range(5):
        with speaking(server, guest) as speaker, speaking(server, owner) as witness:
            storm(owner, room, lambda: put_out(owner, guest, room))
            owner.say(room, "the end")
            speaker.next("removed")
            speaker.settle()
            witness.until_event(lambda event: (event["d"] or {}).get("content") == "the end")
            kinds = ("member.left", "member.kicked")
            ended_at = max(seq for seq, kind in log_of(server, room) if kind in kinds)
            assert max(speaker.numbers(room), default=0) < ended_at
            seen = witness.numbers(room)
            assert sorted(seen) == list(range(min(seen), max(seen) + 1))
            assert witness.numbers(room)[-1] > ended_at
        owner.ask("DELETE", f"{room.path}/bans/{guest.id}", {})
        owner.admit(room, guest)


def make_channel(owner: Client, room: Room, *, is_private: bool) -> Room:
    """Return the room with a further channel as its first."""
    name = f"further-{next(_numbers)}"
    made = owner.post(f"{room.path}/channels", {"name": name, "is_private": is_private})
    return Room(room.id, room.name, {"general": made["id"]})


def overwrite(owner: Client, room: Room, guest: Client, *, allow: list[str], deny: list[str]) -> None:
    owner.did("PUT", f"{room.general}/overwrites/member/{guest.id}", {"allow": allow, "deny": deny})


def hide(owner: Client, guest: Client, room: Room) -> None:
    owner.did("PATCH", room.general, {"is_private": True})


def deny(owner: Client, guest: Client, room: Room) -> None:
    overwrite(owner, room, guest, allow=[], deny=["view_channel"])


def deny_all(owner: Client, guest: Client, room: Room) -> None:
    owner.did("PUT", f"{room.general}/overwrites/role/{room.id}", {"allow": [], "deny": ["view_channel"]})


def narrow_all(owner: Client, guest: Client, room: Room) -> None:
    owner.did("PATCH", f"{room.path}/roles/{room.id}", {"permissions": ["send_messages"]})


def move(owner: Client, guest: Client, room: Room) -> None:
    made = owner.post(f"{room.path}/categories", {"name": "attic", "is_private": True})
    owner.did("PATCH", room.general, {"category_id": made["id"]})


@pytest.mark.parametrize("shut", [hide, deny, deny_all, narrow_all, move])
def test_whoever_is_shut_out_of_a_channel_hears_nothing_more_of_it(
    server: Running, owner: Client, guest: Client, room: Room, shut: Callable[[Client, Client, Room], None]
) -> None:
    """From the commit on that hides a channel nothing of it is told to who does not see it, and they hear of that."""
    attic = make_channel(owner, room, is_private=False)
    with speaking(server, guest) as speaker:
        owner.say(attic, "before")
        speaker.until_event(lambda event: (event["d"] or {}).get("content") == "before")
        storm(owner, attic, lambda: shut(owner, guest, attic))
        owner.say(attic, "the end")
        channels = speaker.next("channels")["d"]["channel_ids"]
        assert attic.channels["general"] not in channels
        speaker.settle()
        kinds = ("channel.edited", "overwrite.set", "role.edited")
        shut_at = max(seq for seq, kind in log_of(server, room) if kind in kinds)
        of_attic = [one["seq"] for one in speaker.events(room) if one["channel_id"] == attic.channels["general"]]
        assert max(of_attic) < shut_at
        assert "the end" not in speaker.contents(room)


def hears(speaker: Speaker, content: str) -> None:
    """Wait until a message comes to the speaker."""
    speaker.until_event(lambda event: (event["d"] or {}).get("content") == content)


def hear(owner: Client, room: Room, speaker: Speaker, content: str) -> None:
    """Say something that the speaker hears."""
    owner.say(room, content)
    hears(speaker, content)


def test_a_role_opens_and_closes_a_channel(server: Running, owner: Client, guest: Client, room: Room) -> None:
    """Whoever is granted a role hears its channels from that commit on, and no more when it is revoked."""
    vault = make_channel(owner, room, is_private=True)
    role = owner.post(f"{room.path}/roles", {"name": "keys", "permissions": []})["id"]
    owner.did("PUT", f"{vault.general}/overwrites/role/{role}", {"allow": ["view_channel"], "deny": []})
    path = f"{room.path}/members/{guest.id}/roles/{role}"
    with speaking(server, guest) as speaker:
        place = speaker.place(room)
        for turn in range(3):
            owner.say(vault, f"hidden {turn}")
            # What is still on its way when somebody is granted a channel may be shown, as its history is.
            hear(owner, room, speaker, f"before {turn}")
            owner.did("PUT", path)
            owner.say(vault, f"shown {turn}")
            assert vault.channels["general"] in speaker.next("channels")["d"]["channel_ids"]
            hears(speaker, f"shown {turn}")
            owner.did("DELETE", path, {})
            assert vault.channels["general"] not in speaker.next("channels")["d"]["channel_ids"]
        hear(owner, room, speaker, "the end")
        said = [(f"before {turn}", f"shown {turn}") for turn in range(3)]
        assert speaker.contents(room) == [*itertools.chain(*said), "the end"]
        numbers = sorted(speaker.numbers(room))
        assert numbers == list(range(place + 1, numbers[-1] + 1))


def test_the_first_event_of_a_room_may_change_what_one_sees(
    server: Running, owner: Client, guest: Client, room: Room
) -> None:
    """Who has heard nothing of a room yet is told too when other channels than in its overview are theirs to see."""
    attic = make_channel(owner, room, is_private=False)
    with speaking(server, guest, overview=[room.id]) as speaker:
        hide(owner, guest, attic)
        owner.say(attic, "hidden")
        assert attic.channels["general"] not in speaker.next("channels")["d"]["channel_ids"]
        owner.say(room, "the end")
        hears(speaker, "the end")
        assert speaker.contents(room) == ["the end"]


def test_nobody_is_lost_while_sights_change(server: Running, owner: Client, room: Room) -> None:
    """While roles are given and taken all the time, nobody who is in is taken for gone, and all hear everything."""
    guests = [owner.with_token(None).guest() for _ in range(8)]
    owner.admit(room, *guests)
    role = owner.post(f"{room.path}/roles", {"name": "keys", "permissions": []})["id"]
    with ExitStack() as stack:
        speakers = [stack.enter_context(speaking(server, guest)) for guest in guests]
        owner.say(room, "the beginning")

        def turn(guest: Client) -> None:
            path = f"{room.path}/members/{guest.id}/roles/{role}"
            for _ in range(12):
                owner.did("PUT", path)
                owner.did("DELETE", path, {})
                owner.did("PATCH", f"{room.path}/roles/{role}", {"name": f"keys {next(_numbers)}"})

        with ThreadPoolExecutor(len(guests)) as pool:
            list(pool.map(turn, guests))
        owner.say(room, "the end")
        for speaker in speakers:
            hears(speaker, "the end")
            assert not [frame for frame in speaker.heard if frame["op"] == "removed"]
            numbers = speaker.numbers(room)
            assert sorted(numbers) == list(range(min(numbers), max(numbers) + 1))


def test_who_leaves_and_comes_back_while_catching_up_is_told_all(server: Running, owner: Client) -> None:
    """A client, alone in its room, that subscribes anew before it has caught up hears all from there and goes on."""
    room = owner.found()
    for number in range(150):
        owner.say(room, f"word {number}")
    with speaking(server, owner, resume={room.id: 0}) as speaker:
        for turn in range(20):
            speaker.say("unsubscribe", {"room_id": room.id})
            speaker.say("subscribe", {"room_id": room.id, "after": turn}, ref=turn)
        speaker.until(lambda frame: frame.get("ref") == 19)
        owner.say(room, "the end")
        hears(speaker, "the end")
        speaker.settle()
        assert [frame for frame in speaker.heard if frame["op"] == "resumed"]
        owner.say(room, "and on")
        speaker.until_event(lambda event: (event["d"] or {}).get("content") == "and on")


def test_coming_and_going_is_followed(server: Running, owner: Client) -> None:
    """Who joins hears the room from then on, who leaves hears nothing, not what happens meanwhile, and comes back."""
    room = owner.found(is_public=True)
    guest = owner.with_token(None).guest()
    with speaking(server, guest) as speaker:
        for turn in range(3):
            owner.say(room, f"hidden {turn}")
            guest.post(f"{room.path}/join")
            joined_at = speaker.next("joined")["d"]["last_seq"]
            owner.say(room, f"shown {turn}")
            hears(speaker, f"shown {turn}")
            heard = [number for number in speaker.numbers(room) if number > joined_at]
            assert heard == list(range(joined_at + 1, max(heard) + 1))
            guest.post(f"{room.path}/leave")
            assert speaker.next("removed")["d"] == {"room_id": room.id, "reason": "not_a_member"}
        assert list(filter(None, speaker.contents(room))) == ["shown 0", "shown 1", "shown 2"]


def test_a_deleted_room_is_gone_for_all(server: Running, owner: Client, guest: Client, room: Room) -> None:
    """Who listens to a room that is deleted is told so; who resumes it is told that it is gone."""
    with speaking(server, guest) as speaker, speaking(server, guest) as other:
        owner.say(room, "before")
        owner.did("DELETE", room.path, {})
        for one in (speaker, other):
            assert one.next("removed")["d"]["reason"] == "room_deleted"
        with speaking(server, guest, resume={room.id: 0}) as late:
            assert late.next("removed")["d"]["reason"] == "not_a_member"
            assert late.numbers(room) == []


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that has an administrator, named chief."""
    with serving(Place(tmp_path_factory.mktemp("platform"))) as server:
        yield server


def command(server: Running, *arguments: str) -> None:
    """Do something with the command line, as another process does."""
    done = CliRunner().invoke(cli.app, ["--config", str(server.place.folder / "rookery.toml"), *arguments])
    assert done.exit_code == 0, done.output


def name_of(client: Client) -> str:
    return str(client.get("/v1/users/me")["username"])


Ending = Callable[[Running, Client, Client], None]
ENDINGS: dict[str, Ending] = {
    "logout": lambda server, chief, user: user.post("/v1/auth/logout"),
    "another session": lambda server, chief, user: _end_first(_sign_in(user)),
    "password": lambda server, chief, user: _sign_in(user).post(
        "/v1/users/me/password", {"current_password": PASSWORD, "new_password": PASSWORD + "!"}
    ),
    "ban": lambda server, chief, user: chief.did("PUT", f"/v1/platform/bans/{user.id}", {"reason": "x"}),
    "suspension": lambda server, chief, user: chief.did("PUT", f"/v1/platform/suspensions/{user.id}", {"reason": "x"}),
    "command line": lambda server, chief, user: command(server, "user", "suspend", name_of(user), "--reason", "x"),
}


def _end_first(user: Client) -> None:
    oldest = min(user.get("/v1/users/me/sessions")["sessions"], key=lambda one: int(one["id"]))
    user.did("DELETE", f"/v1/users/me/sessions/{oldest['id']}")


def _sign_in(user: Client) -> Client:
    return user.with_token(user.post("/v1/auth/login", {"username": name_of(user), "password": PASSWORD})["token"])


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_an_ended_session_closes_its_sockets(platform: Running, end: Ending) -> None:
    """However a session ends, also by another process, its connections close within a second with 4004, no others."""
    with client_of(platform) as nobody:
        user, chief, bystander = (nobody.register(f"person_{next(_numbers)}x") for _ in range(3))
        command(platform, "user", "promote", name_of(chief))
        until(lambda: chief.ask("GET", "/v1/platform/bans").status_code == 200)
        with speaking(platform, user) as speaker, speaking(platform, bystander) as other:
            end(platform, chief, user)
            assert speaker.code(PATIENCE_SECONDS) == 4004
            other.settle()


def test_a_revoked_bots_token_closes_its_sockets(server: Running, owner: Client) -> None:
    """Revoking one token of a bot closes the connections that came with it, and none of its other token's."""
    keeper = owner.with_token(None).register(f"keeper_{next(_numbers)}x")
    bot_id = keeper.post("/v1/bots", {"username": f"bot_{next(_numbers)}x"})["user"]["id"]
    issued = [keeper.post(f"/v1/bots/{bot_id}/tokens", {"name": "t", "scopes": ["messages:read"]}) for _ in range(2)]
    revoked, kept = (keeper.with_token(one["token"]) for one in issued)
    with speaking(server, revoked) as speaker, speaking(server, kept) as other:
        tokens = keeper.get(f"/v1/bots/{bot_id}/tokens")["tokens"]
        first = min(tokens, key=lambda one: int(one["id"]))["id"]
        keeper.did("DELETE", f"/v1/bots/{bot_id}/tokens/{first}")
        assert speaker.code(PATIENCE_SECONDS) == 4004
        other.settle()

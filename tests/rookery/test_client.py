"""The Python client with a real server: what it hears and says, and where it goes on."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from rookery.client import (
    Block,
    Channels,
    Client,
    ClosedError,
    EndedError,
    Event,
    Happening,
    Joined,
    NotificationLevel,
    Presence,
    ProfileChange,
    ReadMarker,
    Ready,
    Removed,
    RequestError,
    Resumed,
    Resync,
    SettingsChange,
    Typing,
    UnreachableError,
    UnsendableError,
)
from rookery.client.errors import ENDINGS
from router.gateway import close_codes
from tests.rookery.gateways import hear, relay_to, until
from tests.router import clients
from tests.router.clients import Room, client_of
from tests.router.serving import PROJECT, Place, Running, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that tells of presences sooner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("router.gateway.gateway.PUBLISH_EVERY_SECONDS", 0.1)
        patch.setattr("router.gateway.gateway.LOOK_EVERY_SECONDS", 0.1)
        with serving(Place(tmp_path_factory.mktemp("server"), limits={"rooms_owned_max": 1_000})) as running:
            yield running


@pytest.fixture(scope="module")
def nobody(server: Running) -> Iterator[clients.Client]:
    """Somebody without a session, over HTTP."""
    with client_of(server) as client:
        yield client


@pytest.fixture
def ada(nobody: clients.Client) -> clients.Client:
    """Who founds the rooms."""
    return nobody.guest()


@pytest.fixture
def ben(nobody: clients.Client) -> clients.Client:
    """Who hears of them."""
    return nobody.guest()


@pytest.fixture
def room(ada: clients.Client, ben: clients.Client) -> Room:
    """A room of both."""
    room = ada.found()
    ada.admit(room, ben)
    return room


def said(content: str) -> Any:
    """Return what tells whether a happening is a message with these words."""
    return lambda happening: words(happening) == content


def words(happening: Happening) -> str | None:
    """Return the words of a new message."""
    match happening:
        case Event(type="message.created", data={"content": str(content)}):
            return content
    return None


def is_a(kind: type[Any]) -> Any:
    """Return what tells whether a happening is of a kind."""
    return lambda happening: isinstance(happening, kind)


def contents(heard: list[Happening]) -> list[str]:
    """Return the words of all new messages."""
    return [content for happening in heard if (content := words(happening)) is not None]


async def test_what_one_sends_the_other_hears(
    server: Running, ada: clients.Client, ben: clients.Client, room: Room
) -> None:
    """A message is acknowledged when it is stored, heard once by all, and the same one when its nonce is repeated."""
    channel_id = room.channels["general"]
    async with (
        Client.connect(server.url, token=ada.token) as speaker,
        Client.connect(server.url, token=ben.token) as listener,
    ):
        first = await speaker.send(room.id, channel_id, "hello", nonce="a nonce")
        again = await speaker.send(room.id, channel_id, "hello", nonce="a nonce")
        other = await speaker.send(room.id, channel_id, "goodbye", reply_to_id=first.id)
        heard = await hear(listener, said("goodbye"))
    assert (first.is_new, again.is_new, other.is_new) == (True, False, True)
    assert (again.id, again.channel_id, again.nonce) == (first.id, channel_id, "a nonce")
    ready = heard[0]
    assert isinstance(ready, Ready)
    assert (ready.user_id, list(ready.rooms)) == (ben.id, [room.id])
    assert contents(heard) == ["hello", "goodbye"]
    event = heard[-1]
    assert isinstance(event, Event)
    assert (event.room_id, event.channel_id, event.actor_id) == (room.id, channel_id, ada.id)
    assert event.data["id"] == other.id
    assert event.at == other.created_at
    assert listener.places[room.id] == event.seq


async def test_signs_of_life_are_heard(server: Running, ada: clients.Client, ben: clients.Client, room: Room) -> None:
    """Typing and presence reach the other person, and a read marker one's own other client."""
    channel_id = room.channels["general"]
    message_id = ada.say(room, "look")["id"]
    async with (
        Client.connect(server.url, token=ada.token) as speaker,
        Client.connect(server.url, token=ben.token) as listener,
    ):
        await speaker.typing(room.id, channel_id)
        assert (await hear(listener, is_a(Typing)))[-1] == Typing(room.id, channel_id, None, ada.id, 8)
        await speaker.presence("away", activity="browsing", room_id=room.id)
        away = Presence(room.id, ada.id, "away", "browsing", is_here=True)
        await hear(listener, lambda happening: happening == away)
        assert await listener.presences(room.id, [ada.id]) == (away,)
        assert len(await listener.presences(room.id)) == 2
        async with Client.connect(server.url, token=ada.token) as own:
            assert await speaker.read(room.id, channel_id, message_id) == message_id
            assert (await hear(own, is_a(ReadMarker)))[-1] == ReadMarker(room.id, channel_id, None, message_id)


async def test_changes_of_ones_own_state_are_told(
    server: Running, ada: clients.Client, ben: clients.Client, room: Room
) -> None:
    """What the user changes elsewhere comes as what it is, also what belongs to no room."""
    async with Client.connect(server.url, token=ben.token) as client:
        ben.did("PUT", f"{room.general}/notifications", {"level": "none"})
        ben.did("PUT", f"/v1/users/me/blocks/{ada.id}")
        ben.did("DELETE", f"/v1/users/me/blocks/{ada.id}")
        ben.did("PATCH", "/v1/users/me/settings", {"theme": "dark"})
        ben.did("PATCH", "/v1/users/me", {"bio": "I collect twigs."})
        heard = await hear(client, is_a(ProfileChange))
        kinds = (NotificationLevel, Block, SettingsChange, ProfileChange)
        assert [happening for happening in heard if isinstance(happening, kinds)] == [
            NotificationLevel(room.id, room.channels["general"], "none"),
            Block(ada.id, is_blocked=True),
            Block(ada.id, is_blocked=False),
            SettingsChange({"theme": "dark"}),
            ProfileChange({"bio": "I collect twigs."}),
        ]


async def test_comings_and_goings_are_told(server: Running, ada: clients.Client, ben: clients.Client) -> None:
    """Who comes into a room is told so and hears it; who sees other channels, or is put out, is told that too."""
    room = ada.found()
    async with Client.connect(server.url, token=ben.token) as client:
        assert isinstance(await anext(client), Ready)
        assert client.places == {}
        ada.admit(room, ben)
        ada.say(room, "welcome")
        heard = await hear(client, said("welcome"))
        assert isinstance(heard[0], Joined)
        assert (heard[0].room["id"], heard[0].room["last_seq"], heard[0].users) == (room.id, heard[0].last_seq, ())
        assert [happening.seq for happening in heard if isinstance(happening, Event)] == list(
            range(heard[0].last_seq + 1, client.places[room.id] + 1)
        )
        ada.did("PATCH", f"{room.general}", {"is_private": True})
        channels = (await hear(client, is_a(Channels)))[-1]
        assert isinstance(channels, Channels)
        assert room.channels["general"] not in channels.channel_ids
        ada.did("DELETE", f"{room.path}/members/{ben.id}")
        assert (await hear(client, is_a(Removed)))[-1] == Removed(room.id, "not_a_member")
        assert client.places == {}


async def test_hidden_events_are_skipped_and_counted(
    server: Running, ada: clients.Client, ben: clients.Client, room: Room
) -> None:
    """What happens in a channel that is not ours comes as numbers alone, and both end at the same place."""
    hidden = ada.post(f"{room.path}/channels", {"name": "hidden", "is_private": True})["id"]
    async with (
        Client.connect(server.url, token=ada.token) as sees,
        Client.connect(server.url, token=ben.token) as sees_less,
    ):
        for number in range(3):
            await sees.send(room.id, hidden, f"secret {number}")
        await sees.send(room.id, room.channels["general"], "for all")
        all_of_it = await hear(sees, said("for all"))
        some_of_it = await hear(sees_less, said("for all"))
        assert contents(all_of_it) == ["secret 0", "secret 1", "secret 2", "for all"]
        assert contents(some_of_it) == ["for all"]
        await sees.send(room.id, hidden, "the last one")
        await hear(sees, said("the last one"))
        iterating = asyncio.create_task(hear(sees_less, lambda happening: False))
        await until(lambda: sees_less.places == sees.places)
        iterating.cancel()


async def test_places_lead_on(server: Running, ada: clients.Client, ben: clients.Client, room: Room) -> None:
    """Another client goes on after the places of one that stopped, and those that it was not given begin at the end."""
    async with Client.connect(server.url, token=ben.token) as client:
        for number in range(4):
            ada.say(room, f"message {number}")
        await hear(client, said("message 1"))
        places = client.places
    ada.say(room, "message 4")
    other = ada.found()
    ada.admit(other, ben)
    async with Client.connect(server.url, token=ben.token, places=places) as client:
        heard = await hear(client, is_a(Resumed))
        assert contents(heard) == ["message 2", "message 3", "message 4"]
        assert heard[-1] == Resumed(room.id, client.places[room.id], tuple(room.channels.values()))
        assert set(client.places) == {room.id, other.id}
    async with Client.connect(server.url, token=ben.token, places={room.id: 10**6, "1": 5}) as client:
        everything = await hear(client, is_a(Removed))
        # That the connection before has ended may be told in the room meanwhile.
        heard = [happening for happening in everything if not isinstance(happening, Presence)]
        assert [type(happening) for happening in heard] == [Ready, Resync, Resumed, Removed]
        assert isinstance(heard[1], Resync)
        assert heard[1].reason == "ahead"
        assert client.places[room.id] == heard[1].seq
        assert "1" not in client.places


async def test_a_room_can_be_left_out_and_taken_back(
    server: Running, ada: clients.Client, ben: clients.Client, room: Room
) -> None:
    """A room that is unsubscribed stays silent on later connections too, and comes back from where it is wanted."""
    other = ada.found()
    ada.admit(other, ben)
    async with relay_to(server.port) as relay, Client.connect(relay.url, token=ben.token) as client:
        ada.say(room, "the first")
        await hear(client, said("the first"))
        place = client.places[room.id]
        await client.unsubscribe(room.id)
        ada.say(room, "not heard")
        relay.cut()
        await hear(client, is_a(Ready))
        ada.say(room, "not heard either")
        ada.say(other, "elsewhere")
        assert contents(await hear(client, said("elsewhere"))) == ["elsewhere"]
        overview = await client.subscribe(room.id, after=place)
        assert [channel["id"] for channel in overview.channels] == list(room.channels.values())
        assert contents(await hear(client, is_a(Resumed))) == ["not heard", "not heard either"]
        await client.unsubscribe(room.id)
        ada.say(room, "not heard")
        assert (await client.subscribe(room.id)).last_seq == place + 3
        ada.say(room, "heard again")
        assert contents(await hear(client, said("heard again"))) == ["heard again"]


async def test_tickets_are_asked_for_each_time(server: Running, ben: clients.Client) -> None:
    """A client with a ticket's callback gets a new ticket for every connection."""
    tickets = []

    async def ticket() -> str:
        tickets.append(ben.post("/v1/gateway/tickets")["ticket"])
        return str(tickets[-1])

    async with relay_to(server.port) as relay, Client.connect(relay.url, ticket=ticket) as client:
        await hear(client, is_a(Ready))
        relay.cut()
        await hear(client, is_a(Ready))
    assert len(set(tickets)) == 2


async def test_refused_requests_say_why(server: Running, ada: clients.Client, ben: clients.Client) -> None:
    """What is refused raises the problem that HTTP would answer, and the client goes on."""
    room = ada.found()
    channel_id = room.channels["general"]
    async with Client.connect(server.url, token=ben.token) as client:
        with pytest.raises(RequestError, match="404 not-found") as missing:
            await client.send(room.id, channel_id, "hello")
        assert (missing.value.status, missing.value.slug) == (404, "not-found")
        with pytest.raises(RequestError, match=r"d\.content: at least one visible"):
            await client.send(room.id, channel_id, " ")
        for half in ("\ud800", "a\udfffb"):
            with pytest.raises(UnsendableError, match="surrogates not allowed"):
                await client.send(room.id, channel_id, half)
        with pytest.raises(ValueError, match="at most 65536"):
            await client.send(room.id, channel_id, "x" * 70_000)
        ada.admit(room, ben)
        assert (await client.send(room.id, channel_id, "hello")).is_new
    with pytest.raises(ClosedError):
        await client.send(room.id, channel_id, "too late")
    assert [happening async for happening in client] == []


async def test_who_is_not_wanted_is_told_why(server: Running, nobody: clients.Client) -> None:
    """A wrong token, a wrong address, a session that ends, and too many connections end a client for good."""
    for url, token, code in ((server.url, "wrong", 4003), (server.url, "", 4001), (f"{server.url}/else", "wrong", 404)):
        with pytest.raises(EndedError) as refused:
            async with Client.connect(url, token=token):
                pass
        assert (refused.value.code, bool(refused.value.remedy)) == (code, True)
    someone = nobody.guest()
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(Client.connect(server.url, token=someone.token)) for _ in range(25)]
        with pytest.raises(EndedError, match="4009") as too_many:
            await stack.enter_async_context(Client.connect(server.url, token=someone.token))
        assert too_many.value.remedy == "Close one of the others first."
        someone.did("POST", "/v1/auth/logout")
        with pytest.raises(EndedError, match="4004"):
            await hear(opened[0], is_a(Removed))
        with pytest.raises(EndedError, match="4004"):
            await opened[0].send("1", "1", "hello")


async def test_a_server_that_is_not_there_is_told_at_once(unused_tcp_port: int) -> None:
    """The first try to connect fails with what is wrong; so does a client without a secret, or with two."""
    with pytest.raises(UnreachableError, match="cannot be reached"):
        async with Client.connect(f"http://127.0.0.1:{unused_tcp_port}", token="token"):
            pass
    secrets: tuple[dict[str, Any], ...] = ({}, {"token": "token", "ticket": lambda: asyncio.sleep(0, "ticket")})
    for given in secrets:
        with pytest.raises(ValueError, match="either a token or a ticket"):
            async with Client.connect(f"http://127.0.0.1:{unused_tcp_port}", **given):
                pass


def test_the_remedies_are_those_of_the_server() -> None:
    """The client says of each close code that ends it what the server's own table says."""
    told = {close.code: close.remedy for close in close_codes.CLOSES}
    assert {code: remedy for code, remedy in ENDINGS.items() if code >= 4000} == {
        code: told[code] for code in (4001, 4003, 4004, 4005, 4009)
    }


def test_the_client_stands_alone() -> None:
    """Importing the client brings nothing of the server's along."""
    program = "import sys, rookery.client; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, check=True, text=True)
    assert {"websockets", "orjson"} <= set(loaded.stdout.split())
    ours = {"router", "directory", "shard", "monitor", "config", "objects", "migrations", "sqlite", "ids"}
    assert not ours & set(loaded.stdout.split())


async def test_the_example_of_the_documents_runs(
    server: Running, ada: clients.Client, ben: clients.Client, room: Room, tmp_path: Path
) -> None:
    """The program in docs/gateway.md answers as it says, and goes on where it was stopped."""
    page = (PROJECT / "docs/gateway.md").read_text(encoding="utf-8")
    found = re.search(r"^## A client in Python$.*?^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    (tmp_path / "bot.py").write_text(found[1], encoding="utf-8")
    environ = {"PYTHONPATH": str(PROJECT), "ROOKERY_URL": server.url, "ROOKERY_TOKEN": str(ben.token)}
    async with Client.connect(server.url, token=ada.token) as client:
        for question in ("before it starts", "while it does not run"):
            bot = subprocess.Popen([sys.executable, "bot.py"], cwd=tmp_path, env=environ)
            try:
                if question == "before it starts":
                    await hear(client, lambda one: isinstance(one, Presence) and one.user_id == ben.id)
                    await client.send(room.id, room.channels["general"], "!ping")
                heard = await hear(client, said("pong"))
                assert [one.actor_id for one in heard if isinstance(one, Event)][-1] == ben.id
                await until((tmp_path / "places.json").exists)
            finally:
                bot.kill()
                bot.wait()
            await client.send(room.id, room.channels["general"], "!ping")

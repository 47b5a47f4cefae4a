"""The Python client when things go wrong: lost connections, killed servers, slow readers, gateways that make mistakes.

Each guarantee is also tried without what keeps it, and must then be seen to break.
"""

import asyncio
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rookery.client import (
    Client,
    EndedError,
    Event,
    Happening,
    Ready,
    Resumed,
    Resync,
    SequenceError,
    UnreachableError,
    requests,
)
from rookery.client.errors import ENDINGS
from rookery.client.positions import Positions, follow
from tests.rookery.gateways import Guest, hear, playing, relay_to, until
from tests.router import clients
from tests.router.clients import Room, client_of
from tests.router.serving import Place, Process, Running, process, serving

KILLS = int(os.environ.get("ROOKERY_CRASH_CYCLES", "3"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A real server."""
    with serving(Place(tmp_path_factory.mktemp("server"), limits={"rooms_owned_max": 1_000})) as running:
        yield running


@pytest.fixture
def ada(server: Running) -> Iterator[clients.Client]:
    """Somebody with rooms."""
    with client_of(server) as nobody:
        yield nobody.guest()


def contents(heard: list[Happening]) -> list[str]:
    """Return the words of all new messages."""
    return [one.data["content"] for one in heard if isinstance(one, Event) and one.type == "message.created"]


def is_resumed(happening: Happening) -> bool:
    return isinstance(happening, Resumed)


def seq_is(seq: int) -> Any:
    """Return what tells whether a happening is the event of a number."""
    return lambda happening: isinstance(happening, Event) and happening.seq == seq


@pytest.mark.parametrize("is_mutant", [False, True], ids=["as it is", "with another nonce"])
async def test_what_was_lost_on_its_way_back_is_stored_once(
    server: Running, ada: clients.Client, monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """A message whose acknowledgement is lost is sent again with the same nonce, and there is one of it."""
    room = ada.found()
    nonces = itertools.count()
    if is_mutant:
        send = requests._send

        async def send_as_new(asked: Any, link: Any) -> None:
            asked.frame = asked.frame.replace(b"a nonce", b"nonce %d" % next(nonces))
            await send(asked, link)
            asked.frame = asked.frame.replace(b"nonce 0", b"a nonce")

        monkeypatch.setattr(requests, "_send", send_as_new)
    async with relay_to(server.port) as relay, Client.connect(relay.url, token=ada.token) as client:
        relay.mutes = True
        sending = asyncio.create_task(client.send(room.id, room.channels["general"], "once", nonce="a nonce"))
        await until(lambda: ada.get(f"{room.general}/messages")["messages"])
        relay.mutes = False
        relay.cut()
        sent = await sending
        await client.send(room.id, room.channels["general"], "the end")
        heard = await hear(client, lambda one: contents([one]) == ["the end"])
    assert sent.is_new is is_mutant
    assert contents(heard) == ["once"] * (1 + is_mutant) + ["the end"]


async def keep_saying(
    url: str, token: str | None, room: Room, name: str, said: asyncio.Semaphore, stop: asyncio.Event
) -> None:
    """Send messages over HTTP, each until it is acknowledged, which releases `said` once."""
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=5) as http:
        for number in itertools.count():
            message = {"content": f"{name} {number}", "nonce": f"{name} {number}"}
            while True:
                try:
                    answer = await http.post(f"{room.general}/messages", json=message)
                except httpx.TransportError:
                    await asyncio.sleep(0.02)
                else:
                    assert answer.status_code in (200, 201), answer.text
                    said.release()
                    break
            if stop.is_set():
                return


def stored(ada: clients.Client, room: Room) -> list[str]:
    """Return the words of all messages, oldest first."""
    page = ada.get(f"{room.general}/messages", limit=100)["messages"]
    found = list(page)
    while page:
        page = ada.get(f"{room.general}/messages", limit=100, before=min(int(one["id"]) for one in found))["messages"]
        found += page
    return [one["content"] for one in sorted(found, key=lambda one: int(one["id"]))]


async def kill_while_others_talk(
    served: Process, client: Client, ada: clients.Client, room: Room, kills: int
) -> list[Happening]:
    """Return what a client heard, up to a last message, while its server was killed under those who talk."""
    said, stop = asyncio.Semaphore(0), asyncio.Event()
    hearing = asyncio.create_task(hear(client, lambda one: contents([one]) == ["the end"], seconds=20 + 20 * kills))
    async with asyncio.TaskGroup() as talking:
        for name in ("ben", "cat", "dan"):
            talking.create_task(keep_saying(served.running.url, ada.token, room, name, said, stop))
        for number in range(kills):
            for _ in range(21):
                await said.acquire()
            sending = asyncio.create_task(client.send(room.id, room.channels["general"], f"from here {number}"))
            await asyncio.sleep(0.001)
            await asyncio.to_thread(served.kill)
            await asyncio.to_thread(served.start)
            await sending
            # It may have been acknowledged before the kill; this one says that the client is connected again.
            await client.send(room.id, room.channels["general"], f"back again {number}")
        stop.set()
    await client.send(room.id, room.channels["general"], "the end")
    return await hearing


@pytest.mark.crash
@pytest.mark.parametrize(("kills", "is_mutant"), [(KILLS, False), (1, True)], ids=["as it is", "without resuming"])
async def test_a_killed_server_costs_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int, is_mutant: bool
) -> None:
    """Whoever iterates while the server is killed and started again hears every message once, in order."""
    if is_mutant:
        monkeypatch.setattr(Positions, "resume", lambda positions: {})
    with process(Place(tmp_path)) as served, client_of(served.running) as nobody:
        ada = nobody.guest()
        room = ada.found()
        async with Client.connect(served.running.url, token=ada.token) as client:
            heard = await kill_while_others_talk(served, client, ada, room, kills)
        told, there = contents(heard), stored(ada, room)
    assert sum(isinstance(happening, Ready) for happening in heard) == 1 + kills
    assert len(there) > 20 * kills
    assert sum(content.startswith("from here") for content in there) == kills
    assert len({*there}) == len(there)
    assert (told == there) is not is_mutant


@pytest.mark.parametrize("sends", [False, True], ids=["only reads", "sends meanwhile"])
async def test_who_does_not_iterate_costs_no_memory_and_no_event(
    server: Running, ada: clients.Client, monkeypatch: pytest.MonkeyPatch, sends: bool
) -> None:
    """What waits for who iterates slowly is bounded, what they ask meanwhile is answered, and they hear all once."""
    monkeypatch.setattr("rookery.client.event_queue.PAUSE_BYTES", 20_000)
    monkeypatch.setattr("rookery.client.positions.BYTES_MAX", 60_000)
    room = ada.found()
    sizes = set()
    async with Client.connect(server.url, token=ada.token) as client:
        for number in range(150):
            await asyncio.to_thread(ada.say, room, f"{number:06} " + "x" * 1_000)
            if sends and number % 5 == 0:
                async with asyncio.timeout(10):
                    await client.send(room.id, room.channels["general"], f"between {number}")
            sizes.add(client._positions._queue.size)
        assert 20_000 < max(sizes) < (64_000 if sends else 24_000)
        ada.say(room, "the end")
        heard = await hear(client, lambda one: contents([one]) == ["the end"])
    assert contents(heard) == stored(ada, room)
    assert sum(isinstance(happening, Ready) for happening in heard) == (2 if sends else 1)


@pytest.mark.parametrize("code", ENDINGS)
async def test_some_close_codes_end_it(code: int) -> None:
    """After a close code that trying again does not mend, whoever iterates is told of it after what came before."""

    async def play(guest: Guest) -> None:
        await guest.greet({"7": 5})
        await guest.tell_events("7", 6)
        await guest.socket.close(code, "a reason")

    async with playing(play) as url, Client.connect(url, token="token") as client:
        assert isinstance(await anext(client), Ready)
        assert isinstance(await anext(client), Event)
        with pytest.raises(EndedError, match="a reason") as ended:
            await anext(client)
        assert (ended.value.code, ended.value.remedy) == (code, ENDINGS[code])
        assert client.places == {"7": 6}


async def test_other_close_codes_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """After any other end the client comes back by itself with the places that it has, after a while if it should."""
    monkeypatch.setattr("rookery.client.connection.BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr("rookery.client.connection.TOO_CHATTY_SECONDS", 0.5)
    codes = (1000, 1001, 1011, 1012, 4000, 4002, 4006, 4007, 4008)
    guests: list[Guest] = []
    times = []

    async def play(guest: Guest) -> None:
        guests.append(guest)
        times.append(asyncio.get_running_loop().time())
        await guest.greet({"7": 5})
        await guest.tell_events("7", 5 + guest.number)
        if guest.number <= len(codes):
            await guest.socket.close(codes[guest.number - 1])
        await guest.stay()

    async with playing(play) as url, Client.connect(url, token="token") as client:
        await hear(client, seq_is(6 + len(codes)))
    resumed = [guest.identified["resume"] for guest in guests]
    assert resumed == [{}, *({"7": 6 + number} for number in range(len(codes)))]
    waits = [after - before for before, after in itertools.pairwise(times)]
    assert [code for code, wait in zip(codes, waits, strict=True) if wait >= 0.5] == [4006]


@pytest.mark.parametrize(
    ("seqs", "skipped"),
    [((8,), ()), ((6,), ()), ((5,), ()), ((7, 9), ()), ((7, 9), ((10, 11),)), ((9,), ((8, 8),)), ((), ((8, 9),))],
    ids=str,
)
async def test_a_gap_is_an_error(seqs: tuple[int, ...], skipped: tuple[tuple[int, int], ...]) -> None:
    """Events that are missing or come twice are told as an error, after which the places are those before them."""

    async def play(guest: Guest) -> None:
        await guest.greet({"7": 5})
        await guest.tell_events("7", 6)
        await guest.tell_events("7", *seqs, skipped=skipped)
        await guest.stay()

    async with playing(play) as url, Client.connect(url, token="token") as client:
        with pytest.raises(SequenceError, match="Room 7 went on with event") as gap:
            await hear(client, seq_is(99))
        assert (client.places, gap.value.room_id, gap.value.place <= 7) == ({"7": 6}, "7", True)
        with pytest.raises(SequenceError):
            await client.send("7", "8", "hello")


async def test_what_is_left_out_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With too much waiting only the awaited answer is taken in; the rest comes on a new connection, new rooms too."""
    monkeypatch.setattr("rookery.client.positions.BYTES_MAX", 10_000)
    monkeypatch.setattr("rookery.client.event_queue.PAUSE_BYTES", 5_000)
    monkeypatch.setattr("rookery.client.connection.BACKOFF_SECONDS", 0.4)
    resumed = []
    times = []

    async def play(guest: Guest) -> None:
        times.append(asyncio.get_running_loop().time())
        if guest.number == 2:
            await guest.socket.close(1012)
        await guest.greet({"7": 0})
        resumed.append(guest.identified["resume"])
        if guest.number == 1:
            ref = (await guest.next())["ref"]
            await guest.tell_events("7", *range(1, 51))
            await guest.tell_events("7", 51)
            await guest.tell("joined", {"room_id": "9", "last_seq": 3})
            await guest.tell_events("9", 4)
            await guest.tell("ok", {"last_read_id": "8"}, ref=ref)
        else:
            await guest.tell_events("7", 51)
            await guest.tell_events("9", 4)
        await guest.stay()

    async with playing(play) as url, Client.connect(url, token="token") as client:
        assert await client.read("7", "8") == "8"
        heard = await hear(client, lambda one: isinstance(one, Event) and one.room_id == "9")
    seqs = [(one.room_id, one.seq) for one in heard if isinstance(one, Event)]
    assert seqs == [*(("7", seq) for seq in range(1, 52)), ("9", 4)]
    assert resumed == [{}, {"7": 50, "9": 3}]
    assert times[2] - times[1] >= 0.2, "only the renewal itself is not put off"


async def test_rooms_beyond_what_a_server_resumes_are_told() -> None:
    """Of a thousand and one rooms the first is not resumed, and who missed something of it is told to read it anew."""

    async def play(guest: Guest) -> None:
        await guest.greet({"1": 9, "2": 9})
        await guest.tell("resumed", {"room_id": "2", "seq": 5, "channel_ids": []})
        await guest.stay()

    places = {str(number): 5 for number in range(1, 1_002)}
    async with playing(play) as url, Client.connect(url, token="token", places=places) as client:
        heard = await hear(client, is_resumed)
        assert heard[1:] == [Resync("1", 9, "too_many_rooms"), Resumed("2", 5, ())]
        assert (client.places["1"], client.places["2"]) == (9, 5)


async def test_something_else_is_no_gateway() -> None:
    """A server that greets in another way is not taken for a gateway."""

    async def play(guest: Guest) -> None:
        await guest.socket.send("Welcome!")
        await guest.stay()

    async with playing(play) as url:
        with pytest.raises(UnreachableError, match="is not a gateway: b'Welcome!'"):
            async with Client.connect(url, token="token"):
                pass


async def test_a_room_that_is_resumed_elsewhere_is_an_error() -> None:
    """Whoever is told that they have everything up to a number that they do not have is not content with that."""

    async def play(guest: Guest) -> None:
        await guest.greet({"7": 5})
        await guest.tell_events("7", 6)
        await guest.tell("resumed", {"room_id": "7", "seq": 8, "channel_ids": []})
        await guest.stay()

    async with playing(play) as url, Client.connect(url, token="token", places={"7": 5}) as client:
        with pytest.raises(SequenceError):
            await hear(client, is_resumed)


def test_hidden_numbers_count_as_heard() -> None:
    """Spans of hidden events close gaps between events, may begin below the place, and lead on by themselves."""
    first, second = (Event("x", "7", seq, None, None, None, {}) for seq in (6, 9))  # type: ignore[arg-type]
    assert follow("7", 5, [first, second], [(7, 8), (10, 12)]) == [(first, 8), (second, 12)]
    assert follow("7", 5, [first], [(2, 5)]) == [(first, 6)]
    assert follow("7", 5, [], [(3, 9)]) == [(None, 9)]
    assert follow("7", 5, [], [(2, 4)]) == [(None, 5)]


async def test_heartbeats_are_sent_and_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client says that it is there as often as hello asks, and leaves a server that says nothing any more."""
    monkeypatch.setattr("rookery.client.connection.BACKOFF_SECONDS", 0.01)
    beats: list[int] = []

    async def play(guest: Guest) -> None:
        await guest.greet({}, heartbeat_ms=100)
        while True:
            assert (await guest.next())["op"] == "heartbeat"
            beats.append(guest.number)
            if guest.number > 1:
                await guest.tell("heartbeat", None)

    async with playing(play) as url, Client.connect(url, token="token") as client:
        await hear(client, lambda happening: len(beats) > 0)
        await until(lambda: beats.count(2) >= 5)
    assert beats.count(1) in (2, 3, 4)
    assert set(beats) == {1, 2}


async def test_requests_are_paced_and_answered_in_any_order() -> None:
    """More requests than a server takes wait their turn, and each gets its own answer."""
    asked: list[int] = []

    async def play(guest: Guest) -> None:
        await guest.greet({"7": 5})
        for batch in range(2):
            frames = [await guest.next() for _ in range(requests.UNANSWERED_MAX)]
            if batch == 0:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await guest.next()
            for frame in reversed(frames):
                asked.append(int(frame["d"]["last_read_id"]))
                marker = {"channel_id": "8", "thread_id": None, "last_read_id": frame["d"]["last_read_id"]}
                await guest.tell("ok", marker, ref=frame["ref"])
        await guest.stay()

    async with playing(play) as url, Client.connect(url, token="token") as client:
        numbers = range(2 * requests.UNANSWERED_MAX)
        answers = await asyncio.gather(*(client.read("7", "8", str(number)) for number in numbers))
    assert answers == [str(number) for number in numbers]
    assert sorted(asked[: requests.UNANSWERED_MAX]) == list(numbers[: requests.UNANSWERED_MAX])

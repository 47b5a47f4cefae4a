"""Bad luck at the gateway: clients that are stuck, shards that fail while somebody listens, restarts, no files left.

ROOKERY_GATEWAY_SOCKETS=2000 makes the crowd as large as it may be on one machine.
"""

import asyncio
import contextlib
import os
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles
from typing import Any

import apsw
import httpx
import orjson
import pytest

from router.gateway import broadcast
from shard.engine import open_shard
from tests.router.clients import Client, Room, client_of
from tests.router.serving import Place, Process, Running, process, serving, until
from tests.router.wires import TEXT, Frame, Speaker, Wire, frame, handshake, knock, speaking
from tests.shard import disks

pytestmark = pytest.mark.crash

SOCKETS = int(os.environ.get("ROOKERY_GATEWAY_SOCKETS", "60"))
MEASURED_FROM = 500
"""Sockets from which they are heard without stuck ones too, for comparison."""
PER_PERSON = 20
DROPPED = 'rookery_gateway_closed_total{reason="too-slow"}'
WORDS = 260
"""Messages of 16 KB each: more than the system's buffers and a connection's queue take."""
MIB = 1 << 20
MEMORY_OF_STUCK_BYTES = 3 * MIB // 2
MEMORY_BESIDE_BYTES = 64 * MIB


class Listener:
    """A client that counts what it hears, or never reads."""

    def __init__(self, port: int, token: str, *, is_stuck: bool) -> None:
        self._port, self._token, self.is_stuck = port, token, is_stuck
        self.heard: dict[bytes, float] = {}

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._socket = socket.socket()
        if self.is_stuck:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self._socket.settimeout(0)
        await loop.sock_connect(self._socket, ("127.0.0.1", self._port))
        await loop.sock_sendall(self._socket, handshake())
        await self._until(b"hello")
        said = {"op": "identify", "d": {"token": self._token, "presence": {"status": "offline"}}}
        await loop.sock_sendall(self._socket, frame(TEXT, orjson.dumps(said)))
        await self._until(b'"ready"')

    async def _until(self, mark: bytes) -> None:
        found = b""
        while mark not in found:
            part = await asyncio.get_running_loop().sock_recv(self._socket, 65_536)
            assert part, "the server hung up"
            found += part

    async def listen(self) -> None:
        """Note when each word came, until all did."""
        rest = b""
        while len(self.heard) < WORDS:
            data = rest + await asyncio.get_running_loop().sock_recv(self._socket, 262_144)
            *words, rest = data.split(b'"content":"word-')
            now = time.perf_counter()
            for at, part in enumerate([*words, rest]):
                if at and len(part) >= 5:
                    self.heard.setdefault(part[:5], now)
            rest = data[-100:]

    def close(self) -> None:
        self._socket.close()


def metric(client: Client, name: str) -> float:
    lines = client.ask("GET", "/metrics").text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(name)), 0.0)


def memory_bytes(served: Process) -> int:
    assert served.popen is not None
    pages = Path(f"/proc/{served.popen.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


async def hear(served: Process, owner: Client, room: Room, listeners: list[Listener]) -> list[float]:
    """Have everybody hear a busy channel, and return the seconds that each word took to each who reads."""
    sent: dict[bytes, float] = {}

    async def talk() -> None:
        async with httpx.AsyncClient(base_url=served.running.url, timeout=30) as http:
            for number in range(WORDS):
                word = f"{number:05}"
                body = {"content": f"word-{word}" + "\U0001f426" * 3_900}
                sent[word.encode()] = time.perf_counter()
                answer = await http.post(
                    f"{room.general}/messages", json=body, headers={"authorization": f"Bearer {owner.token}"}
                )
                assert answer.status_code == 201, answer.text

    readers = [one for one in listeners if not one.is_stuck]
    async with asyncio.timeout(240):
        await asyncio.gather(talk(), *(one.listen() for one in readers))
    return [at - sent[word] for one in readers for word, at in one.heard.items()]


def test_stuck_clients_are_dropped_and_cost_nobody_else(tmp_path: Path) -> None:
    """A fifth of the listeners never reads: each is dropped at its bound, all others hear everything, and the memory
    that the stuck ones cost is bounded by their queues."""
    with process(Place(tmp_path)) as served, client_of(served.running) as nobody:
        owner = nobody.guest()
        room = owner.found()
        guests = [nobody.guest() for _ in range(-(-SOCKETS // PER_PERSON))]
        owner.admit(room, *guests)
        ages: dict[int, float] = {}
        for stuck_every in (0, 5) if SOCKETS >= MEASURED_FROM else (5,):
            listeners = [
                Listener(
                    served.running.port,
                    str(guests[number // PER_PERSON].token),
                    is_stuck=bool(stuck_every) and number % stuck_every == 0,
                )
                for number in range(SOCKETS)
            ]
            stuck = sum(one.is_stuck for one in listeners)
            before = memory_bytes(served)

            async def scene(listeners: list[Listener] = listeners) -> list[float]:
                for one in listeners:
                    await one.open()
                return await hear(served, owner, room, listeners)

            ages[stuck_every] = quantiles(asyncio.run(scene()), n=100)[98]
            assert memory_bytes(served) - before < stuck * MEMORY_OF_STUCK_BYTES + MEMORY_BESIDE_BYTES
            until(lambda stuck=stuck: metric(nobody, DROPPED) == stuck)  # type: ignore[misc]
            for one in listeners:
                one.close()
            until(lambda: metric(nobody, "rookery_gateway_connections ") == 0)
    told = ", ".join(f"{seconds * 1000:.0f} ms{' with a fifth stuck' * bool(every)}" for every, seconds in ages.items())
    print(f"p99 of {SOCKETS} listeners: {told}")


def test_a_server_that_stops_says_so(tmp_path: Path) -> None:
    """Everybody is told 1012 when the server stops, who does not read does not hold it up, and it ends well."""
    with process(Place(tmp_path)) as served, client_of(served.running) as nobody:
        guest = nobody.guest()
        with ExitStack() as stack:
            speakers = [stack.enter_context(speaking(served.running, guest)) for _ in range(5)]
            stranger = stack.enter_context(speaking(served.running))
            silent = Wire(served.running).open()
            half_open = Wire(served.running)
            half_open.socket.sendall(handshake()[:40])
            served.terminate()
            assert {speaker.code() for speaker in (*speakers, stranger)} == {1012}
            assert served.wait() in (0, -15)
            silent.close()
            half_open.close()


def said(content: str) -> Any:
    """Return what tells whether an event is a message with these words."""

    def is_it(event: Frame) -> bool:
        return bool(event["type"] == "message.created" and event["d"].get("content") == content)

    return is_it


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed shards are tried again soon."""
    monkeypatch.setattr(open_shard, "REOPEN_AFTER_SECONDS", 0.05)
    monkeypatch.setattr(broadcast, "RETRY_SECONDS", 0.1)


class Failing:
    """A disk whose syncs of one room's files fail while it is told to."""

    def __init__(self) -> None:
        self.room_id: str | None = None

    def __call__(self, operation: str, path: Path) -> None:
        if operation == "xSync" and self.room_id is not None and self.room_id in path.name:
            raise disks.failing(apsw.SQLITE_IOERR)


@pytest.fixture
def disk() -> Iterator[Failing]:
    fault = Failing()
    with disks.inserted(fault):
        yield fault


def test_what_a_failing_disk_kept_is_told_when_the_room_is_back(tmp_path: Path, disk: Failing, impatient: None) -> None:
    """A message whose outcome is unknown to its sender is told to those who listen, awake or asleep, if the log has it,
    without anything else happening; other rooms go on meanwhile."""
    with serving(Place(tmp_path)) as server, client_of(server) as nobody:
        owner = nobody.guest()
        room, elsewhere = owner.found(), owner.found()
        with speaking(server, owner) as awake:
            owner.say(room, "before")
            awake.until_event(said("before"))
            with speaking(server, owner) as asleep:
                place = awake.place(room)
                disk.room_id = room.id
                refused = owner.ask("POST", f"{room.general}/messages", {"content": "unknown"})
                assert refused.status_code == 503
                owner.say(elsewhere, "meanwhile")
                awake.until_event(said("meanwhile"))
                disk.room_id = None
                until(lambda: owner.ask("GET", f"{room.general}/messages").status_code == 200)
                stored = [message["content"] for message in owner.get(f"{room.general}/messages")["messages"]]
                assert stored == ["unknown", "before"], "this disk keeps what it could not sync"
                awake.until_event(said("unknown"))
                asleep.until_event(said("unknown"))
                owner.say(room, "after")
                for speaker in (awake, asleep):
                    speaker.until_event(said("after"))
                assert speaker_is_whole(awake, room, 0)
                assert speaker_is_whole(asleep, room, place)


def speaker_is_whole(speaker: Speaker, room: Room, after: int) -> bool:
    """Tell whether every number behind `after` came once and in order."""
    numbers = [number for number in speaker.numbers(room) if number > after]
    return numbers == list(range(after + 1, max(numbers) + 1))


def test_listeners_wait_for_a_file_that_is_gone(tmp_path: Path, impatient: None) -> None:
    """While a room's file is gone, who listens and who resumes wait for it, hear their other rooms, and then have
    everything once."""
    with serving(Place(tmp_path)) as server, client_of(server) as nobody:
        owner = nobody.guest()
        room, elsewhere = owner.found(), owner.found()
        for number in range(300):
            owner.say(room, f"word {number}")
        path = server.place.shards / f"{room.id}.db"
        with speaking(server, owner) as live:
            owner.say(room, "before")
            live.until_event(said("before"))
            heard_to = live.place(room)
            path.rename(path.with_suffix(".away"))
            assert owner.ask("POST", f"{room.general}/messages", {"content": "lost"}).status_code == 503
            with speaking(server, owner, resume={room.id: 5, elsewhere.id: 0}) as back:
                assert back.next("resumed")["d"]["room_id"] == elsewhere.id
                owner.say(elsewhere, "meanwhile")
                for speaker in (live, back):
                    speaker.until_event(said("meanwhile"))
                assert back.numbers(room) == []
                path.with_suffix(".away").rename(path)
                back.until(lambda frame: frame["op"] == "resumed" and frame["d"]["room_id"] == room.id)
                owner.say(room, "after")
                for speaker, place in ((live, heard_to), (back, 5)):
                    speaker.until_event(said("after"))
                    assert speaker_is_whole(speaker, room, place)
                assert "lost" not in live.all_heard() + back.all_heard()


def test_all_come_back_at_once_after_a_restart(tmp_path: Path) -> None:
    """When a killed server is back, everybody resumes all their rooms at once, and sends are taken meanwhile."""
    with process(Place(tmp_path)) as served:
        with client_of(served.running) as nobody:
            owner = nobody.guest()
            guests = [nobody.guest() for _ in range(16)]
            found = [owner.found() for _ in range(4)]
            for room in found:
                owner.admit(room, *guests)
                for number in range(20):
                    owner.say(room, f"word {number}")
            token = owner.token
        served.kill()
        served.start()
        with client_of(served.running) as nobody:
            owner = nobody.with_token(token)

            def come_back(guest: Client) -> bool:
                with speaking(served.running, guest, resume={room.id: 0 for room in found}) as speaker:
                    for _ in found:
                        speaker.next("resumed", seconds=30)
                    return all(speaker_is_whole(speaker, room, 0) for room in found)

            with ThreadPoolExecutor(len(guests)) as pool:
                coming = [pool.submit(come_back, guest) for guest in guests]
                for number in range(20):
                    owner.say(found[number % len(found)], f"meanwhile {number}")
                assert all(each.result() for each in coming)


def test_a_server_without_files_left_serves_those_who_are_in(tmp_path: Path) -> None:
    """When no socket can be opened any more, open connections go on, and new ones are taken when some are closed."""
    with process(Place(tmp_path)) as served, client_of(served.running) as nobody, ExitStack() as stack:
        owner = nobody.guest()
        room = owner.found()
        speaker = stack.enter_context(speaking(served.running, owner))
        speaker.did("send", place_of(room) | {"content": "before"})
        # Once it is heard, the shard is open for reading, too.
        while speaker.contents(room) != ["before"]:
            time.sleep(0.02)
            speaker.settle()
        assert served.popen is not None
        in_use = len(list(Path(f"/proc/{served.popen.pid}/fd").iterdir()))
        resource.prlimit(served.popen.pid, resource.RLIMIT_NOFILE, (in_use + 10, in_use + 10))
        opened = [_try_to_open(served.running) for _ in range(30)]
        assert 1 <= sum(wire is not None for wire in opened) < 30
        speaker.did("send", place_of(room) | {"content": "meanwhile"})
        speaker.settle()
        assert speaker.contents(room) == ["before", "meanwhile"]
        for wire in opened:
            if wire is not None:
                wire.close()
        until(lambda: _knocks(served.running))


def place_of(room: Room) -> dict[str, str]:
    return {"room_id": room.id, "channel_id": room.channels["general"]}


def _try_to_open(server: Running) -> Wire | None:
    wire = Wire(server)
    wire.socket.settimeout(0.3)
    with contextlib.suppress(TimeoutError, ConnectionError):
        if wire.shake_hands() == 101:
            return wire
    wire.close()
    return None


def _knocks(server: Running) -> bool:
    with contextlib.suppress(TimeoutError, ConnectionError):
        return knock(server) == 101
    return False

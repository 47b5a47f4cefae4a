"""Floods of the gateway: the server's memory and processor time stay bounded, and others are served meanwhile."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.gateway import websocket
from tests.router.clients import Client, client_of
from tests.router.serving import Place, Process, process, serving, until
from tests.router.wires import CLOSE, CONT, PING, PONG, TEXT, Wire, frame, handshake, speaking

pytestmark = pytest.mark.security

MIB = 1 << 20
GROWTH_BYTES_MAX = 40 * MIB
PINGS = 1_000_000
FLOODERS = 20
FLOOD_SECONDS_MAX = 0.8
"""Processor time of all floods; parsing all that comes at once took 0.25 s for each."""


@pytest.fixture(scope="module")
def flooded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server in a process of its own, so that what it uses can be measured."""
    with process(Place(tmp_path_factory.mktemp("flooded"))) as served:
        yield served


@pytest.fixture(scope="module")
def nobody(flooded: Process) -> Iterator[Client]:
    with client_of(flooded.running) as client:
        client.guest()
        yield client


def memory_bytes(served: Process) -> int:
    """Return the memory that a process has in use."""
    assert served.popen is not None
    pages = Path(f"/proc/{served.popen.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def busy_seconds(served: Process) -> float:
    """Return the processor time that a process has used."""
    assert served.popen is not None
    fields = Path(f"/proc/{served.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(served: Process) -> int:
    """Return how many files and sockets a process holds open."""
    assert served.popen is not None
    return len(list(Path(f"/proc/{served.popen.pid}/fd").iterdir()))


def pour(wire: Wire, data: bytes, times: int) -> None:
    """Write as much as the server takes."""
    with contextlib.suppress(ConnectionError):
        for _ in range(times):
            wire.socket.sendall(data)


FLOODS = {
    "frames of 16 MiB": (frame(TEXT, length=16 * MIB) + bytes(65_536), 255),
    "endless fragments": (frame(TEXT, b"x" * 60_000, fin=False) + frame(CONT, b"x" * 1_000, fin=False) * 40, 100),
    "endless frames": (frame(TEXT, b"x" * 60_000), 100),
    "a head without an end": (b"x" * 65_536, 255),
}


@pytest.mark.parametrize(("data", "times"), FLOODS.values(), ids=FLOODS)
def test_memory_is_bounded(flooded: Process, nobody: Client, data: bytes, times: int) -> None:
    """What is poured into connections before identify is not kept, however much it is."""
    before, open_before = memory_bytes(flooded), descriptors(flooded)
    wires = [Wire(flooded.running).open() for _ in range(20)]
    most = 0
    for wire in wires:
        pour(wire, data, times)
        most = max(most, memory_bytes(flooded))
        wire.close()
    assert most - before < GROWTH_BYTES_MAX
    until(lambda: descriptors(flooded) <= open_before + 3)


def test_a_million_pings_cost_little(flooded: Process, nobody: Client) -> None:
    """Whoever pings a million times is closed with 4006 after a few hundred, and others are answered meanwhile."""
    data = frame(PING) * PINGS
    before = busy_seconds(flooded)
    with speaking(flooded.running, nobody.guest()) as witness:
        for _ in range(FLOODERS):
            wire = Wire(flooded.running).open()
            pour(wire, data, 1)
            assert wire.code() in (4006, 1006)  # 1006: cut before the close was read
            wire.close()
            witness.settle()
    assert busy_seconds(flooded) - before < FLOOD_SECONDS_MAX


def test_pongs_that_nobody_reads_are_not_kept(flooded: Process, nobody: Client) -> None:
    """A client that pings and never reads is let go of, and what it did not read costs little memory."""
    before = memory_bytes(flooded)
    wires = []
    for _ in range(100):
        wire = Wire(flooded.running, receive_bytes=2_048).open()
        wires.append(wire)
        pour(wire, frame(PING, b"x" * 125) * 10_000, 1)
    most = memory_bytes(flooded)
    for wire in wires:
        wire.close()
    assert most - before < GROWTH_BYTES_MAX


def test_clients_that_vanish_leave_nothing(flooded: Process, nobody: Client) -> None:
    """Whoever is gone in the middle of a handshake, a frame or a fragment is forgotten with all that it held."""
    guest = nobody.guest()
    before = descriptors(flooded)
    for left in (handshake()[:-20], handshake(), handshake() + frame(TEXT, length=1_000)[:4]):
        for _ in range(50):
            wire = Wire(flooded.running)
            wire.socket.sendall(left)
            wire.close()
    for part in (frame(TEXT, b"x" * 1_000)[:500], frame(TEXT, b"{", fin=False), frame(TEXT)[:1]):
        for _ in range(20):
            wire = Wire(flooded.running).open()
            wire.say("identify", {"token": guest.token})
            wire.socket.sendall(part)
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, no goodbye
            wire.close()
    until(lambda: descriptors(flooded) <= before + 3)
    until(lambda: "rookery_gateway_connections 0.0" in nobody.ask("GET", "/metrics").text)


def test_requests_that_wait_are_bounded(flooded: Process, nobody: Client) -> None:
    """Large requests sent while an earlier one is being done do not pile up."""
    guest = nobody.guest()
    room = guest.found()
    before = memory_bytes(flooded)
    wires = []
    for _ in range(20):
        wire = Wire(flooded.running, receive_bytes=2_048).open()
        wire.say("identify", {"token": guest.token})
        wire.next("ready")
        slow = {"room_id": room.id, "channel_id": room.channels["general"]}
        wire.say("typing", slow)
        large = b'{"op":"send","d":{"x":[' + b"0," * 25_000 + b"0]}}"
        pour(wire, frame(TEXT, large) * 200, 1)
        wires.append(wire)
    most = memory_bytes(flooded)
    for wire in wires:
        wire.close()
    assert most - before < GROWTH_BYTES_MAX


BREACHES = frame(TEXT, b"[]"), frame(TEXT, length=MIB), frame(CLOSE), frame(CONT)


def test_whoever_does_not_read_a_close_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that ended is cut soon, also where its client never reads and much waits for it."""
    monkeypatch.setattr(websocket, "CLOSE_SECONDS", 0.3)
    with serving(Place(tmp_path)) as server, client_of(server) as nobody:
        owner = nobody.guest()
        room = owner.found()
        wires = [Wire(server, receive_bytes=2_048).open() for _ in BREACHES]
        for wire in wires:
            wire.say("identify", {"token": owner.token})
            wire.next("ready")
        while queued_bytes(nobody) < 500_000:
            for _ in range(10):
                owner.say(room, "x" * 4_000)
        for wire, breach in zip(wires, BREACHES, strict=True):
            wire.socket.sendall(breach)
        for wire in wires:
            until(lambda wire=wire: is_cut(wire.socket))  # type: ignore[misc]
            wire.close()


def queued_bytes(client: Client) -> float:
    """Return how much waits for clients that do not read."""
    lines = client.ask("GET", "/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("rookery_gateway_queued_bytes "))


def is_cut(connection: socket.socket) -> bool:
    """Tell whether the other side has let go of a connection: writing to it is an error then."""
    try:
        connection.send(frame(PONG))
    except ConnectionError:
        return True
    return False

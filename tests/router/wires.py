"""WebSockets to a real server: a correct client that keeps all it receives, and a raw one that breaks every rule.

The polite one is the `websockets` library's; the raw one writes the bytes that a test wants and reads what comes back.
"""

import base64
import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.router.clients import Client, Room
from tests.router.serving import Running

PATH = "/v1/gateway"
TEXT, BINARY, CLOSE, PING, PONG, CONT = 1, 2, 8, 9, 10, 0
PATIENCE_SECONDS = 60.0
Frame = dict[str, Any]
Seen = list[tuple[int, str]]


class Addressed(Protocol):
    """What has an address: a server, or a proxy before it."""

    @property
    def url(self) -> str: ...


class Speaker:
    """Somebody at the gateway who reads what comes, and remembers it in `heard`."""

    def __init__(self, server: Addressed, **options: Any) -> None:
        address = server.url.replace("http", "ws") + PATH
        self._stack = contextlib.ExitStack()
        self._connection: ClientConnection = self._stack.enter_context(
            connect(address, compression=None, max_size=2**24, open_timeout=60, ping_interval=None, **options)
        )
        self.heard: list[Frame] = []
        self.ready: Frame = {}
        self._ref = 0
        assert self.next("hello")["d"]["heartbeat_ms"] > 0

    def identify(self, token: str | None, **more: Any) -> "Speaker":
        """Say who one is, and return when that was accepted."""
        self.say("identify", {"token": token, **more})
        self.ready = self.next("ready")["d"]
        return self

    def say(self, op: str, d: Any = None, **more: Any) -> None:
        """Send a frame."""
        self.send_text(json.dumps({"op": op, "d": d, **more}))

    def send_text(self, text: str) -> None:
        """Send a frame as it is."""
        self._connection.send(text)

    def ask(self, op: str, d: Any = None) -> Frame:
        """Send a request and return its answer, `ok` or `error`."""
        self._ref += 1
        self.say(op, d, ref=self._ref)
        return self.until(lambda frame: frame.get("ref") == self._ref)

    def did(self, op: str, d: Any = None) -> Any:
        """Return what an answer carries that must be `ok`."""
        answer = self.ask(op, d)
        assert answer["op"] == "ok", answer
        return answer["d"]

    def refused(self, op: str, d: Any = None) -> int:
        """Return the status of an answer that must be `error`."""
        answer = self.ask(op, d)
        assert answer["op"] == "error", answer
        return int(answer["d"]["status"])

    def next(self, op: str, seconds: float = PATIENCE_SECONDS) -> Frame:
        """Return the next frame of a kind, whatever comes before it."""
        return self.until(lambda frame: frame["op"] == op, seconds)

    def until(self, is_it: Callable[[Frame], bool], seconds: float = PATIENCE_SECONDS) -> Frame:
        """Read until a frame is the one that is waited for, and return it; raises TimeoutError."""
        end = time.monotonic() + seconds
        while True:
            frame: Frame = json.loads(self._connection.recv(timeout=max(0.0, end - time.monotonic())))
            self.heard.append(frame)
            if is_it(frame):
                return frame

    def until_event(self, is_it: Callable[[Frame], bool], seconds: float = PATIENCE_SECONDS) -> Frame:
        """Read until an event is the one that is waited for, and return it."""
        return next(filter(is_it, self.until(lambda frame: any(map(is_it, _events(frame))), seconds)["d"]["events"]))

    def linger(self, seconds: float) -> None:
        """Hear whatever comes for a while."""
        with contextlib.suppress(TimeoutError):
            self.until(lambda _frame: False, seconds)

    def settle(self) -> None:
        """Hear all that was on its way: presences and held-back spans excepted."""
        self.say("heartbeat")
        self.next("heartbeat")

    def events(self, room: Room) -> list[Frame]:
        """Return the events of a room that came so far, in their order."""
        return [event for frame in self.heard for event in _events(frame) if frame["d"]["room_id"] == room.id]

    def contents(self, room: Room) -> list[str]:
        """Return the words of the messages of a room that came so far."""
        return [event["d"]["content"] for event in self.events(room) if "content" in (event["d"] or {})]

    def numbers(self, room: Room) -> list[int]:
        """Return every number that was told of a room, in events and in spans."""
        found = []
        for frame in self.heard:
            if frame["op"] == "events" and frame["d"]["room_id"] == room.id:
                found += [event["seq"] for event in frame["d"]["events"]]
                found += [seq for first, last in frame["d"]["skipped"] for seq in range(first, last + 1)]
        return found

    def place(self, room: Room) -> int:
        """Return one's place in a room: the highest number that one was told."""
        known: dict[str, int] = {one["id"]: one["last_seq"] for one in self.ready["rooms"]}
        return max([known.get(room.id, 0), *self.numbers(room)])

    def all_heard(self) -> str:
        """Return everything that came as one text, to look for what must not be in it."""
        return json.dumps(self.heard, ensure_ascii=False)

    def code(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Read until the server hangs up, and return its close code; raises TimeoutError."""
        try:
            self.until(lambda _frame: False, seconds)
        except ConnectionClosed as closed:
            return 1006 if closed.rcvd is None else int(closed.rcvd.code)
        raise AssertionError("unreachable: only an end ends this")

    def close(self) -> None:
        self._stack.close()

    def vanish(self) -> None:
        """Be gone without a word."""
        self._connection.socket.shutdown(socket.SHUT_RDWR)


def _events(frame: Frame) -> list[Frame]:
    found: list[Frame] = frame["d"]["events"] if frame["op"] == "events" else []
    return found


@contextmanager
def speaking(server: Running, client: Client | None = None, **more: Any) -> Iterator[Speaker]:
    """Connect, identified as `client` if given."""
    speaker = Speaker(server)
    try:
        yield speaker if client is None else speaker.identify(client.token, **more)
    finally:
        speaker.close()


class Wire:
    """A TCP connection on which WebSocket frames are written as a test wants them, right or wrong."""

    def __init__(self, server: Running, *, receive_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(("127.0.0.1", server.port))
        self._received = b""

    def open(self, **headers: str) -> "Wire":
        """Shake hands, which must succeed."""
        assert self.shake_hands(**headers) == 101
        return self

    def shake_hands(self, path: str = PATH, **headers: str) -> int:
        """Send a handshake with these headers beside or instead of the right ones (an empty one is left out), and
        return the status of the answer."""
        self.socket.sendall(handshake(path, **headers))
        return self.status()

    def status(self) -> int:
        """Read the head of an HTTP answer and return its status, 0 when the server hung up instead."""
        while b"\r\n\r\n" not in self._received:
            part = self._read()
            if not part:
                return 0
            self._received += part
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1])

    def send(self, opcode: int, payload: bytes = b"", *, fin: bool = True, length: int | None = None) -> None:
        """Write a frame; `length` claims another size than it has."""
        self.socket.sendall(frame(opcode, payload, fin=fin, length=length))

    def say(self, op: str, d: Any = None, **more: Any) -> None:
        """Send a well-made request."""
        self.send(TEXT, json.dumps({"op": op, "d": d, **more}).encode())

    def read(self) -> tuple[int, bytes] | None:
        """Return opcode and payload of the next frame, None when the server hung up."""
        while (found := _frame_of(self._received)) is None:
            part = self._read()
            if not part:
                return None
            self._received += part
        opcode, payload, used = found
        self._received = self._received[used:]
        return opcode, payload

    def next(self, op: str) -> Frame:
        """Return the next frame of a kind, whatever comes before it."""
        while (found := self.read()) is not None:
            if found[0] == TEXT and (told := json.loads(found[1]))["op"] == op:
                return dict(told)
        raise AssertionError(f"the server hung up before {op}")

    def code(self) -> int:
        """Read until the connection ends and return the close code, 1006 for an end without one."""
        found_code = 1006
        while (found := self.read()) is not None:
            if found[0] == CLOSE:
                found_code = struct.unpack("!H", found[1][:2])[0]
                with contextlib.suppress(ConnectionError):
                    self.send(CLOSE, found[1][:2])
        return found_code

    def _read(self) -> bytes:
        try:
            return self.socket.recv(65_536)
        except ConnectionError:
            return b""

    def close(self) -> None:
        self.socket.close()


def knock(server: Running, **headers: str) -> int:
    """Return the status of a handshake, and leave."""
    wire = Wire(server)
    try:
        return wire.shake_hands(**headers)
    finally:
        wire.close()


def handshake(path: str = PATH, **headers: str) -> bytes:
    """Return the bytes of a handshake; an underscore in a header's name stands for a dash, an empty value leaves it
    out."""
    right = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
    }
    right |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in right.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, length: int | None = None) -> bytes:
    """Return a masked frame, as clients send them; the mask is zero, so that large ones are made quickly."""
    size = len(payload) if length is None else length
    if size < 126:
        head = struct.pack("!BB", (0x80 if fin else 0) | opcode, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", (0x80 if fin else 0) | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", (0x80 if fin else 0) | opcode, 0x80 | 127, size)
    return head + bytes(4) + payload


def _frame_of(data: bytes) -> tuple[int, bytes, int] | None:
    """Return opcode, payload and length of the first frame of a server's bytes, if it is whole."""
    if len(data) < 2:
        return None
    size, at = data[1], 2
    if size == 126:
        size, at = (struct.unpack("!H", data[2:4])[0], 4) if len(data) >= 4 else (len(data), 4)
    elif size == 127:
        size, at = (struct.unpack("!Q", data[2:10])[0], 10) if len(data) >= 10 else (len(data), 10)
    return (data[0] & 0x0F, data[at : at + size], at + size) if len(data) >= at + size else None


@contextmanager
def wired(server: Running, **headers: str) -> Iterator[Wire]:
    """Open a raw WebSocket."""
    wire = Wire(server)
    try:
        yield wire.open(**headers)
    finally:
        wire.close()

"""WebSocket clients of the load: raw frames over plain sockets, one epoll for all, JSON left unread where it can be.

One core of it outruns one core of the server: data that is only counted is never copied out of the kernel.
"""

import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

BUFFER = bytearray(1 << 20)
"""The buffer that all clients receive into, one after the other."""
GREETED_AT_ONCE = 512
"""Connections that wait for the server's hello; its backlog has 2,048."""
UPGRADE = (
    b"GET /v1/gateway HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)
HEARTBEAT = b'{"op":"heartbeat"}'
HEARTBEAT_SECONDS = 30.0
"""The heartbeat interval that `hello` asks for."""
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
_SHORT, _LONG = struct.Struct("!H"), struct.Struct("!Q")


def framed(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a client's frame. Its mask is zero, which leaves the payload as it is and costs the server the same."""
    if len(payload) < 126:
        return bytes((0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload
    return bytes((0x80 | opcode, 0xFE)) + _SHORT.pack(len(payload)) + b"\0\0\0\0" + payload


class Frames:
    """Parser of the frames in a server's stream."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: memoryview | bytes) -> Iterator[tuple[int, memoryview]]:
        """Yield the opcode and payload of each complete frame; a payload is valid until the next call."""
        whole = memoryview(self._rest + data) if self._rest else memoryview(data)
        at, end = 0, len(whole)
        while end - at >= 2:
            size, start = whole[at + 1], at + 2
            if size == 126:
                if end - at < 4:
                    break
                size, start = _SHORT.unpack_from(whole, start)[0], at + 4
            elif size == 127:
                if end - at < 10:
                    break
                size, start = _LONG.unpack_from(whole, start)[0], at + 10
            if start + size > end:
                break
            yield whole[at] & 15, whole[start : start + size]
            at = start + size
        self._rest = bytes(whole[at:])


class Counter:
    """A socket whose bytes are only counted; the kernel discards them uncopied."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.connect(("127.0.0.1", port))
        self.socket.settimeout(0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A reset leaves no state behind that the next round would have to wait for.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.received = 0
        """Bytes received so far."""
        self.readable: Callable[[], None] = self.count
        """The function to call when the socket is readable."""

    def count(self) -> None:
        """Count the received bytes."""
        count = self.socket.recv_into(BUFFER, 0, socket.MSG_TRUNC)
        assert count, "the server hung up"
        self.received += count


class Client(Counter):
    """One WebSocket. Subclasses receive its frames, from the handshake's answer on."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.is_greeted = False
        self._head = b""
        self._frames = Frames()
        self.readable = self._shake
        self.write(UPGRADE)

    def write(self, data: bytes) -> None:
        """Send at once; a client's frames are small and fit into the system's buffer."""
        assert self.socket.send(data) == len(data), "the server does not read"

    def send_text(self, payload: bytes) -> None:
        """Send one text frame."""
        self.write(framed(payload))

    def _shake(self) -> None:
        self._head += self.socket.recv(4096)
        head, separator, rest = self._head.partition(b"\r\n\r\n")
        if not separator:
            assert self._head, "the server hung up in the handshake"
            return
        assert b" 101 " in head, head
        self.is_greeted = True
        self.readable = self.read
        self._receive(rest)

    def read(self) -> None:
        """Read the received bytes, and handle the complete frames."""
        count = self.socket.recv_into(BUFFER)
        assert count, "the server hung up"
        self._receive(memoryview(BUFFER)[:count])

    def _receive(self, data: memoryview | bytes) -> None:
        self.received += len(data)
        for opcode, payload in self._frames.take(data):
            if opcode == TEXT:
                self.receive_text(payload)
            elif opcode == PING:
                self.write(framed(bytes(payload), PONG))
            else:
                raise AssertionError(f"closed: {bytes(payload)!r}")

    def receive_text(self, payload: memoryview) -> None:
        """Handle one text frame."""
        raise AssertionError(bytes(payload[:500]))


class Crowd:
    """Clients that share one epoll."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._clients: dict[int, Counter] = {}
        self.meanwhile: Callable[[], None] | None = None
        """The function to call at every turn."""

    def add(self, client: Counter) -> None:
        """Add a client."""
        self._clients[client.socket.fileno()] = client
        self._epoll.register(client.socket.fileno(), select.EPOLLIN)

    def turn(self, seconds: float) -> bool:
        """Let the readable clients read; wait so long at most, and tell whether anything arrived."""
        if self.meanwhile is not None:
            self.meanwhile()
            seconds = min(seconds, 0.005)
        ready = self._epoll.poll(seconds)
        clients = self._clients
        for number, _ in ready:
            clients[number].readable()
        return bool(ready)

    def turn_until(self, is_done: Callable[[], bool], seconds: float) -> None:
        """Run turns until a condition holds; raises TimeoutError if that takes too long."""
        deadline = time.monotonic() + seconds
        while not is_done():
            if time.monotonic() > deadline:
                raise TimeoutError
            self.turn(0.05)

    def read_for(self, seconds: float) -> None:
        """Read all data that arrives in so many seconds."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.turn(left)

    def settle(self, seconds: float = 0.3) -> None:
        """Read until nothing has arrived for so many seconds."""
        while self.turn(seconds):
            pass

    def open(self, makers: Iterable[Callable[[], Client]], at_once: int = GREETED_AT_ONCE) -> Iterator[Client]:
        """Connect many clients, at most `at_once` at a time for the server's backlog; yield each after its `hello`."""
        waiting: deque[Client] = deque()
        for make in makers:
            waiting.append(make())
            self.add(waiting[-1])
            while len(waiting) >= at_once:
                self.turn(0.05)
                while waiting and waiting[0].is_greeted:
                    yield waiting.popleft()
        while waiting:
            self.turn_until(lambda: waiting[0].is_greeted, 60)
            yield waiting.popleft()

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.socket.close()
        self._epoll.close()
        self._clients = {}

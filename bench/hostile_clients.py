"""Hostile clients of twenty kinds, each kind in a process of its own until it is ended.

A kind connects so often, sends its first bytes, and then the same bytes again and again.
"""

import os
import selectors
import socket
import time
from dataclasses import dataclass
from typing import Final

READ_BYTES: Final = 65_536
LOOK_SECONDS: Final = 0.01
NICE: Final = 10
"""The witness shares a core with them, and must not wait for it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What one kind of client does."""

    first: bytes
    again: bytes = b""
    connections: int = 26
    every_seconds: float = 0.0
    is_reading: bool = False


def _get(path: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n"


_HEAD: Final = b"GET /v1/site HTTP/1.1\r\nHost: x\r\n"
_POST: Final = b"POST /v1/auth/anonymous HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
_CHUNKED: Final = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
_SOCKET: Final = (
    b"GET /v1/gateway HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_PING: Final = b"\x89\xfd\0\0\0\0" + bytes(125)

KINDS: Final = {
    "pipelined, not read": Kind(b"", _get(b"/") * 2_000),
    "pipelined and read": Kind(b"", _get(b"/") * 2_000, is_reading=True),
    "pipelined large answers": Kind(b"", _get(b"/openapi.json") * 1_000),
    "half-sent heads": Kind(_HEAD, connections=900),
    "silent connections": Kind(b"", connections=900),
    "a head byte by byte": Kind(_HEAD, b"x", connections=300, every_seconds=0.5),
    "thousands of headers": Kind(_HEAD, b"a:\r\n" * 4_000),
    "a head of 32 KB": Kind(_HEAD + b"a: " + b"x" * 32_000, connections=900),
    "a head without an end": Kind(_HEAD + b"a: ", b"x" * READ_BYTES),
    "empty lines": Kind(b"", b"\r\n" * 8_000),
    "stalled bodies": Kind(_POST + b"Content-Length: 60000\r\n\r\n" + b" " * 59_000, connections=500),
    "a body byte by byte": Kind(_POST + b"Content-Length: 60000\r\n\r\n", b" ", connections=300, every_seconds=0.5),
    "chunks of one byte": Kind(_CHUNKED, b"1\r\n \r\n" * 4_000),
    "an endless extension": Kind(_CHUNKED + b"1;", b"x" * READ_BYTES),
    "an endless trailer": Kind(_CHUNKED + b"0\r\na: ", b"x" * READ_BYTES),
    "bodies of refused requests": Kind(_POST + b"Content-Length: 9999999999\r\n\r\n", bytes(READ_BYTES)),
    "garbage": Kind(b"\x16\x03\x01" + bytes(500)),
    "thousands of connections": Kind(_get(b"/v1/site"), connections=2_000),
    "sockets that do not identify": Kind(_SOCKET, connections=300),
    "sockets that only ping": Kind(_SOCKET, _PING * 1_000),
}  # fmt: skip


def attack(name: str, port: int, address: str) -> None:
    """Be clients of one kind, from one address, until ended; whoever is hung up on connects again."""
    os.nice(NICE)
    kind, chooser = KINDS[name], selectors.DefaultSelector()
    waiting: dict[socket.socket, tuple[bytes, float]] = {}
    while True:
        for _ in range(min(kind.connections - len(waiting), 50)):
            connection = socket.socket()
            connection.bind((address, 0))
            connection.settimeout(0)
            connection.connect_ex(("127.0.0.1", port))
            waiting[connection] = (kind.first, 0.0)
            chooser.register(connection, selectors.EVENT_READ)
        now = time.monotonic()
        for connection, (rest, due) in list(waiting.items()):
            is_due = not rest and bool(kind.again) and now >= due
            left = kind.again if is_due else rest
            try:
                sent = connection.send(left) if left else 0
                waiting[connection] = (left[sent:], now + kind.every_seconds if is_due else due)
            except BlockingIOError:
                continue
            except OSError:
                _drop(connection, chooser, waiting)
        for key, _events in chooser.select(0 if kind.is_reading else LOOK_SECONDS):
            reading = key.fileobj
            assert isinstance(reading, socket.socket), "only sockets are registered"
            try:
                is_over = not reading.recv(READ_BYTES, 0 if kind.is_reading else socket.MSG_PEEK)
            except BlockingIOError:
                continue
            except OSError:
                is_over = True
            if is_over:
                _drop(reading, chooser, waiting)
            elif not kind.is_reading:
                chooser.unregister(connection)
        time.sleep(LOOK_SECONDS)


def _drop(
    connection: socket.socket, chooser: selectors.BaseSelector, waiting: dict[socket.socket, tuple[bytes, float]]
) -> None:
    if connection in chooser.get_map():
        chooser.unregister(connection)
    waiting.pop(connection, None)
    connection.close()

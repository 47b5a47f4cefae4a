"""A socket at its bound, with its transport's moments in an order that no real network can be made to keep."""

import asyncio
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.http11 import Request

from router.gateway import websocket
from router.gateway.close_codes import TOO_SLOW, Close
from router.gateway.websocket import Socket
from tests.router.wires import handshake


class Gauge(asyncio.Transport):
    """A transport that keeps what is written, and says that so much of it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.waiting = 0
        self.is_aborted = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.is_aborted = True


class Front:
    """Lets everybody in and notes how it ended."""

    frame_bytes_max = 65_536
    ending: Close | None = None

    @property
    def handler(self) -> "Front":
        return self

    def refusal(self, request: Request, peer: str) -> tuple[int, str] | None:
        return None

    def opened(self, socket: Socket, request: Request, peer: str) -> "Front":
        return self

    def received(self, _connection: "Front", message: bytes) -> None:
        raise AssertionError("nothing is sent here")

    def count_frame(self, _connection: "Front") -> bool:
        return True

    def drained(self, _connection: "Front") -> None:
        """Note nothing."""

    def closed(self, _connection: "Front", close: Close | None) -> None:
        self.ending = close


async def test_who_lost_a_frame_hears_nothing_behind_it() -> None:
    """A client that is dropped at its bound is told nothing more, also when it reads again just then: what came after
    the frame that it lost would hide that from it."""
    front, transport = Front(), Gauge()
    socket = Socket(Config(cast(Any, None)), ServerState(), {"gateway": front})
    socket.connection_made(transport)
    socket.data_received(handshake())
    transport.written.clear()
    socket.write(b"first")
    socket.pause_writing()
    transport.waiting = websocket.QUEUE_BYTES_MAX
    socket.write(b"lost")
    transport.waiting = 0
    socket.resume_writing()
    socket.write(b"behind")
    assert transport.written == [b"first"]
    await asyncio.sleep(0)
    assert transport.is_aborted
    assert front.ending == TOO_SLOW

"""WebSocket of one client as an asyncio protocol: handshake, frames in, frames out, and its bounds.

The protocol itself is the sans-I/O one of `websockets`. Frames to clients are encoded already (`frames`) and handed to
the transport as they are: one for a thousand clients is made once. There is no task for each connection, since
everything that happens to it is a call.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar, cast

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from router.gateway import close_codes
from router.gateway.close_codes import Close
from router.gateway.frame_parser import end_of_frame, is_whole_text, text_in

log = logging.getLogger(__name__)

QUEUE_BYTES_MAX: Final = 1_048_576
"""Of frames that wait because the client does not read: then it is dropped, and resumes when it can.

Beyond it 4008.
"""
QUEUE_FRAMES_MAX: Final = 2_048
"""Number of such frames; small ones cost more than their bytes."""
UNREAD_BYTES_MAX: Final = 65_536
"""Bytes that a client may still send after the server's close frame; then the connection is cut."""
CLOSE_SECONDS: Final = 5.0
"""Time in which a client must answer a close frame."""
HEAD_BYTES_MAX: Final = 14
"""Bytes of a frame's head (RFC 6455, section 5.2)."""

Write = Callable[[bytes], None]
C = TypeVar("C")
C_contra = TypeVar("C_contra", contravariant=True)


class Handler(Protocol[C_contra]):
    """Handler of the events of open connections, each as `Acceptor.opened` returned it."""

    def received(self, connection: C_contra, message: bytes) -> None:
        """Handle one text message."""

    def count_frame(self, connection: C_contra) -> bool:
        """Count a frame of any kind, and return whether the client may send so many."""

    def drained(self, connection: C_contra) -> None:
        """Note that the client has read what was written."""

    def closed(self, connection: C_contra, close: Close | None) -> None:
        """Note that the connection is closed, and its close code if the server closed it."""


class Acceptor(Protocol[C]):
    """Acceptor of new connections."""

    frame_bytes_max: int
    handler: Handler[C]

    def refusal(self, request: Request, peer: str) -> tuple[int, str] | None:
        """Return a status and a reason for a handshake that is refused, None for one that is accepted."""

    def opened(self, socket: "Socket", request: Request, peer: str) -> C:
        """Greet a client and return its connection, for the handler."""


class Socket(asyncio.Protocol):
    """A WebSocket that uvicorn handed over when its client asked for the upgrade.

    `write` takes frames; it is the transport's own method as long as the client reads.
    """

    write: Write

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        self._acceptor: Acceptor[Any] = app_state["gateway"]
        self._sockets = server_state.connections
        self._protocol = ServerProtocol(max_size=self._acceptor.frame_bytes_max, logger=log)
        self._handler = self._acceptor.handler
        self._connection: Any = None
        self._parts: list[bytes] = []
        self._rest = b""
        self._frame_max = self._acceptor.frame_bytes_max + HEAD_BYTES_MAX
        self._timer: asyncio.TimerHandle | None = None
        self._held = 0
        self._allowed = QUEUE_BYTES_MAX
        self._unread = 0
        self.is_open = False
        self._is_ended = False
        self._is_full = False
        self.is_paused = False
        self.lost: Callable[[], None] = _nothing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Attach to the transport."""
        # uvloop's transports are not registered as asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._sockets.add(cast(Any, self))
        self.write = self._transport.write

    def data_received(self, data: bytes) -> None:
        """Handle bytes of the client."""
        if not self.is_open:
            self._take_raw(data)
            return
        data, start = self._rest + data, 0
        while not self._is_ended and (end := end_of_frame(data, start)) is not None:
            if end - start > self._frame_max:
                # The protocol reports the fault.
                end = len(data)
                self._parse(data[start:])
            elif end > len(data):
                break
            else:
                self._take_frame(data, start, end)
            start = end
        self._rest = data[start:]
        if self._is_ended:
            rest, self._rest = self._rest, b""
            self._take_raw(rest)

    def _take_frame(self, data: bytes, start: int, end: int) -> None:
        if not self._handler.count_frame(self._connection):
            self.close(close_codes.TOO_CHATTY)
        elif is_whole_text(data, start) and not self._parts and end - start <= self._acceptor.frame_bytes_max:
            self._handler.received(self._connection, text_in(data, start, end))
        else:
            self._parse(data[start:end])

    def _take_raw(self, data: bytes) -> None:
        """Handle bytes outside of frames: the handshake, and after the server's close the client's answer to it."""
        if self._is_ended:
            self._unread += len(data)
            if self._unread > UNREAD_BYTES_MAX:
                self._transport.abort()
                return
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._shake_hands(event)
            elif self.is_open and isinstance(event, Frame):
                self._take(event)
        self._flush()
        if self.is_open and self._protocol.state is not State.OPEN:
            # The client closes, or violated the protocol and was notified.
            self._end()
            self._hang_up_soon()

    def _shake_hands(self, request: Request) -> None:
        address = self._transport.get_extra_info("peername")
        peer = str(address[0]) if address else ""
        response = self._protocol.accept(request)
        if response.status_code == 101:
            refused = self._acceptor.refusal(request, peer)
            if refused is not None:
                response = self._protocol.reject(refused[0], refused[1] + "\n")
        self._protocol.send_response(response)
        self._flush()
        if response.status_code != 101:
            self._transport.close()
            return
        self.is_open = True
        self._connection = self._acceptor.opened(self, request, peer)

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.CONT:
            self._parts.append(bytes(frame.data))
            if frame.fin:
                parts, self._parts = self._parts, []
                self._handler.received(self._connection, parts[0] if len(parts) == 1 else b"".join(parts))
        elif frame.opcode is Opcode.BINARY:
            self.close(close_codes.MALFORMED)

    def _flush(self) -> None:
        """Send the frames of the protocol itself: handshake, pongs, closes."""
        for data in self._protocol.data_to_send():
            if data:
                self.write(data)
            else:  # the protocol's marker of the end of the stream
                self._transport.close()

    def pause_writing(self) -> None:
        """Limit the waiting bytes from now on: the client reads more slowly than the server writes."""
        self.is_paused = True
        if self.is_open:
            self.write = self._write_held

    def resume_writing(self) -> None:
        """Write without a limit again: the client has caught up."""
        self.is_paused = False
        self._held = 0
        self._allowed = QUEUE_BYTES_MAX
        if self.is_open and not self._is_full:
            # A full buffer lost a frame: later ones must not be sent.
            self.write = self._transport.write
            self._handler.drained(self._connection)

    def write_whole(self, frame: bytes) -> None:
        """Send one frame that may exceed the limit of waiting bytes; as many others may wait beside it as ever."""
        self._allowed = QUEUE_BYTES_MAX + len(frame)
        self.write(frame)

    def _write_held(self, data: bytes) -> None:
        self._held += 1
        if self._held > QUEUE_FRAMES_MAX or self._transport.get_write_buffer_size() + len(data) > self._allowed:
            self.write, self._is_full = _discard, True
            # Not now: the caller is in the middle of writing to many.
            asyncio.get_running_loop().call_soon(self.drop, close_codes.TOO_SLOW)
        else:
            self._transport.write(data)

    @property
    def queued_bytes(self) -> int:
        """Bytes that were written and not sent yet."""
        return self._transport.get_write_buffer_size()

    def drop(self, close: Close) -> None:
        """Disconnect at once: a client that does not read would not read a close frame either."""
        if not self.is_open:
            return
        log.info("a client was dropped", extra={"reason": close.name})
        self._end(close)
        self._transport.abort()

    def close(self, close: Close) -> None:
        """Send a close frame and disconnect, at the latest when the client's time to answer is over."""
        if not self.is_open:
            return
        if self._protocol.state is State.OPEN:
            # Otherwise the client closed, or violated the protocol, at the same moment.
            self._protocol.send_close(close.code, close.reason)
        self._flush()
        self._end(close)
        self._hang_up_soon()

    def _hang_up_soon(self) -> None:
        """Cut the connection when the client's time is over: one that does not read receives no close frame either."""
        self._timer = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._transport.abort)

    def _end(self, close: Close | None = None) -> None:
        self.is_open = False
        self._is_ended = True
        self.write = _discard
        connection, self._connection = self._connection, None
        if connection is not None:
            self._handler.closed(connection, close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the transport."""
        self._sockets.discard(cast(Any, self))
        if self._timer is not None:
            self._timer.cancel()
        self._end()
        self.lost()

    def abort(self) -> None:
        """Cut the connection, whatever waits in it."""
        self._transport.abort()

    def shutdown(self) -> None:
        """Close, as uvicorn asks when the server stops."""
        if self.is_open:
            self.close(close_codes.GOING_AWAY)
        self._transport.close()


def _discard(_data: bytes) -> None:
    """Discard a frame for a disconnected client."""


def _nothing() -> None:
    """Do nothing: nobody counts the connection."""

"""One WebSocket as the event loop sees it: handshake, frames in, frames out, and its bounds.

The protocol itself is the sans-I/O one of `websockets`. What goes out is framed already (`frames`) and handed to the
transport as it is: a frame for a thousand clients is made once. There is no task for each connection, since everything
that happens to it is a call.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from router.gateway import closing
from router.gateway.closing import Close
from router.gateway.deframing import end_of_frame, is_whole_text, text_in

log = logging.getLogger(__name__)

QUEUE_BYTES_MAX: Final = 1_048_576
"""Of frames that wait because the client does not read: then it is dropped, and resumes when it can."""
QUEUE_FRAMES_MAX: Final = 2_048
"""Likewise; small frames cost more than their bytes."""
UNREAD_BYTES_MAX: Final = 65_536
"""Of what a client still sends after it was told to close; then the connection is cut."""
CLOSE_SECONDS: Final = 5.0
"""How long a client that was told to close may take to answer."""
HEAD_BYTES_MAX: Final = 14
"""Of a frame, before its content (RFC 6455, section 5.2)."""

Frames = Callable[[bytes], None]


class Receiver(Protocol):
    """Whoever speaks with the client behind a socket."""

    def received(self, message: bytes) -> None:
        """Take one text message."""

    def ticked(self) -> bool:
        """Count a frame of whatever kind, and return whether there may be so many."""

    def writable(self) -> None:
        """Note that what was written before has gone out."""

    def lost(self, close: Close | None) -> None:
        """Note that the connection is gone, and why if it was ended by us."""


class Reception(Protocol):
    """Whoever decides what becomes of new connections."""

    frame_bytes_max: int

    def refusal(self, request: Request, peer: str) -> tuple[int, str] | None:
        """Return a status and a reason for a handshake that is refused, None for one that is welcome."""

    def opened(self, socket: "Socket", request: Request, peer: str) -> Receiver:
        """Greet a client and return who speaks with it."""


class Socket(asyncio.Protocol):
    """A WebSocket that uvicorn handed over when its client asked for the upgrade.

    `write` takes frames; it is the transport's own method as long as the client reads.
    """

    write: Frames

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        self._reception: Reception = app_state["gateway"]
        self._sockets = server_state.connections
        self._sockets_max = config.limit_concurrency
        self._protocol = ServerProtocol(max_size=self._reception.frame_bytes_max, logger=log)
        self._receiver: Receiver | None = None
        self._parts: list[bytes] = []
        self._rest = b""
        self._frame_max = self._reception.frame_bytes_max + HEAD_BYTES_MAX
        self._timer: asyncio.TimerHandle | None = None
        self._held = 0
        self._allowed = QUEUE_BYTES_MAX
        self._unread = 0
        self.is_open = False
        self._is_ended = False
        self._is_full = False
        self.is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the transport."""
        # uvloop's transports are not registered as asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._sockets.add(cast(Any, self))
        self.write = self._transport.write

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client."""
        if not self.is_open:
            self._take_raw(data)
            return
        data, start = self._rest + data, 0
        while not self._is_ended and (end := end_of_frame(data, start)) is not None:
            if end - start > self._frame_max:
                # The protocol says what is wrong with it.
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
        assert self._receiver is not None
        if not self._receiver.ticked():
            self.close(closing.TOO_CHATTY)
        elif is_whole_text(data, start) and not self._parts and end - start <= self._reception.frame_bytes_max:
            self._receiver.received(text_in(data, start, end))
        else:
            self._parse(data[start:end])

    def _take_raw(self, data: bytes) -> None:
        """Take what is not cut into frames: the handshake, and after our close the client's answer to it."""
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
            # The client closes, or broke the protocol and was told so.
            self._end()
            self._hang_up_soon()

    def _shake_hands(self, request: Request) -> None:
        address = self._transport.get_extra_info("peername")
        peer = str(address[0]) if address else ""
        response = self._protocol.accept(request)
        if response.status_code == 101:
            refused = self._overflow() or self._reception.refusal(request, peer)
            if refused is not None:
                response = self._protocol.reject(refused[0], refused[1] + "\n")
        self._protocol.send_response(response)
        self._flush()
        if response.status_code != 101:
            self._transport.close()
            return
        self.is_open = True
        self._receiver = self._reception.opened(self, request, peer)

    def _overflow(self) -> tuple[int, str] | None:
        """Return the refusal of one connection too many; uvicorn counts only those that stay with HTTP."""
        if self._sockets_max is not None and len(self._sockets) > self._sockets_max:
            return 503, "The server has as many connections as it takes."
        return None

    def _take(self, frame: Frame) -> None:
        assert self._receiver is not None
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.CONT:
            self._parts.append(bytes(frame.data))
            if frame.fin:
                parts, self._parts = self._parts, []
                self._receiver.received(parts[0] if len(parts) == 1 else b"".join(parts))
        elif frame.opcode is Opcode.BINARY:
            self.close(closing.MALFORMED)

    def _flush(self) -> None:
        """Send what the protocol itself has to say: handshake, pongs, closes."""
        for data in self._protocol.data_to_send():
            if data:
                self.write(data)
            else:  # the protocol's sign for the end of the stream
                self._transport.close()

    def pause_writing(self) -> None:
        """From now on look at how much waits: the client reads more slowly than we write."""
        self.is_paused = True
        if self.is_open:
            self.write = self._write_held

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.is_paused = False
        self._held = 0
        self._allowed = QUEUE_BYTES_MAX
        if self.is_open and not self._is_full:
            # One that is full lost a frame: it must not hear what comes after it.
            self.write = self._transport.write
            if self._receiver is not None:
                self._receiver.writable()

    def write_whole(self, frame: bytes) -> None:
        """Send one frame that may be larger than all that may wait: beside it, as much may wait as ever."""
        self._allowed = QUEUE_BYTES_MAX + len(frame)
        self.write(frame)

    def _write_held(self, data: bytes) -> None:
        self._held += 1
        if self._held > QUEUE_FRAMES_MAX or self._transport.get_write_buffer_size() + len(data) > self._allowed:
            self.write, self._is_full = _nowhere, True
            # Not now: whoever writes is in the middle of telling many.
            asyncio.get_running_loop().call_soon(self.drop, closing.TOO_SLOW)
        else:
            self._transport.write(data)

    @property
    def queued_bytes(self) -> int:
        """What was written and has not gone out yet."""
        return self._transport.get_write_buffer_size()

    def drop(self, close: Close) -> None:
        """Hang up at once: a client that does not read would not read a close either."""
        if not self.is_open:
            return
        log.info("a client was dropped", extra={"reason": close.name})
        self._end(close)
        self._transport.abort()

    def close(self, close: Close) -> None:
        """Say why and hang up, at the latest when the client has had its time to answer."""
        if not self.is_open:
            return
        if self._protocol.state is State.OPEN:
            # Otherwise the client closed, or broke the protocol, in the same breath.
            self._protocol.send_close(close.code, close.reason)
        self._flush()
        self._end(close)
        self._hang_up_soon()

    def _hang_up_soon(self) -> None:
        """Cut the connection when its client has had its time: who does not read takes no close either."""
        self._timer = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._transport.abort)

    def _end(self, close: Close | None = None) -> None:
        self.is_open = False
        self._is_ended = True
        self.write = _nowhere
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost(close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything."""
        self._sockets.discard(cast(Any, self))
        if self._timer is not None:
            self._timer.cancel()
        self._end()

    def shutdown(self) -> None:
        """Called by uvicorn when the server stops."""
        if self.is_open:
            self.close(closing.GOING_AWAY)
        self._transport.close()


def _nowhere(_data: bytes) -> None:
    """Write to a client that is gone."""

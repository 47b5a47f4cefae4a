"""uvicorn's HTTP protocol with what it lacks: one request in hand, bounds of memory and time, one Host for each.

uvicorn parses all that was read, and reads more while it answers: 37 MB of pipelined requests took the process from 78
to 1,465 MiB. Here bytes are parsed up to the end of one request, and the next ones wait until it is answered.
"""

import asyncio
import math
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from rookery.server.flow_control import HeldFlow, LingeringTransport
from rookery.server.http_head import EMPTY, head_excess, host_fault, refusal
from rookery.server.peers import Peers
from router.asgi import THROTTLED
from router.gateway.websocket import Socket
from router.streams import BYTES_PER_SECOND_MIN, seconds_for

FRAMING_BYTES_MAX: Final = 16_384
"""Bytes of a chunked body that are not content: lengths, extensions, trailers. Beyond it 400."""
FRAMING_BYTES_EACH: Final = 1
"""Such bytes allowed for each byte of content beside it. Chunks of one byte have five, and each costs as much time as a
large one: 26 clients with nothing else stopped the server for a minute."""
HEAD_SECONDS: Final = 20.0
"""Time limit of a request's head, and of the first request of a connection. Beyond it 408, or the end for a client that
sent nothing."""
LATE_SECONDS: Final = 5.0
"""Time for a body beyond that of endpoints that read it as a stream, so that their response comes first."""
LINGER_SECONDS: Final = 10.0
"""Time in which a client may finish a body that was answered before its end; then the connection is closed. Closed at
once, its client would be reset before it reads the response."""
CLOSING_SECONDS: Final = 10.0
"""Time in which a client must read the last bytes of a connection that is closed; then it is cut."""
THROTTLED_SECONDS: Final = 1.0
"""Pause of a connection whose client sends on and on although it is throttled."""
HEAD_PIECE_BYTES: Final = 2_048
"""Bytes of a head parsed at once, at most; then its headers are counted."""
PIECE_BYTES_MIN: Final = 256
"""Bytes of a chunked body parsed at once, at least: a client may send as many ends of lines as it likes."""

HEALTH_PATHS: Final = (b"/healthz", b"/readyz")
_END: Final = b"\r\n\r\n"
_FRAMED: Final = "The chunks of the request are mostly something else than its content."
_FULL: Final = "The server has as many connections as it takes, in all or from this address."


class BoundedProtocol(HttpToolsProtocol):
    """A protocol with one request in hand, which ends clients that send or read too slowly, or too much at once.

    A request without a Host, with two, or a bad one is 400 (RFC 9112, section 3.2): a proxy may take the first Host,
    and the server behind it the second. Trailers of a chunked body are dropped: among the headers they could claim an
    address or a session (RFC 9110, section 6.5.1).
    """

    flow: HeldFlow
    __slots__ = (
        "_at_hand",
        "_body_left",
        "_chunked_bytes",
        "_content_bytes",
        "_fault",
        "_head_bytes",
        "_held",
        "_hosts",
        "_is_chunked",
        "_is_ending",
        "_is_handed_over",
        "_is_in_head",
        "_is_leaving",
        "_is_pausing",
        "_is_surplus",
        "_kept_bytes",
        "_last_bytes",
        "_peer",
        "_peers",
        "_valid_host",
        "deadline",
        "unread_deadline",
    )

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._peers: Peers = app_state["peers"]
        self._is_surplus = False
        self._valid_host: bytes | None = None  # of an earlier request: most of a connection have the same
        self._fault: str | None = None
        self._is_in_head = True
        self._head_bytes = 0
        self._last_bytes = b""
        self._hosts: list[bytes] = []
        self._at_hand = 0
        self._body_left = 0
        self._is_chunked = False
        self._chunked_bytes = 0
        self._content_bytes = 0
        self._held = b""
        self._kept_bytes = 0
        self._is_pausing = False
        self._is_leaving = False
        self._is_ending = False
        self._is_handed_over = False
        self.deadline = math.inf
        self.unread_deadline = math.inf

    def connection_made(self, transport: Any) -> None:
        """Count the connection, and wait for its first request."""
        super().connection_made(transport)
        self.flow = HeldFlow(transport)
        self.deadline = self.loop.time() + HEAD_SECONDS
        self._peer = self._peers.enter(self, self.client[0] if self.client else "")
        self._is_surplus = self._peers.is_surplus(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection and what it had sent."""
        self._hold(b"", 0)
        self._peers.leave(self, self._peer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse up to the end of one request, and hold what follows until it is answered."""
        if self._is_leaving:
            return
        if self._is_in_head and len(data) <= HEAD_PIECE_BYTES and not (self._held or self._head_bytes):
            end = data.find(_END) + len(_END)
            if end > len(_END) and not self._must_wait():
                self._parse_head(data, end)
                return
        self._feed(self._held + data if self._held else data)

    def _parse_head(self, data: bytes, end: int) -> None:
        """Parse a head that came in one piece, and what follows: most requests come so."""
        rest = data[end:]
        self._at_hand = len(rest)
        self._head_bytes = end
        super().data_received(data[:end] if rest else data)
        if self._is_handed_over or self.transport.is_closing():
            return
        if rest and self._body_left == len(rest):
            self._body_left = 0
            super().data_received(rest)
        elif rest or self._head_bytes:
            self._feed(rest)

    def _feed(self, data: bytes) -> None:
        start, size = 0, len(data)
        while start < size and not self._must_wait():
            end = self._end_of_piece(data, start)
            self._parse(data if end - start == size else data[start:end])
            start = end
            if self._is_handed_over:
                return
            if self.transport.is_closing():
                start = size
        head_bytes = self._head_bytes if self._is_in_head else 0
        if head_bytes and self.deadline == math.inf:
            self.deadline = self.loop.time() + HEAD_SECONDS
        self._hold(data[start:] if start < size else b"", head_bytes)
        if self._held:
            self._unset_keepalive_if_required()
            self.flow.hold()
        elif self.flow.is_held and not self._is_pausing:
            self.flow.release()

    def _must_wait(self) -> bool:
        """Return whether a whole request is in hand, or its client was throttled."""
        cycle = self._cycle()
        return self._is_pausing or (self._is_in_head and cycle is not None and not cycle.response_complete)

    def _cycle(self) -> RequestResponseCycle | None:
        """Return the last request with its response; None before the first."""
        return self.cycle

    def _end_of_piece(self, data: bytes, start: int) -> int:
        """Return where to stop parsing, so that not more than the end of one request is parsed.

        The parser alone decides where a request ends: if it differs, some more requests wait in uvicorn's own list.
        """
        if not self._is_in_head and not self._is_chunked:
            return min(len(data), start + self._body_left) if self._body_left > 0 else len(data)
        last, self._last_bytes = self._last_bytes, b""
        if last:
            across = (last + data[start : start + 3]).find(_END)
            if across >= 0:
                return start + across + len(_END) - len(last)
        limit = len(data) if not self._is_in_head else min(len(data), start + HEAD_PIECE_BYTES)
        found = data.find(_END, start if self._is_in_head else start + PIECE_BYTES_MIN, limit)
        if found < 0:
            self._last_bytes = (last + data[max(start, limit - 3) : limit])[-3:]
            return limit
        return found + len(_END)

    def _parse(self, piece: bytes) -> None:
        if self._is_in_head:
            self._head_bytes += len(piece)
        elif self._is_chunked:
            self._chunked_bytes += len(piece)
            self.deadline += len(piece) / BYTES_PER_SECOND_MIN
        else:
            self._body_left -= len(piece)
        super().data_received(piece)
        if self._is_handed_over or self.transport.is_closing():
            return
        if self._is_in_head:
            if self._head_bytes and (fault := EMPTY if piece == _END else head_excess(self._head_bytes, self.headers)):
                self._hang_up(400, fault)
        elif self._is_chunked and self._has_much_framing():
            self._hang_up(400, _FRAMED)

    def _has_much_framing(self) -> bool:
        framing = self._chunked_bytes - self._content_bytes
        return framing > FRAMING_BYTES_MAX + FRAMING_BYTES_EACH * self._content_bytes

    def on_headers_complete(self) -> None:
        """Begin a request; one with a fault is answered in its turn."""
        fault = self._fault = head_excess(self._head_bytes, self.headers) or self._host_fault()
        self._is_in_head, self._head_bytes = False, 0
        served = self.app
        if fault is not None:
            self.app = refusal(400, fault)
        elif self._is_surplus and self.url.partition(b"?")[0] not in HEALTH_PATHS:
            self.app = refusal(503, _FULL)
        try:
            super().on_headers_complete()
        finally:
            self.app = served
        self.deadline = math.inf
        at_hand, self._at_hand = self._at_hand, 0
        if self._is_chunked or self._body_left > at_hand:
            self._chunked_bytes = self._content_bytes = 0
            self.deadline = self.loop.time() + seconds_for(self._body_left) + LATE_SECONDS
            if (cycle := self._cycle()) is not None:
                cycle.transport = cast(asyncio.Transport, LingeringTransport(self.transport, self.close_after_body))
        if self._is_surplus and (cycle := self._cycle()) is not None:
            cycle.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the hosts, and how the body is sent. What follows a body is dropped."""
        if not self._is_in_head:
            return
        name = name.lower()
        if name == b"host":
            self._hosts.append(value)
        elif name == b"content-length" and value.isdigit():
            self._body_left = int(value)
        elif name == b"transfer-encoding":
            self._is_chunked = True
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        self.headers.append((name, value))

    def _host_fault(self) -> str | None:
        """Return the fault of a request without one good Host."""
        hosts, self._hosts = self._hosts, []
        if len(hosts) == 1 and hosts[0] == self._valid_host:
            return None
        fault = host_fault(hosts, self.parser.get_http_version())
        self._valid_host = hosts[0] if hosts and fault is None else None
        return fault

    def on_body(self, body: bytes) -> None:
        """Count what of a chunked body is content."""
        self._content_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next head; the time for the response is the server's own."""
        self._is_in_head = True
        self._body_left, self._is_chunked = 0, False
        self.deadline = math.inf
        super().on_message_complete()
        cycle = self._cycle()
        if cycle is not None and cycle.response_complete and not self.transport.is_closing():
            # The timer was set when the response was sent, and stopped by the rest of the body.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def close_after_body(self) -> None:
        """Close now if the body has come whole; else drop what comes until the client is gone or its time is over."""
        if self._is_in_head or self.transport.is_closing():
            self.transport.close()
        elif not self._is_leaving:
            self._is_leaving = True
            self.transport.write_eof()

    def on_response_complete(self) -> None:
        """Go on with what was held, after a pause if the client is throttled and sends on."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.cycle.body:
            self.cycle.body = bytearray()  # what nobody read of it, and the cycle stays until the next request
        if not self._is_in_head:
            self.deadline = self.loop.time() + LINGER_SECONDS
            if self._is_chunked:
                # Only parsing would tell where the body ends.
                self.close_after_body()
        if self.cycle.scope.get(THROTTLED) and not self._peers.may_go_on(self._peer, self.loop.time()):
            self._is_pausing = True
            self.flow.hold()
            self.loop.call_later(THROTTLED_SECONDS, self._go_on)
        elif self._held:
            # Not here: the application's call has not returned, and each request would call the next from within.
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_pausing = False
        if not self.transport.is_closing():
            held, self._held = self._held, b""
            self._feed(held)

    def _hold(self, data: bytes, head_bytes: int) -> None:
        """Hold bytes that are not parsed yet, and count them with those of an unfinished head."""
        self._held = data
        kept = len(data) + head_bytes
        if kept != self._kept_bytes:
            is_within = self._peer.keep(kept - self._kept_bytes)
            self._kept_bytes = kept
            if not is_within and not self.transport.is_closing():
                self._peers.ended["memory"] += 1
                self._hang_up(503, _FULL)
                self._hold(b"", 0)

    def handle_websocket_upgrade(self) -> None:
        """Hand over a connection that asks for a WebSocket, unless something is wrong with it."""
        if self._fault is not None:
            self._hang_up(400, self._fault)
        elif self._is_surplus:
            self._hang_up(503, _FULL)
        else:
            self._hold(b"", 0)
            lost = self._peers.hand_over(self, self._peer)
            super().handle_websocket_upgrade()
            cast(Socket, self.transport.get_protocol()).lost = lost
            self._is_handed_over = True

    def pause_writing(self) -> None:
        """Wait for a client that reads more slowly than it is written to."""
        super().pause_writing()
        size_bytes = self.transport.get_write_buffer_size()
        self.unread_deadline = self.loop.time() + seconds_for(size_bytes)
        self._peers.stop_reading(self, self._peer, size_bytes)

    def resume_writing(self) -> None:
        """Write on."""
        super().resume_writing()
        self.unread_deadline = math.inf
        self._peer.read_on(self)

    def is_closing(self) -> bool:
        """Return whether the connection has ended, but for bytes that its client has not read yet."""
        return self.transport.is_closing()

    def end_late(self, now: float) -> str | None:
        """End a connection that is late, and return the reason; None while a closing one has time left."""
        if self.unread_deadline < now or (self._is_ending and self.deadline < now):
            self.abort()
            return "unread"
        if self._is_ending:
            return None
        if self.transport.is_closing():
            self._is_ending, self.deadline = True, now + CLOSING_SECONDS
            return None
        if self._is_in_head:
            if self._head_bytes:
                self._hang_up(408, "The head of the request did not come in time.")
                return "late-head"
            self.transport.close()
            return "silent"
        cycle = self._cycle()
        if cycle is None or cycle.response_started:
            self.transport.close()
        else:
            self._hang_up(408, "The body of the request did not come in time.")
        return "late-body"

    def abort(self) -> None:
        """Cut the connection, whatever waits in it."""
        self.transport.abort()

    def _hang_up(self, status: int, text: str) -> None:
        """Write a response without a request's cycle, and close."""
        default = b"".join(b"%b: %b\r\n" % header for header in self.server_state.default_headers)
        head = b"%b%bcontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (
            STATUS_LINE[status],
            default,
            len(text),
        )
        self.transport.write(head + text.encode())
        self.transport.close()

    def shutdown(self) -> None:
        """Finish the request in hand alone, as uvicorn asks when the server stops."""
        self._hold(b"", 0)
        self.pipeline.clear()
        super().shutdown()

"""Flow of one connection of HTTP: reading that is held, and a close that waits for the rest of a body."""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl


class HeldFlow(FlowControl):
    """Flow control that does not read on while requests wait, whoever asks for it."""

    is_held = False

    def hold(self) -> None:
        """Stop reading until `release`."""
        self.is_held = True
        self.pause_reading()

    def release(self) -> None:
        """Read on."""
        self.is_held = False
        self.resume_reading()

    def resume_reading(self) -> None:
        """Read on, unless requests wait."""
        if not self.is_held:
            super().resume_reading()


class LingeringTransport:
    """Transport of a request with a body: its close waits, or a client that still sends would lose the response.

    The system resets a connection that is closed with bytes unread (RFC 9112, section 9.6), and proxies answer 502.
    """

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close

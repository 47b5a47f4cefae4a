"""The product's uvicorn with a small application that sends every text to all connections, over one of the available
WebSocket protocols: uvicorn's own, or ours with nothing behind it."""

import sys
from importlib.util import find_spec

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from websockets.http11 import Request

from config import settings
from rookery.server import uvicorn_server
from rookery.server.application import Application
from router.gateway import frames
from router.gateway.close_codes import Close
from router.gateway.websocket import Socket

OURS = "ours"
PROTOCOLS = ("websockets", "websockets-sansio", *(("wsproto",) if find_spec("wsproto") else ()))
"""The installed protocols of uvicorn: wsproto is no dependency of ours; `pip install wsproto` adds it."""


class Room:
    """An ASGI application that sends every text to all connections, the sender's included."""

    def __init__(self) -> None:
        self._everybody: set[Send] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket, a request that checks for readiness, or the server's start and end."""
        if scope["type"] == "lifespan":
            scope["state"]["gateway"] = BareRoom()
            for what in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{what}.complete"})
        elif scope["type"] == "http":
            await JSONResponse(None)(scope, receive, send)
        else:
            await self._serve(receive, send)

    async def _serve(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self._everybody.add(send)
        try:
            while (received := await receive())["type"] == "websocket.receive":
                message = {"type": "websocket.send", "text": received["text"]}
                for send_to in tuple(self._everybody):
                    await send_to(message)
        finally:
            self._everybody.discard(send)


class BareRoom:
    """The same behind our protocol class, without ASGI between."""

    frame_bytes_max = 65_536

    def __init__(self) -> None:
        self._everybody: set[Socket] = set()

    @property
    def handler(self) -> "BareRoom":
        """The room handles its own connections, which are their sockets."""
        return self

    def refusal(self, request: Request, peer: str) -> None:
        """Accept every connection."""

    def opened(self, socket: Socket, request: Request, peer: str) -> Socket:
        """Add a connection."""
        self._everybody.add(socket)
        return socket

    def received(self, _socket: Socket, message: bytes) -> None:
        """Send a text to all connections."""
        frame = frames.text(message)
        for one in self._everybody:
            one.write(frame)

    def count_frame(self, _socket: Socket) -> bool:
        """Allow any number of frames."""
        return True

    def drained(self, socket: Socket) -> None:
        """Nothing waits here."""

    def closed(self, socket: Socket, close: Close | None) -> None:
        """Remove a connection."""
        self._everybody.discard(socket)


def main() -> None:
    """Serve on the port of the first argument, with the protocol of the second."""
    port, protocol = sys.argv[1:]
    found = settings.load(None, environ={"ROOKERY_SERVER_PORT": port})
    configured = uvicorn_server.configure(found, Application(found))
    configured.app = Room()
    configured.limit_concurrency = None
    configured.ws_per_message_deflate = False
    if protocol != OURS:
        configured.ws = protocol
    uvicorn.Server(configured).run()


if __name__ == "__main__":
    main()

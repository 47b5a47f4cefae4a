"""The product's uvicorn with a small application that tells everybody what anybody says, over one of the WebSocket
protocols that there are: uvicorn's own, or ours with nothing behind it."""

import sys
from importlib.util import find_spec

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from websockets.http11 import Request

from config import settings
from rookery import server
from rookery.application import Application
from router.gateway import frames
from router.gateway.closing import Close
from router.gateway.sockets import Socket

OURS = "ours"
PROTOCOLS = ("websockets", "websockets-sansio", *(("wsproto",) if find_spec("wsproto") else ()))
"""Those of uvicorn that are here: wsproto is no dependency of ours; `pip install wsproto` adds it to the comparison."""


class Room:
    """An ASGI application: every text goes to everybody, its sender included."""

    def __init__(self) -> None:
        self._everybody: set[Send] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket, the question whether it serves, or the server's start and end."""
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
            while (said := await receive())["type"] == "websocket.receive":
                told = {"type": "websocket.send", "text": said["text"]}
                for tell in tuple(self._everybody):
                    await tell(told)
        finally:
            self._everybody.discard(send)


class BareRoom:
    """The same behind our protocol class, without ASGI between."""

    frame_bytes_max = 65_536

    def __init__(self) -> None:
        self._everybody: set[Socket] = set()

    def refusal(self, request: Request, peer: str) -> None:
        """Welcome everybody."""

    def opened(self, socket: Socket, request: Request, peer: str) -> "_Line":
        """Take in one more."""
        self._everybody.add(socket)
        return _Line(socket, self._everybody)


class _Line:
    __slots__ = ("_everybody", "_socket")

    def __init__(self, socket: Socket, everybody: set[Socket]) -> None:
        self._socket = socket
        self._everybody = everybody

    def received(self, message: bytes) -> None:
        frame = frames.text(message)
        for one in self._everybody:
            one.write(frame)

    def ticked(self) -> bool:
        return True

    def writable(self) -> None:
        pass

    def lost(self, close: Close | None) -> None:
        self._everybody.discard(self._socket)


def main() -> None:
    """Serve on the port of the first argument, with the protocol of the second."""
    port, protocol = sys.argv[1:]
    found = settings.load(None, environ={"ROOKERY_SERVER_PORT": port})
    configured = server.configure(found, Application(found))
    configured.app = Room()
    configured.limit_concurrency = None
    configured.ws_per_message_deflate = False
    if protocol != OURS:
        configured.ws = protocol
    uvicorn.Server(configured).run()


if __name__ == "__main__":
    main()

"""Start of uvicorn with its bounds set, in the foreground, until a signal ends it."""

import asyncio
import logging
import socket
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from config.settings import Settings
from rookery import process
from rookery.server.http_protocol import BoundedProtocol
from router.gateway.websocket import Socket

log = logging.getLogger(__name__)

BACKLOG = 2_048
"""Connections that wait to be accepted; the kernel refuses more."""


def configure(settings: Settings, application: ASGIApp) -> uvicorn.Config:
    """Return uvicorn's configuration for these settings.

    A proxy's headers are trusted only if its address is on the list: uvicorn's default is wider.
    """
    server = settings.server
    return uvicorn.Config(
        application,
        host=server.host,
        port=server.port,
        loop="uvloop",
        http=BoundedProtocol,
        ws=Socket,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        backlog=BACKLOG,
        proxy_headers=bool(server.trusted_proxies),
        forwarded_allow_ips=[str(network) for network in server.trusted_proxies],
        timeout_keep_alive=server.keep_alive_seconds,
        timeout_graceful_shutdown=server.shutdown_grace_seconds,
    )


class Server(uvicorn.Server):
    """A server that ends within its grace: then it cuts the connections whose clients keep it waiting."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests in hand, cut what is left when the grace is over, and close the application."""
        cut = asyncio.get_running_loop().call_later(self.config.timeout_graceful_shutdown or 0, self._cut)
        try:
            await super().shutdown(sockets)
        finally:
            cut.cancel()

    def _cut(self) -> None:
        connections = cast("set[BoundedProtocol | Socket]", self.server_state.connections)
        log.warning("connections were cut at the end of the grace", extra={"count": len(connections)})
        for connection in list(connections):
            connection.abort()


def bind(settings: Settings) -> socket.socket:
    """Return a socket that listens at the address of the settings; raises OSError with the reason when it cannot."""
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def run(settings: Settings, application: ASGIApp, listening: socket.socket | None = None) -> None:
    """Serve until SIGINT or SIGTERM; requests in flight are finished within the grace, then the stores are closed.

    `listening` is the socket from `bind`, for callers that need the port before. Raises SystemExit when the application
    cannot start; its log has the reason.
    """
    process.return_freed()
    process.collect_seldom()
    Server(configure(settings, application)).run(sockets=None if listening is None else [listening])

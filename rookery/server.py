"""Starts uvicorn with its bounds set, in the foreground, until a signal ends it."""

import socket

import uvicorn

from config.settings import Settings
from rookery import process
from rookery.application import Application
from rookery.protocol import BoundedProtocol
from router.gateway.sockets import Socket

BACKLOG = 2_048


def configure(settings: Settings, application: Application) -> uvicorn.Config:
    """Return uvicorn's configuration for these settings.

    Nothing of a proxy's headers is believed unless its address is on the list: uvicorn's default is wider.
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
        limit_concurrency=server.connections_max,
        timeout_keep_alive=server.keep_alive_seconds,
        timeout_graceful_shutdown=server.shutdown_grace_seconds,
    )


def bind(settings: Settings) -> socket.socket:
    """Return a socket that listens where the settings say; raises OSError with the reason when it cannot."""
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def run(settings: Settings, application: Application, listening: socket.socket | None = None) -> None:
    """Serve until SIGINT or SIGTERM; requests in flight are finished within the grace, then the stores are closed.

    `listening` is what `bind` gave, for whoever wants to know the port before. Raises SystemExit when the application
    cannot start; its log says why.
    """
    process.return_freed()
    process.collect_seldom()
    uvicorn.Server(configure(settings, application)).run(sockets=None if listening is None else [listening])

"""`rookery serve`: the server in the foreground."""

import errno
import logging
import socket
from typing import Annotated

import typer

from config.settings import Settings
from directory import capabilities
from directory.capabilities import Capability
from rookery import VERSION, composition, interruption, logs, options
from rookery.errors import CommandError
from rookery.options import Options
from rookery.outputs import AsJson, Output, facts, speaking
from rookery.server import uvicorn_server
from rookery.server.application import Application

log = logging.getLogger(__name__)


def serve(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option(help="The address to listen on, instead of the settings' [server] host.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="The port to listen on; 0 picks a free one.", min=0, max=65_535)
    ] = None,
    without_shards: Annotated[
        bool, typer.Option("--without-shards", help="Start although no room has its file; they answer 503.")
    ] = False,
    drill: Annotated[
        bool, typer.Option("--drill", help="Try a copy: change no object, call no webhook, send no alert.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the server until Ctrl+C or SIGTERM.

    The data folder is made on the first start, and databases of an older release are brought up to date. A folder
    without its directory or its rooms is refused: see start-anew, and --without-shards. Requests in flight are finished
    before the server ends. With --json one object (url, docs, data, has_admin, is_drill) is printed once the server is
    ready; the log goes to stderr in either case.

    With --drill a restored copy is tried beside the original: it reads object storage and changes nothing there
    (uploads and hibernation are refused), calls no webhook, and tells alerts in the log alone.

    Example: rookery --data /srv/rookery serve --port 8080
    """
    given = options.of(context)
    with speaking(as_json=as_json) as output:
        named = {"host": host, "port": None if port is None else str(port)}
        settings = given.settings(**{key: value for key, value in named.items() if value is not None})
        logs.configure(settings.server.log_level, settings.server.log_format)
        for notice in settings.notices:
            log.warning(notice)
        with _bound(settings) as listening, composition.serving_alone(settings):
            settings = _at_port(settings, listening.getsockname()[1])
            has_admin = interruption.run(_look_first(settings, checks_shards=not without_shards))
            application = Application(
                settings,
                is_drill=drill,
                ready=lambda: _greet(output, given, settings, has_admin=has_admin, is_drill=drill),
            )
            _run(settings, application, listening)


def _bound(settings: Settings) -> socket.socket:
    host, port = settings.server.host, settings.server.port
    try:
        return uvicorn_server.bind(settings)
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: "another program listens there; stop it, or choose another port with --port",
            errno.EACCES: "ports below 1024 are for the system's administrator; choose another one with --port",
            errno.EADDRNOTAVAIL: "this machine has no such address; choose another one with --host",
        }
        reason = reasons.get(error.errno or 0, f"{error.strerror or error}; choose another address with --host")
        raise CommandError(f"The server cannot listen on {host} port {port}: {reason}.") from error


def _at_port(settings: Settings, port: int) -> Settings:
    """Return the settings with the port that the system picked."""
    return settings.model_copy(update={"server": settings.server.model_copy(update={"port": port})})


async def _look_first(settings: Settings, *, checks_shards: bool) -> bool:
    """Return whether there is an administrator; opening the directory here reports a problem with it in a sentence."""
    async with composition.open_directory(settings) as directory:
        if checks_shards:
            await composition.refuse_lost_shards(settings, directory)
        async with directory.database.read() as reader:
            return bool(await capabilities.holders(reader, Capability.ADMIN))


def _greet(output: Output, given: Options, settings: Settings, *, has_admin: bool, is_drill: bool) -> None:
    url = _url(settings)
    shown: list[tuple[str, object]] = [("data", settings.server.data_dir), ("API documentation", f"{url}/docs")]
    if not has_admin:
        shown.append(("first administrator", f"{given.command('user', 'create', 'NAME', '--admin')}   (there is none)"))
    if is_drill:
        shown.insert(0, ("drill", "object storage is read only; no webhook is called, no alert is sent"))
    output.give(
        {
            "url": url,
            "docs": f"{url}/docs",
            "data": str(settings.server.data_dir),
            "has_admin": has_admin,
            "is_drill": is_drill,
        },
        f"Rookery {VERSION} serves {url} (Ctrl+C ends it)",
        facts([(f"  {name}", value) for name, value in shown]),
    )


def _url(settings: Settings) -> str:
    host, port = settings.server.host, settings.server.port
    if host in ("0.0.0.0", "::"):  # noqa: S104 - every address, of which this one is within reach
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _run(settings: Settings, application: Application, listening: socket.socket) -> None:
    try:
        uvicorn_server.run(settings, application, listening)
    except KeyboardInterrupt:  # after a graceful end uvicorn repeats the signal
        return
    except SystemExit as error:
        raise CommandError("The server could not start; the log above says why.") from error

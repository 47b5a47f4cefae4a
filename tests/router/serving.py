"""Real servers for tests: uvicorn over a folder of its own, in a thread, or in a process that can be killed.

The listening socket is bound before the server starts, so there is no port to guess and nothing to wait for.
"""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from config import settings
from config.settings import Settings
from rookery.server.application import Application
from rookery.server.uvicorn_server import Server, configure

PROJECT = Path(__file__).parents[2]
START_SECONDS_MAX = 60.0
ORIGIN = "https://chat.example"
GENEROUS = dict.fromkeys(("user", "address", "room", "credentials"), (100_000, 100_000))


@dataclass(frozen=True, slots=True)
class Place:
    """The data folder of a server, and its settings beside the defaults."""

    folder: Path
    rates: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    server: Mapping[str, str] = field(default_factory=dict)
    more: str = ""
    """Further tables of the configuration, as they stand in it."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """What the environment adds, for a server in this process."""

    @property
    def shards(self) -> Path:
        return self.folder / "data" / "shards"

    def settings(self) -> Settings:
        """Write the configuration and read it as an installation does."""
        lines = ["[server]", 'data_dir = "data"', f'allowed_origins = ["{ORIGIN}"]']
        lines += [f"{name} = {value}" for name, value in self.server.items()]
        lines += ["[limits]", *(f"{name} = {value}" for name, value in self.limits.items()), "[limits.rates]"]
        for name, (per_second, burst) in {**GENEROUS, **self.rates}.items():
            lines.append(f"{name} = {{ per_second = {per_second}, burst = {burst} }}")
        path = self.folder / "rookery.toml"
        path.write_text("\n".join([*lines, self.more]))
        return settings.load(path, environ=self.environ)


@dataclass(frozen=True, slots=True)
class Running:
    """A running server."""

    place: Place
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(place: Place, *, is_drill: bool = False) -> Iterator[Running]:
    """Serve from a thread of this process until the block ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    chosen = place.settings()
    server = Server(configure(chosen, Application(chosen, is_drill=is_drill)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="server")
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive(), seconds=START_SECONDS_MAX)
        assert server.started, "the server did not start"
        yield Running(place, listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


class Process:
    """A server process; the socket outlives it, so the next one can take over its port."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.running = Running(place, self._listening.getsockname()[1])
        self.popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start serving, and return when requests are answered."""
        self.place.settings()
        descriptor = self._listening.fileno()
        command = [sys.executable, "-m", "tests.router.serving", str(self.place.folder), str(descriptor)]
        self.popen = subprocess.Popen(command, cwd=PROJECT, pass_fds=[descriptor], stdout=subprocess.PIPE)
        assert self.popen.stdout is not None
        assert self.popen.stdout.readline() == b"ready\n", "the server did not start"

    def terminate(self) -> None:
        """Ask the process to end when it has finished what it does."""
        assert self.popen is not None
        self.popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process as a power cut would, and return when it is gone."""
        assert self.popen is not None
        self.popen.kill()
        self.wait()

    def wait(self) -> int:
        """Return the exit code of a process that is about to end."""
        assert self.popen is not None
        with self.popen:
            return self.popen.wait(timeout=START_SECONDS_MAX)

    def close(self) -> None:
        if self.popen is not None and self.popen.poll() is None:
            self.kill()
        self._listening.close()


@contextmanager
def process(place: Place) -> Iterator[Process]:
    """Serve from a process until the block ends, if it was not killed before."""
    served = Process(place)
    try:
        served.start()
        yield served
    finally:
        served.close()


def until(is_so: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Wait for something that happens elsewhere; raises TimeoutError."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.005)


def _serve(folder: Path, descriptor: int) -> None:
    chosen = settings.load(folder / "rookery.toml", environ={})
    application = Application(chosen, ready=lambda: print("ready", flush=True))
    with socket.socket(fileno=descriptor) as listening:
        Server(configure(chosen, application)).run(sockets=[listening])


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))

"""Servers under measurement: subprocesses on the first core; the load runs on the second."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVER_CORE, LOAD_CORE = 0, 1
START_SECONDS_MAX = 20.0

_UNLIMITED = "per_second = 1_000_000\nburst = 10_000_000\n"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    port: int
    process: "subprocess.Popen[bytes]"

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """Ask once and return the JSON of the answer."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data, headers=headers, method=method)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def memory_mib(self) -> float:
        """Return the resident memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024


def pin_load() -> None:
    """Keep this process, the load, off the server's core."""
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {LOAD_CORE})


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def rookery(folder: Path) -> Iterator[Server]:
    """Run the product on a data folder, without rate limits, and stop it at the end."""
    port = free_port()
    buckets = "".join(f"[limits.rates.{name}]\n{_UNLIMITED}" for name in ("user", "address", "room", "credentials"))
    settings = folder / "rookery.toml"
    settings.write_text(
        f'[server]\nport = {port}\ndata_dir = "data"\n[limits]\nrooms_owned_max = 100_000\n{buckets}', encoding="utf-8"
    )
    with _running(port, "/readyz", [sys.executable, "-m", "rookery", "--config", str(settings), "serve"]) as server:
        yield server


@contextlib.contextmanager
def echo() -> Iterator[Server]:
    """Run the same uvicorn with an application that only echoes JSON."""
    port = free_port()
    with _running(port, "/", [sys.executable, "-m", "bench.echo", str(port)]) as server:
        yield server


@contextlib.contextmanager
def _running(port: int, path: str, command: list[str]) -> Iterator[Server]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        cwd=Path(__file__).parent.parent,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),  # noqa: PLW1509 - no threads yet in the child
    )
    server = Server(port, process)
    try:
        _wait_for(server, path)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait_for(server: Server, path: str) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            server.call("GET", path)
        except OSError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


@dataclass(frozen=True, slots=True)
class Community:
    """Somewhere to send to, and someone who may."""

    token: str
    room_id: str
    channel_id: str

    @property
    def messages(self) -> str:
        """The path of the channel's messages."""
        return f"/v1/rooms/{self.room_id}/channels/{self.channel_id}/messages"


def sign_up(server: Server, username: str = "bench_user") -> str:
    """Register someone and return the session's token."""
    credentials = {"username": username, "password": "a password for benchmarks"}
    token: str = server.call("POST", "/v1/auth/register", credentials)["token"]
    return token


def found(server: Server, token: str, name: str) -> Community:
    """Make a community."""
    made = server.call("POST", "/v1/rooms", {"name": name}, token)
    return Community(token, made["room"]["id"], made["channels"][0]["id"])

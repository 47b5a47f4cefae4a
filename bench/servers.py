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

_BUCKETS = ("user", "address", "room", "credentials", "frames")
_UNLIMITED = "per_second = 1_000_000\nburst = 10_000_000\n"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    port: int
    process: "subprocess.Popen[bytes]"

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """Send one request and return the JSON of the answer."""
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

    def processor_seconds(self) -> float:
        """Return the processor time that the process has used, the kernel's for it included; in steps of 10 ms."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pin_load() -> None:
    """Keep this process, the load, off the server's core."""
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {LOAD_CORE})


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def rookery(folder: Path, more: str | None = None) -> Iterator[Server]:
    """Run the product on a data folder and stop it at the end; without rate limits and bounds of connections, or with
    more lines of settings, which begin in the table of the server."""
    port = free_port()
    buckets = "".join(f"[limits.rates.{name}]\n{_UNLIMITED}" for name in _BUCKETS)
    settings = folder / "rookery.toml"
    head = f'[server]\nport = {port}\ndata_dir = "data"\nlog_level = "warning"\n'
    if more is None:
        more = "connections_max = 100_000\nconnections_per_address_max = 100_000\n"
        more += f"[limits]\nrooms_owned_max = 100_000\n{buckets}"
    settings.write_text(head + more, encoding="utf-8")
    with _running(port, "/readyz", [sys.executable, "-m", "rookery", "--config", str(settings), "serve"]) as server:
        yield server


@contextlib.contextmanager
def echo() -> Iterator[Server]:
    """Run the same uvicorn with an application that only echoes JSON."""
    port = free_port()
    with _running(port, "/", [sys.executable, "-m", "bench.echo", str(port)]) as server:
        yield server


@contextlib.contextmanager
def broadcast(protocol: str) -> Iterator[Server]:
    """Run the same uvicorn with an application that sends every text to all connections, over a protocol of
    `gateway_yardstick`."""
    port = free_port()
    with _running(port, "/", [sys.executable, "-m", "bench.gateway_yardstick", str(port), protocol]) as server:
        yield server


@contextlib.contextmanager
def bare(connections: int) -> Iterator[Server]:
    """Run the process that only writes to so many sockets; its listening socket is there when this returns."""
    port = free_port()
    command = [sys.executable, "-m", "bench.gateway_bare", str(port), str(connections)]
    with _started(command, subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield Server(port, process)


@contextlib.contextmanager
def _running(port: int, path: str, command: list[str]) -> Iterator[Server]:
    with _started(command, subprocess.DEVNULL) as process:
        server = Server(port, process)
        _wait_for(server, path)
        yield server


@contextlib.contextmanager
def _started(command: list[str], stdout: int) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        command,
        stdout=stdout,
        cwd=Path(__file__).parent.parent,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),  # noqa: PLW1509 - no threads yet in the child
    )
    try:
        yield process
    finally:
        if process.poll() is None:
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
    """A channel to send to, with the token of a member."""

    token: str
    room_id: str
    channel_id: str

    @property
    def messages(self) -> str:
        """The path of the channel's messages."""
        return f"/v1/rooms/{self.room_id}/channels/{self.channel_id}/messages"


def sign_up(server: Server, username: str = "bench_user") -> str:
    """Register a user and return the session's token."""
    credentials = {"username": username, "password": "a password for benchmarks"}
    token: str = server.call("POST", "/v1/auth/register", credentials)["token"]
    return token


def found(server: Server, token: str, name: str) -> Community:
    """Make a community."""
    made = server.call("POST", "/v1/rooms", {"name": name}, token)
    return Community(token, made["room"]["id"], made["channels"][0]["id"])

"""A real server in a subprocess that is killed without warning, and senders with a ledger of acknowledged messages."""

import asyncio
import contextlib
import json
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

SETTINGS = """
[server]
port = {port}
data_dir = "data"
log_format = "json"
[limits]
rooms_owned_max = 100_000
[limits.rates.user]
per_second = 1_000_000
burst = 1_000_000
[limits.rates.address]
per_second = 1_000_000
burst = 1_000_000
[limits.rates.room]
per_second = 1_000_000
burst = 1_000_000
[limits.rates.credentials]
per_second = 1_000
burst = 1_000
"""


@dataclass
class KilledServer:
    """A data folder whose server is started and killed repeatedly."""

    folder: Path
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    start_seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.settings = self.folder / "rookery.toml"
        self.settings.write_text(SETTINGS.format(port=self.port))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start, and wait until it is ready to work."""
        started = time.perf_counter()
        self._spawn()
        assert self.process is not None
        async with httpx.AsyncClient(base_url=self.url) as client:
            while True:
                assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get("/readyz")).status_code == 200:
                        break
                await asyncio.sleep(0.01)
        self.start_seconds.append(time.perf_counter() - started)

    async def kill_while_it_starts(self, after_seconds: float) -> None:
        """Start, and kill it at a moment of its start."""
        self._spawn()
        await asyncio.sleep(after_seconds)
        self.kill()

    def _spawn(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rookery", "--config", str(self.settings), "serve"], stdout=log, stderr=log
            )

    def kill(self) -> None:
        """End it as a power switch ends a process: no handler runs."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it by a signal, and wait for it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)


def examine(server: KilledServer) -> None:
    """Hold that the doctor finds everything well beside the running server, and that among rooms lies nothing else, but
    for what is set aside for a week."""
    command = [sys.executable, "-m", "rookery", "--config", str(server.settings), "doctor", "--all", "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, check=False).stdout)
    assert told["ok"], told
    files = [file.name for file in (server.folder / "data" / "shards").iterdir()]
    assert [name for name in files if not re.fullmatch(r"[0-9]+\.(db(-wal|-shm)?|left)", name)] == []


@dataclass
class Ledger:
    """The sent messages, and those that the server acknowledged with a status of success."""

    sent: dict[str, str] = field(default_factory=dict)
    """Content by nonce, acknowledged or not."""
    acked: dict[str, int] = field(default_factory=dict)
    """Message id by nonce."""
    order: dict[int, list[str]] = field(default_factory=dict)
    """Acknowledged nonces by sender, in the order of their acknowledgements."""


@dataclass
class Sender:
    """Sends one message after the other, until the server is gone."""

    number: int
    path: str
    token: str
    ledger: Ledger

    async def send_until_killed(self, client: httpx.AsyncClient, cycle: int) -> None:
        with contextlib.suppress(httpx.TransportError):
            for at in range(1_000_000):
                nonce = f"{cycle}-{self.number}-{at}"
                await self._send(client, nonce, f"message {nonce} of sender{self.number}")

    async def _send(self, client: httpx.AsyncClient, nonce: str, content: str) -> None:
        self.ledger.sent[nonce] = content
        answer = await client.post(self.path, json={"content": content, "nonce": nonce})
        assert answer.status_code == 201, answer.text
        self.ledger.acked[nonce] = int(answer.json()["id"])
        self.ledger.order.setdefault(self.number, []).append(nonce)

    async def send_again(self, client: httpx.AsyncClient, nonce: str) -> dict[str, Any]:
        """Repeat a message whose fate is unknown, as a client does after a lost connection."""
        content = self.ledger.sent[nonce]
        answer = await client.post(self.path, json={"content": content, "nonce": nonce})
        assert answer.status_code in (200, 201), answer.text
        found: dict[str, Any] = answer.json()
        return found


async def load_until_killed(server: KilledServer, senders: list[Sender], cycle: int, chance: random.Random) -> None:
    """Let all senders send, and kill the server at a random moment."""
    headers = {"Authorization": f"Bearer {senders[0].token}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
        tasks = [asyncio.create_task(sender.send_until_killed(client, cycle)) for sender in senders]
        await asyncio.sleep(chance.uniform(0.1, 0.5))
        server.kill()
        await asyncio.gather(*tasks)


async def history(client: httpx.AsyncClient, path: str, *, after: str = "1") -> list[dict[str, Any]]:
    """Read a channel from an id on, oldest first, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        page = (await client.get(path, params={"after": after, "limit": 100})).raise_for_status().json()
        found += reversed(page["messages"])
        if not page["has_newer"]:
            return found
        after = page["messages"][0]["id"]


@contextlib.asynccontextmanager
async def member_of(server: KilledServer) -> AsyncIterator[tuple[httpx.AsyncClient, str, str]]:
    """Register someone with a community, and give a client, the token and the path of the first channel's messages."""
    async with httpx.AsyncClient(base_url=server.url) as client:
        credentials = {"username": "crash_tester", "password": "a long enough password"}
        token = (await client.post("/v1/auth/register", json=credentials)).raise_for_status().json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        made = (await client.post("/v1/rooms", json={"name": "crash"})).raise_for_status().json()
        room_id, channel_id = made["room"]["id"], made["channels"][0]["id"]
        yield client, token, f"/v1/rooms/{room_id}/channels/{channel_id}/messages"

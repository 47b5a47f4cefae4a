"""Rooms made a second, each with its first message, beside what must reach the disk for them."""

import os
import time
from pathlib import Path

from bench import servers
from bench.figures import Figure

ROOMS = 300
ROUNDS = 3
COMMITS = 3
"""Commits beside the room's file: the registry's row, the room's opening, and the message."""


def measure(folder: Path) -> list[Figure]:
    """Make rooms by one client, each round beside a round of bare files of the same size; the median round counts."""
    servers.pin_load()
    rounds = []
    with servers.rookery(folder) as server:
        token = servers.sign_up(server)
        for number in range(ROUNDS):
            made = _make(server, token, f"bench-{number}")
            size = next((folder / "data" / "shards").glob("*.db")).stat().st_size
            rounds.append((made, _write(folder / f"bare-{number}", size)))
    made, bare = sorted(rounds, key=lambda each: each[0])[ROUNDS // 2]
    return [
        Figure("rooms made a second, with a first message, by one client", made, "/s", at_least=87),
        Figure("of the rate at which such files are written and synced", made / bare),
    ]


def _make(server: servers.Server, token: str, name: str) -> float:
    began = time.perf_counter()
    for number in range(ROOMS):
        room = server.call("POST", "/v1/rooms", {"name": f"{name}-{number}"}, token)
        path = f"/v1/rooms/{room['room']['id']}/channels/{room['channels'][0]['id']}/messages"
        server.call("POST", path, {"content": "The first words."}, token)
    return ROOMS / (time.perf_counter() - began)


def _write(folder: Path, size_bytes: int) -> float:
    """Write and sync files of a size, rename each into place, and sync a line of a log for each commit."""
    folder.mkdir()
    content = os.urandom(size_bytes)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    log = os.open(folder / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    began = time.perf_counter()
    for number in range(ROOMS):
        with (folder / f"{number}.new").open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        (folder / f"{number}.new").rename(folder / f"{number}.db")
        os.fsync(directory)
        for _ in range(COMMITS):
            os.write(log, content[:4_096])
            os.fdatasync(log)
    seconds = time.perf_counter() - began
    os.close(log)
    os.close(directory)
    return ROOMS / seconds

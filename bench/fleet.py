"""Many rooms, a file each: sends over a hundred of them, and the disk space and memory of a thousand."""

from pathlib import Path
from statistics import median

from bench import load, servers
from bench.figures import Figure
from bench.traffic import CONNECTIONS, ROUNDS, SENDS, bodies

ROOMS_BUSY = 100
ROOMS_MANY = 1_000


def measure_many(folder: Path) -> list[Figure]:
    """Compare sends that go round a hundred rooms with sends to one of them."""
    servers.pin_load()
    ones: list[float] = []
    manies: list[float] = []
    with servers.rookery(folder) as server:
        token = servers.sign_up(server)
        rooms = [servers.found(server, token, f"bench-{number}") for number in range(ROOMS_BUSY)]
        for number in range(ROUNDS):
            one = _round(rooms[:1], f"one-{number}")
            many = _round(rooms, f"many-{number}")
            for requests, rates in ((one, ones), (many, manies)):
                result = load.run(server.port, requests, connections=CONNECTIONS)
                assert not result.failures, "every message must be acknowledged"
                rates.append(result.per_second)
    ratio = median(many / one for many, one in zip(manies, ones, strict=True))
    return [
        Figure("durable sends, round 100 rooms", median(manies), "/s"),
        Figure("durable sends, round 100 rooms, as a share of one room", ratio, at_least=0.4),
    ]


def _round(rooms: list[servers.Community], mark: str) -> list[bytes]:
    """Return sends that go round the rooms."""
    return [
        load.request("POST", rooms[at % len(rooms)].messages, token=rooms[0].token, body=body)
        for at, body in enumerate(bodies(SENDS, mark))
    ]


def measure_memory(folder: Path) -> list[Figure]:
    """Make a thousand rooms with a message each, and measure the disk space and the process."""
    servers.pin_load()
    with servers.rookery(folder) as server:
        token = servers.sign_up(server)
        empty = server.memory_mib()
        rooms = [servers.found(server, token, f"bench-{number}") for number in range(ROOMS_MANY)]
        (body,) = bodies(1, "only")
        result = load.run(
            server.port,
            [load.request("POST", room.messages, token=token, body=body) for room in rooms],
            connections=CONNECTIONS,
        )
        assert not result.failures, "every room must take its message"
        memory = server.memory_mib()
        on_disk = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) / 1e6
    return [
        Figure("memory of an empty server", empty, "MiB"),
        Figure("memory after 1,000 rooms with one message each", memory, "MiB", at_most=150),
        Figure("disk under 1,000 rooms with one message each", on_disk, "MB", at_most=250),
    ]

"""Unread and mention counts of a hundred rooms in one request, all of their shards open."""

import json
import time
from pathlib import Path
from statistics import median

from bench import load, servers
from bench.figures import Figure
from bench.traffic import CONNECTIONS, TEXT

ROOMS = 100
MESSAGES = 20
"""Unread messages in each of two channels of every room, one of them a mention."""
ROUNDS = 60
PATH = f"/v1/unread?limit={ROOMS}"


def measure(folder: Path) -> list[Figure]:
    """Fill a hundred rooms, and request the counts of a user: with all messages unread, and with none."""
    servers.pin_load()
    with servers.rookery(folder) as server:
        owner, reader = servers.sign_up(server), servers.sign_up(server, "bench_reader")
        reader_id = server.call("GET", "/v1/users/me", token=reader)["id"]
        rooms = [server.call("POST", "/v1/rooms", {"name": f"bench-{number}"}, owner) for number in range(ROOMS)]
        for room in rooms:
            invite = server.call("POST", f"/v1/rooms/{room['room']['id']}/invites", {}, owner)
            server.call("POST", f"/v1/invites/{invite['code']}/use", token=reader)
        paths = [
            f"/v1/rooms/{room['room']['id']}/channels/{channel['id']}/messages"
            for room in rooms
            for channel in room["channels"]
            if channel["type"] != "voice"
        ]
        said = [json.dumps({"content": text}).encode() for text in (f"<@{reader_id}>", *[TEXT] * (MESSAGES - 1))]
        sends = [load.request("POST", path, token=owner, body=body) for body in said for path in paths]
        assert not load.run(server.port, sends, connections=CONNECTIONS).failures
        full = _times(server, reader, unread=len(sends), mentions=len(paths))
        for room in rooms:
            server.call("PUT", f"/v1/rooms/{room['room']['id']}/read", token=reader)
        empty = _times(server, reader, unread=0, mentions=0)
    return [
        Figure("unread counts of 100 open rooms, 40 unread in each, median", median(full), "ms", at_most=20),
        Figure("unread counts of 100 open rooms, 40 unread in each, slowest of 60", max(full), "ms"),
        Figure("unread counts of 100 open rooms, all read, median", median(empty), "ms"),
    ]


def _times(server: servers.Server, reader: str, *, unread: int, mentions: int) -> list[float]:
    """Return the milliseconds of each of some requests, without the first, which opens shards."""
    times = []
    for _ in range(ROUNDS + 1):
        asked = time.perf_counter()
        page = server.call("GET", PATH, token=reader)
        times.append((time.perf_counter() - asked) * 1000)
        assert len(page["rooms"]) == ROOMS
        assert sum(room["unread_count"] for room in page["rooms"]) == unread
        assert sum(room["mention_count"] for room in page["rooms"]) == mentions
    return times[1:]

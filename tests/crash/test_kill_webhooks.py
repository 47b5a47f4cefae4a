"""kill -9 while webhooks are told, by receivers that fail and hang: every event arrives, and in order."""

import contextlib
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.telling_server import TellingServer
from tests.router.clients import Client, Room, client_of
from tests.router.receivers import CUT, HANG, Receiver, receiving
from tests.router.serving import until

KILLS = int(os.environ.get("ROOKERY_CRASH_CYCLES", "5"))
WEBHOOKS = 3
TALK_SECONDS = 0.4


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.mark.crash
def test_every_event_is_told_at_least_once(tmp_path: Path, receiver: Receiver) -> None:
    """After any number of kills each webhook was told every message that was stored, none before an earlier one."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    hangs = iter(chance.random() < 0.02 for _ in range(1_000_000))
    answers = iter(chance.choice((200, 200, 200, 500, CUT)) for _ in range(1_000_000))
    # One that hangs holds its webhook up for ten seconds, unless the server is killed before.
    receiver.answer = lambda path, _count: HANG if path == "/2" and next(hangs) else next(answers)
    server = TellingServer(tmp_path)
    try:
        server.start()
        with client_of(server.process.running) as client:
            owner = client.guest()
            room = owner.found()
            for number in range(WEBHOOKS):
                body = {"name": "x", "url": receiver.url(str(number)), "events": ["message.created"]}
                owner.post(f"{room.path}/webhooks/outgoing", body)
            for cycle in range(KILLS):
                _talk_until_killed(server, owner, room, cycle, chance)
                server.start()
            stored = _stored(owner, room)
            receiver.answer = lambda _path, _count: 200
            for number in range(WEBHOOKS):
                _await(receiver, str(number), stored, f"seed {seed}, webhook {number}")
    finally:
        server.process.close()
    assert len(stored) >= KILLS * 5
    print(f"{KILLS} kills, {len(stored)} messages, {len(receiver.came)} deliveries")


def _talk_until_killed(server: TellingServer, owner: Client, room: Room, cycle: int, chance: random.Random) -> None:
    timer = threading.Timer(chance.uniform(0.1, TALK_SECONDS), server.process.kill)
    timer.start()
    with contextlib.suppress(httpx.TransportError):
        for at in range(1_000_000):
            owner.say(room, f"{cycle}-{at}")
    timer.join()


def _stored(owner: Client, room: Room) -> list[str]:
    found: list[str] = []
    after = "1"
    while True:
        page: Any = owner.get(f"{room.general}/messages", after=after, limit=100)
        found += [message["id"] for message in reversed(page["messages"])]
        if not page["has_newer"]:
            return found
        after = page["messages"][0]["id"]


def _await(receiver: Receiver, path: str, stored: list[str], where: str) -> None:
    """Wait until a webhook was told everything, and look at the order: what came twice counts when it first came."""

    def told() -> dict[str, int]:
        first: dict[str, int] = {}
        for event in receiver.told(path):
            first.setdefault(event["d"]["id"], event["seq"])
        return first

    until(lambda: len(told()) >= len(stored), seconds=30)
    found = told()
    assert list(found) == stored, where
    assert list(found.values()) == sorted(found.values()), where

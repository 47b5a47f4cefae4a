"""The gateway while the disk of one room takes its time: others do not notice, and nobody hears what is not on disk."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.router.clients import Client, client_of
from tests.router.serving import Place, Running, serving
from tests.router.wires import Frame, speaking
from tests.shard import disks

PATIENCE_SECONDS = 60.0


class Gate:
    """A disk on which what syncs a file of one room waits until it may go on."""

    def __init__(self) -> None:
        self.room_id: str | None = None
        self.is_reached = threading.Event()
        self.may_go_on = threading.Event()

    def __call__(self, operation: str, path: Path) -> None:
        if operation == "xSync" and self.room_id is not None and self.room_id in path.name:
            self.is_reached.set()
            self.may_go_on.wait(PATIENCE_SECONDS)


@pytest.fixture
def gate() -> Iterator[Gate]:
    fault = Gate()
    with disks.inserted(fault):
        yield fault


def contents(frames: list[Frame]) -> list[str]:
    return [event["d"]["content"] for event in frames if "content" in (event["d"] or {})]


def test_a_disk_that_takes_its_time_holds_up_its_room_alone(tmp_path: Path, gate: Gate) -> None:
    """While a commit waits for the disk nothing of it is acknowledged or told, over HTTP or the gateway, and another
    room is used through the same sockets; then everything is told once, in the order of the acknowledged numbers."""
    with serving(Place(tmp_path)) as server, client_of(server) as nobody, ThreadPoolExecutor(8) as threads:
        owner = nobody.guest()
        slow, other = owner.found(), owner.found()
        with speaking(server, owner) as speaker:
            gate.room_id = slow.id
            waiting = [threads.submit(_say, server, owner, slow.general, f"slow {number}") for number in range(6)]
            speaker.say(
                "send", {"room_id": slow.id, "channel_id": slow.channels["general"], "content": "slow too"}, ref=99
            )
            assert gate.is_reached.wait(PATIENCE_SECONDS)
            for number in range(20):
                owner.say(other, f"quick {number}")
                speaker.until_event(lambda event, number=number: _says(event, f"quick {number}"))  # type: ignore[misc]
            speaker.settle()
            assert speaker.events(slow) == []
            assert not any(answer.done() for answer in waiting)
            assert not any(frame.get("ref") == 99 for frame in speaker.heard)
            gate.may_go_on.set()
            answers = [answer.result() for answer in waiting]
            assert speaker.until(lambda frame: frame.get("ref") == 99)["op"] == "ok"
            owner.say(slow, "the end")
            speaker.until_event(lambda event: _says(event, "the end"))
            there = [message["content"] for message in reversed(owner.get(f"{slow.general}/messages")["messages"])]
            assert contents(speaker.events(slow)) == there
            assert sorted(there) == sorted([*answers, "slow too", "the end"])


def _says(event: Frame, content: str) -> bool:
    return bool((event["d"] or {}).get("content") == content)


def _say(server: Running, owner: Client, channel: str, content: str) -> str:
    """Send a message through a connection of its own, and return what was acknowledged."""
    with client_of(server) as client:
        answer = client.with_token(owner.token).post(f"{channel}/messages", {"content": content})
        return str(answer["content"])

"""Subscribers without sockets: the frames of a gateway's rooms are kept and read as a client would read them."""

import json
from dataclasses import dataclass, field
from typing import Any, cast

from directory.sessions import Viewer
from ids import UserId
from router.gateway.close_codes import Close
from router.gateway.connection import Connection
from router.gateway.live_room import LiveRoom
from router.gateway.websocket import Socket


@dataclass
class Ear:
    """A substitute for a socket that keeps every frame."""

    is_open: bool = True
    is_paused: bool = False
    heard: bytes = b""
    closes: list[Close] = field(default_factory=list)

    def write(self, frame: bytes) -> None:
        self.heard += frame

    def write_whole(self, frame: bytes) -> None:
        self.heard += frame

    def close(self, close: Close) -> None:
        self.closes.append(close)


def unframed(data: bytes) -> list[dict[str, Any]]:
    """Return the messages of text frames that a server wrote."""
    found = []
    while data:
        assert data[0] == 0x81, "every frame is a whole text"
        size, start = data[1], 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start])
        found.append(json.loads(data[start : start + size]))
        data = data[start + size :]
    return found


class Listener:
    """A subscriber of one room that disconnects and reconnects."""

    def __init__(self, user_id: UserId) -> None:
        self.user_id = user_id
        self.connection: Connection | None = None
        self._ears: list[Ear] = []

    def come(self, room: LiveRoom, place: int, *, resumes: bool = False) -> None:
        """Connect, and receive the room's events from a place on."""
        self._ears.append(Ear())
        self.connection = Connection(cast(Socket, self._ears[-1]), "", 0.0, 0.0, 1.0, viewer=viewer(self.user_id))
        room.subscribe(self.connection, place, is_idle=not resumes)
        if resumes:
            self.connection.start(room.resume(self.connection))

    def go(self, room: LiveRoom) -> None:
        """Disconnect without a close frame."""
        if self.connection is not None:
            self._ears[-1].is_open = False
            for task in self.connection.tasks:
                task.cancel()
            room.unsubscribe(self.connection)
            self.connection = None

    def told(self) -> list[dict[str, Any]]:
        """Return every message since the first connection."""
        return [message for ear in self._ears for message in unframed(ear.heard)]

    def events(self) -> list[dict[str, Any]]:
        """Return every received event, in order."""
        return [event for message in self.told() if message["op"] == "events" for event in message["d"]["events"]]

    def place(self, start: int) -> int:
        """Return the place of a client that began at `start`; fails where anything was left out or came twice."""
        place = start
        for message in self.told():
            if message["op"] == "events":
                place = _after(place, message["d"])
            elif message["op"] == "resync":
                place = message["d"]["seq"]
        return place


def _after(place: int, d: dict[str, Any]) -> int:
    numbers = [event["seq"] for event in d["events"]]
    assert numbers == sorted(set(numbers)), "events come in order"
    assert not numbers or numbers[0] > place, "an event came twice"
    covered = set(numbers).union(*(range(first, last + 1) for first, last in d["skipped"]))
    end = max(covered)
    missing = set(range(place + 1, end + 1)) - covered
    assert not missing, f"{missing} were left out after {place}"
    return max(place, end)


def viewer(user_id: UserId) -> Viewer:
    """Return a session of somebody's."""
    return Viewer(
        session_id=1, token_hash=b"", user_id=user_id, username="", is_anonymous=False, is_bot=False,
        capabilities=frozenset(), last_seen_at=0, expires_at=2**60,
    )  # fmt: skip

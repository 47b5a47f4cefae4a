"""Clients of the gateway: each has a WebSocket to a real server, and reads its messages in order."""

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.router.serving import Running

SECONDS = 60.0
"""Patience for what must come, on a busy machine."""
_refs = itertools.count(1)


class Hearer:
    """An identified client. `said` has all received messages, in order."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.said: list[dict[str, Any]] = []

    def next(self, seconds: float = SECONDS) -> dict[str, Any]:
        """Return the next message; raises TimeoutError, and ConnectionClosed when the server hung up."""
        message: dict[str, Any] = json.loads(self.socket.recv(timeout=seconds))
        self.said.append(message)
        return message

    def until(self, is_it: Callable[[dict[str, Any]], Any], seconds: float = SECONDS) -> dict[str, Any]:
        """Return the next message that is meant, and keep those before it."""
        end = time.monotonic() + seconds
        while True:
            message = self.next(max(0.01, end - time.monotonic()))
            if is_it(message):
                return message

    def op(self, name: str, seconds: float = SECONDS) -> Any:
        """Return the content of the next message of a kind."""
        return self.until(lambda message: message["op"] == name, seconds)["d"]

    def event(self, type_: str) -> dict[str, Any]:
        """Return the next event of a type, out of whichever frame."""
        message = self.until(
            lambda said: said["op"] == "events" and any(event["type"] == type_ for event in said["d"]["events"])
        )
        return next(event for event in message["d"]["events"] if event["type"] == type_)

    def say(self, op: str, d: Any = None, **more: Any) -> None:
        """Send a message without waiting for anything."""
        self.socket.send(json.dumps({"op": op, "d": d, **more}))

    def ask(self, op: str, **d: Any) -> dict[str, Any]:
        """Send a request and return its answer, `ok` or `error`, with what it carries."""
        ref = next(_refs)
        self.say(op, d, ref=ref)
        return self.until(lambda message: message.get("ref") == ref)

    def ok(self, op: str, **d: Any) -> Any:
        """Send a request that must succeed, and return what its answer carries."""
        answer = self.ask(op, **d)
        assert answer["op"] == "ok", answer
        return answer["d"]

    def refused(self, op: str, **d: Any) -> tuple[int, str]:
        """Send a request that must be refused, and return status and kind of the problem."""
        answer = self.ask(op, **d)
        assert answer["op"] == "error", answer
        return answer["d"]["status"], answer["d"]["type"].removeprefix("/docs#problem-")

    def hush(self, seconds: float = 0.1) -> list[dict[str, Any]]:
        """Return what else comes within a moment."""
        found = []
        while True:
            try:
                found.append(self.next(seconds))
            except TimeoutError:
                return found

    def quiet(self) -> list[dict[str, Any]]:
        """Return what `drain` does but presences, which are told when it is their time."""
        return [said for said in self.drain() if said["op"] != "presences"]

    def drain(self) -> list[dict[str, Any]]:
        """Return what was on its way, on however busy a machine, and what else comes within a moment."""
        self.say("heartbeat")
        before = len(self.said)
        self.op("heartbeat")
        self.hush()
        return [said for said in self.said[before:] if said["op"] != "heartbeat"]

    def closed(self, seconds: float = SECONDS) -> int:
        """Return the code with which the server hangs up, whatever comes before."""
        end = time.monotonic() + seconds
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.next(max(0.01, end - time.monotonic()))
        assert self.socket.close_code is not None
        return self.socket.close_code

    def place(self, room_id: str, start: int) -> int:
        """Return the place in a room that began at `start`; fails where anything was left out or came twice."""
        place = start
        for message in self.said:
            if message["op"] == "events" and message["d"]["room_id"] == room_id:
                numbers = {event["seq"] for event in message["d"]["events"]}
                assert all(number > place for number in numbers), "an event came twice"
                spans = (range(first, last + 1) for first, last in message["d"]["skipped"])
                covered = numbers.union(*spans)
                assert covered.issuperset(range(place + 1, max(covered) + 1)), "events were left out"
                place = max(place, *covered)
        return place


def address(server: Running) -> str:
    """Return the gateway's address."""
    return f"ws://127.0.0.1:{server.port}/v1/gateway"


@contextmanager
def open_socket(server: Running, **options: Any) -> Iterator[Hearer]:
    """Open a WebSocket and take its `hello`."""
    with connect(address(server), compression=None, close_timeout=1, **options) as socket:
        hearer = Hearer(socket)
        assert hearer.next()["op"] == "hello"
        yield hearer


@contextmanager
def hearing(server: Running, token: str | None, **identify: Any) -> Iterator[tuple[Hearer, Any]]:
    """Be connected as somebody while the block lasts; gives the client and what `ready` carried."""
    with open_socket(server) as hearer:
        hearer.say("identify", {**({} if token is None else {"token": token}), **identify})
        yield hearer, hearer.op("ready")

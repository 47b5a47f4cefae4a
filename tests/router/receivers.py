"""A receiver of webhooks, on a thread of its own: it keeps accepted deliveries, and fails or hangs on demand."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANG = -1
"""Instead of a status: say nothing until the test ends."""
CUT = -2
"""Instead of a status: hang up."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request that was taken or not."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.body)["events"]
        return found

    def is_signed_with(self, secret: str) -> bool:
        """Verify the signature as the specification says, from the headers that came."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert abs(time.time() - int(self.headers["webhook-timestamp"])) < 60
        return expected in self.headers["webhook-signature"].split(" ")


@dataclass
class Receiver:
    """A receiver with its deliveries, and its answers: a status by a request's path and the number of earlier ones."""

    port: int = 0
    answer: Callable[[str, int], int] = lambda _path, _count: 204
    came: list[Delivery] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def taken(self, path: str = "") -> list[Delivery]:
        """Return what was answered with success at a path, in the order in which it came."""
        return [one for one in list(self.came) if one.path == f"/{path}" and 200 <= one.status < 300]

    def told(self, path: str = "") -> list[dict[str, Any]]:
        """Return the events that were taken at a path, in the order in which they came."""
        return [event for delivery in self.taken(path) for event in delivery.events]

    def said(self, path: str = "") -> list[str]:
        """Return the words of the messages that were taken at a path."""
        return [event["d"].get("content", "") for event in self.told(path) if event["type"] == "message.created"]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Take deliveries until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if len(body) < int(self.headers["content-length"]):
                # Whoever sent it was killed meanwhile.
                self.close_connection = True
                return
            status = receiver.answer(self.path, len(receiver.came))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.came.append(Delivery(self.path, headers, body, status))
            if status == HANG:
                receiver.over.wait(60)
            if status in (HANG, CUT):
                self.close_connection = True
                return
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", receiver.url("elsewhere"))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: Any, **more: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="receiver")
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        thread.join()
        server.server_close()

"""Clients of tests: each has a session, and every answer is checked against the documents."""

import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.router.contract import Contract
from tests.router.serving import Running

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, as far as two of them can be the same."""

    status: int
    type: str
    title: str
    detail: str
    errors: str


class Client:
    """One person, or nobody without a token."""

    def __init__(self, http: httpx.Client, contract: Contract, token: str | None = None) -> None:
        self.http = http
        self.contract = contract
        self.token = token

    def ask(self, method: str, path: str, json: Any = None, **options: Any) -> httpx.Response:
        """Send a request and return its answer, checked against the contract."""
        headers = {**({"authorization": f"Bearer {self.token}"} if self.token else {}), **options.pop("headers", {})}
        response = self.http.request(method, path, json=json, headers=headers, **options)
        self.contract.check(response)
        return response

    def get(self, path: str, **params: Any) -> Any:
        """Return what is there; fails unless the answer is 200."""
        return self.did("GET", path, params=params)

    def post(self, path: str, json: Any = None) -> Any:
        """Return what a POST answers; fails unless it succeeds."""
        return self.did("POST", path, json)

    def did(self, method: str, path: str, json: Any = None, **options: Any) -> Any:
        """Return the JSON of an answer that must be a success."""
        response = self.ask(method, path, json, **options)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def refused(self, method: str, path: str, json: Any = None, **options: Any) -> Answer:
        """Return the problem of an answer that must be a refusal, without what differs from one to the next."""
        response = self.ask(method, path, json, **options)
        assert response.is_error, f"{method} {path}: {response.status_code} {response.text}"
        problem = response.json()
        slug = problem["type"].removeprefix("/docs#problem-")
        return Answer(problem["status"], slug, problem["title"], problem["detail"], str(problem.get("errors")))

    def with_token(self, token: str | None) -> "Client":
        return Client(self.http, self.contract, token)

    def guest(self) -> "Client":
        """Return somebody new, without a password: the cheapest account."""
        return self.with_token(self.with_token(None).post("/v1/auth/anonymous", {})["token"])

    def register(self, username: str) -> "Client":
        """Return somebody new with a password."""
        answer = self.with_token(None).post("/v1/auth/register", {"username": username, "password": PASSWORD})
        return self.with_token(answer["token"])

    @property
    def id(self) -> str:
        return str(self.get("/v1/users/me")["id"])

    def found(self, **fields: Any) -> "Room":
        """Return a new community of this person's."""
        name = f"room-{next(_numbers)}"
        made = self.post("/v1/rooms", {"name": name, **fields})
        return Room(made["room"]["id"], name, {channel["name"]: channel["id"] for channel in made["channels"]})

    def say(self, room: "Room", content: str, **fields: Any) -> Any:
        """Return a new message in the room's first channel."""
        return self.post(f"{room.general}/messages", {"content": content, **fields})

    def admit(self, room: "Room", *others: "Client") -> None:
        """Let others in by an invite."""
        code = self.post(f"{room.path}/invites", {})["code"]
        for other in others:
            other.post(f"/v1/invites/{code}/use")


@dataclass(frozen=True, slots=True)
class Room:
    """A community's addresses."""

    id: str
    name: str
    channels: dict[str, str]

    @property
    def path(self) -> str:
        return f"/v1/rooms/{self.id}"

    @property
    def general(self) -> str:
        return f"{self.path}/channels/{self.channels['general']}"


@contextmanager
def client_of(server: Running) -> Iterator[Client]:
    """Speak to a server; first of all read its contract."""
    with httpx.Client(base_url=server.url, timeout=60) as http:
        yield Client(http, Contract(http.get("/openapi.json").raise_for_status().json()))


def raw(server: Running, request: bytes, *, until_closed: bool = False) -> bytes:
    """Send bytes as they are and return the answer, or all that comes until the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        try:
            connection.sendall(request)
        except ConnectionError:  # the server may have answered and hung up before it was all sent
            assert until_closed
        return receive(connection, until_closed=until_closed)


def receive(connection: socket.socket, *, until_closed: bool = False) -> bytes:
    """Return one answer from a connection."""
    answer = b""
    while until_closed or not _is_whole(answer):
        try:
            part = connection.recv(65_536)
        except ConnectionError:
            break
        if not part:
            break
        answer += part
    return answer


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(end) and len(body) >= int(lengths[0] if lengths else 0)

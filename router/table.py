"""The route table's row: everything the edge, the documents and the tests need to know of a route."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeVar

from directory.origins import Origin
from directory.sessions import Viewer
from ids import UserId
from router.errors import UnauthenticatedError
from router.scopes import Scope
from router.streams import Upload
from router.wire.fields import Nothing, Wire

B = TypeVar("B", bound=Wire | Upload)
Q = TypeVar("Q", bound=Wire)


class Gate(Enum):
    """Who may call a route."""

    OPEN = "anyone"
    CREDENTIALS = "anyone, at the slow rate of guessable secrets"
    SIGNED_IN = "whoever has a session"
    MODERATOR = "whoever has the capability moderator or admin"
    ADMIN = "whoever has the capability admin"


class Call(NamedTuple, Generic[B, Q]):
    """One request as an endpoint sees it: parsed, bounded, authenticated. `now_ms` is its one look at the clock."""

    body: B
    query: Q
    path: Mapping[str, Any]
    viewer: Viewer | None
    now_ms: int
    address: str
    user_agent: bytes
    range: bytes = b""
    if_range: bytes = b""

    @property
    def origin(self) -> Origin:
        """Where the request came from, for sessions and the audit log."""
        return Origin(self.address, self.user_agent.decode("latin-1"))

    @property
    def user_id(self) -> UserId:
        """Who calls; raises UnauthenticatedError on open routes without a session."""
        if self.viewer is None:
            raise UnauthenticatedError("This needs a session.")
        return self.viewer.user_id


class Reply(NamedTuple):
    """What an endpoint answers: a status and a JSON value, None for no body, or a Download."""

    value: Any = None
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


Endpoint = Callable[[Call[Any, Any]], Awaitable[Reply]]


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One method of one path; one object each, so that it is its own key."""

    method: str
    path: str
    endpoint: Endpoint
    summary: str
    tag: str
    answers: Any = None
    status: int = 200
    takes: type[Wire] = Nothing
    query: type[Wire] = Nothing
    gate: Gate = Gate.SIGNED_IN
    or_status: int | None = None
    """Another status with the same answer."""
    also: tuple[int, ...] = ()
    """Further statuses: below 300 with the same answer, above without a body."""
    is_upload: bool = False
    """Whether the endpoint reads the body as it comes; it is then an Upload, and `takes` is nothing."""
    media_type: str = "application/json"
    refusals: tuple[int, ...] = ()
    """Statuses beside those that every route of its gate may answer."""
    scope: Scope | None = None
    """What a bot's token must be allowed; None: not for bots. Every route of a room has one, or a reason why not in
    tests/router/test_scopes.py."""

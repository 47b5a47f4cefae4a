"""Rows of the route table: everything that dispatch, the documents and the tests need to know of a route."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeVar, overload

from directory.client_info import ClientInfo
from directory.sessions import Viewer
from ids import AttachmentId, CategoryId, ChannelId, MessageId, RoleId, RoomId, ThreadId, UserId
from router.conditions import Conditions
from router.errors import FieldFault, InvalidError, NoRouteError, UnauthenticatedError
from router.room_access import Need, ScopedRoom
from router.schemas.fields import Nothing, Wire
from router.scopes import Scope
from router.streams import Upload
from shard.tables.overwrites import Target
from shard.text import emoji

B = TypeVar("B", bound=Wire | Upload)
Q = TypeVar("Q", bound=Wire)
T = TypeVar("T")


class Access(Enum):
    """Callers who may call a route."""

    OPEN = "anyone"
    CREDENTIALS = "anyone, at the low rate of guessable secrets"
    SIGNED_IN = "anyone with a session"
    MODERATOR = "anyone with the capability moderator or admin"
    ADMIN = "anyone with the capability admin"


class InPath(Generic[T]):
    """Value of a request's path, read by the name of its parameter, by default that of the attribute."""

    def __init__(self, name: str = "") -> None:
        self._name = name

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = self._name or name

    @overload
    def __get__(self, call: None, owner: type) -> "InPath[T]": ...
    @overload
    def __get__(self, call: "_Request[Any, Any]", owner: type) -> T: ...
    def __get__(self, call: "_Request[Any, Any] | None", owner: type) -> "T | InPath[T]":
        if call is None:
            return self
        value: T = call.path[self._name]
        return value


class _Request(NamedTuple, Generic[B, Q]):
    body: B
    query: Q
    path: Mapping[str, Any]
    viewer: Viewer | None
    now_ms: int
    address: str
    network: str
    user_agent: bytes
    conditions: Conditions = Conditions()
    entered: ScopedRoom | None = None


class Call(_Request[B, Q], Generic[B, Q]):
    """Request as an endpoint receives it: parsed, bounded, authenticated. `now_ms` is its one reading of the clock.

    Each id of the path has a type of its own; `target_id` is the user that the path names, `user_id` the caller.
    """

    __slots__ = ()

    room_id = InPath[RoomId]()
    channel_id = InPath[ChannelId]()
    category_id = InPath[CategoryId]()
    thread_id = InPath[ThreadId]()
    message_id = InPath[MessageId]()
    attachment_id = InPath[AttachmentId]()
    role_id = InPath[RoleId]()
    target_id = InPath[UserId]("user_id")
    bot_id = InPath[UserId]()
    session_id = InPath[int]()
    token_id = InPath[int]()
    webhook_id = InPath[int]()
    voice_session_id = InPath[int]()
    job_id = InPath[int]()
    alert_id = InPath[int]()
    name = InPath[str]()
    code = InPath[str]()
    emoji = InPath[str]()
    token = InPath[str]()
    file = InPath[str]()

    @property
    def room(self) -> ScopedRoom:
        """Room of the path for the caller, which dispatch found as the route's `room` requires."""
        assert self.entered is not None, "the route declares that it needs a room"
        return self.entered

    @property
    def overwrite_target(self) -> Target:
        """Role or member that an overwrite applies to."""
        kind, number = self.path["target_type"], self.path["target_id"]
        return ("role", number) if kind == "role" else ("member", number)

    @property
    def client(self) -> ClientInfo:
        """Address and user agent of the caller, for sessions and the audit log."""
        return ClientInfo(self.address, self.user_agent.decode("latin-1"))

    @property
    def user_id(self) -> UserId:
        """Id of the caller; raises UnauthenticatedError on open routes without a session."""
        return self.signed_in.user_id

    @property
    def signed_in(self) -> Viewer:
        """Session or bot token of the caller; raises as `user_id`."""
        if self.viewer is None:
            raise UnauthenticatedError("This needs a session.")
        return self.viewer


def read_words(path: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values of a path, an emoji in its one spelling.

    Raises InvalidError or NoRouteError for a text that is not valid in its place.
    """
    if path.get("target_type", "role") not in ("role", "member"):
        raise NoRouteError("Nothing is at this address: an overwrite is for a role or a member.")
    if "emoji" not in path:
        return path
    spelled = emoji.full_form(path["emoji"])
    if not emoji.is_one(path["emoji"]) or not emoji.is_one(spelled):
        raise InvalidError([FieldFault("path.emoji", "one emoji, percent-encoded, or the name of one, such as :nest:")])
    return {**path, "emoji": spelled}


class Reply(NamedTuple):
    """Response of an endpoint: a status and a JSON value, None for no body, or a Download."""

    value: Any = None
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


Endpoint = Callable[[Call[Any, Any]], Awaitable[Reply]]


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """Method of one path; each is a single object, so that it is its own key."""

    method: str
    path: str
    endpoint: Endpoint
    summary: str
    tag: str
    answers: Any = None
    status: int = 200
    takes: type[Wire] = Nothing
    query: type[Wire] = Nothing
    access: Access = Access.SIGNED_IN
    room: Need | None = None
    """Use that the endpoint makes of the room of the path, which it gets as `call.room`. Every route with a {room_id}
    has one, or a reason for its absence in tests/router/test_route_rooms.py."""
    community_only: bool = False
    """Flag of a route that groups and direct chats refuse: with 409 to members, as a missing room to everyone else."""
    or_status: int | None = None
    """Second status with the same response schema."""
    also: tuple[int, ...] = ()
    """Further statuses: below 300 with the same schema, above without a body."""
    is_upload: bool = False
    """Flag of an endpoint that reads the body as a stream: the body is an Upload, and `takes` is nothing."""
    media_type: str = "application/json"
    refusals: tuple[int, ...] = ()
    """Error statuses beside those that every route with its access can return."""
    is_health: bool = False
    """Flag of a health check, which counts in a bucket of its own: others of its address must not silence it."""
    scope: Scope | None = None
    """Scope that a bot's token needs; None: not available to bots. Every route of a room has one, or a reason for its
    absence in tests/router/test_scopes.py."""

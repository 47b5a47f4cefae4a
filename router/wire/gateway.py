"""What clients say over the gateway."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from router.wire.fields import NO_NUL, Id, Wire
from router.wire.reading import MarkRead
from router.wire.talk import SendMessage

RESUMED_MAX = 1_000
"""Rooms that one client resumes, as many as it listens to."""
OPENED_MAX = 10
"""Rooms of which `ready` gives an overview: each opens a file."""

Seq = Annotated[int, Field(ge=0, le=2**53)]
"""An event's number, which fits JavaScript's numbers."""

Secret = Annotated[str, StringConstraints(min_length=1, max_length=128), NO_NUL]


class Presence(Wire):
    """Whether one is there, and what one does. `room_id` is the room that one looks at; others in it see that."""

    status: Literal["online", "away", "offline"] = "online"
    activity: Literal["chatting", "browsing", "idle"] | None = None
    room_id: Id | None = None


class Identify(Wire):
    """Who one is: a session's token, a bot's token, or a ticket; and what one heard last, by room."""

    token: Secret | None = None
    ticket: Secret | None = None
    resume: Annotated[dict[Id, Seq], Field(max_length=RESUMED_MAX)] = Field(default_factory=dict)
    overview: Annotated[list[Id], Field(max_length=OPENED_MAX)] = Field(default_factory=list)
    presence: Presence | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.token is None) == (self.ticket is None):
            raise ValueError("either token or ticket")
        return self


class Send(SendMessage):
    """A message, as over HTTP, and where it goes."""

    room_id: Id
    channel_id: Id


class TypingIn(Wire):
    """The thread that one is writing in, if it is one."""

    thread_id: Id | None = None


class Typing(TypingIn):
    """Where one is writing."""

    room_id: Id
    channel_id: Id


class Read(MarkRead):
    """How far one has read, as over HTTP, and where."""

    room_id: Id
    channel_id: Id
    thread_id: Id | None = None


class Subscribe(Wire):
    """A room to hear, from `after` on if given; `overview` asks for its channels and what is unread in them."""

    room_id: Id
    after: Seq | None = None
    overview: bool = False


class Unsubscribe(Wire):
    """A room to hear no more on this connection."""

    room_id: Id


class AskPresences(Wire):
    """A room, and whose presence in it is asked for; without `user_ids`, everybody's who is connected."""

    room_id: Id
    user_ids: Annotated[list[Id], Field(max_length=500)] | None = None

"""Schemas of the gateway: its requests, its initial state, presence and tickets."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from typing_extensions import TypedDict

from directory.listeners import ListenedRoom
from directory.users import Profile
from ids import RoomId, UserId
from router.schemas import channels, people, rooms, unread
from router.schemas.channels import ChannelView
from router.schemas.fields import NO_NUL, Id, Wire
from router.schemas.messages import SendMessage
from router.schemas.people import UserView
from router.schemas.rooms import OwnRoomView
from router.schemas.unread import ChannelUnreadView, MarkRead
from shard.actions.gateway import Overview

RESUMED_MAX = 1_000
"""Rooms that one client resumes, as many as it listens to. Beyond it 422."""
OPENED_MAX = 10
"""Rooms of which `ready` gives an overview: each opens a file. Beyond it 422."""

Seq = Annotated[int, Field(ge=0, le=2**53)]
"""Number of an event, which fits JavaScript's numbers."""

Secret = Annotated[str, StringConstraints(min_length=1, max_length=128), NO_NUL]


class Presence(Wire):
    """Presence of the client's user: status and activity. `room_id` is the room that the user looks at; the others in
    it can see that."""

    status: Literal["online", "away", "offline"] = "online"
    activity: Literal["chatting", "browsing", "idle"] | None = None
    room_id: Id | None = None


class Identify(Wire):
    """Credentials, a session's token, a bot's token or a ticket; and the last event that the client received, by
    room."""

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
    """Message to send, as over HTTP, and its channel."""

    room_id: Id
    channel_id: Id


class TypingIn(Wire):
    """Thread in which the user types, if it is one."""

    thread_id: Id | None = None


class Typing(TypingIn):
    """Channel in which the user types."""

    room_id: Id
    channel_id: Id


class Read(MarkRead):
    """Read marker, as over HTTP, and its channel or thread."""

    room_id: Id
    channel_id: Id
    thread_id: Id | None = None


class Subscribe(Wire):
    """Room to subscribe to, after the event `after` if given; `overview` asks for its channels and their unread
    counts."""

    room_id: Id
    after: Seq | None = None
    overview: bool = False


class Unsubscribe(Wire):
    """Room to unsubscribe from on this connection."""

    room_id: Id


class AskPresences(Wire):
    """Room, and the users whose presence in it is asked for; without `user_ids`, all who are connected."""

    room_id: Id
    user_ids: Annotated[list[Id], Field(max_length=500)] | None = None


class HeardRoomView(OwnRoomView):
    """Room that the client is subscribed to: it receives every event above `last_seq`."""

    last_seq: int


class OverviewView(TypedDict):
    """Room as the client's user sees it after the event `last_seq`."""

    room_id: str
    last_seq: int
    channels: list[ChannelView]
    unread: list[ChannelUnreadView]


class ReadyView(TypedDict):
    """The client's user, the subscribed rooms, the most recently joined first, the overviews that it asked for, and the
    users of its direct chats."""

    user: UserView
    rooms: list[HeardRoomView]
    overviews: list[OverviewView]
    users: list[UserView]


class JoinedView(TypedDict):
    """Room that the client's user joined, with the other user of a direct chat."""

    room_id: str
    last_seq: int
    room: HeardRoomView
    users: list[UserView]


class ReadView(TypedDict):
    """Read marker that the client's user moved; without a channel, all of the room up to that message is read."""

    room_id: str
    channel_id: str | None
    thread_id: str | None
    last_read_id: str


class NotificationsView(TypedDict):
    """Notification level that the client's user set, of a room or a channel; null for a channel that follows its
    room."""

    room_id: str
    channel_id: str | None
    level: str | None


class BlockView(TypedDict):
    """User whom the client's user blocks, or no longer blocks."""

    user_id: str
    is_blocked: bool


class PresenceView(TypedDict):
    """Presence of a user. `room_id` is this room if they look at it, else null: other rooms are private."""

    user_id: str
    status: str
    activity: str | None
    room_id: str | None


class PresenceListView(TypedDict):
    """Presences of a room's members."""

    room_id: str
    presences: list[PresenceView]


class TicketView(TypedDict):
    """Ticket that a page presents at the gateway once, in place of a token."""

    ticket: str
    expires_at: datetime


user = people.user


def subscribed_room(listened: ListenedRoom, last_seq: int) -> HeardRoomView:
    """Render a room that a client is subscribed to."""
    return {**rooms.own_room(listened.room, listened.partner_id), "last_seq": last_seq}


def partners(rooms: Iterable[ListenedRoom], profiles: Mapping[UserId, Profile]) -> list[UserView]:
    """Render the other users of those rooms that are direct chats."""
    found = (profiles.get(one.partner_id) for one in rooms if one.partner_id is not None)
    return [people.user(profile) for profile in found if profile is not None]


def joined(room: ListenedRoom, last_seq: int, profiles: Mapping[UserId, Profile]) -> JoinedView:
    """Render a room that a client's user joined."""
    return {
        "room_id": str(room.room.id),
        "last_seq": last_seq,
        "room": subscribed_room(room, last_seq),
        "users": partners([room], profiles),
    }


def overview(room_id: RoomId, seen: Overview) -> OverviewView:
    """Render a room as a user sees it."""
    return {
        "room_id": str(room_id),
        "last_seq": seen.last_seq,
        "channels": [channels.channel(room_id, channel) for channel in seen.channels],
        "unread": [unread.channel_unread(row) for row in seen.unread],
    }

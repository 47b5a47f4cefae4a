"""Events and the other happenings that a client receives: one frozen type for each, made for `match`. Ids are text, as
in JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Fields = Mapping[str, Any]
"""Part of a frame as received: docs/gateway.md and docs/api.md list its fields."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A connection was accepted, the first one or another. `rooms` are all subscribed ones, by id; `users` the partners
    of direct chats."""

    user_id: str
    user: Fields
    rooms: Mapping[str, Fields]
    users: tuple[Fields, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """A commit in a room; `data` is the `d` of the protocol, which has less of a message that is gone by now."""

    type: str
    room_id: str
    seq: int
    at: datetime
    channel_id: str | None
    actor_id: str | None
    data: Fields


@dataclass(frozen=True, slots=True)
class Joined:
    """The user joined a room and is subscribed to its events above `last_seq`. `room` is as in `Ready`; `users` has the
    other user of a direct chat."""

    room_id: str
    last_seq: int
    room: Fields
    users: tuple[Fields, ...]


@dataclass(frozen=True, slots=True)
class Removed:
    """The subscription to a room ended: `not_a_member` or `room_deleted`."""

    room_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Resync:
    """Missed events cannot be replayed: read the room anew over HTTP. Events above `seq` follow."""

    room_id: str
    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """All missed events of a room were received; `channel_ids` are the visible channels now."""

    room_id: str
    seq: int
    channel_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Channels:
    """The visible channels of a room changed, to these."""

    room_id: str
    channel_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Typing:
    """A user types; show it for so many seconds."""

    room_id: str
    channel_id: str
    thread_id: str | None
    user_id: str
    seconds: int


@dataclass(frozen=True, slots=True)
class ReadMarker:
    """A read marker of the same user moved, at another client or over HTTP; without a channel, all of the room up to
    that message is read."""

    room_id: str
    channel_id: str | None
    thread_id: str | None
    last_read_id: str


@dataclass(frozen=True, slots=True)
class NotificationLevel:
    """The user set a level, of a room or a channel; None for a channel that follows its room."""

    room_id: str
    channel_id: str | None
    level: str | None


@dataclass(frozen=True, slots=True)
class Block:
    """The user blocks another, or no longer does."""

    user_id: str
    is_blocked: bool


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """Settings of the user that changed, by name."""

    changed: Fields


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """Fields of the user's own profile that changed, by name."""

    changed: Fields


@dataclass(frozen=True, slots=True)
class Presence:
    """Presence of a user; `is_here` says that they look at this room."""

    room_id: str
    user_id: str
    status: str
    activity: str | None
    is_here: bool


@dataclass(frozen=True, slots=True)
class SessionsChange:
    """The user signed in somewhere, or ended a session."""


OwnChange = ReadMarker | NotificationLevel | Block | SettingsChange | ProfileChange | SessionsChange
Happening = Ready | Event | Joined | Removed | Resync | Resumed | Channels | Typing | Presence | OwnChange


@dataclass(frozen=True, slots=True)
class Sent:
    """A message on disk; `is_new` is false if it was there before, by the same nonce."""

    id: str
    channel_id: str
    created_at: datetime
    nonce: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """A room after the event `last_seq`: its channels and their unread counts."""

    room_id: str
    last_seq: int
    channels: tuple[Fields, ...]
    unread: tuple[Fields, ...]


def ready(d: Fields) -> Ready:
    """Read `ready`."""
    return Ready(d["user"]["id"], d["user"], {room["id"]: room for room in d["rooms"]}, tuple(d["users"]))


def event(room_id: str, d: Fields) -> Event:
    """Read one event of a room."""
    at = datetime.fromisoformat(d["at"])
    return Event(d["type"], room_id, d["seq"], at, d["channel_id"], d["actor_id"], d["d"])


def presences(d: Fields) -> tuple[Presence, ...]:
    """Read the presences of some users in a room."""
    room_id = d["room_id"]
    return tuple(
        Presence(room_id, one["user_id"], one["status"], one["activity"], one["room_id"] is not None)
        for one in d["presences"]
    )


def other_happenings(op: str, d: Fields) -> tuple[Happening, ...]:
    """Read a frame other than `ready` and `events`; an op that this client does not know is empty."""
    match op:
        case "resync":
            return (Resync(d["room_id"], d["seq"], d["reason"]),)
        case "resumed":
            return (Resumed(d["room_id"], d["seq"], tuple(d["channel_ids"])),)
        case "joined":
            return (Joined(d["room_id"], d["last_seq"], d["room"], tuple(d["users"])),)
        case "removed":
            return (Removed(d["room_id"], d["reason"]),)
        case "channels":
            return (Channels(d["room_id"], tuple(d["channel_ids"])),)
        case "typing":
            return (Typing(d["room_id"], d["channel_id"], d["thread_id"], d["user_id"], d["seconds"]),)
        case "read":
            return (ReadMarker(d["room_id"], d["channel_id"], d["thread_id"], d["last_read_id"]),)
        case "notifications":
            return (NotificationLevel(d["room_id"], d["channel_id"], d["level"]),)
        case "block":
            return (Block(d["user_id"], d["is_blocked"]),)
        case "settings":
            return (SettingsChange(d),)
        case "sessions":
            return (SessionsChange(),)
        case "profile":
            return (ProfileChange(d),)
        case "presences":
            return presences(d)
        case _:
            return ()


def sent(d: Fields) -> Sent:
    """Read the answer to a sent message."""
    return Sent(d["id"], d["channel_id"], datetime.fromisoformat(d["created_at"]), d["nonce"], d["is_new"])


def overview(d: Fields) -> Overview:
    """Read an overview of a room."""
    return Overview(d["room_id"], d["last_seq"], tuple(d["channels"]), tuple(d["unread"]))

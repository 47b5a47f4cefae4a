"""What a client hears: one frozen type for each thing that happens, made for `match`. Ids are text, as in JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Fields = Mapping[str, Any]
"""Part of a frame as it came: docs/gateway.md and docs/api.md say what is in it."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A connection stands, the first one or another. `rooms` are all that one hears, by id; `users` the people of one's
    direct chats."""

    user_id: str
    user: Fields
    rooms: Mapping[str, Fields]
    users: tuple[Fields, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """Something was committed in a room; `data` is the `d` of the protocol. Who may see it no more is told less."""

    type: str
    room_id: str
    seq: int
    at: datetime
    channel_id: str | None
    actor_id: str | None
    data: Fields


@dataclass(frozen=True, slots=True)
class Joined:
    """One came into a room, and hears its events above `last_seq`."""

    room_id: str
    last_seq: int


@dataclass(frozen=True, slots=True)
class Removed:
    """One hears a room no more: `not_a_member` or `room_deleted`."""

    room_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Resync:
    """Not everything that was missed can be told: read the room anew over HTTP. Events above `seq` come."""

    room_id: str
    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """All that was missed of a room has come; `channel_ids` are those that one sees now."""

    room_id: str
    seq: int
    channel_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Channels:
    """One sees other channels than before: these."""

    room_id: str
    channel_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Typing:
    """Somebody writes; show it for so many seconds."""

    room_id: str
    channel_id: str
    thread_id: str | None
    user_id: str
    seconds: int


@dataclass(frozen=True, slots=True)
class ReadMarker:
    """One has read a channel so far, at another client of one's own."""

    room_id: str
    channel_id: str
    thread_id: str | None
    last_read_id: str


@dataclass(frozen=True, slots=True)
class Presence:
    """How somebody is present in a room; `is_here` says that they look at it."""

    room_id: str
    user_id: str
    status: str
    activity: str | None
    is_here: bool


Happening = Ready | Event | Joined | Removed | Resync | Resumed | Channels | Typing | ReadMarker | Presence


@dataclass(frozen=True, slots=True)
class Sent:
    """A message is on disk; `is_new` is false if it was there before, by the same nonce."""

    id: str
    channel_id: str
    created_at: datetime
    nonce: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """A room after the event `last_seq`: its channels and what is unread in them."""

    room_id: str
    last_seq: int
    channels: tuple[Fields, ...]
    unread: tuple[Fields, ...]


def ready(d: Fields) -> Ready:
    """Read who one is and what one hears."""
    return Ready(d["user"]["id"], d["user"], {room["id"]: room for room in d["rooms"]}, tuple(d["users"]))


def event(room_id: str, d: Fields) -> Event:
    """Read one event of a room."""
    at = datetime.fromisoformat(d["at"])
    return Event(d["type"], room_id, d["seq"], at, d["channel_id"], d["actor_id"], d["d"])


def presences(d: Fields) -> tuple[Presence, ...]:
    """Read how some people are present in a room."""
    room_id = d["room_id"]
    return tuple(
        Presence(room_id, one["user_id"], one["status"], one["activity"], one["room_id"] is not None)
        for one in d["presences"]
    )


def told(op: str, d: Fields) -> tuple[Happening, ...]:
    """Read what the server tells beside events; nothing of what this client does not know."""
    match op:
        case "resync":
            return (Resync(d["room_id"], d["seq"], d["reason"]),)
        case "resumed":
            return (Resumed(d["room_id"], d["seq"], tuple(d["channel_ids"])),)
        case "joined":
            return (Joined(d["room_id"], d["last_seq"]),)
        case "removed":
            return (Removed(d["room_id"], d["reason"]),)
        case "channels":
            return (Channels(d["room_id"], tuple(d["channel_ids"])),)
        case "typing":
            return (Typing(d["room_id"], d["channel_id"], d["thread_id"], d["user_id"], d["seconds"]),)
        case "read":
            return (ReadMarker(d["room_id"], d["channel_id"], d["thread_id"], d["last_read_id"]),)
        case "presences":
            return presences(d)
        case _:
            return ()


def sent(d: Fields) -> Sent:
    """Read that a message is on disk."""
    return Sent(d["id"], d["channel_id"], datetime.fromisoformat(d["created_at"]), d["nonce"], d["is_new"])


def overview(d: Fields) -> Overview:
    """Read what is in a room."""
    return Overview(d["room_id"], d["last_seq"], tuple(d["channels"]), tuple(d["unread"]))

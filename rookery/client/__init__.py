"""Client of the gateway for bots and tests: live events of rooms, none of them lost when a connection is.

It needs nothing of the server's code, only `websockets` and `orjson`. The protocol is in docs/gateway.md.
"""

from rookery.client.client import Client
from rookery.client.errors import (
    ClientError,
    ClosedError,
    EndedError,
    RequestError,
    SequenceError,
    UnreachableError,
    UnsendableError,
)
from rookery.client.events import (
    Block,
    Channels,
    Event,
    Happening,
    Joined,
    NotificationLevel,
    Overview,
    Presence,
    ProfileChange,
    ReadMarker,
    Ready,
    Removed,
    Resumed,
    Resync,
    Sent,
    SessionsChange,
    SettingsChange,
    Typing,
)

__all__ = [
    "Block",
    "Channels",
    "Client",
    "ClientError",
    "ClosedError",
    "EndedError",
    "Event",
    "Happening",
    "Joined",
    "NotificationLevel",
    "Overview",
    "Presence",
    "ProfileChange",
    "ReadMarker",
    "Ready",
    "Removed",
    "RequestError",
    "Resumed",
    "Resync",
    "Sent",
    "SequenceError",
    "SessionsChange",
    "SettingsChange",
    "Typing",
    "UnreachableError",
    "UnsendableError",
]

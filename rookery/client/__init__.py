"""A client of the gateway for bots and tests: live events of rooms, without a loss over lost connections.

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
)
from rookery.client.happenings import (
    Channels,
    Event,
    Happening,
    Joined,
    Overview,
    Presence,
    ReadMarker,
    Ready,
    Removed,
    Resumed,
    Resync,
    Sent,
    Typing,
)

__all__ = [
    "Channels",
    "Client",
    "ClientError",
    "ClosedError",
    "EndedError",
    "Event",
    "Happening",
    "Joined",
    "Overview",
    "Presence",
    "ReadMarker",
    "Ready",
    "Removed",
    "RequestError",
    "Resumed",
    "Resync",
    "Sent",
    "SequenceError",
    "Typing",
    "UnreachableError",
]

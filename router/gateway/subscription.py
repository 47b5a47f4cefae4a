"""States of a connection's subscription to a room.

    Idle ── woken ──▶ CatchingUp ── joined ──▶ Live

A new subscription is idle, or catching up where it resumes; it may end in any state. `subscribers` makes the changes.
"""

from dataclasses import dataclass

from ids import ChannelId
from shard.visibility import Audience


@dataclass(frozen=True, slots=True)
class Idle:
    """Subscription without a commit since it began: it costs only `position`, the last event number it has."""

    position: int


@dataclass(slots=True, eq=False)
class CatchingUp:
    """Subscription that catches up: events above `position` are read from the log for it."""

    position: int
    history_until: int | None = None
    """Last number before it subscribed, None until the end of the log is known: what is above it is not history, and
    needs no permission to read history."""
    announces: bool = False
    """Flag: the client is sent `resumed` when it is live."""
    passed_over: int = 0
    """Numbers that it was not sent because it was told to read the history instead."""


@dataclass(frozen=True, slots=True)
class Live:
    """Subscription to which commits are sent as they are published, in one group with all that have the same state.
    `revoked` are channels that it saw until the commit being published: it is sent their deletion."""

    audience: Audience
    revoked: frozenset[ChannelId] = frozenset()


Subscription = Idle | CatchingUp | Live

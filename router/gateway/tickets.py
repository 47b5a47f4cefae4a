"""Tickets: one-time secrets with which a page identifies, in place of a token that no script may read. They last thirty
seconds."""

import secrets
from collections import OrderedDict
from typing import Final

from directory.sessions import Viewer

TICKET_MS: Final = 30_000
"""How long a ticket works."""
TICKETS_MAX: Final = 20_000
"""Maximum number of unused tickets; the oldest is dropped first."""


class Tickets:
    """Unused tickets, in memory: after a restart a page requests another."""

    def __init__(self) -> None:
        self._unused: OrderedDict[str, tuple[Viewer, int]] = OrderedDict()

    def issue(self, viewer: Viewer, *, now_ms: int) -> str:
        """Return a new ticket for a session."""
        ticket = secrets.token_urlsafe(32)
        self._unused[ticket] = (viewer, now_ms + TICKET_MS)
        if len(self._unused) > TICKETS_MAX:
            self._unused.popitem(last=False)
        return ticket

    def use(self, ticket: str, *, now_ms: int) -> bytes | None:
        """Consume a ticket and return the hash of its session's token; None if there is no such ticket now."""
        found = self._unused.pop(ticket, None)
        if found is None or now_ms >= found[1] or now_ms < found[1] - TICKET_MS:
            return None
        return found[0].token_hash

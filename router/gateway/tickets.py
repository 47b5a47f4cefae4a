"""Tickets: what a page shows at the gateway instead of a token that no script may read. One use, thirty seconds."""

import secrets
from collections import OrderedDict
from typing import Final

from directory.sessions import Viewer

TICKET_MS: Final = 30_000
TICKETS_MAX: Final = 20_000
"""Tickets that wait for their use; the oldest is forgotten first."""


class Tickets:
    """Tickets in memory: after a restart one simply asks for another."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, tuple[Viewer, int]] = OrderedDict()

    def issue(self, viewer: Viewer, *, now_ms: int) -> str:
        """Return a new ticket for somebody's session."""
        ticket = secrets.token_urlsafe(32)
        self._waiting[ticket] = (viewer, now_ms + TICKET_MS)
        if len(self._waiting) > TICKETS_MAX:
            self._waiting.popitem(last=False)
        return ticket

    def use(self, ticket: str, *, now_ms: int) -> bytes | None:
        """Return the hash of the session's token that a ticket stands for; None if there is no such ticket now."""
        found = self._waiting.pop(ticket, None)
        if found is None or now_ms >= found[1] or now_ms < found[1] - TICKET_MS:
            return None
        return found[0].token_hash

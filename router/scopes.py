"""What a bot's token can be allowed: each route names the one scope that it needs, or none, and is then not for bots.

A scope only ever takes away: what the bot may do in a room is decided by its roles there, as for everybody.
"""

from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """Names as they are on the wire."""

    USERS_READ = "users:read"
    ROOMS_READ = "rooms:read"
    ROOMS_MANAGE = "rooms:manage"
    MEMBERS_MODERATE = "members:moderate"
    MESSAGES_READ = "messages:read"
    MESSAGES_WRITE = "messages:write"
    REACTIONS_WRITE = "reactions:write"
    VOICE = "voice"
    WEBHOOKS_MANAGE = "webhooks:manage"


MEANS: Final = {
    Scope.USERS_READ: "look at itself and at what everybody sees of a user",
    Scope.ROOMS_READ: "list its rooms, and look at their channels, roles and members",
    Scope.ROOMS_MANAGE: "shape its rooms: settings, channels, roles, invites, the audit log",
    Scope.MEMBERS_MODERATE: "nicknames, time-outs, kicks and bans",
    Scope.MESSAGES_READ: "read and search messages, threads, pins, reactions and files",
    Scope.MESSAGES_WRITE: "send, edit, delete, move and pin messages; threads; files",
    Scope.REACTIONS_WRITE: "react, and take reactions back",
    Scope.VOICE: "join and leave voice channels, and keep the records of their sessions",
    Scope.WEBHOOKS_MANAGE: "make, change and delete webhooks",
}
"""What each scope lets a bot do, for documents."""

"""Scopes of bots' tokens: each route names the one scope that it needs, or none, and is then not available to bots.

A scope only restricts: the bot's roles in a room decide what it may do there, as for everyone.
"""

from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """Scope of a bot's token, by its name in the API."""

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
    Scope.USERS_READ: "read its own account and users' public profiles",
    Scope.ROOMS_READ: "list its rooms, and read their channels, roles and members",
    Scope.ROOMS_MANAGE: "manage its rooms: settings, channels, roles, invites, the audit log",
    Scope.MEMBERS_MODERATE: "moderate members: nicknames, time-outs, kicks and bans",
    Scope.MESSAGES_READ: "read and search messages, threads, pins, reactions and files",
    Scope.MESSAGES_WRITE: "send, edit, delete, move and pin messages; manage threads and files",
    Scope.REACTIONS_WRITE: "add and remove its own reactions",
    Scope.VOICE: "join and leave voice channels, and update the records of their sessions",
    Scope.WEBHOOKS_MANAGE: "create, change and delete webhooks",
}
"""Operations that each scope permits, for the documents."""

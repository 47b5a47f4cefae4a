"""Permissions of a person, as bits of one 64-bit number.

Bits keep Discord's numbers where they mean the same
(https://discord.com/developers/docs/topics/permissions#permissions-bitwise-permission-flags), so that clients and
imports need no table of their own. A new bit is one line here; EVERYONE and IN_CHANNELS say who has it from the
start and where, and MODERATORS in actions/groups.py what moderators of a group have.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

CREATE_INVITE: Final = 1 << 0
KICK_MEMBERS: Final = 1 << 1
BAN_MEMBERS: Final = 1 << 2
ADMINISTRATOR: Final = 1 << 3
MANAGE_CHANNELS: Final = 1 << 4
MANAGE_ROOM: Final = 1 << 5
ADD_REACTIONS: Final = 1 << 6
VIEW_AUDIT_LOG: Final = 1 << 7
VIEW_CHANNEL: Final = 1 << 10
SEND_MESSAGES: Final = 1 << 11
MANAGE_MESSAGES: Final = 1 << 13
ATTACH_FILES: Final = 1 << 15
READ_HISTORY: Final = 1 << 16
MENTION_EVERYONE: Final = 1 << 17
CONNECT: Final = 1 << 20
SPEAK: Final = 1 << 21
CHANGE_NICKNAME: Final = 1 << 26
MANAGE_NICKNAMES: Final = 1 << 27
MANAGE_ROLES: Final = 1 << 28
MANAGE_WEBHOOKS: Final = 1 << 29
MANAGE_THREADS: Final = 1 << 34
CREATE_THREADS: Final = 1 << 35
SEND_IN_THREADS: Final = 1 << 38
TIME_OUT_MEMBERS: Final = 1 << 40
PIN_MESSAGES: Final = 1 << 51
BYPASS_SLOW_MODE: Final = 1 << 52

NAMES: Final = {
    value: name.lower() for name, value in list(globals().items()) if name.isupper() and isinstance(value, int)
}
"""The name of every single permission, for messages and documents."""

BITS: Final = {name: bit for bit, name in NAMES.items()}

ALL: Final = sum(NAMES)

EVERYONE: Final = (
    CREATE_INVITE
    | ADD_REACTIONS
    | VIEW_CHANNEL
    | SEND_MESSAGES
    | ATTACH_FILES
    | READ_HISTORY
    | CONNECT
    | SPEAK
    | CHANGE_NICKNAME
    | CREATE_THREADS
    | SEND_IN_THREADS
)
"""Permissions of the everyone role of a new room."""

WHILE_TIMED_OUT: Final = VIEW_CHANNEL | READ_HISTORY
"""Permissions that a member keeps in a time-out, as at Discord."""

IN_CHANNELS: Final = (
    CREATE_INVITE
    | MANAGE_CHANNELS
    | ADD_REACTIONS
    | VIEW_CHANNEL
    | SEND_MESSAGES
    | MANAGE_MESSAGES
    | ATTACH_FILES
    | READ_HISTORY
    | MENTION_EVERYONE
    | CONNECT
    | SPEAK
    | MANAGE_ROLES
    | MANAGE_WEBHOOKS
    | MANAGE_THREADS
    | CREATE_THREADS
    | SEND_IN_THREADS
    | PIN_MESSAGES
    | BYPASS_SLOW_MODE
)
"""Permissions that an overwrite of a channel may allow or deny; all others are decided for the whole room."""


class Overwrite(NamedTuple):
    """Permissions of a role or a member in one channel, added to and removed from those in the room."""

    allow: int = 0
    deny: int = 0

    def applied(self, granted: int) -> int:
        return granted & ~self.deny | self.allow


NONE: Final = Overwrite()


def united(overwrites: Iterable[Overwrite]) -> Overwrite:
    """Return the union of several roles' overwrites: what one of them allows, no other denies."""
    allow = deny = 0
    for overwrite in overwrites:
        allow |= overwrite.allow
        deny |= overwrite.deny
    return Overwrite(allow, deny & ~allow)


def in_room(*, is_owner: bool, everyone: int, roles: Iterable[int] = ()) -> int:
    """Return the permissions of a member in the room: everyone's, and those of each of their roles.

    The owner and administrators (ADMINISTRATOR) have all (Discord's order:
    https://discord.com/developers/docs/topics/permissions#permission-overwrites).
    """
    if is_owner:
        return ALL
    for role in roles:
        everyone |= role
    return ALL if everyone & ADMINISTRATOR else everyone


def in_channel(
    granted: int,
    *,
    everyone: Overwrite = NONE,
    roles: Overwrite = NONE,
    member: Overwrite = NONE,
    is_private: bool = False,
) -> int:
    """Return the permissions of a member in a channel, from those in the room (`granted`) and the overwrites.

    First the overwrite for everyone applies, then those of all the member's roles (`united`), then the member's own. In
    a private channel only an overwrite for a role or for the member grants VIEW_CHANNEL. A member without VIEW_CHANNEL
    has no permissions there; administrators have all.
    """
    if granted & ADMINISTRATOR:
        return ALL
    granted = everyone.applied(granted)
    if is_private:
        granted &= ~VIEW_CHANNEL
    granted = member.applied(roles.applied(granted))
    return granted if granted & VIEW_CHANNEL else 0


def while_timed_out(granted: int) -> int:
    """Return the permissions that a time-out leaves: those for reading, and all of an administrator."""
    return granted if granted & ADMINISTRATOR else granted & WHILE_TIMED_OUT


def names(bits: int) -> list[str]:
    """Return the names of the permissions in `bits`, lowest bit first."""
    return [name for bit, name in NAMES.items() if bits & bit]


def bits(named: Iterable[str]) -> int:
    """Return the permissions with these names; raises KeyError for an unknown name."""
    found = 0
    for name in named:
        found |= BITS[name]
    return found

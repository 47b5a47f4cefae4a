"""What a person may do, as bits of one 64-bit number.

Bits keep Discord's numbers where they mean the same
(https://discord.com/developers/docs/topics/permissions#permissions-bitwise-permission-flags), so that clients and
imports need no table of their own.
"""

from typing import Final

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
"""Every single permission's name, for messages and documents."""

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
"""What the everyone role of a new room allows."""

WHILE_TIMED_OUT: Final = VIEW_CHANNEL | READ_HISTORY
"""All that is left to a member in a time-out, as at Discord."""


def compute(*, is_owner: bool, everyone: int, is_timed_out: bool) -> int:
    """Return a member's permissions in the room: the owner has all, others what everyone may.

    A time-out takes all but reading, except from the owner.
    """
    if is_owner:
        return ALL
    if everyone & ADMINISTRATOR:
        return ALL
    return everyone & WHILE_TIMED_OUT if is_timed_out else everyone


def names(bits: int) -> list[str]:
    """Return the names of the permissions in `bits`, lowest bit first."""
    return [name for bit, name in NAMES.items() if bits & bit]

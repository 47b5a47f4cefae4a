"""Identities: one integer type per kind of thing, and the snowflakes that number them.

A snowflake is a positive 63-bit integer: milliseconds since EPOCH_MS above 22 bits of sequence, so that
sorting by id is sorting by time (the layout of Twitter's and Discord's ids, without the machine bits:
every number is given out by the single writer of its database).
"""

import threading
from typing import NewType

UserId = NewType("UserId", int)
RoomId = NewType("RoomId", int)
ChannelId = NewType("ChannelId", int)
CategoryId = NewType("CategoryId", int)
ThreadId = NewType("ThreadId", int)
MessageId = NewType("MessageId", int)
AttachmentId = NewType("AttachmentId", int)
RoleId = NewType("RoleId", int)

EPOCH_MS = 1_420_070_400_000
"""2015-01-01T00:00:00Z: early enough for imported history, late enough to last until the year 2084."""

SEQUENCE_BITS = 22
PER_MILLISECOND = 1 << SEQUENCE_BITS
ID_MAX = 2**63 - 1
TIME_MS_MAX = (ID_MAX >> SEQUENCE_BITS) + EPOCH_MS


def at(time_ms: int) -> int:
    """Return the first snowflake of a millisecond (UTC); times outside the layout are pinned to its ends."""
    return (min(max(time_ms, EPOCH_MS), TIME_MS_MAX) - EPOCH_MS) << SEQUENCE_BITS


def time_ms(snowflake: int) -> int:
    """Return the millisecond (UTC) that a snowflake was made for."""
    return (snowflake >> SEQUENCE_BITS) + EPOCH_MS


def following(last: int, now_ms: int) -> int:
    """Return the next snowflake after `last`: of `now_ms`, or `last + 1` when the clock stands or went back."""
    wanted = at(now_ms) or 1
    return wanted if wanted > last else last + 1


class Sequence:
    """Gives out strictly increasing snowflakes of one process, from any thread, whatever the clock does."""

    def __init__(self, last: int = 0) -> None:
        self._last = last
        self._lock = threading.Lock()

    def next(self, now_ms: int) -> int:
        with self._lock:
            self._last = following(self._last, now_ms)
            return self._last

    def seen(self, snowflake: int) -> None:
        """Never again give out a number at or below this one."""
        with self._lock:
            self._last = max(self._last, snowflake)

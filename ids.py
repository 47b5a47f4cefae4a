"""Ids: one integer type for each kind of object, and the snowflakes that number them.

A snowflake is a positive 63-bit integer: milliseconds since EPOCH_MS above 22 bits, so that sorting by id is sorting by
time. Of the 22 bits the upper ten are the node and the lower twelve its sequence, as in Twitter's and Discord's ids.
Every process has a node of its own, one of the upper half, for all rooms together: what an installation creates has an
id that nothing else of it has. The directory counts from the beginning of a millisecond, and so do imports; they stay
in the lower half.
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

NODE_SHIFT = 12
NODES = range(512, 1_024)
"""Nodes of processes; what is below belongs to imports and to the directory."""
IMPORTED_PER_MILLISECOND = NODES[0] << NODE_SHIFT
"""Numbers of a millisecond that imported messages have."""
AHEAD_BIT = 1 << (NODE_SHIFT - 1)


def at(time_ms: int) -> int:
    """Return the first snowflake of a millisecond (UTC); times outside the layout are pinned to its ends."""
    return (min(max(time_ms, EPOCH_MS), TIME_MS_MAX) - EPOCH_MS) << SEQUENCE_BITS


def time_ms(snowflake: int) -> int:
    """Return the millisecond (UTC) that a snowflake was made for."""
    return (snowflake >> SEQUENCE_BITS) + EPOCH_MS


class Generator:
    """The source of one process's snowflakes for all rooms: each number once, for any thread, whatever the clock does.

    A room may be ahead of the clock, because it was set back or because it has messages from the future. Such rooms
    get numbers of their own, with AHEAD_BIT, so that they do not draw the others into the future.
    """

    def __init__(self, node: int = NODES[-1]) -> None:
        assert node in NODES, "imports and the directory have the others"
        self._begin = node << NODE_SHIFT
        self._last = self._last_ahead = 0
        self._lock = threading.Lock()

    def next(self, now_ms: int, above: int) -> int:
        """Return a new number above `above`, of `now_ms` (UTC) if that is possible."""
        with self._lock:
            self._last, wanted = self._following(self._last, at(now_ms), 0), self._last
            if self._last > above:
                return self._last
            self._last = wanted
            begin = max(self._last_ahead, above)
            self._last_ahead = self._following(begin, begin, AHEAD_BIT)
            return self._last_ahead

    def _following(self, last: int, wanted: int, bit: int) -> int:
        """Return the first number of this node above `last` and not below the millisecond of `wanted`."""
        millisecond = max(last, wanted) >> SEQUENCE_BITS
        first = millisecond << SEQUENCE_BITS | self._begin | bit
        if first > last:
            return first
        if last + 1 < first + AHEAD_BIT:
            return last + 1
        return millisecond + 1 << SEQUENCE_BITS | self._begin | bit


class Sequence:
    """The snowflakes of one shard: strictly increasing, even when the clock steps back. One thread at a time."""

    def __init__(self, last: int = 0, generator: Generator | None = None) -> None:
        self._last = last
        self._generator = generator or Generator()

    def next(self, now_ms: int) -> int:
        """Return the next number, of `now_ms` (UTC) if the shard has none above it."""
        self._last = self._generator.next(now_ms, self._last)
        return self._last

    def seen(self, snowflake: int) -> None:
        """Ensure that no number at or below this one is allocated from now on."""
        self._last = max(self._last, snowflake)

"""A room's events, rendered once for all who are told of them: the last ones as they were published, older ones in
blocks out of the log.

Blocks and tail are forgotten when a message is changed or removed: nobody is told of words that are not there any more.
"""

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final

from ids import RoomId
from router.gateway.frames import Rendered
from router.gateway.turns import Turns
from router.views import events as views
from router.views.values import encode
from shard.rows import Event

TAIL_EVENTS_MAX: Final = 512
"""Events kept as they were published: what somebody missed who was away for a moment."""
BLOCK_EVENTS: Final = 128
"""Events of one block of the log: one frame, about 60 KB."""
BLOCKS_MAX: Final = 512
"""Blocks kept of all rooms together, about 30 MB: what many want who come back at the same time."""
FRAMED_BYTES_MAX: Final = 33_554_432
"""Frames of blocks kept of all rooms together, likewise."""
REWRITES: Final = frozenset({"message.edited", "message.deleted", "message.moved", "channel.deleted"})
"""What makes words stale that were rendered before."""

Fetch = Callable[[int, int], Awaitable[list[Event]]]
"""Reads the events above the first number and up to the second."""
Block = list[Rendered]


class Library:
    """Blocks of all rooms' logs and frames made of them; what is unused longest is forgotten first."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[Hashable, Block] = OrderedDict()
        self._framed: OrderedDict[Hashable, bytes] = OrderedDict()
        self._framed_bytes = 0
        self._loading: dict[Hashable, asyncio.Task[Block]] = {}
        self._editions = 0
        self.turns = Turns()

    def edition(self) -> int:
        """Return a number that no tape had before."""
        self._editions += 1
        return self._editions

    async def block(self, key: Hashable, load: Callable[[], Awaitable[Block]]) -> Block:
        """Return a block, loaded once for all who want it at the same time; kept if it is whole."""
        block = self._blocks.get(key)
        if block is not None:
            self._blocks.move_to_end(key)
            return block
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.ensure_future(self._load(key, load))
        return await asyncio.shield(loading)

    async def _load(self, key: Hashable, load: Callable[[], Awaitable[Block]]) -> Block:
        try:
            block = await load()
        finally:
            del self._loading[key]
        if len(block) == BLOCK_EVENTS:
            self._blocks[key] = block
            if len(self._blocks) > BLOCKS_MAX:
                self._blocks.popitem(last=False)
        return block

    def framed(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return frames that many may want, made by the first of them."""
        framed = self._framed.get(key)
        if framed is None:
            framed = self._framed[key] = make()
            self._framed_bytes += len(framed)
            while self._framed_bytes > FRAMED_BYTES_MAX:
                self._framed_bytes -= len(self._framed.popitem(last=False)[1])
        else:
            self._framed.move_to_end(key)
        return framed


class Tape:
    """The events of one room. `last` is the newest number that is known of, 0 before anything is; `edition` is another
    number whenever something was forgotten."""

    def __init__(self, room_id: RoomId, library: Library, fetch: Fetch) -> None:
        self._room_id = room_id
        self._library = library
        self._fetch = fetch
        self._tail: Block = []
        self.edition = library.edition()
        self.last = 0

    def add(self, events: Sequence[Event]) -> Block:
        """Take in what was published, the next events or later ones, and return them rendered."""
        rendered = [rendering(self._room_id, event) for event in events]
        kept = rendered
        rewritten = [number for number, event in enumerate(events) if event.type in REWRITES]
        if rewritten:
            # What came before in the same commit may have words that are not there any more.
            self.forget()
            kept = rendered[rewritten[-1] :]
        if self._tail and self._tail[-1].seq + 1 != kept[0].seq:
            self._tail = []
        self._tail += kept
        if len(self._tail) > 2 * TAIL_EVENTS_MAX:
            del self._tail[:-TAIL_EVENTS_MAX]
        self.last = rendered[-1].seq
        return rendered

    def forget(self) -> None:
        """Drop what is rendered: it is read anew."""
        self._tail = []
        self.edition = self._library.edition()

    def recent(self, after: int) -> Block | None:
        """Return everything above a number, or None where what is at hand begins later."""
        if after >= self.last:
            return []
        if not self._tail or self._tail[0].seq > after + 1 or self._tail[-1].seq < self.last:
            return None
        return self._tail[bisect_right(self._tail, after, key=_seq) :]

    async def stretch(self, after: int) -> Block:
        """Return the events that follow a number, as far as they are at hand together: to the end, or of one block.

        Raises what reading the shard raises.
        """
        recent = self.recent(after)
        if recent is not None:
            return recent
        start = after // BLOCK_EVENTS * BLOCK_EVENTS
        until, edition = min(start + BLOCK_EVENTS, self.last), self.edition

        async def load() -> Block:
            return [rendering(self._room_id, event) for event in await self._fetch(start, until)]

        block = await self._library.block((self._room_id, edition, start, until), load)
        if not self._tail and edition == self.edition and block and block[-1].seq == self.last:
            self._tail = [*block]
        return block[bisect_right(block, after, key=_seq) :]


def rendering(room_id: RoomId, event: Event) -> Rendered:
    """Render one event."""
    return Rendered(event.seq, event.type, event.channel_id, event.created_at, encode(views.told(room_id, event)))


def is_whole(rendered: Sequence[Rendered], after: int) -> bool:
    """Tell whether these are all the next events after a number: a log that was trimmed has not all of them."""
    return bool(rendered) and rendered[-1].seq - after == len(rendered)


def _seq(one: Rendered) -> int:
    return one.seq

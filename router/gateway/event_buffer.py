"""Event buffer of a room, rendered once for all subscribers: the last events as they were published, and older ones
from the block cache of all rooms, read from the log.

Tail and blocks are invalidated when a message is changed or removed: no client is sent deleted content.
"""

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final

from ids import RoomId
from router.gateway.frames import Rendered
from router.gateway.replay_throttle import ReplayThrottle
from router.schemas import events as schemas
from router.schemas.fields import encode
from shard.event_types import REWRITES
from shard.rows import Event

TAIL_EVENTS_MAX: Final = 512
"""Events kept as they were published: enough for a client that was away for a moment."""
BLOCK_EVENTS: Final = 128
"""Events of one block of the log: one frame, about 60 KB."""
BLOCKS_MAX: Final = 512
"""Blocks kept of all rooms together, about 30 MB: what many clients that resume at the same time need."""
FRAMED_BYTES_MAX: Final = 33_554_432
"""Frames of blocks kept of all rooms together, likewise."""

Fetch = Callable[[int, int], Awaitable[list[Event]]]
"""Function that reads the events above the first number and up to the second."""
Block = list[Rendered]


class BlockCache:
    """Cache of blocks of all rooms' logs and of the frames made of them; the least recently used ones are dropped
    first."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[Hashable, Block] = OrderedDict()
        self._frames: OrderedDict[Hashable, bytes] = OrderedDict()
        self._frames_bytes = 0
        self._loading: dict[Hashable, asyncio.Task[Block]] = {}
        self._editions = 0
        self.throttle = ReplayThrottle()

    def new_edition(self) -> int:
        """Return a number that no event buffer had before."""
        self._editions += 1
        return self._editions

    async def block(self, key: Hashable, load: Callable[[], Awaitable[Block]]) -> Block:
        """Return a block, loaded once for all concurrent callers; kept if it is complete."""
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

    def frames(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return frames that many clients may need, made for the first of them."""
        frames = self._frames.get(key)
        if frames is None:
            frames = self._frames[key] = make()
            self._frames_bytes += len(frames)
            while self._frames_bytes > FRAMED_BYTES_MAX:
                self._frames_bytes -= len(self._frames.popitem(last=False)[1])
        else:
            self._frames.move_to_end(key)
        return frames


class EventBuffer:
    """Rendered events of one room. `last` is the newest number that is known, 0 before any is; `edition` changes
    whenever something was invalidated."""

    def __init__(self, room_id: RoomId, cache: BlockCache, fetch: Fetch) -> None:
        self._room_id = room_id
        self._cache = cache
        self._fetch = fetch
        self._tail: Block = []
        self.edition = cache.new_edition()
        self.last = 0

    def add(self, events: Sequence[Event]) -> Block:
        """Add published events, the next ones or later ones, and return them rendered."""
        rendered = [render(self._room_id, event) for event in events]
        kept = rendered
        rewritten = [number for number, event in enumerate(events) if event.type in REWRITES]
        if rewritten:
            # Earlier events of the same commit may have deleted content.
            self.invalidate()
            kept = rendered[rewritten[-1] :]
        if self._tail and self._tail[-1].seq + 1 != kept[0].seq:
            self._tail = []
        self._tail += kept
        if len(self._tail) > 2 * TAIL_EVENTS_MAX:
            del self._tail[:-TAIL_EVENTS_MAX]
        self.last = rendered[-1].seq
        return rendered

    def invalidate(self) -> None:
        """Drop what is rendered, tail and blocks: it is read again from the log."""
        self._tail = []
        self.edition = self._cache.new_edition()

    def recent(self, after: int) -> Block | None:
        """Return all events above a number, or None where the tail begins later."""
        if after >= self.last:
            return []
        if not self._tail or self._tail[0].seq > after + 1 or self._tail[-1].seq < self.last:
            return None
        return self._tail[bisect_right(self._tail, after, key=_seq) :]

    async def next_events(self, after: int) -> Block:
        """Return the events that follow a number: all of them where the tail has them, else those of one block.

        Raises what reading the shard raises.
        """
        recent = self.recent(after)
        if recent is not None:
            return recent
        start = after // BLOCK_EVENTS * BLOCK_EVENTS
        until, edition = min(start + BLOCK_EVENTS, self.last), self.edition

        async def load() -> Block:
            return [render(self._room_id, event) for event in await self._fetch(start, until)]

        block = await self._cache.block((self._room_id, edition, start, until), load)
        if not self._tail and edition == self.edition and block and block[-1].seq == self.last:
            self._tail = [*block]
        return block[bisect_right(block, after, key=_seq) :]


def render(room_id: RoomId, event: Event) -> Rendered:
    """Render one event."""
    return Rendered(event.seq, event.type, event.channel_id, event.created_at, encode(schemas.render(room_id, event)))


def is_contiguous(rendered: Sequence[Rendered], after: int) -> bool:
    """Tell whether these events follow a number without a gap: a trimmed log lacks some of them."""
    return bool(rendered) and rendered[-1].seq - after == len(rendered)


def _seq(one: Rendered) -> int:
    return one.seq

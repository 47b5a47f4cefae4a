"""Searches of a room across its segments: newest first, within a time limit, with the place to continue.

The shard is searched first, then the segments that may have hits, one after the other. The hits are complete down to
the place where the first source stopped: the next page begins there. Segments of several channels that overlap in time
share the time that is left, so that all of them get equally far: hits of one ahead of the others are looked up again.
"""

import time
from typing import Final

from ids import RoomId, UserId
from objects.errors import ObjectNotFoundError
from shard.actions import search
from shard.actions.search import Found, Results, SearchRequest
from shard.archive.manifest import Segment
from shard.archive.segment_cache import SegmentCache
from shard.engine.pool import ShardPool
from shard.errors import ArchiveUnavailableError
from shard.history import merge
from shard.search.match import Hit

SHARE_SECONDS_MIN: Final = 0.01
"""What a segment gets when the time is over, which it is once several had to be fetched: some hundred messages."""


class Searches:
    """Searches of rooms; raises the errors of `search.begin_search`, DeadlineError when the shard found nothing in
    time, and ArchiveUnavailableError when nothing was found before the first segment that cannot be read now."""

    def __init__(self, pool: ShardPool, cache: SegmentCache) -> None:
        self._pool = pool
        self._cache = cache

    async def search_room(self, room_id: RoomId, user_id: UserId, request: SearchRequest, *, now_ms: int) -> Results:
        """Return a page of the messages that match and that the member may read."""
        found = await merge.retry_replaced(lambda: self._find(room_id, user_id, request, now_ms))
        return search.results(found, request)

    async def _find(self, room_id: RoomId, user_id: UserId, request: SearchRequest, now_ms: int) -> Found:
        ends_at = time.monotonic() + request.seconds
        begun = await self._pool.search(
            request.deadline_seconds, room_id, search.begin_search, user_id, request, now_ms=now_ms
        )
        if not begun.segments:
            return begun.found
        union = _Union(begun.found, request.hits_max)
        for number, segment in enumerate(begun.segments):
            if union.is_enough(segment):
                break
            # Even without time left, the search advances below its starting place.
            if time.monotonic() > ends_at and segment.last_id + 1 < request.before:
                union.stop_above(segment)
                break
            # Nothing below the edge is told, so nothing is looked for there.
            sieve = begun.sieve.from_id(max(begun.sieve.since, union.edge))
            sharing = sum(later.last_id >= max(segment.first_id, union.edge) for later in begun.segments[number:])
            left = max((ends_at - time.monotonic()) / sharing, SHARE_SECONDS_MIN)
            try:
                more = await self._cache.ask(
                    room_id, segment, search.search_segment, segment, sieve, request, seconds=left
                )
            except ArchiveUnavailableError as error:
                union.stop_above(segment)
                if not union.hits or isinstance(error.__cause__, ObjectNotFoundError):
                    raise
                break
            union.add(more)
        else:
            if begun.goes_on:
                union.stop_above(begun.segments[-1])
        return union.found()


class _Union:
    """The hits of several sources: complete from `edge` on, above which every source was searched."""

    def __init__(self, first: Found, limit: int) -> None:
        self._limit = limit
        self._hits = {hit.id: hit for hit in first.hits}
        self._messages = dict(first.messages)
        self.edge = first.next_before or 0
        """The lowest id of which everything is known."""
        self._is_cut = first.is_cut

    @property
    def hits(self) -> list[Hit]:
        return [self._hits[number] for number in sorted(self._hits, reverse=True) if number >= self.edge]

    def is_enough(self, segment: Segment) -> bool:
        """Tell whether neither a segment nor any after it can add a hit to the page."""
        above = sum(number > segment.last_id for number in self._hits)
        return above > self._limit or segment.last_id < self.edge

    def add(self, more: Found) -> None:
        self._hits |= {hit.id: hit for hit in more.hits}
        self._messages |= more.messages
        if more.next_before is not None:
            self.edge = max(self.edge, more.next_before)
            self._is_cut = self._is_cut or more.is_cut

    def stop_above(self, segment: Segment) -> None:
        """End the page above the part that a segment covers."""
        self.edge = max(self.edge, segment.last_id + 1)
        self._is_cut = True

    def found(self) -> Found:
        hits = self.hits
        if len(hits) > self._limit:
            page = hits[: self._limit]
            return Found(page, self._messages, page[-1].id, is_cut=False)
        return Found(hits, self._messages, self.edge or None, self._is_cut and bool(self.edge))

"""Searches of a room across its segments: newest first, in the time that there is, telling how far they looked.

The shard is searched first, then the segments that may have something, one after the other. What is told is right down
to the place where the first source stopped: the next page begins there.
"""

import time

import ids
from ids import ChannelId, RoomId, UserId
from objects.errors import ObjectNotFoundError
from shard import gathering
from shard.acts import searching
from shard.acts.searching import RANKED_MAX, Begun, Found, Ranking, Results
from shard.errors import ArchiveUnavailableError
from shard.pool import ShardPool
from shard.queries import Query
from shard.search import Hit
from shard.segment_cache import SegmentCache
from shard.segments import Segment


class Searches:
    """Searches rooms; raises what `searching.begin_search` raises, DeadlineError when the shard found nothing in time,
    and ArchiveUnavailableError when nothing was found before the first segment that cannot be had now."""

    def __init__(self, pool: ShardPool, cache: SegmentCache) -> None:
        self._pool = pool
        self._cache = cache

    async def newest(
        self,
        room_id: RoomId,
        user_id: UserId,
        query: Query,
        *,
        channel_id: ChannelId | None = None,
        before: int = ids.ID_MAX,
        limit: int,
        seconds: float,
        deadline_seconds: float,
        now_ms: int,
    ) -> Results:
        """Return the newest messages below the id `before` that match and that the member may read."""
        found = await gathering.anew(
            lambda: self._find(room_id, user_id, query, channel_id, 0, before, limit, seconds, deadline_seconds, now_ms)
        )
        place = None if found.next_before is None else (found.next_before,)
        return searching.results(found.hits, found, place, is_cut=found.is_cut)

    async def ranked(
        self,
        room_id: RoomId,
        user_id: UserId,
        query: Query,
        *,
        channel_id: ChannelId | None = None,
        ranking: Ranking,
        limit: int,
        seconds: float,
        deadline_seconds: float,
        now_ms: int,
    ) -> Results:
        """Return what `newest` finds, the most relevant of the newest RANKED_MAX first."""
        found = await gathering.anew(
            lambda: self._find(
                room_id,
                user_id,
                query,
                channel_id,
                ranking.since,
                ranking.until,
                RANKED_MAX,
                seconds,
                deadline_seconds,
                now_ms,
            )
        )
        return searching.ranked(found, ranking, limit)

    async def _find(
        self,
        room_id: RoomId,
        user_id: UserId,
        query: Query,
        channel_id: ChannelId | None,
        since: int,
        before: int,
        limit: int,
        seconds: float,
        deadline_seconds: float,
        now_ms: int,
    ) -> Found:
        ends_at = time.monotonic() + seconds
        begun = await self._pool.search(
            deadline_seconds, room_id, searching.begin_search, user_id, query, channel_id=channel_id, since=since,
            before=before, limit=limit, seconds=seconds, now_ms=now_ms,
        )  # fmt: skip
        if not begun.segments:
            return begun.found
        union = _Union(begun.found, limit)
        for segment in begun.segments:
            if union.is_enough(segment):
                break
            # Whatever the time, the search gets below the place where it began.
            if time.monotonic() > ends_at and segment.last_id + 1 < before:
                union.stop_above(segment)
                break
            try:
                left = max(ends_at - time.monotonic(), 0.0)
                union.add(await self._ask(room_id, segment, begun, query, before, limit, left))
            except ArchiveUnavailableError as error:
                union.stop_above(segment)
                if not union.hits or isinstance(error.__cause__, ObjectNotFoundError):
                    raise
                break
        else:
            if begun.goes_on:
                union.stop_above(begun.segments[-1])
        return union.found()

    async def _ask(
        self, room_id: RoomId, segment: Segment, begun: Begun, query: Query, before: int, limit: int, seconds: float
    ) -> Found:
        return await self._cache.ask(
            room_id, segment, searching.search_segment, segment, begun.sieve, query, before=before, limit=limit,
            seconds=seconds,
        )  # fmt: skip


class _Union:
    """What several sources found: right from `edge` on, above which every source was looked through."""

    def __init__(self, first: Found, limit: int) -> None:
        self._limit = limit
        self._hits = {hit.id: hit for hit in first.hits}
        self._messages = dict(first.messages)
        self._edge = first.next_before or 0
        self._is_cut = first.is_cut

    @property
    def hits(self) -> list[Hit]:
        return [self._hits[number] for number in sorted(self._hits, reverse=True) if number >= self._edge]

    def is_enough(self, segment: Segment) -> bool:
        """Tell whether a segment, and all behind it, can add nothing that is told."""
        above = sum(number > segment.last_id for number in self._hits)
        return above > self._limit or segment.last_id < self._edge

    def add(self, more: Found) -> None:
        self._hits |= {hit.id: hit for hit in more.hits}
        self._messages |= more.messages
        if more.next_before is not None:
            self._edge = max(self._edge, more.next_before)
            self._is_cut = self._is_cut or more.is_cut

    def stop_above(self, segment: Segment) -> None:
        """Tell nothing of where a segment may have something."""
        self._edge = max(self._edge, segment.last_id + 1)
        self._is_cut = True

    def found(self) -> Found:
        hits = self.hits
        if len(hits) > self._limit:
            page = hits[: self._limit]
            return Found(page, self._messages, page[-1].id, is_cut=False)
        return Found(hits, self._messages, self._edge or None, self._is_cut and bool(self._edge))

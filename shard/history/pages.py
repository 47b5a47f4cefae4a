"""Pages of a channel across its segments: execution of the plan that the shard makes in one snapshot."""

from operator import itemgetter
from typing import Any

import orjson

from ids import ChannelId, MessageId, RoomId, ThreadId, UserId
from shard.actions import pages
from shard.actions.pages import Half, Lookup, Page, Span, Walk
from shard.archive import manifest
from shard.archive.manifest import Segment
from shard.archive.segment_cache import SegmentCache
from shard.engine.pool import ShardPool
from shard.errors import ArchiveUnavailableError
from shard.history import merge, segments
from shard.history.merge import Gathered
from shard.rows import Stretch
from shard.tables import message_pages

Row = list[Any]
Asked = tuple[UserId, ChannelId, ThreadId | None, Span]
"""The reader, the channel, one of its threads or None, and the span."""
Own = dict[MessageId, list[str]]
"""The reader's own reactions, by message."""


async def read_page(pool: ShardPool, cache: SegmentCache, room_id: RoomId, asked: Asked, *, now_ms: int) -> Page:
    """Return the page of a span: first its messages, which may be in segments, then the messages that they reply to."""
    own: Own = {}
    plan = await pool.read(room_id, pages.plan_page, *asked, now_ms=now_ms)
    if isinstance(plan, Walk):
        found, own = await _walked(cache, room_id, plan)
        plan = await pool.read(room_id, pages.plan_around, *asked, found, now_ms=now_ms)
    page, replies = plan
    if not own and replies is None:
        return page
    replied_to = page.replied_to if replies is None else await _replied_to(cache, room_id, page.replied_to, replies)
    return page._replace(replied_to=replied_to, own_reactions={**page.own_reactions, **own})


async def _walked(cache: SegmentCache, room_id: RoomId, walk: Walk) -> tuple[Stretch, Own]:
    """Return the messages of both halves, and the reader's own reactions to those that are in segments."""
    own: Own = {}
    older: list[Row] = []
    newer: list[Row] = []
    for half in walk.halves:
        limit = half.limit if half.is_older else walk.limit - len(older)
        try:
            found = await _half(cache, room_id, walk, half._replace(limit=limit), own)
        except ArchiveUnavailableError:
            if not older:
                raise
            continue
        if half.is_older:
            older = found.rows
        else:
            newer = found.rows[::-1]
    rows = newer + older
    return message_pages.packed(rows), {row[0]: own[row[0]] for row in rows if row[0] in own}


async def _half(cache: SegmentCache, room_id: RoomId, walk: Walk, half: Half, own: Own) -> Gathered[Row]:
    async def ask(segment: Segment) -> list[Row]:
        rows, reacted = await cache.ask(room_id, segment, segments.of_half, walk, half, segment)
        own.update(reacted)
        return rows

    return await merge.gather(
        orjson.loads(half.live.packed), half.segments, ask, limit=half.limit, newest_first=half.is_older,
        has_more=manifest.is_full(half.segments),
    )  # fmt: skip


async def _replied_to(cache: SegmentCache, room_id: RoomId, known: str | None, replies: Lookup) -> str | None:
    """Return the replied-to messages of a page, those in segments included unless the segments cannot be read now."""
    rows: list[Row] = [] if known is None else orjson.loads(known)
    try:
        rows += [list(message) for message in await segments.some(cache, room_id, replies)]
    except ArchiveUnavailableError:
        return known
    return message_pages.packed(sorted(rows, key=itemgetter(0), reverse=True)).packed if rows else None

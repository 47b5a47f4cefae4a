"""Messages in segments, limited to those that count by the manifest: moved and not hidden."""

from collections.abc import Sequence
from typing import Any

import orjson

from ids import MessageId, RoomId
from shard.actions.pages import Half, Lookup, Walk
from shard.archive.manifest import Segment
from shard.archive.segment_cache import SegmentCache
from shard.engine.connections import Reader
from shard.rows import Message
from shard.tables import message_pages, messages, reactions

Row = list[Any]


def of_half(reader: Reader, walk: Walk, half: Half, segment: Segment) -> tuple[list[Row], dict[MessageId, list[str]]]:
    """Return the rows of a segment for a half of a page, and the reader's own reactions to them."""
    channel, thread_id, limit = walk.channel, walk.thread_id, half.limit + len(segment.hidden)
    if half.is_older:
        place = MessageId(min(half.place, segment.cut_id + 1))
        found = message_pages.before(reader, channel, thread_id, place, limit=limit)
    else:
        found = message_pages.after(reader, channel, thread_id, half.place, limit=limit)
    rows = [row for row in orjson.loads(found.packed) if row[0] <= segment.cut_id and row[0] not in segment.hidden]
    return rows, reactions.own(reader, channel, thread_id, found) if found.has_reactions else {}


def valid(segment: Segment, found: Sequence[Message]) -> list[Message]:
    """Return the messages of a segment that count: moved and not hidden."""
    return [one for one in found if one.id <= segment.cut_id and one.id not in segment.hidden]


async def archived(cache: SegmentCache, room_id: RoomId, lookup: Lookup) -> list[tuple[Segment, list[Message]]]:
    """Return the segments that have some of the messages, each with these."""
    by_segment: dict[int, tuple[Segment, list[MessageId]]] = {}
    for message_id, named in lookup.messages.items():
        for segment in named:
            by_segment.setdefault(segment.id, (segment, []))[1].append(message_id)
    return [
        (segment, valid(segment, await cache.ask(room_id, segment, messages.some, lookup.channel, message_ids)))
        for segment, message_ids in by_segment.values()
    ]


async def some(cache: SegmentCache, room_id: RoomId, lookup: Lookup) -> list[Message]:
    """Return the messages of a lookup that are in segments, oldest first."""
    found = {message.id: message for _, there in await archived(cache, room_id, lookup) for message in there}
    return [found[message_id] for message_id in sorted(found)]

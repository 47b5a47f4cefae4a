"""What of a segment counts, by the manifest's row that was read: what has moved and is not hidden."""

from collections.abc import Sequence
from typing import Any

import orjson

from ids import MessageId, RoomId, ThreadId
from shard import messages, reactions, stretches
from shard.access import Channel
from shard.acts.paging import Leg, Rest
from shard.connections import Reader
from shard.rows import Message
from shard.segment_cache import SegmentCache
from shard.segments import Segment

Row = list[Any]


def of_leg(
    reader: Reader, channel: Channel, thread_id: ThreadId | None, leg: Leg, segment: Segment
) -> tuple[list[Row], dict[MessageId, list[str]]]:
    """Return what a segment has for a leg of a page, and what its reader reacted with to that."""
    limit = leg.limit + len(segment.hidden)
    if leg.is_older:
        place = MessageId(min(leg.place, segment.cut_id + 1))
        found = stretches.before(reader, channel, thread_id, place, limit=limit)
    else:
        found = stretches.after(reader, channel, thread_id, leg.place, limit=limit)
    rows = [row for row in orjson.loads(found.packed) if row[0] <= segment.cut_id and row[0] not in segment.hidden]
    return rows, reactions.own(reader, channel, thread_id, found) if found.has_reactions else {}


def counting(segment: Segment, found: Sequence[Message]) -> list[Message]:
    """Return those messages of a segment that count."""
    return [one for one in found if one.id <= segment.cut_id and one.id not in segment.hidden]


async def archived(cache: SegmentCache, room_id: RoomId, rest: Rest) -> list[tuple[Segment, list[Message]]]:
    """Return which of those messages are in which of the segments that may have them."""
    by_segment: dict[int, tuple[Segment, list[MessageId]]] = {}
    for message_id, named in rest.messages.items():
        for segment in named:
            by_segment.setdefault(segment.id, (segment, []))[1].append(message_id)
    return [
        (segment, counting(segment, await cache.ask(room_id, segment, messages.some, rest.channel, message_ids)))
        for segment, message_ids in by_segment.values()
    ]


async def some(cache: SegmentCache, room_id: RoomId, rest: Rest) -> list[Message]:
    """Return those of the messages that are in the segments that may have them, oldest first."""
    found = {message.id: message for _, there in await archived(cache, room_id, rest) for message in there}
    return [found[message_id] for message_id in sorted(found)]

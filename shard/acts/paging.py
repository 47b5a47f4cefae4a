"""Reading history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import ids
from ids import ChannelId, MessageId, ThreadId, UserId
from shard import access, messages, permissions, reactions, segments, stretches, threads
from shard.access import Channel
from shard.connections import Reader
from shard.rows import Message, Stretch, unpacked
from shard.segments import Segment


class Leg(NamedTuple):
    """The messages on one side of a place: what the shard has of them, and the segments that may have more."""

    is_older: bool
    place: MessageId
    limit: int
    live: Stretch
    segments: Sequence[Segment]


@dataclass(frozen=True, slots=True)
class Rest:
    """What segments may have for who opened `channel`: the legs of a page, and single messages."""

    channel: Channel
    legs: tuple[Leg, ...] = ()
    messages: Mapping[MessageId, Sequence[Segment]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of a channel or thread, newest first, and whether it goes on at either end.

    `replied_to` has the messages that it replies to and that are not in it, packed likewise, None for none;
    `own_reactions` the emoji that the reader reacted with, by message. `rest` is what of it the shard does not have.
    """

    packed: str
    has_older: bool
    has_newer: bool
    replied_to: str | None = None
    own_reactions: Mapping[MessageId, Sequence[str]] = field(default_factory=dict)
    rest: Rest | None = None

    @property
    def messages(self) -> list[Message]:
        """The stretch's messages, unpacked."""
        return unpacked(self.packed)


def get_message(
    reader: Reader, user_id: UserId, channel_id: ChannelId, message_id: MessageId, *, now_ms: int
) -> Message:
    """Return one message."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    return messages.one(reader, channel, message_id)


def seek(
    reader: Reader, user_id: UserId, channel_id: ChannelId, message_ids: Sequence[MessageId], need: int, *, now_ms: int
) -> Rest:
    """Return in which segments messages of a channel may be, for somebody who may do there what `need` says."""
    channel = access.open_channel(reader, user_id, channel_id, need, now_ms=now_ms)
    found = {number: segments.covering(reader, channel_id, number) for number in message_ids}
    return Rest(channel, messages={number: named for number, named in found.items() if named})


@dataclass(frozen=True, slots=True)
class Span:
    """Which stretch of history: at most one of `before`, `after` and `around`, else the newest."""

    limit: int = 50
    before: MessageId | None = None
    after: MessageId | None = None
    around: MessageId | None = None


def read_page(
    reader: Reader, user_id: UserId, channel_id: ChannelId, thread_id: ThreadId | None, span: Span, *, now_ms: int
) -> Page:
    """Return a stretch of a channel, or of one of its threads, newest first."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    if thread_id is not None:
        threads.one(reader, channel, thread_id, now_ms=now_ms)
    if segments.any_of(reader, channel.id):
        legs = _legs(reader, channel, thread_id, span)
        if any(leg.segments for leg in legs):
            return Page("[]", has_older=False, has_newer=False, rest=Rest(channel, legs))
        found = _joined(legs)
    else:
        found = _stretch(reader, channel, thread_id, span)
    return _page(reader, channel, thread_id, span, found)


def surround(
    reader: Reader,
    user_id: UserId,
    channel_id: ChannelId,
    thread_id: ThreadId | None,
    span: Span,
    found: Stretch,
    *,
    now_ms: int,
) -> Page:
    """Return the page of a stretch that was put together from segments: what goes on around it, and what the shard has
    of what belongs to it."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    return _page(reader, channel, thread_id, span, found)


def _page(reader: Reader, channel: Channel, thread_id: ThreadId | None, span: Span, found: Stretch) -> Page:
    replied_to = stretches.replied_to(reader, channel, thread_id, found)
    own = reactions.own(reader, channel, thread_id, found) if found.has_reactions else {}
    goes_on = _goes_on(reader, channel, thread_id, span, found)
    elsewhere = _elsewhere(reader, channel, found, replied_to)
    rest = Rest(channel, messages=elsewhere) if elsewhere else None
    return Page(found.packed, *goes_on, replied_to, own, rest)


def _elsewhere(
    reader: Reader, channel: Channel, found: Stretch, replied_to: str | None
) -> dict[MessageId, Sequence[Segment]]:
    """Return which messages a stretch replies to that may be in segments."""
    if found.replies is None or not segments.any_of(reader, channel.id):
        return {}
    there = {message.id for packed in (found.packed, replied_to or "[]") for message in unpacked(packed)}
    wanted = {MessageId(int(number)) for number in found.replies.split(",")} - there
    named = {message_id: segments.covering(reader, channel.id, message_id) for message_id in wanted}
    return {message_id: found for message_id, found in named.items() if found}


def _legs(reader: Reader, channel: Channel, thread_id: ThreadId | None, span: Span) -> tuple[Leg, ...]:
    limit = span.limit
    if span.around is not None:
        older = _older(reader, channel, thread_id, stretches.following(span.around), limit - limit // 2)
        return older, _newer(reader, channel, thread_id, span.around, limit - older.live.length)
    if span.after is not None:
        return (_newer(reader, channel, thread_id, span.after, limit),)
    place = MessageId(ids.ID_MAX) if span.before is None else span.before
    return (_older(reader, channel, thread_id, place, limit),)


def _older(reader: Reader, channel: Channel, thread_id: ThreadId | None, place: MessageId, limit: int) -> Leg:
    live = stretches.before(reader, channel, thread_id, place, limit=limit)
    above = live.oldest_id if live.oldest_id is not None and live.length == limit else 0
    more = segments.between(reader, channel.id, thread_id, above=above, below=place, newest_first=True)
    return Leg(is_older=True, place=place, limit=limit, live=live, segments=more)


def _newer(reader: Reader, channel: Channel, thread_id: ThreadId | None, place: MessageId, limit: int) -> Leg:
    live = stretches.after(reader, channel, thread_id, place, limit=limit)
    below = live.newest_id if live.newest_id is not None and live.length == limit else ids.ID_MAX
    more = segments.between(reader, channel.id, thread_id, above=place, below=below, newest_first=False)
    return Leg(is_older=False, place=place, limit=limit, live=live, segments=more)


def _joined(legs: tuple[Leg, ...]) -> Stretch:
    older = legs[0].live
    return older if len(legs) == 1 else legs[1].live.joined(older)


def _stretch(reader: Reader, channel: Channel, thread_id: ThreadId | None, span: Span) -> Stretch:
    if span.around is not None:
        return stretches.around(reader, channel, thread_id, span.around, limit=span.limit)
    if span.after is not None:
        return stretches.after(reader, channel, thread_id, span.after, limit=span.limit)
    if span.before is not None:
        return stretches.before(reader, channel, thread_id, span.before, limit=span.limit)
    return stretches.newest(reader, channel, thread_id, limit=span.limit)


def _goes_on(
    reader: Reader, channel: Channel, thread_id: ThreadId | None, span: Span, found: Stretch
) -> tuple[bool, bool]:
    """Tell whether there is something older, and something newer, than what was found, or than the place asked for."""
    newest_id, oldest_id = found.newest_id, found.oldest_id
    if not found.length and span.before is not None:
        newest_id = MessageId(span.before - 1)
    if not found.length and span.after is not None:
        oldest_id = stretches.following(span.after)
    if span == Span(span.limit):
        newest_id = None
    older = oldest_id is not None and (
        stretches.before(reader, channel, thread_id, oldest_id, limit=1).length
        or segments.reaches(reader, channel.id, thread_id, above=0, below=oldest_id)
    )
    newer = newest_id is not None and (
        stretches.after(reader, channel, thread_id, newest_id, limit=1).length
        or segments.reaches(reader, channel.id, thread_id, above=newest_id, below=ids.ID_MAX)
    )
    return bool(older), bool(newer)

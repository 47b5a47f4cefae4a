"""Single messages and pages of history: a page is a plan of the messages in the shard and of segments with more."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import ids
from ids import ChannelId, MessageId, ThreadId, UserId
from shard import access, permissions
from shard.access import Channel
from shard.archive import manifest
from shard.archive.manifest import Segment
from shard.engine.connections import Reader
from shard.rows import Message, Stretch, unpacked
from shard.tables import message_pages, messages, reactions, threads


@dataclass(frozen=True, slots=True)
class Span:
    """A requested stretch of history: at most one of `before`, `after` and `around`, else the newest messages."""

    limit: int = 50
    before: MessageId | None = None
    after: MessageId | None = None
    around: MessageId | None = None


class Page(NamedTuple):
    """A stretch of a channel or thread, newest first, and whether there are older and newer messages.

    `replied_to` has the messages to which it replies and that are not in it, packed too, None if none; `own_reactions`
    the emoji of the reader's reactions, by message.
    """

    packed: str
    has_older: bool
    has_newer: bool
    replied_to: str | None
    own_reactions: Mapping[MessageId, Sequence[str]]

    @property
    def messages(self) -> list[Message]:
        """The messages of the stretch, unpacked."""
        return unpacked(self.packed)


class Lookup(NamedTuple):
    """Messages that the tables do not have, each with the segments that may have it, for `channel.user_id`."""

    channel: Channel
    messages: Mapping[MessageId, Sequence[Segment]]


class Half(NamedTuple):
    """The messages on one side of a position: those in the shard, and the segments that may have more."""

    is_older: bool
    place: MessageId
    limit: int
    live: Stretch
    segments: Sequence[Segment]


class Walk(NamedTuple):
    """The plan of a page that may need segments: its halves, the older one first, and the limit of messages."""

    channel: Channel
    thread_id: ThreadId | None
    limit: int
    halves: tuple[Half, ...]


class Outline(NamedTuple):
    """The plan of a page whose stretch is known: the page, and the replied-to messages that segments may have."""

    page: Page
    replies: Lookup | None


def get_message(
    reader: Reader, user_id: UserId, channel_id: ChannelId, message_id: MessageId, *, now_ms: int
) -> Message:
    """Return one message."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    return messages.one(reader, channel, message_id)


def look_up(
    reader: Reader, user_id: UserId, channel_id: ChannelId, message_ids: Sequence[MessageId], need: int, *, now_ms: int
) -> Lookup:
    """Return the segments that may have messages of a channel, for a member with the permissions in `need` there."""
    channel = access.open_channel(reader, user_id, channel_id, need, now_ms=now_ms)
    return _lookup(reader, channel, message_ids)


def _lookup(reader: Reader, channel: Channel, message_ids: Iterable[MessageId]) -> Lookup:
    found = {number: manifest.covering(reader, channel.id, number) for number in message_ids}
    return Lookup(channel, {number: named for number, named in found.items() if named})


def plan_page(
    reader: Reader, user_id: UserId, channel_id: ChannelId, thread_id: ThreadId | None, span: Span, *, now_ms: int
) -> Walk | Outline:
    """Return the plan of a page of a channel, or of one of its threads."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    if thread_id is not None:
        threads.one(reader, channel, thread_id, now_ms=now_ms)
    if manifest.any_of(reader, channel.id):
        halves = _halves(reader, channel, thread_id, span)
        if any(half.segments for half in halves):
            return Walk(channel, thread_id, span.limit, halves)
        found = _joined(halves)
    else:
        found = _stretch(reader, channel, thread_id, span)
    return _outline(reader, channel, thread_id, span, found)


def plan_around(
    reader: Reader,
    user_id: UserId,
    channel_id: ChannelId,
    thread_id: ThreadId | None,
    span: Span,
    found: Stretch,
    *,
    now_ms: int,
) -> Outline:
    """Return the plan of a page whose stretch was assembled from a Walk."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    return _outline(reader, channel, thread_id, span, found)


def _outline(reader: Reader, channel: Channel, thread_id: ThreadId | None, span: Span, found: Stretch) -> Outline:
    replied_to = message_pages.replied_to(reader, channel, thread_id, found)
    own = reactions.own(reader, channel, thread_id, found) if found.has_reactions else {}
    goes_on = _goes_on(reader, channel, thread_id, span, found)
    return Outline(Page(found.packed, *goes_on, replied_to, own), _replies(reader, channel, found, replied_to))


def _replies(reader: Reader, channel: Channel, found: Stretch, replied_to: str | None) -> Lookup | None:
    """Return the messages to which a stretch replies and that may be in segments."""
    if found.replies is None or not manifest.any_of(reader, channel.id):
        return None
    there = {message.id for packed in (found.packed, replied_to or "[]") for message in unpacked(packed)}
    wanted = {MessageId(int(number)) for number in found.replies.split(",")} - there
    lookup = _lookup(reader, channel, wanted)
    return lookup if lookup.messages else None


def _halves(reader: Reader, channel: Channel, thread_id: ThreadId | None, span: Span) -> tuple[Half, ...]:
    limit = span.limit
    if span.around is not None:
        older = _older(reader, channel, thread_id, message_pages.following(span.around), limit - limit // 2)
        return older, _newer(reader, channel, thread_id, span.around, limit - older.live.length)
    if span.after is not None:
        return (_newer(reader, channel, thread_id, span.after, limit),)
    place = MessageId(ids.ID_MAX) if span.before is None else span.before
    return (_older(reader, channel, thread_id, place, limit),)


def _older(reader: Reader, channel: Channel, thread_id: ThreadId | None, place: MessageId, limit: int) -> Half:
    live = message_pages.before(reader, channel, thread_id, place, limit=limit)
    above = live.oldest_id if live.oldest_id is not None and live.length == limit else 0
    more = manifest.between(reader, channel.id, thread_id, above=above, below=place, newest_first=True)
    return Half(is_older=True, place=place, limit=limit, live=live, segments=more)


def _newer(reader: Reader, channel: Channel, thread_id: ThreadId | None, place: MessageId, limit: int) -> Half:
    live = message_pages.after(reader, channel, thread_id, place, limit=limit)
    below = live.newest_id if live.newest_id is not None and live.length == limit else ids.ID_MAX
    more = manifest.between(reader, channel.id, thread_id, above=place, below=below, newest_first=False)
    return Half(is_older=False, place=place, limit=limit, live=live, segments=more)


def _joined(halves: tuple[Half, ...]) -> Stretch:
    older = halves[0].live
    return older if len(halves) == 1 else halves[1].live.joined(older)


def _stretch(reader: Reader, channel: Channel, thread_id: ThreadId | None, span: Span) -> Stretch:
    if span.around is not None:
        return message_pages.around(reader, channel, thread_id, span.around, limit=span.limit)
    if span.after is not None:
        return message_pages.after(reader, channel, thread_id, span.after, limit=span.limit)
    if span.before is not None:
        return message_pages.before(reader, channel, thread_id, span.before, limit=span.limit)
    return message_pages.newest(reader, channel, thread_id, limit=span.limit)


def _goes_on(
    reader: Reader, channel: Channel, thread_id: ThreadId | None, span: Span, found: Stretch
) -> tuple[bool, bool]:
    """Return whether there are older, and newer, messages than those found, or than the requested position."""
    newest_id, oldest_id = found.newest_id, found.oldest_id
    if not found.length and span.before is not None:
        newest_id = MessageId(span.before - 1)
    if not found.length and span.after is not None:
        oldest_id = message_pages.following(span.after)
    if span == Span(span.limit):
        newest_id = None
    older = oldest_id is not None and (
        message_pages.before(reader, channel, thread_id, oldest_id, limit=1).length
        or manifest.reaches(reader, channel.id, thread_id, above=0, below=oldest_id)
    )
    newer = newest_id is not None and (
        message_pages.after(reader, channel, thread_id, newest_id, limit=1).length
        or manifest.reaches(reader, channel.id, thread_id, above=newest_id, below=ids.ID_MAX)
    )
    return bool(older), bool(newer)

"""Reading history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ids import ChannelId, MessageId, ThreadId, UserId
from shard import access, messages, permissions, reactions, stretches, threads
from shard.connections import Reader
from shard.rows import Message, Stretch, unpacked


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of a channel or thread, newest first, and whether it goes on at either end.

    `replied_to` has the messages that it replies to and that are not in it, packed likewise, None for none;
    `own_reactions` the emoji that the reader reacted with, by message.
    """

    packed: str
    has_older: bool
    has_newer: bool
    replied_to: str | None = None
    own_reactions: Mapping[MessageId, Sequence[str]] = field(default_factory=dict)

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
    found = _stretch(reader, channel, thread_id, span)
    replied_to = stretches.replied_to(reader, channel, thread_id, found)
    own = reactions.own(reader, channel, thread_id, found) if found.has_reactions else {}
    return Page(found.packed, *_goes_on(reader, channel, thread_id, span, found), replied_to, own)


def _stretch(reader: Reader, channel: access.Channel, thread_id: ThreadId | None, span: Span) -> Stretch:
    if span.around is not None:
        return stretches.around(reader, channel, thread_id, span.around, limit=span.limit)
    if span.after is not None:
        return stretches.after(reader, channel, thread_id, span.after, limit=span.limit)
    if span.before is not None:
        return stretches.before(reader, channel, thread_id, span.before, limit=span.limit)
    return stretches.newest(reader, channel, thread_id, limit=span.limit)


def _goes_on(
    reader: Reader, channel: access.Channel, thread_id: ThreadId | None, span: Span, found: Stretch
) -> tuple[bool, bool]:
    """Tell whether there is something older, and something newer, than what was found, or than the place asked for."""
    newest_id, oldest_id = found.newest_id, found.oldest_id
    if not found.length and span.before is not None:
        newest_id = MessageId(span.before - 1)
    if not found.length and span.after is not None:
        oldest_id = stretches.following(span.after)
    if span == Span(span.limit):
        newest_id = None
    older = oldest_id is not None and stretches.before(reader, channel, thread_id, oldest_id, limit=1).length
    newer = newest_id is not None and stretches.after(reader, channel, thread_id, newest_id, limit=1).length
    return bool(older), bool(newer)

"""Nonces: the stored message that answers a repeated send, also where a new message would be refused."""

from typing import Final

import ids
from ids import ChannelId, UserId
from shard import access
from shard.access import Channel
from shard.archive import bloom, cuts, manifest
from shard.archive.manifest import MaybeSentError, Segment
from shard.engine.connections import Reader
from shard.errors import NotFoundError
from shard.rows import Message
from shard.tables import messages

SEGMENTS_MAX: Final = 16
"""Segments, the newest first, in which the message of a repeated nonce is looked for: 300,000 messages of a channel.
Beyond them the repeated nonce gets 409."""


def find(reader: Reader, user_id: UserId, channel_id: ChannelId, nonce: str | None, *, now_ms: int) -> Message | None:
    """Return the message of a channel that a user made with a nonce, if they see the channel; raises MaybeSentError."""
    if nonce is None:
        return None
    try:
        channel = access.open_channel(reader, user_id, channel_id, 0, now_ms=now_ms)
    except NotFoundError:
        return None
    return find_in(reader, channel, nonce)


def find_in(reader: Reader, channel: Channel, nonce: str | None) -> Message | None:
    """Return the message of a channel that `channel.user_id` made with a nonce; raises MaybeSentError when it may be in
    a segment."""
    if nonce is None:
        return None
    message = messages.sent_with(reader, channel.user_id, nonce)
    if message is not None:
        return message if message.channel_id == channel.id else None
    if cuts.is_spent(reader, channel.user_id, nonce):
        segments = _of_author(reader, channel)
        if segments:
            raise MaybeSentError(channel, nonce, segments)
    return None


def _of_author(reader: Reader, channel: Channel) -> list[Segment]:
    """Return the newest segments of a channel that may have messages of `channel.user_id`."""
    named = manifest.of_channels(reader, [channel.id], above=0, below=ids.ID_MAX, newest_first=True)
    kept = manifest.filters(reader, [one.id for one in named])
    author = [bloom.author(channel.user_id)]
    return [one for one in named if bloom.may_have(kept[one.id], author)][:SEGMENTS_MAX]

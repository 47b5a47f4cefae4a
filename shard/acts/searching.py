"""Searching what one may read."""

from ids import ChannelId, MessageId, UserId
from shard import access, permissions, search
from shard.connections import Reader
from shard.rows import Message


def search_messages(
    reader: Reader,
    user_id: UserId,
    query: search.SearchQuery,
    *,
    channel_id: ChannelId | None,
    before: MessageId | None,
    limit: int,
    now_ms: int,
) -> list[Message]:
    """Return the newest matching messages that the member may read; a hidden `channel_id` is not found."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    if channel_id is not None:
        sight.require(channel_id, permissions.READ_HISTORY)
    return search.find(reader, sight, query, channel_id=channel_id, before=before, limit=limit)

"""Searching what one may read."""

from ids import ChannelId, MessageId, UserId
from shard import access, channels, permissions, search
from shard.connections import Reader
from shard.errors import NotFoundError
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
    member = access.open_room(reader, user_id, permissions.READ_HISTORY, now_ms=now_ms)
    if channel_id is not None and channel_id not in channels.visible_ids(reader, member):
        raise NotFoundError("channel")
    return search.find(reader, member, query, channel_id=channel_id, before=before, limit=limit)

"""Where the server tells who joined."""

from ids import ChannelId, UserId
from shard import access, announcements, audit, events, permissions
from shard.connections import Reader, Writer
from shard.errors import ConflictError


def get_channel(reader: Reader, user_id: UserId, *, now_ms: int) -> ChannelId | None:
    """Return the room's system channel, None for none and for one that the member does not see."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    channel_id = announcements.channel_id(reader)
    return channel_id if channel_id in sight.channels else None


def choose_channel(
    writer: Writer, user_id: UserId, channel_id: ChannelId | None, *, reason: str | None = None, now_ms: int
) -> None:
    """Make a channel the room's system channel, or with None leave it without one; needs MANAGE_ROOM.

    Raises NotFoundError for a channel that one does not see, ConflictError for a voice channel.
    """
    access.open_room(writer, user_id, permissions.MANAGE_ROOM, now_ms=now_ms)
    if channel_id is not None and access.open_channel(writer, user_id, channel_id, 0, now_ms=now_ms).type == "voice":
        raise ConflictError("A voice channel takes no messages.")
    before = announcements.channel_id(writer)
    if before == channel_id:
        return
    announcements.choose(writer, channel_id)
    # It is told of the one channel alone, to those who see it: they need not see the other one.
    concerned = channel_id or before
    assert concerned is not None
    events.append(
        writer, "room.updated", actor_id=user_id, channel_id=concerned, payload=_told(channel_id),
        replaced=_told(before), now_ms=now_ms,
    )  # fmt: skip
    audit.append(
        writer, "room.updated", actor_id=user_id, target=("channel", concerned),
        after={"is_system_channel": channel_id is not None}, reason=reason, now_ms=now_ms,
    )  # fmt: skip


def _told(channel_id: ChannelId | None) -> dict[str, str | None]:
    return {"system_channel_id": None if channel_id is None else str(channel_id)}

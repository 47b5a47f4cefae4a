"""Watching a room for those who listen to its events, done by the server itself: who sees what, and the log."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from ids import ChannelId, UserId
from shard import access, audiences, channels, events, permissions, read_markers, replays
from shard.audiences import Audience
from shard.channels import ChannelRow
from shard.connections import Reader
from shard.errors import ConflictError
from shard.read_markers import ChannelUnread
from shard.rows import Event


class Watch(NamedTuple):
    """Who sees what of a room at one moment, and the log's first and last numbers then (0 for an empty log).

    Whoever is not a member has no audience.
    """

    audiences: Mapping[UserId, Audience]
    first_seq: int
    last_seq: int


class Overview(NamedTuple):
    """A room as one member sees it at one moment, after the event `last_seq`: its channels, what they may do in each,
    and what they have not read."""

    last_seq: int
    channels: list[ChannelRow]
    unread: list[ChannelUnread]


def watch(reader: Reader, user_ids: Collection[UserId]) -> Watch:
    """Return what some users see of the room."""
    return Watch(audiences.of(reader, user_ids), events.first_seq(reader), events.last_seq(reader))


def replay(reader: Reader, after: int, until: int) -> list[Event]:
    """Return the events above `after` and up to `until`; who is told which of them is for `Audience` to say."""
    return replays.between(reader, after, until)


def look_around(reader: Reader, user_id: UserId, *, now_ms: int) -> Overview:
    """Return a room as a member sees it; raises NotFoundError for whoever is not one."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    unread = read_markers.unread(reader, sight.member, sight.where(permissions.READ_HISTORY))
    return Overview(events.last_seq(reader), channels.visible(reader, sight), unread)


def may_type(reader: Reader, user_id: UserId, channel_id: ChannelId, *, in_thread: bool, now_ms: int) -> None:
    """Raise what `open_channel` raises for who may not write in a channel, and ConflictError where nobody does."""
    need = permissions.SEND_IN_THREADS if in_thread else permissions.SEND_MESSAGES
    channel = access.open_channel(reader, user_id, channel_id, need, now_ms=now_ms)
    if channel.is_archived or channel.type == "voice":
        raise ConflictError("Nobody writes in this channel.")

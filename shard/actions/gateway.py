"""Reads for the gateway, by the server itself: audiences of subscribers, the log, and a member's view of a room."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from ids import ChannelId, UserId
from shard import access, permissions, visibility
from shard.engine.connections import Reader
from shard.errors import ConflictError
from shard.rows import Event
from shard.tables import channels, event_replay, events, read_markers
from shard.tables.channels import ChannelRow
from shard.tables.read_markers import ChannelUnread
from shard.visibility import Audience


class Watch(NamedTuple):
    """The audiences of a room at one moment, and the log's first and last numbers then (0 for an empty log).

    A user who is not a member has no audience. `branch_seq` is the first number since the room was restored last.
    """

    audiences: Mapping[UserId, Audience]
    first_seq: int
    last_seq: int
    branch_seq: int = 1


class Overview(NamedTuple):
    """A room as one member sees it after the event `last_seq`: channels, permissions in each, and unread counts."""

    last_seq: int
    channels: list[ChannelRow]
    unread: list[ChannelUnread]


def watch(reader: Reader, user_ids: Collection[UserId]) -> Watch:
    """Return the audiences of some users of the room."""
    first_seq, branch_seq = events.begins(reader)
    return Watch(visibility.of(reader, user_ids), first_seq, events.last_seq(reader), branch_seq)


def replay(reader: Reader, after: int, until: int) -> list[Event]:
    """Return the events above `after` and up to `until`; the caller filters them by `Audience`."""
    return event_replay.between(reader, after, until)


def look_around(reader: Reader, user_id: UserId, *, now_ms: int) -> Overview:
    """Return a room as a member sees it; raises NotFoundError for anybody who is not one."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    unread = read_markers.unread(reader, sight.member, sight.where(permissions.READ_HISTORY))
    return Overview(events.last_seq(reader), channels.visible(reader, sight), unread)


def may_type(reader: Reader, user_id: UserId, channel_id: ChannelId, *, in_thread: bool, now_ms: int) -> None:
    """Raise as `open_channel` for a user who may not write in a channel, and ConflictError where nobody may."""
    need = permissions.SEND_IN_THREADS if in_thread else permissions.SEND_MESSAGES
    channel = access.open_channel(reader, user_id, channel_id, need, now_ms=now_ms)
    if channel.is_archived or channel.type == "voice":
        raise ConflictError("Nobody writes in this channel.")

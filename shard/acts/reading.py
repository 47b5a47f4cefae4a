"""Reading: how far one has read, what is left to read, what calls one, and taking all of it along."""

from typing import NamedTuple

import ids
from ids import ChannelId, MessageId, ThreadId, UserId
from shard import (
    access,
    channel_levels,
    overviews,
    permissions,
    read_markers,
    segment_filters,
    segments,
    threads,
)
from shard.channel_levels import Level
from shard.connections import Reader, Writer
from shard.read_markers import ChannelUnread, ThreadUnread
from shard.rows import Message
from shard.segments import Segment


def mark_read(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    thread_id: ThreadId | None,
    last_read_id: MessageId | None,
    *,
    may_go_back: bool,
    now_ms: int,
) -> MessageId:
    """Move one's marker in a channel, or in one of its threads, and return where it stands then.

    Without an id everything is read. A marker goes back only with `may_go_back`, never to before one joined, and never
    beyond the last message: what will be said is not read yet.
    """
    channel = access.open_channel(writer, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    if thread_id is not None:
        threads.one(writer, channel, thread_id, now_ms=now_ms)
    now = read_markers.standing(writer, channel, thread_id)
    wanted = now.newest_id if last_read_id is None else min(last_read_id, now.newest_id)
    wanted = max(wanted, now.joined_id)
    if wanted < now.last_read_id and not may_go_back:
        return now.last_read_id
    if wanted == now.last_read_id and thread_id is not None:
        return wanted
    read_markers.put(writer, channel, thread_id, wanted, goes_back=wanted < now.last_read_id)
    return wanted


def mark_room_read(writer: Writer, user_id: UserId, *, now_ms: int) -> None:
    """Mark everything that one may read in the room as read."""
    sight = access.open_channels(writer, user_id, now_ms=now_ms)
    read_markers.put_all(writer, user_id, sight.where(permissions.READ_HISTORY))


def count_unread(reader: Reader, user_id: UserId, *, now_ms: int) -> list[ChannelUnread]:
    """Return what one has not read, channel by channel."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    return read_markers.unread(reader, sight.member, sight.where(permissions.READ_HISTORY))


class RoomUnread(NamedTuple):
    """What somebody has not read of a room; `threads` are counted in their channels too."""

    channels: list[ChannelUnread]
    threads: list[ThreadUnread]


def count_unread_threads(reader: Reader, user_id: UserId, *, now_ms: int) -> RoomUnread:
    """Return what one has not read, channel by channel and thread by thread."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    channels = sight.where(permissions.READ_HISTORY)
    return RoomUnread(
        read_markers.unread(reader, sight.member, channels), read_markers.unread_threads(reader, sight.member, channels)
    )


def list_mentions(
    reader: Reader, user_id: UserId, *, before: MessageId | None, limit: int, now_ms: int
) -> list[Message]:
    """Return the messages that call one, newest first."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    return overviews.calling(reader, user_id, sight.where(permissions.READ_HISTORY), before=before, limit=limit)


def export_messages(reader: Reader, user_id: UserId, *, after: MessageId, limit: int, now_ms: int) -> list[Message]:
    """Return all that one may read in the room, oldest first."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    return overviews.every(reader, sight.where(permissions.READ_HISTORY), after=after, limit=limit)


class Export(NamedTuple):
    """The next messages that the shard has for an export, and the segments that may have some among them."""

    messages: list[Message]
    segments: list[Segment]


def begin_export(reader: Reader, user_id: UserId, *, after: MessageId, limit: int, now_ms: int) -> Export:
    """Return the beginning of what `export_messages` returns, and which segments continue it."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    channels = sight.where(permissions.READ_HISTORY)
    found = overviews.every(reader, channels, after=after, limit=limit)
    below = found[-1].id if len(found) == limit else ids.ID_MAX
    return Export(found, segments.of_channels(reader, channels, above=after, below=below, newest_first=False))


class Calls(NamedTuple):
    """The newest messages of the shard that call somebody, and the segments that may have some among them.

    `targets` is what calls them, as (type, id), `joined_at` when they joined: nothing of before calls them. `goes_on`
    says that there may be more segments behind the last.
    """

    messages: list[Message]
    segments: list[Segment]
    targets: list[tuple[str, int]]
    joined_at: int
    goes_on: bool = False


def begin_mentions(reader: Reader, user_id: UserId, *, before: MessageId | None, limit: int, now_ms: int) -> Calls:
    """Return the beginning of what `list_mentions` returns, and which segments continue it."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    channels = sight.where(permissions.READ_HISTORY)
    found = overviews.calling(reader, user_id, channels, before=before, limit=limit)
    place = MessageId(ids.ID_MAX) if before is None else before
    above = found[-1].id if len(found) == limit else 0
    named = segments.of_channels(reader, channels, above=above, below=place, newest_first=True)
    if not named:
        return Calls(found, [], [], 0)
    targets, joined_at = overviews.callers(reader, user_id)
    kept = segments.filters(reader, [one.id for one in named])
    keys = [segment_filters.mention(*target) for target in targets]
    goes_on = segments.is_full(named)
    # What lies behind the last of a full page was not looked at, so that one stays.
    last = named[-1] if goes_on else None
    may = [one for one in named if one is last or any(segment_filters.may_have(kept[one.id], [key]) for key in keys)]
    return Calls(found, may, targets, joined_at, goes_on)


def set_level(writer: Writer, user_id: UserId, channel_id: ChannelId, level: Level | None, *, now_ms: int) -> None:
    """Choose what one wants to hear of a channel, or with None what one wants to hear of the room."""
    channel = access.open_channel(writer, user_id, channel_id, 0, now_ms=now_ms)
    if level is None:
        channel_levels.clear(writer, channel)
    else:
        channel_levels.put(writer, channel, level)


def list_levels(reader: Reader, user_id: UserId, *, now_ms: int) -> list[tuple[ChannelId, Level]]:
    """Return the channels of which one wants to hear something else than of the room."""
    return channel_levels.of_member(reader, user_id, access.open_channels(reader, user_id, now_ms=now_ms))

"""Read markers, unread counts, mentions, notification levels and export of a member's messages."""

from typing import NamedTuple

import ids
from ids import ChannelId, MessageId, ThreadId, UserId
from shard import access, permissions
from shard.archive import bloom, manifest
from shard.archive.manifest import Segment
from shard.engine.connections import Reader, Writer
from shard.rows import Message
from shard.tables import inbox, moved_reads, notification_levels, read_markers, threads
from shard.tables.notification_levels import Level
from shard.tables.read_markers import ChannelUnread, ThreadUnread


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
    """Move the user's marker in a channel, or in one of its threads, and return its position.

    Without an id everything is read. A marker goes back only with `may_go_back`, never to before the user joined, and
    never beyond the last message, since future messages are unread.
    """
    channel = access.open_channel(writer, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    if thread_id is not None:
        threads.one(writer, channel, thread_id, now_ms=now_ms)
    now = read_markers.standing(writer, channel, thread_id)
    wanted = now.newest_id if last_read_id is None else min(last_read_id, now.newest_id)
    wanted = max(wanted, now.joined_id)
    if not may_go_back or wanted >= now.last_read_id:
        # Messages up to there were read, also those that were moved to behind the marker.
        moved_reads.settle(writer, user_id, channel_id, thread_id, above=0, until=wanted)
    if wanted < now.last_read_id and not may_go_back:
        return now.last_read_id
    if wanted == now.last_read_id and thread_id is not None:
        return wanted
    read_markers.put(writer, channel, thread_id, wanted, goes_back=wanted < now.last_read_id)
    return wanted


def mark_room_read(writer: Writer, user_id: UserId, *, now_ms: int) -> MessageId | None:
    """Mark everything that the user may read in the room as read, and return the newest marked message."""
    sight = access.open_channels(writer, user_id, now_ms=now_ms)
    return read_markers.put_all(writer, user_id, sight.where(permissions.READ_HISTORY))


def count_unread(reader: Reader, user_id: UserId, *, now_ms: int) -> list[ChannelUnread]:
    """Return the user's unread counts, by channel."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    return read_markers.unread(reader, sight.member, sight.where(permissions.READ_HISTORY))


class RoomUnread(NamedTuple):
    """Unread counts of a room for a member; `threads` are counted in their channels too."""

    channels: list[ChannelUnread]
    threads: list[ThreadUnread]


def count_unread_threads(reader: Reader, user_id: UserId, *, now_ms: int) -> RoomUnread:
    """Return the user's unread counts, by channel and by thread."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    channels = sight.where(permissions.READ_HISTORY)
    return RoomUnread(
        read_markers.unread(reader, sight.member, channels), read_markers.unread_threads(reader, sight.member, channels)
    )


class Export(NamedTuple):
    """The next messages of the shard for an export, and the segments that may have messages between them."""

    messages: list[Message]
    segments: list[Segment]


def begin_export(reader: Reader, user_id: UserId, *, after: MessageId, limit: int, now_ms: int) -> Export:
    """Return the oldest messages above an id that the user may read, and segments that may have more between them."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    channels = sight.where(permissions.READ_HISTORY)
    found = inbox.every(reader, channels, after=after, limit=limit)
    below = found[-1].id if len(found) == limit else ids.ID_MAX
    return Export(found, manifest.of_channels(reader, channels, above=after, below=below, newest_first=False))


class Calls(NamedTuple):
    """The newest messages of the shard that mention a member, and the segments that may have messages between them.

    `targets` has the targets that mention the member, as (type, id); `joined_at` is the time when they joined: no older
    message mentions them. `goes_on` is whether there may be more segments after the last.
    """

    messages: list[Message]
    segments: list[Segment]
    targets: list[tuple[str, int]]
    joined_at: int
    goes_on: bool = False


def begin_mentions(reader: Reader, user_id: UserId, *, before: MessageId | None, limit: int, now_ms: int) -> Calls:
    """Return the newest messages below an id that mention the user, and segments that may have more between them."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    channels = sight.where(permissions.READ_HISTORY)
    found = inbox.calling(reader, user_id, channels, before=before, limit=limit)
    place = MessageId(ids.ID_MAX) if before is None else before
    above = found[-1].id if len(found) == limit else 0
    named = manifest.of_channels(reader, channels, above=above, below=place, newest_first=True)
    if not named:
        return Calls(found, [], [], 0)
    targets, joined_at = inbox.callers(reader, user_id)
    kept = manifest.filters(reader, [one.id for one in named])
    keys = [bloom.mention(*target) for target in targets]
    goes_on = manifest.is_full(named)
    # The segments after the last one of a full page were not examined, so that one stays.
    last = named[-1] if goes_on else None
    may = [one for one in named if one is last or any(bloom.may_have(kept[one.id], [key]) for key in keys)]
    return Calls(found, may, targets, joined_at, goes_on)


def set_level(writer: Writer, user_id: UserId, channel_id: ChannelId, level: Level | None, *, now_ms: int) -> None:
    """Set the user's notification level for a channel; with None the level of the room applies."""
    channel = access.open_channel(writer, user_id, channel_id, 0, now_ms=now_ms)
    if level is None:
        notification_levels.clear(writer, channel)
    else:
        notification_levels.put(writer, channel, level)


def list_levels(reader: Reader, user_id: UserId, *, now_ms: int) -> list[tuple[ChannelId, Level]]:
    """Return the channels for which the user has set a notification level, with the levels."""
    return notification_levels.of_member(reader, user_id, access.open_channels(reader, user_id, now_ms=now_ms))

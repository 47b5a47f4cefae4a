"""Schemas of read markers, unread counts, mentions and notification levels."""

from collections.abc import Iterable, Sequence
from typing import Literal

from typing_extensions import TypedDict

from directory.room_pages import OwnRoom
from ids import ChannelId
from router.schemas.fields import Id, Wire, text_or_none
from router.schemas.messages import MessageView
from router.schemas.people import UserView
from shard.tables.notification_levels import Level
from shard.tables.read_markers import ChannelUnread, ThreadUnread


class MarkRead(Wire):
    """Read marker to set; without an id everything is read.

    A marker only moves forward, unless `may_go_back` is set: then the messages after it become unread again.
    """

    last_read_id: Id | None = None
    may_go_back: bool = False


class ChooseLevel(Wire):
    """Notification level to set: all messages, mentions only, or none."""

    level: Literal["all", "mentions", "none"]


class MarkerView(TypedDict):
    """Read marker of the caller in a channel, or with `thread_id` in a thread. A message with that id need not
    exist."""

    channel_id: str
    thread_id: str | None
    last_read_id: str


class ChannelUnreadView(TypedDict):
    """Unread messages of the caller in a channel, including its threads.

    The count covers the newest 1,000 messages after `last_read_id`, without archived ones; `is_capped` means that there
    may be more. `notification_level` is null where the room's applies.
    """

    channel_id: str
    unread_count: int
    is_capped: bool
    mention_count: int
    last_message_id: str | None
    last_read_id: str
    notification_level: str | None


class ThreadUnreadView(TypedDict):
    """Unread messages of the caller in a thread."""

    channel_id: str
    thread_id: str
    title: str
    unread_count: int
    is_capped: bool
    mention_count: int
    last_message_id: str
    last_read_id: str


class RoomUnreadView(TypedDict):
    """Unread messages of the caller in a room: the totals, and the channels that have some."""

    room_id: str
    notification_level: str
    unread_count: int
    is_capped: bool
    mention_count: int
    channels: list[ChannelUnreadView]


class UnreadPageView(TypedDict):
    """Unread counts of the caller's rooms, the most recently joined first. `next_cursor` is null on the last page.

    `unavailable_room_ids` are rooms of this page that could not be read: request each by itself a little later.
    `hibernated_room_ids` are rooms that were unused for long and are not read: nothing was posted since their last
    count.
    """

    rooms: list[RoomUnreadView]
    unavailable_room_ids: list[str]
    hibernated_room_ids: list[str]
    next_cursor: str | None


class RoomUnreadListView(TypedDict):
    """Unread counts of every channel that the caller can read, and of the threads that have some, the most recently
    active first."""

    channels: list[ChannelUnreadView]
    threads: list[ThreadUnreadView]


class GatheredPageView(TypedDict):
    """Messages of several channels, with the users who wrote or are mentioned in them. `next_cursor` is null on the
    last page."""

    messages: list[MessageView]
    users: list[UserView]
    next_cursor: str | None


class ChannelLevelView(TypedDict):
    """Notification level of the caller in a channel."""

    channel_id: str
    level: str


class LevelsView(TypedDict):
    """Notification level of the caller in a room, and in the channels that have another one."""

    level: str
    channels: list[ChannelLevelView]


def channel_unread(row: ChannelUnread) -> ChannelUnreadView:
    """Render the unread messages of a channel."""
    return {
        "channel_id": str(row.channel_id),
        "unread_count": row.unread_count,
        "is_capped": row.is_capped,
        "mention_count": row.mention_count,
        "last_message_id": text_or_none(row.last_message_id),
        "last_read_id": str(row.last_read_id),
        "notification_level": row.level,
    }


def thread_unread(row: ThreadUnread) -> ThreadUnreadView:
    """Render the unread messages of a thread."""
    return {
        "channel_id": str(row.channel_id),
        "thread_id": str(row.thread_id),
        "title": row.title,
        "unread_count": row.unread_count,
        "is_capped": row.is_capped,
        "mention_count": row.mention_count,
        "last_message_id": str(row.last_message_id),
        "last_read_id": str(row.last_read_id),
    }


def room_unread(room: OwnRoom, rows: Sequence[ChannelUnread]) -> RoomUnreadView:
    """Render the unread messages of a room."""
    left = [row for row in rows if row.unread_count or row.is_capped]
    return {
        "room_id": str(room.id),
        "notification_level": room.notification_level,
        "unread_count": sum(row.unread_count for row in left),
        "is_capped": any(row.is_capped for row in rows),
        "mention_count": sum(row.mention_count for row in left),
        "channels": [channel_unread(row) for row in left],
    }


def levels(level: str, channels: Iterable[tuple[ChannelId, Level]]) -> LevelsView:
    """Render the notification levels of a member."""
    return {
        "level": level,
        "channels": [{"channel_id": str(channel_id), "level": chosen} for channel_id, chosen in channels],
    }

"""What is read, what is left to read, and what calls one."""

from collections.abc import Iterable, Sequence

from typing_extensions import TypedDict

from directory.room_pages import OwnRoom
from ids import ChannelId
from router.views.people import UserView
from router.views.talk import MessageView
from router.views.values import text_or_none
from shard.channel_levels import Level
from shard.read_markers import ChannelUnread, ThreadUnread


class MarkerView(TypedDict):
    """How far the caller has read a channel, or with `thread_id` a thread; there need not be a message of that id."""

    channel_id: str
    thread_id: str | None
    last_read_id: str


class ChannelUnreadView(TypedDict):
    """What the caller has not read of a channel, its threads included.

    The count is of the newest 1,000 messages behind `last_read_id`; `is_capped` when there may be more.
    `notification_level` is null where the room's goes.
    """

    channel_id: str
    unread_count: int
    is_capped: bool
    mention_count: int
    last_message_id: str | None
    last_read_id: str
    notification_level: str | None


class ThreadUnreadView(TypedDict):
    """What the caller has not read of a thread."""

    channel_id: str
    thread_id: str
    title: str
    unread_count: int
    is_capped: bool
    mention_count: int
    last_message_id: str
    last_read_id: str


class RoomUnreadView(TypedDict):
    """What the caller has not read of a room: its sums, and the channels that have something unread."""

    room_id: str
    notification_level: str
    unread_count: int
    is_capped: bool
    mention_count: int
    channels: list[ChannelUnreadView]


class UnreadPageView(TypedDict):
    """Rooms of the caller, the one joined last first; `next_cursor` is null on the last page.

    `unavailable_room_ids` are rooms of this page that could not be asked: ask for them by themselves a little later.
    `hibernated_room_ids` were not used for long and are not asked: nothing came since they were counted last.
    """

    rooms: list[RoomUnreadView]
    unavailable_room_ids: list[str]
    hibernated_room_ids: list[str]
    next_cursor: str | None


class RoomUnreadListView(TypedDict):
    """Every channel that the caller may read, and the threads in which there is something unread, last active first."""

    channels: list[ChannelUnreadView]
    threads: list[ThreadUnreadView]


class GatheredPageView(TypedDict):
    """Messages of several channels, with everyone who wrote or is called by them; `next_cursor` is null at the end."""

    messages: list[MessageView]
    users: list[UserView]
    next_cursor: str | None


class ChannelLevelView(TypedDict):
    """What the caller wants to be told of a channel."""

    channel_id: str
    level: str


class LevelsView(TypedDict):
    """What the caller wants to be told of a room, and the channels for which something else goes."""

    level: str
    channels: list[ChannelLevelView]


def channel_unread(row: ChannelUnread) -> ChannelUnreadView:
    """Render what is unread of a channel."""
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
    """Render what is unread of a thread."""
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
    """Render what is unread of a room."""
    left = [row for row in rows if row.unread_count]
    return {
        "room_id": str(room.id),
        "notification_level": room.notification_level,
        "unread_count": sum(row.unread_count for row in left),
        "is_capped": any(row.is_capped for row in rows),
        "mention_count": sum(row.mention_count for row in left),
        "channels": [channel_unread(row) for row in left],
    }


def levels(level: str, channels: Iterable[tuple[ChannelId, Level]]) -> LevelsView:
    """Render what somebody wants to be told of a room."""
    return {
        "level": level,
        "channels": [{"channel_id": str(channel_id), "level": chosen} for channel_id, chosen in channels],
    }

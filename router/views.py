"""What clients receive: typed dictionaries, which are the documents' schemas too, and the functions that fill them.

Ids are strings, times are RFC 3339 UTC. Rendered messages are remembered by their value, so everyone who reads a
channel's newest page shares one rendering, and no change can leave a stale one behind.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

import orjson
from typing_extensions import TypedDict

from directory.users import Profile
from ids import RoomId, UserId
from shard.channels import ChannelRow
from shard.members import Member
from shard.rows import Message, unpacked
from shard.threads import Thread

RENDERED_MAX = 8_192
"""Rendered messages kept: about 160 pages, a few megabytes. A page with one new message renders that one alone."""
PAGES_MAX = 256
"""Rendered pages kept: at 10 to 30 KB, a few megabytes."""


class UserView(TypedDict):
    """What everybody may see of a user."""

    id: str
    username: str
    display_name: str
    avatar_url: str | None
    is_bot: bool
    is_deleted: bool


class MessageView(TypedDict):
    """A message. `nonce` is what its sender chose."""

    id: str
    room_id: str
    channel_id: str
    thread_id: str | None
    user_id: str
    content: str
    content_type: str
    reply_to_id: str | None
    nonce: str | None
    edit_count: int
    is_pinned: bool
    created_at: datetime
    edited_at: datetime | None


class MessagePageView(TypedDict):
    """A stretch of history, newest first, with everyone who wrote in it.

    Older messages come with `before` the last id, newer ones with `after` the first.
    """

    messages: list[MessageView]
    users: list[UserView]
    has_older: bool
    has_newer: bool


class SearchView(TypedDict):
    """Found messages, newest first; `next_before` is what `before` must be to go on, null at the end."""

    messages: list[MessageView]
    users: list[UserView]
    next_before: str | None


class ChannelView(TypedDict):
    """A channel as a member sees it."""

    id: str
    room_id: str
    name: str
    type: str
    description: str | None
    position: int
    category_id: str | None
    is_private: bool
    is_archived: bool
    thread_mode: str
    slow_mode_seconds: int
    auto_archive_hours: int
    message_count: int
    last_message_id: str | None
    created_at: datetime


class ChannelListView(TypedDict):
    """A room's channels in its order."""

    channels: list[ChannelView]


class ThreadView(TypedDict):
    """A thread."""

    id: str
    room_id: str
    channel_id: str
    title: str
    created_by: str
    message_count: int
    last_message_id: str | None
    last_message_at: datetime
    is_locked: bool
    is_archived: bool
    created_at: datetime


class ThreadPageView(TypedDict):
    """Threads, last active first; `next_cursor` is null on the last page."""

    threads: list[ThreadView]
    next_cursor: str | None


class MemberView(TypedDict):
    """A member."""

    user_id: str
    nickname: str | None
    joined_at: datetime
    timed_out_until: datetime | None


class MemberPageView(TypedDict):
    """Members by id; `next_cursor` is null on the last page."""

    members: list[MemberView]
    users: list[UserView]
    next_cursor: str | None


def moment(time_ms: int) -> datetime:
    """Return a time on the wire from milliseconds UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def moment_or_none(time_ms: int | None) -> datetime | None:
    """Return a time on the wire, if there is one."""
    return None if time_ms is None else moment(time_ms)


def text_or_none(number: int | None) -> str | None:
    """Return an id on the wire, if there is one."""
    return None if number is None else str(number)


def encode(value: Any) -> bytes:
    """Return a view as JSON."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def user(profile: Profile) -> UserView:
    """Render a user."""
    return {
        "id": str(profile.id),
        "username": profile.username,
        "display_name": profile.display_name,
        "avatar_url": profile.avatar_url,
        "is_bot": profile.is_bot,
        "is_deleted": profile.is_deleted,
    }


def message(room_id: RoomId, row: Message) -> MessageView:
    """Render one message."""
    return {
        "id": str(row.id),
        "room_id": str(room_id),
        "channel_id": str(row.channel_id),
        "thread_id": text_or_none(row.thread_id),
        "user_id": str(row.user_id),
        "content": row.content,
        "content_type": row.content_type,
        "reply_to_id": text_or_none(row.reply_to_id),
        "nonce": row.nonce,
        "edit_count": row.edit_count,
        "is_pinned": bool(row.is_pinned),
        "created_at": moment(row.created_at),
        "edited_at": moment_or_none(row.edited_at),
    }


@lru_cache(RENDERED_MAX)
def _rendered(room_id: RoomId, row: Message) -> orjson.Fragment:
    return orjson.Fragment(encode(message(room_id, row)))


class RenderedPage(NamedTuple):
    """A page's messages as JSON that is encoded already, and who wrote them."""

    messages: list[MessageView]
    user_ids: frozenset[UserId]


@lru_cache(PAGES_MAX)
def page(room_id: RoomId, packed: str) -> RenderedPage:
    """Render a packed stretch: everybody who reads the same page shares one rendering of it."""
    rows = unpacked(packed)
    fragment = orjson.Fragment(encode(messages(room_id, rows)))
    return RenderedPage(cast(list[MessageView], fragment), frozenset(row.user_id for row in rows))


def messages(room_id: RoomId, rows: Iterable[Message]) -> list[MessageView]:
    """Render messages as JSON that is encoded already; to the encoder and to readers they are MessageViews."""
    return cast(list[MessageView], [_rendered(room_id, row) for row in rows])


def channel(room_id: RoomId, row: ChannelRow) -> ChannelView:
    """Render a channel."""
    return {
        "id": str(row.id),
        "room_id": str(room_id),
        "name": row.name,
        "type": row.type,
        "description": row.description,
        "position": row.position,
        "category_id": text_or_none(row.category_id),
        "is_private": bool(row.is_private),
        "is_archived": bool(row.is_archived),
        "thread_mode": row.thread_mode,
        "slow_mode_seconds": row.slow_mode_seconds,
        "auto_archive_hours": row.auto_archive_hours,
        "message_count": row.message_count,
        "last_message_id": text_or_none(row.last_message_id),
        "created_at": moment(row.created_at),
    }


def thread(room_id: RoomId, row: Thread) -> ThreadView:
    """Render a thread."""
    return {
        "id": str(row.id),
        "room_id": str(room_id),
        "channel_id": str(row.channel_id),
        "title": row.title,
        "created_by": str(row.created_by),
        "message_count": row.message_count,
        "last_message_id": text_or_none(row.last_message_id),
        "last_message_at": moment(row.last_message_at),
        "is_locked": bool(row.is_locked),
        "is_archived": bool(row.is_archived),
        "created_at": moment(row.created_at),
    }


def member(row: Member) -> MemberView:
    """Render a member."""
    return {
        "user_id": str(row.user_id),
        "nickname": row.nickname,
        "joined_at": moment(row.joined_at),
        "timed_out_until": moment_or_none(row.timed_out_until),
    }

"""Messages and threads.

Rendered messages are remembered by their value, so everyone who reads a channel's newest page shares one rendering,
and no change can leave a stale one behind.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

import orjson
from typing_extensions import TypedDict

from ids import RoomId, UserId
from router.views.people import UserView
from router.views.values import encode, moment, moment_or_none, text_or_none
from shard.rows import Message, unpacked
from shard.threads import Thread

RENDERED_MAX = 8_192
"""Rendered messages kept: about 160 pages, a few megabytes. A page with one new message renders that one alone."""

PAGES_MAX = 256
"""Rendered pages kept: at 10 to 30 KB, a few megabytes."""


class MentionsView(TypedDict):
    """Whom a message called: members, roles, or everyone."""

    user_ids: list[str]
    role_ids: list[str]
    everyone: bool


class AttachmentView(TypedDict):
    """A file of a message; sizes in bytes, pixels and milliseconds."""

    id: str
    filename: str
    size_bytes: int
    mime_type: str
    width: int | None
    height: int | None
    duration_ms: int | None


class ReactionView(TypedDict):
    """How many reacted with one emoji."""

    emoji: str
    count: int


class MessageView(TypedDict):
    """A message. `nonce` is what its sender chose; `metadata` is what a message of the server is about."""

    id: str
    room_id: str
    channel_id: str
    thread_id: str | None
    user_id: str
    content: str
    content_type: str
    metadata: dict[str, Any] | None
    reply_to_id: str | None
    nonce: str | None
    edit_count: int
    is_pinned: bool
    created_at: datetime
    edited_at: datetime | None
    mentions: MentionsView
    attachments: list[AttachmentView]
    reactions: list[ReactionView]


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
        "metadata": None if row.metadata is None else orjson.loads(row.metadata),
        "reply_to_id": text_or_none(row.reply_to_id),
        "nonce": row.nonce,
        "edit_count": row.edit_count,
        "is_pinned": bool(row.is_pinned),
        "created_at": moment(row.created_at),
        "edited_at": moment_or_none(row.edited_at),
        "mentions": _mentions(row.mentions),
        "attachments": [] if row.attachments is None else [_attachment(*one) for one in orjson.loads(row.attachments)],
        "reactions": (
            [] if row.reactions is None else [{"emoji": one[0], "count": one[1]} for one in orjson.loads(row.reactions)]
        ),
    }


def _mentions(packed: str | None) -> MentionsView:
    found: list[tuple[str, int]] = [] if packed is None else orjson.loads(packed)
    return {
        "user_ids": [str(target) for kind, target in found if kind == "user"],
        "role_ids": [str(target) for kind, target in found if kind == "role"],
        "everyone": any(kind == "everyone" for kind, _ in found),
    }


def _attachment(
    attachment_id: int,
    filename: str,
    size_bytes: int,
    mime_type: str,
    width: int | None,
    height: int | None,
    duration_ms: int | None,
) -> AttachmentView:
    return {
        "id": str(attachment_id),
        "filename": filename,
        "size_bytes": size_bytes,
        "mime_type": mime_type,
        "width": width,
        "height": height,
        "duration_ms": duration_ms,
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

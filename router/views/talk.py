"""Messages.

Rendered messages are remembered by their value, so everyone who reads a channel's newest page shares one rendering,
and no change can leave a stale one behind.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

import orjson
from typing_extensions import TypedDict

from ids import ChannelId, MessageId, RoomId, UserId
from router.views.people import UserView
from router.views.values import encode, moment, moment_or_none, text_or_none
from shard.messages import Version
from shard.rows import Message, unpacked

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
    """A file of a message; sizes in bytes, pixels and milliseconds. `url` is where those who may read the message read
    it."""

    id: str
    filename: str
    size_bytes: int
    mime_type: str
    width: int | None
    height: int | None
    duration_ms: int | None
    url: str


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
    """A stretch of history, newest first, with everyone who wrote in it or is called by it.

    Older messages come with `before` the last id, newer ones with `after` the first. `replied_to` has the messages that
    it replies to and that are not in it; what is in neither was deleted. `my_reactions` has the caller's own reactions
    by message.
    """

    messages: list[MessageView]
    replied_to: list[MessageView]
    my_reactions: dict[str, list[str]]
    users: list[UserView]
    has_older: bool
    has_newer: bool


class VersionView(TypedDict):
    """What a message said from `written_at` on, until the next version."""

    content: str
    written_at: datetime


class VersionPageView(TypedDict):
    """What a message said, oldest first and at last what it says; `next_cursor` is null on the last page."""

    versions: list[VersionView]
    next_cursor: str | None


class AffectedView(TypedDict):
    """Which messages an act changed, oldest first."""

    ids: list[str]


class SystemChannelView(TypedDict):
    """Where the server tells who joined."""

    channel_id: str | None


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
        "attachments": (
            []
            if row.attachments is None
            else [attachment(room_id, row.channel_id, *one) for one in orjson.loads(row.attachments)]
        ),
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


def attachment(
    room_id: RoomId,
    channel_id: ChannelId,
    attachment_id: int,
    filename: str,
    size_bytes: int,
    mime_type: str,
    width: int | None,
    height: int | None,
    duration_ms: int | None,
) -> AttachmentView:
    """Render a file, or an upload that will be one."""
    return {
        "id": str(attachment_id),
        "filename": filename,
        "size_bytes": size_bytes,
        "mime_type": mime_type,
        "width": width,
        "height": height,
        "duration_ms": duration_ms,
        "url": f"/v1/rooms/{room_id}/channels/{channel_id}/attachments/{attachment_id}/content",
    }


@lru_cache(RENDERED_MAX)
def _rendered(room_id: RoomId, row: Message) -> orjson.Fragment:
    return orjson.Fragment(encode(message(room_id, row)))


class RenderedPage(NamedTuple):
    """A page's messages as JSON that is encoded already, and who wrote them or is called by them."""

    messages: list[MessageView]
    user_ids: frozenset[UserId]


@lru_cache(PAGES_MAX)
def page(room_id: RoomId, packed: str) -> RenderedPage:
    """Render a packed stretch: everybody who reads the same page shares one rendering of it."""
    rows = unpacked(packed)
    fragment = orjson.Fragment(encode(messages(room_id, rows)))
    return RenderedPage(cast(list[MessageView], fragment), frozenset(people_in(rows)))


def people_in(rows: Iterable[Message]) -> Iterator[UserId]:
    """Yield who wrote messages or is called by them."""
    for row in rows:
        yield row.user_id
        if row.mentions is not None:
            yield from (UserId(target) for kind, target in orjson.loads(row.mentions) if kind == "user")


def version(row: Version) -> VersionView:
    """Render what a message said."""
    return {"content": row.content, "written_at": moment(row.written_at)}


def affected(message_ids: Iterable[MessageId]) -> AffectedView:
    """Render which messages an act changed."""
    return {"ids": [str(message_id) for message_id in message_ids]}


def messages(room_id: RoomId, rows: Iterable[Message]) -> list[MessageView]:
    """Render messages as JSON that is encoded already; to the encoder and to readers they are MessageViews."""
    return cast(list[MessageView], [_rendered(room_id, row) for row in rows])

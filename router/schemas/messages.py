"""Schemas of messages, their versions and pages of history.

Rendered messages are cached by their value, so everyone who reads a channel's newest page shares one rendering, and no
change can leave a stale one behind.
"""

import contextlib
import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple, NotRequired, Self, cast

import orjson
from pydantic import Field, StringConstraints, ValidationInfo, field_validator
from typing_extensions import TypedDict

from ids import AttachmentId, ChannelId, MessageId, RoomId, ThreadId, UserId, time_ms
from router.errors import FieldFault, InvalidError
from router.schemas.fields import (
    NO_NUL,
    VISIBLE,
    Bounds,
    Id,
    Paged,
    Why,
    Wire,
    encode,
    moment,
    moment_or_none,
    text_or_none,
)
from router.schemas.people import UserView
from shard.actions.messages import AT_ONCE_MAX
from shard.actions.pages import Span
from shard.rows import Message, unpacked
from shard.tables.attachments import PER_MESSAGE_MAX
from shard.tables.messages import CONTENT_LENGTH_MAX, NONCE_LENGTH_MAX, Draft, Version
from shard.text import visible_text
from sqlite import DAMAGE

log = logging.getLogger(__name__)


def require_length(content: str, length_max: int, *, place: str = "body") -> None:
    """Raise InvalidError for a message above the server's length limit, naming a field of `place`."""
    if len(content) > length_max:
        raise InvalidError([FieldFault(f"{place}.content", f"at most {length_max} characters")])


class SendMessage(Wire):
    """Message to send. Repeating a `nonce` returns the message that it created; use a new one for every message.
    `content` may be empty if there are files."""

    # Before the content, whose validator reads it.
    attachment_ids: Annotated[list[Id], Field(max_length=PER_MESSAGE_MAX)] = Field(default_factory=list)
    content: Annotated[str, StringConstraints(max_length=CONTENT_LENGTH_MAX), NO_NUL] = Field(
        default="", validate_default=True
    )
    nonce: Annotated[str, StringConstraints(min_length=1, max_length=NONCE_LENGTH_MAX), NO_NUL] | None = None
    thread_id: Id | None = None
    reply_to_id: Id | None = None

    @field_validator("attachment_ids")
    @classmethod
    def _each_once(cls, value: list[int]) -> list[int]:
        if len({*value}) < len(value):
            raise ValueError("each file once")
        return value

    @field_validator("content")
    @classmethod
    def _has_content(cls, value: str, info: ValidationInfo) -> str:
        if not visible_text.is_visible(value) and not info.data.get("attachment_ids"):
            raise ValueError("at least one visible character is needed, or a file")
        return value

    def within(self, bounds: Bounds) -> Self:
        """Return it; raises InvalidError for a message that is too long."""
        require_length(self.content, bounds.message_length_max)
        return super().within(bounds)

    def draft(self) -> Draft:
        thread_id = None if self.thread_id is None else ThreadId(self.thread_id)
        reply_to_id = None if self.reply_to_id is None else MessageId(self.reply_to_id)
        return Draft(self.content, self.nonce, thread_id, reply_to_id, tuple(map(AttachmentId, self.attachment_ids)))


class EditMessage(Wire):
    """New content of a message."""

    content: Annotated[str, StringConstraints(min_length=1, max_length=CONTENT_LENGTH_MAX), NO_NUL, VISIBLE]

    def within(self, bounds: Bounds) -> Self:
        """Return it; raises InvalidError for a message that is too long."""
        require_length(self.content, bounds.message_length_max)
        return super().within(bounds)


class DeleteMessages(Why):
    """Messages of one channel; ids that are not in it are ignored."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=AT_ONCE_MAX)]


class MoveMessages(Why):
    """Messages of one channel, and the thread to move them to; null for none."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=AT_ONCE_MAX)]
    thread_id: Id | None


PLACES: Final = ("before", "after", "around")


class HistoryQuery(Paged):
    """Page of history: next to at most one of `before`, `after`, `around`; without one, the newest."""

    before: Id | None = None
    after: Id | None = None
    around: Id | None = None
    thread_id: Id | None = None

    def within(self, bounds: Bounds) -> Self:
        """Return it as `Paged` does; raises InvalidError for more than one of `before`, `after`, `around` too."""
        if (self.before is None) + (self.after is None) + (self.around is None) < len(PLACES) - 1:
            places = [name for name in PLACES if getattr(self, name) is not None]
            raise InvalidError([FieldFault(f"query.{name}", "at most one of before, after, around") for name in places])
        return super().within(bounds)

    def span(self) -> Span:
        return Span(
            self.limit,
            None if self.before is None else MessageId(self.before),
            None if self.after is None else MessageId(self.after),
            None if self.around is None else MessageId(self.around),
        )


RENDERED_MAX = 8_192
"""Rendered messages kept: about 160 pages, a few megabytes. A page with one new message renders that one alone."""

PAGES_MAX = 256
"""Rendered pages kept: at 10 to 30 KB, a few megabytes."""


class MentionsView(TypedDict):
    """Mentions of a message: users, roles, or everyone."""

    user_ids: list[str]
    role_ids: list[str]
    everyone: bool


class AttachmentView(TypedDict):
    """File of a message; sizes in bytes, pixels and milliseconds. `url` returns the file to users who can read the
    message."""

    id: str
    filename: str
    size_bytes: int
    mime_type: str
    width: int | None
    height: int | None
    duration_ms: int | None
    url: str


class ReactionView(TypedDict):
    """Number of reactions with one emoji."""

    emoji: str
    count: int


class MessageView(TypedDict):
    """Message. `nonce` is the value that its sender chose; `metadata` has the facts of a message of the server.

    `is_damaged` is there, and true, for a message that the disk has damaged: `content` has U+FFFD where it cannot be
    read, and other fields may be missing what they had."""

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
    is_damaged: NotRequired[bool]


class MessagePageView(TypedDict):
    """Page of history, newest first, with the users who wrote or are mentioned in it.

    Older messages follow with `before` the last id, newer ones with `after` the first. `replied_to` has the messages
    that are replied to and not on this page; a message in neither was deleted. `my_reactions` has the caller's own
    reactions by message.
    """

    messages: list[MessageView]
    replied_to: list[MessageView]
    my_reactions: dict[str, list[str]]
    users: list[UserView]
    has_older: bool
    has_newer: bool


class VersionView(TypedDict):
    """Content of a message from `written_at` on, until the next version."""

    content: str
    written_at: datetime


class VersionPageView(TypedDict):
    """Versions of a message, oldest first; the last one is its current content. `next_cursor` is null on the last
    page."""

    versions: list[VersionView]
    next_cursor: str | None


class AffectedView(TypedDict):
    """Messages that the request changed, oldest first."""

    ids: list[str]


def message(room_id: RoomId, row: Message) -> MessageView:
    """Render one message; one that the disk has damaged as far as it can be read."""
    if DAMAGE not in row.content:
        try:
            return _whole(room_id, row)
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
            log.error(  # noqa: TRY400 - what the disk has changed explains itself
                "a message is damaged", extra={"room_id": room_id, "message_id": row.id, "reason": str(error)}
            )
    return _damaged(room_id, row)


def _damaged(room_id: RoomId, row: Message) -> MessageView:
    """Render what of a damaged message is right in itself; its time is that of its id."""
    content = str(row.content).replace(DAMAGE, "\ufffd")
    readable = row._replace(content=content, metadata=None, attachments=None, reactions=None, mentions=None)
    for name in ("metadata", "attachments", "reactions", "mentions"):
        with contextlib.suppress(AttributeError, LookupError, TypeError, ValueError):
            fuller = readable._replace(**{name: getattr(row, name)})
            _whole(room_id, fuller)
            readable = fuller
    try:
        view = _whole(room_id, readable)
    except (OverflowError, TypeError, ValueError):
        view = _whole(room_id, readable._replace(created_at=time_ms(row.id), edited_at=None))
    return {**view, "is_damaged": True}


def _whole(room_id: RoomId, row: Message) -> MessageView:
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
    """Messages of a page as encoded JSON, and the users who wrote them or are mentioned in them."""

    messages: list[MessageView]
    user_ids: frozenset[UserId]


@lru_cache(PAGES_MAX)
def page(room_id: RoomId, packed: str) -> RenderedPage:
    """Render a packed page: everyone who reads the same page shares one rendering."""
    rows = unpacked(packed)
    fragment = orjson.Fragment(encode(messages(room_id, rows)))
    return RenderedPage(cast(list[MessageView], fragment), frozenset(people_in(rows)))


def people_in(rows: Iterable[Message]) -> Iterator[UserId]:
    """Yield the users who wrote messages or are mentioned in them."""
    for row in rows:
        yield row.user_id
        with contextlib.suppress(ValueError):  # damaged; the message itself is told as such
            if row.mentions is not None:
                yield from (UserId(target) for kind, target in orjson.loads(row.mentions) if kind == "user")


def version(row: Version) -> VersionView:
    """Render a version of a message."""
    return {"content": row.content, "written_at": moment(row.written_at)}


def affected(message_ids: Iterable[MessageId]) -> AffectedView:
    """Render the messages that a request changed."""
    return {"ids": [str(message_id) for message_id in message_ids]}


def messages(room_id: RoomId, rows: Iterable[Message]) -> list[MessageView]:
    """Render messages as encoded JSON; to the encoder and to readers they are MessageViews."""
    return cast(list[MessageView], [_rendered(room_id, row) for row in rows])

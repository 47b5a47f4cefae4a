"""Messages."""

from typing import Annotated

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from router.wire.fields import NO_NUL, VISIBLE, Id, Paged, Why, Wire
from shard.acts.amending import AT_ONCE_MAX
from shard.attachments import PER_MESSAGE_MAX
from shard.messages import CONTENT_LENGTH_MAX, NONCE_LENGTH_MAX


class SendMessage(Wire):
    """A message. Repeating a `nonce` returns the message that it made; use a new one for every message. With files
    `content` may be empty."""

    # Before the content, whose validator looks at it.
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
    def _says_something(cls, value: str, info: ValidationInfo) -> str:
        if not value.strip() and not info.data.get("attachment_ids"):
            raise ValueError("at least one visible character is needed, or a file")
        return value


class EditMessage(Wire):
    """What a message shall say instead."""

    content: Annotated[str, StringConstraints(min_length=1, max_length=CONTENT_LENGTH_MAX), NO_NUL, VISIBLE]


class DeleteMessages(Why):
    """Messages of one channel; ids that it does not have are passed over."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=AT_ONCE_MAX)]


class MoveMessages(Why):
    """Messages of one channel, and the thread that they belong into; null for none."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=AT_ONCE_MAX)]
    thread_id: Id | None


class ChooseSystemChannel(Why):
    """The channel in which the server tells who joined; null for none."""

    channel_id: Id | None


class HistoryQuery(Paged):
    """A stretch of history: next to at most one of `before`, `after`, `around`; without one, the newest."""

    before: Id | None = None
    after: Id | None = None
    around: Id | None = None
    thread_id: Id | None = None

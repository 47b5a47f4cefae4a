"""Webhooks: making and changing them, and what is posted by one."""

from typing import Annotated, Self, cast

from pydantic import Field, StringConstraints, model_validator

from router.outbound import URL_LENGTH_MAX
from router.wire.fields import NO_NUL, VISIBLE, Id, Name, Reason, Wire
from shard.acts.hooking import WebhookChanges
from shard.messages import CONTENT_LENGTH_MAX, NONCE_LENGTH_MAX

EVENTS_MAX = 50
"""Types and nouns that one webhook names."""

Url = Annotated[str, StringConstraints(min_length=1, max_length=URL_LENGTH_MAX), NO_NUL]
EventName = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z]+(\.[a-z_]+)?)$", max_length=64)]
Events = Annotated[list[EventName], Field(min_length=1, max_length=EVENTS_MAX)]
Content = Annotated[str, StringConstraints(min_length=1, max_length=CONTENT_LENGTH_MAX), NO_NUL, VISIBLE]


class CreateIncoming(Wire):
    """A webhook that posts into a channel."""

    name: Name
    channel_id: Id
    reason: Reason | None = None


class CreateOutgoing(Wire):
    """A webhook that tells a URL what happens in a channel, or without one in all that one reads. `events` has types
    such as `message.created`, nouns such as `message` for all types that begin with them, or `*`."""

    name: Name
    url: Url
    events: Events
    channel_id: Id | None = None
    reason: Reason | None = None

    def changes(self) -> WebhookChanges:
        return cast(WebhookChanges, self.model_dump(exclude={"reason"}))


class UpdateWebhook(Wire):
    """What to change of a webhook; fields that are left out stay. Incoming ones have a name and a channel only."""

    # These can be changed but not emptied, so null is refused. The defaults are never read.
    name: Name = Field(default_factory=str)
    url: Url = Field(default_factory=str)
    events: Events = Field(default_factory=list)
    is_enabled: bool = Field(default_factory=bool)
    channel_id: Id | None = None
    reason: Reason | None = None

    def changes(self) -> WebhookChanges:
        return cast(WebhookChanges, self.model_dump(include=self.model_fields_set - {"reason"}))


class PostByWebhook(Wire):
    """A message by a webhook. `text` is another name of `content`, Slack's. Repeating a `nonce` returns the message
    that it made."""

    content: Content | None = None
    text: Content | None = None
    username: Name | None = None
    nonce: Annotated[str, StringConstraints(min_length=1, max_length=NONCE_LENGTH_MAX), NO_NUL] | None = None
    thread_id: Id | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.content is None) == (self.text is None):
            raise ValueError("send either content or text")
        return self

    @property
    def said(self) -> str:
        return self.content or self.text or ""

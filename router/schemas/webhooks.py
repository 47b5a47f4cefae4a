"""Schemas of webhooks for members who manage them, and the bodies of deliveries."""

import difflib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self, cast

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from typing_extensions import TypedDict

from ids import RoomId, ThreadId
from router.outbound import URL_LENGTH_MAX, Outcome
from router.schemas import events as event_schemas
from router.schemas.fields import (
    NO_NUL,
    VISIBLE,
    Bounds,
    Id,
    Name,
    Reason,
    Wire,
    encode,
    moment,
    moment_or_none,
    text_or_none,
)
from router.schemas.messages import require_length
from router.schemas.people import UserView
from shard.actions.webhook_deliveries import Batch
from shard.actions.webhooks import WebhookChanges
from shard.event_types import NOUNS, TYPES, WEBHOOK_PINGED
from shard.tables.messages import CONTENT_LENGTH_MAX, NONCE_LENGTH_MAX, Draft
from shard.tables.webhook_deliveries import EVERYTHING
from shard.tables.webhooks import Webhook

EVENTS_MAX = 50
"""Types and nouns that one webhook names. Beyond it 422."""

Url = Annotated[str, StringConstraints(min_length=1, max_length=URL_LENGTH_MAX), NO_NUL]
EventName = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z]+(\.[a-z_]+)?)$", max_length=64)]


def _subscribable(names: list[str]) -> list[str]:
    """Return the names of event types; raises ValueError with the nearest name for the first that does not exist."""
    known = TYPES | NOUNS | {EVERYTHING}
    unknown = next((name for name in names if name not in known), None)
    if unknown is None:
        return names
    near = difflib.get_close_matches(unknown, sorted(known), n=1)
    remedy = f"did you mean {near[0]}?" if near else f"use {EVERYTHING}, {', '.join(sorted(NOUNS))}, or a type of these"
    raise ValueError(f"there are no events called {unknown}; {remedy}")


Events = Annotated[list[EventName], Field(min_length=1, max_length=EVENTS_MAX), AfterValidator(_subscribable)]
Content = Annotated[str, StringConstraints(min_length=1, max_length=CONTENT_LENGTH_MAX), NO_NUL, VISIBLE]


class CreateIncoming(Wire):
    """Incoming webhook to create, which posts into a channel."""

    name: Name
    channel_id: Id
    reason: Reason | None = None


class CreateOutgoing(Wire):
    """Outgoing webhook to create, which sends the events of a channel to a URL, or without one of all channels that its
    keeper can read. `events` has types such as `message.created`, nouns such as `message` for all types that begin with
    them, or `*`."""

    name: Name
    url: Url
    events: Events
    channel_id: Id | None = None
    reason: Reason | None = None

    def changes(self) -> WebhookChanges:
        return cast(WebhookChanges, self.model_dump(exclude={"reason"}))


class UpdateWebhook(Wire):
    """Changes to a webhook. Fields that are left out do not change. Incoming webhooks have only a name and a
    channel."""

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
    """Message to post by a webhook. `text` is an alias of `content`, for clients of Slack. Repeating a `nonce` returns
    the message that it created."""

    content: Content | None = None
    text: Content | None = None
    username: Name | None = None
    nonce: Annotated[str, StringConstraints(min_length=1, max_length=NONCE_LENGTH_MAX), NO_NUL] | None = None
    thread_id: Id | None = None

    @model_validator(mode="after")
    def _has_one_text(self) -> Self:
        if (self.content is None) == (self.text is None):
            raise ValueError("send either content or text")
        return self

    @property
    def message_text(self) -> str:
        return self.content or self.text or ""

    def within(self, bounds: Bounds) -> Self:
        """Return it; raises InvalidError for a message that is too long."""
        require_length(self.message_text, bounds.message_length_max)
        return super().within(bounds)

    def draft(self) -> Draft:
        return Draft(self.message_text, self.nonce, None if self.thread_id is None else ThreadId(self.thread_id))


class IncomingView(TypedDict):
    """Incoming webhook. Its messages have its id as their `user_id`."""

    id: str
    room_id: str
    channel_id: str
    name: str
    created_by: str
    created_at: datetime


class DeliveryStateView(TypedDict):
    """State of deliveries: the last event that the receiver accepted, and the result of the last attempt; `failures`
    are those in a row since `failing_since`."""

    last_seq: int
    last_tried_at: datetime | None
    last_status: int | None
    last_error: str | None
    failures: int
    failing_since: datetime | None
    next_try_at: datetime | None


class OutgoingView(TypedDict):
    """Outgoing webhook. It sends the events of `channel_id`, or without one of all channels that its keeper can
    read."""

    id: str
    room_id: str
    channel_id: str | None
    name: str
    url: str
    events: list[str]
    keeper_id: str
    is_enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    deliveries: DeliveryStateView
    created_by: str
    created_at: datetime


class WebhookListView(TypedDict):
    """Webhooks that the caller manages, the oldest first, with their users."""

    incoming: list[IncomingView]
    outgoing: list[OutgoingView]
    users: list[UserView]


class IssuedIncomingView(TypedDict):
    """Incoming webhook with its token and the address to post to, which are returned only once."""

    token: str
    url: str
    webhook: IncomingView


class IssuedOutgoingView(TypedDict):
    """Outgoing webhook with the secret that signs its deliveries, which is returned only once."""

    secret: str
    webhook: OutgoingView


class PingView(TypedDict):
    """Result of a ping: the receiver's status, or the error that prevented a response."""

    is_taken: bool
    status: int | None
    error: str | None
    milliseconds: int


def incoming(room_id: RoomId, hook: Webhook) -> IncomingView:
    """Render an incoming webhook."""
    return {
        "id": str(hook.id),
        "room_id": str(room_id),
        "channel_id": str(hook.channel_id),
        "name": hook.name,
        "created_by": str(hook.created_by),
        "created_at": moment(hook.created_at),
    }


def outgoing(room_id: RoomId, hook: Webhook) -> OutgoingView:
    """Render an outgoing webhook."""
    return {
        "id": str(hook.id),
        "room_id": str(room_id),
        "channel_id": text_or_none(hook.channel_id),
        "name": hook.name,
        "url": str(hook.url),
        "events": list(hook.events),
        "keeper_id": str(hook.keeper_id),
        "is_enabled": hook.disabled_at is None,
        "disabled_at": moment_or_none(hook.disabled_at),
        "disabled_reason": hook.disabled_reason,
        "deliveries": {
            "last_seq": hook.last_seq,
            "last_tried_at": moment_or_none(hook.last_tried_at),
            "last_status": hook.last_status,
            "last_error": hook.last_error,
            "failures": hook.failures,
            "failing_since": moment_or_none(hook.failing_since),
            "next_try_at": moment_or_none(hook.next_try_at),
        },
        "created_by": str(hook.created_by),
        "created_at": moment(hook.created_at),
    }


def either(room_id: RoomId, hook: Webhook) -> IncomingView | OutgoingView:
    """Render a webhook of either direction."""
    return incoming(room_id, hook) if hook.direction == "incoming" else outgoing(room_id, hook)


def pinged(outcome: Outcome) -> PingView:
    """Render the result of a ping."""
    status = outcome.status
    return {
        "is_taken": status is not None and 200 <= status < 300,
        "status": status,
        "error": outcome.error,
        "milliseconds": round(outcome.seconds * 1000),
    }


def ping(hook: Webhook, now_ms: int) -> dict[str, Any]:
    """Return the event of a ping, which is in no log and so has no number."""
    return {
        "seq": None,
        "type": WEBHOOK_PINGED,
        "at": moment(now_ms),
        "channel_id": text_or_none(hook.channel_id),
        "actor_id": None,
        "d": {"id": str(hook.id)},
    }


def body(room_id: RoomId, webhook_id: int, events: Sequence[dict[str, Any]]) -> bytes:
    """Return the body of a delivery."""
    return encode({"room_id": str(room_id), "webhook_id": str(webhook_id), "events": events})


def bounded(room_id: RoomId, batch: Batch, bytes_max: int) -> tuple[bytes, int]:
    """Return the body of a delivery with as many events of a batch as fit, and the number of the last one."""
    events: list[dict[str, Any]] = []
    size = 0
    for event in batch.events:
        rendered = event_schemas.render(room_id, event)
        size += len(encode(rendered)) + 1
        if events and size > bytes_max:
            return body(room_id, batch.hook.id, events), events[-1]["seq"]
        events.append(rendered)
    return body(room_id, batch.hook.id, events), batch.reached

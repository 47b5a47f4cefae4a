"""Webhooks as those see them who manage them, and what an outgoing one tells."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from typing_extensions import TypedDict

from ids import RoomId
from router.outbound import Answered
from router.views import events as event_views
from router.views.people import UserView
from router.views.values import encode, moment, moment_or_none, text_or_none
from shard.acts.delivering import Batch
from shard.webhooks import Webhook


class IncomingView(TypedDict):
    """What posts into a channel. Its messages have its id as their `user_id`."""

    id: str
    room_id: str
    channel_id: str
    name: str
    created_by: str
    created_at: datetime


class DeliveryStateView(TypedDict):
    """How far a receiver got, in numbers of events, and how the last try went; `failures` are those in a row since
    `failing_since`."""

    last_seq: int
    last_tried_at: datetime | None
    last_status: int | None
    last_error: str | None
    failures: int
    failing_since: datetime | None
    next_try_at: datetime | None


class OutgoingView(TypedDict):
    """What is told of the room's events; without `channel_id` of all that its keeper reads."""

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
    """The webhooks that one manages, the oldest first, with the people in them."""

    incoming: list[IncomingView]
    outgoing: list[OutgoingView]
    users: list[UserView]


class IssuedIncomingView(TypedDict):
    """An incoming webhook with its token and the address to post to, which are told this once."""

    token: str
    url: str
    webhook: IncomingView


class IssuedOutgoingView(TypedDict):
    """An outgoing webhook with the secret that signs what it tells, which is told this once."""

    secret: str
    webhook: OutgoingView


class PingView(TypedDict):
    """How a ping went: the receiver's status, or what kept it from answering."""

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


def pinged(answered: Answered) -> PingView:
    """Render how a ping went."""
    status = answered.status
    return {
        "is_taken": status is not None and 200 <= status < 300,
        "status": status,
        "error": answered.error,
        "milliseconds": round(answered.seconds * 1000),
    }


def ping(hook: Webhook, now_ms: int) -> dict[str, Any]:
    """Return the event of a ping, which is in no log and so has no number."""
    return {
        "seq": None,
        "type": "webhook.pinged",
        "at": moment(now_ms),
        "channel_id": text_or_none(hook.channel_id),
        "actor_id": None,
        "d": {"id": str(hook.id)},
    }


def body(room_id: RoomId, webhook_id: int, events: Sequence[dict[str, Any]]) -> bytes:
    """Return what is sent."""
    return encode({"room_id": str(room_id), "webhook_id": str(webhook_id), "events": events})


def bounded(room_id: RoomId, batch: Batch, bytes_max: int) -> tuple[bytes, int]:
    """Return what is sent of a batch, as much as there is room for, and up to which event it tells."""
    events: list[dict[str, Any]] = []
    size = 0
    for event in batch.events:
        rendered = event_views.told(room_id, event)
        size += len(encode(rendered)) + 1
        if events and size > bytes_max:
            return body(room_id, batch.hook.id, events), events[-1]["seq"]
        events.append(rendered)
    return body(room_id, batch.hook.id, events), batch.reached

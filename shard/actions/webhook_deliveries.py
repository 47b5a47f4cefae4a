"""Deliveries of outgoing webhooks, made by the server itself: the next batch, and the result of each attempt."""

from dataclasses import dataclass

from shard import access, permissions
from shard.engine.connections import Reader, Writer
from shard.errors import ForbiddenError, NotFoundError
from shard.event_types import FOR_MODERATORS, EventType
from shard.rows import Event
from shard.tables import audit, webhook_deliveries, webhooks
from shard.tables.webhook_deliveries import Due
from shard.tables.webhooks import Webhook


@dataclass(frozen=True, slots=True)
class Batch:
    """The next events for a webhook: all that it wants up to `reached`, which is the log's end if `is_last`.

    `may_tell` is False when its keeper is gone or manages no webhooks there any more; then the batch is empty.
    """

    hook: Webhook
    may_tell: bool
    events: list[Event]
    reached: int
    is_last: bool


def list_enabled(reader: Reader) -> list[Due]:
    """Return the enabled webhooks."""
    return webhook_deliveries.enabled(reader)


def get_enabled(reader: Reader, webhook_id: int) -> Webhook | None:
    """Return an enabled webhook, or None."""
    hook = webhooks.known(reader, webhook_id)
    return None if hook is None or hook.direction == "incoming" or hook.disabled_at is not None else hook


def next_batch(reader: Reader, webhook_id: int, *, after_seq: int, now_ms: int) -> Batch | None:
    """Return the next batch of a webhook, after the accepted events and `after_seq`; None if it is not enabled."""
    hook = get_enabled(reader, webhook_id)
    if hook is None:
        return None
    after_seq = max(after_seq, hook.last_seq)
    assert hook.keeper_id is not None
    try:
        sight = access.open_channels(reader, hook.keeper_id, now_ms=now_ms)
        if hook.channel_id is None:
            access.require(sight.member.permissions, permissions.MANAGE_WEBHOOKS)
        else:
            sight.require(hook.channel_id, permissions.MANAGE_WEBHOOKS)
    except (NotFoundError, ForbiddenError):
        return Batch(hook, may_tell=False, events=[], reached=after_seq, is_last=True)
    channel_ids = sight.where(permissions.READ_HISTORY)
    if hook.channel_id is not None:
        channel_ids = [channel_id for channel_id in channel_ids if channel_id == hook.channel_id]
    hides = () if sight.member.may(permissions.BAN_MEMBERS) else FOR_MODERATORS
    found, reached, is_last = webhook_deliveries.pending(reader, hook, channel_ids, after_seq=after_seq, hides=hides)
    return Batch(hook, may_tell=True, events=found, reached=reached, is_last=is_last)


def note_taken(writer: Writer, webhook_id: int, seq: int, status: int, *, now_ms: int) -> None:
    """Record that the receiver accepted all events up to a number."""
    webhook_deliveries.note_taken(writer, webhook_id, seq, status, now_ms=now_ms)


def note_passed(writer: Writer, webhook_id: int, seq: int) -> None:
    """Record that the webhook wants none of the events up to a number."""
    webhook_deliveries.note_passed(writer, webhook_id, seq)


def note_failed(
    writer: Writer, webhook_id: int, status: int | None, error: str, *, next_try_at: int | None, now_ms: int
) -> None:
    """Record a failed attempt, and the time of the next."""
    webhook_deliveries.note_failed(writer, webhook_id, status, error, next_try_at=next_try_at, now_ms=now_ms)


def give_up(writer: Writer, webhook_id: int, reason: str, *, now_ms: int) -> bool:
    """Disable a webhook that cannot deliver, and return whether it was enabled."""
    hook = get_enabled(writer, webhook_id)
    if hook is None:
        return False
    webhook_deliveries.disable(writer, webhook_id, reason, now_ms=now_ms)
    webhooks.note(writer, EventType.WEBHOOK_DISABLED, hook, by=None, now_ms=now_ms)
    before, after = {"is_enabled": True}, {"is_enabled": False, "disabled_reason": reason}
    target = ("webhook", webhook_id)
    audit.append(
        writer, EventType.WEBHOOK_DISABLED, actor_id=None, target=target, before=before, after=after, now_ms=now_ms
    )
    return True

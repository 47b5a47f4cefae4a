"""Delivering to outgoing webhooks, done by the server itself: what is next, and how it went."""

from dataclasses import dataclass

from shard import access, audit, deliveries, permissions, replays, webhooks
from shard.connections import Reader, Writer
from shard.deliveries import Due
from shard.errors import ForbiddenError, NotFoundError
from shard.rows import Event
from shard.webhooks import Webhook


@dataclass(frozen=True, slots=True)
class Batch:
    """What a webhook has next to tell: everything that it wants up to `reached`, which is the log's end if `is_last`.

    Without `may_tell` its keeper is gone or manages no webhooks there any more, and it has nothing.
    """

    hook: Webhook
    may_tell: bool
    events: list[Event]
    reached: int
    is_last: bool


def list_enabled(reader: Reader) -> list[Due]:
    """Return the webhooks that are to be told."""
    return deliveries.enabled(reader)


def get_enabled(reader: Reader, webhook_id: int) -> Webhook | None:
    """Return a webhook that is to be told, or None."""
    hook = webhooks.known(reader, webhook_id)
    return None if hook is None or hook.direction == "incoming" or hook.disabled_at is not None else hook


def next_batch(reader: Reader, webhook_id: int, *, after_seq: int, now_ms: int) -> Batch | None:
    """Return what a webhook tells next, after what was taken and after `after_seq`; None where none is enabled."""
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
    hides = () if sight.member.may(permissions.BAN_MEMBERS) else replays.FOR_MODERATORS
    found, reached, is_last = deliveries.pending(reader, hook, channel_ids, after_seq=after_seq, hides=hides)
    return Batch(hook, may_tell=True, events=found, reached=reached, is_last=is_last)


def note_taken(writer: Writer, webhook_id: int, seq: int, status: int, *, now_ms: int) -> None:
    """Remember that a receiver took everything up to an event."""
    deliveries.note_taken(writer, webhook_id, seq, status, now_ms=now_ms)


def note_passed(writer: Writer, webhook_id: int, seq: int) -> None:
    """Remember that there was nothing to tell up to an event."""
    deliveries.note_passed(writer, webhook_id, seq)


def note_failed(
    writer: Writer, webhook_id: int, status: int | None, error: str, *, next_try_at: int | None, now_ms: int
) -> None:
    """Remember a try that failed."""
    deliveries.note_failed(writer, webhook_id, status, error, next_try_at=next_try_at, now_ms=now_ms)


def give_up(writer: Writer, webhook_id: int, reason: str, *, now_ms: int) -> bool:
    """Disable a webhook that can tell nothing, and return whether it was enabled."""
    hook = get_enabled(writer, webhook_id)
    if hook is None:
        return False
    deliveries.disable(writer, webhook_id, reason, now_ms=now_ms)
    webhooks.note(writer, "webhook.disabled", hook, by=None, now_ms=now_ms)
    before, after = {"is_enabled": True}, {"is_enabled": False, "disabled_reason": reason}
    target = ("webhook", webhook_id)
    audit.append(writer, "webhook.disabled", actor_id=None, target=target, before=before, after=after, now_ms=now_ms)
    return True

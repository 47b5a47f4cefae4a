"""Obstacles to hibernation: background work of a room that would stop and that no request would start again."""

from shard.actions import webhook_deliveries as webhook_delivery_actions
from shard.archive import manifest
from shard.engine.connections import Reader
from shard.tables import attachments, webhook_deliveries


def obstacle(reader: Reader, *, now_ms: int) -> str | None:
    """Return the reason why a room cannot be hibernated now, as the end of a sentence, or None."""
    if attachments.are_waiting(reader):
        return "uploads wait for their messages"
    if attachments.freed(reader, limit=1):
        return "files of what was deleted are still to be removed"
    if manifest.to_rewrite(reader) is not None:
        return "deleted messages are still to leave the archive"
    for due in webhook_deliveries.enabled(reader):
        if due.next_try_at is not None or _has_undelivered(reader, due.webhook_id, now_ms):
            return "a webhook has not been told everything"
    return None


def _has_undelivered(reader: Reader, webhook_id: int, now_ms: int) -> bool:
    after_seq = 0
    while batch := webhook_delivery_actions.next_batch(reader, webhook_id, after_seq=after_seq, now_ms=now_ms):
        if batch.events or not batch.may_tell:
            return True
        if batch.is_last:
            return False
        after_seq = batch.reached
    return False

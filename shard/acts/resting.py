"""Whether a room may be put away: not while something is under way in it that nobody would ask for."""

from shard import attachments, deliveries, segments
from shard.acts import delivering
from shard.connections import Reader


def obstacle(reader: Reader, *, now_ms: int) -> str | None:
    """Return what keeps a room from being hibernated, as the end of a sentence, or None."""
    if attachments.are_waiting(reader):
        return "uploads wait for their messages"
    if attachments.freed(reader, limit=1):
        return "files of what was deleted are still to be removed"
    if segments.to_rewrite(reader) is not None:
        return "deleted messages are still to leave the archive"
    for due in deliveries.enabled(reader):
        if due.next_try_at is not None or _has_to_tell(reader, due.webhook_id, now_ms):
            return "a webhook has not been told everything"
    return None


def _has_to_tell(reader: Reader, webhook_id: int, now_ms: int) -> bool:
    after_seq = 0
    while batch := delivering.next_batch(reader, webhook_id, after_seq=after_seq, now_ms=now_ms):
        if batch.events or not batch.may_tell:
            return True
        if batch.is_last:
            return False
        after_seq = batch.reached
    return False

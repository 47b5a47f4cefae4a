"""Deliveries of outgoing webhooks: the events that are pending, and the result of each attempt.

The server itself calls this, without a permission check. A webhook delivers the events that its keeper sees at that
time, without replaced values, and with messages as they are then.
"""

import json
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from ids import ChannelId
from shard.engine.connections import Reader, Writer
from shard.rows import Event
from shard.tables import event_replay
from shard.tables.webhooks import PER_ROOM_MAX, Webhook

EVENTS_MAX: Final = 100
"""Events in one delivery at most."""
EXAMINED_MAX: Final = 2_000
"""Events examined for one delivery (4 ms), of which a webhook may want none."""
EVERYTHING: Final = "*"


class Due(NamedTuple):
    """An enabled webhook, and the time of the next attempt after a failure (milliseconds UTC)."""

    webhook_id: int
    next_try_at: int | None


def enabled(reader: Reader) -> list[Due]:
    """Return the enabled outgoing webhooks, the oldest first."""
    rows = reader.all(
        "SELECT id, next_try_at FROM webhooks WHERE direction = 'outgoing' AND disabled_at IS NULL ORDER BY id LIMIT ?",
        (PER_ROOM_MAX,),
    )
    return [Due(*row) for row in rows]


def pending(
    reader: Reader, hook: Webhook, channel_ids: Sequence[ChannelId], *, after_seq: int, hides: Collection[str]
) -> tuple[list[Event], int, bool]:
    """Return the events after a number that a webhook wants, the last number examined, and whether that is the end.

    `channel_ids` are the channels that its keeper reads, `hides` the types that the keeper does not receive.
    """
    # The numbers have gaps: where the log was trimmed, and before a branch.
    row = reader.one(
        "SELECT coalesce((SELECT min(seq) FROM events WHERE seq > ?1) - 1, ?1), coalesce(max(seq), 0) FROM events",
        (after_seq,),
    )
    assert row is not None
    begin, last_seq = row
    until = min(begin + EXAMINED_MAX, last_seq)
    rows = reader.all(
        _PENDING,
        (
            after_seq, until, json.dumps(list(channel_ids)), hook.channel_id is None, json.dumps(hook.events),
            EVERYTHING in hook.events, json.dumps(list(hides)), EVENTS_MAX,
        ),
    )  # fmt: skip
    found = event_replay.from_rows(reader, rows)
    reached = found[-1].seq if len(found) == EVENTS_MAX else max(until, after_seq)
    return found, reached, reached >= last_seq


def note_taken(writer: Writer, webhook_id: int, seq: int, status: int, *, now_ms: int) -> None:
    """Record that the receiver accepted all events up to a number; the number never decreases."""
    writer.run(
        "UPDATE webhooks SET last_seq = max(last_seq, ?), last_tried_at = ?, last_status = ?, last_error = NULL, "
        "failures = 0, failing_since = NULL, next_try_at = NULL WHERE id = ?",
        (seq, now_ms, status, webhook_id),
    )


def note_passed(writer: Writer, webhook_id: int, seq: int) -> None:
    """Record that the webhook wants none of the events up to a number."""
    writer.run("UPDATE webhooks SET last_seq = max(last_seq, ?) WHERE id = ?", (seq, webhook_id))


def note_failed(
    writer: Writer, webhook_id: int, status: int | None, error: str, *, next_try_at: int | None, now_ms: int
) -> None:
    """Record a failed attempt, and the time of the next."""
    writer.run(
        "UPDATE webhooks SET last_tried_at = ?1, last_status = ?2, last_error = ?3, failures = failures + 1, "
        "failing_since = coalesce(failing_since, ?1), next_try_at = ?4 WHERE id = ?5",
        (now_ms, status, error, next_try_at, webhook_id),
    )


def disable(writer: Writer, webhook_id: int, reason: str, *, now_ms: int) -> None:
    """Disable a webhook until somebody enables it again."""
    writer.run(
        "UPDATE webhooks SET disabled_at = ?, disabled_reason = ?, next_try_at = NULL WHERE id = ?",
        (now_ms, reason, webhook_id),
    )


_PENDING = f"""
    SELECT {event_replay.COLUMNS} FROM events
    WHERE seq > ?1 AND seq <= ?2
      AND CASE WHEN channel_id IS NULL THEN ?4 ELSE channel_id IN (SELECT value FROM json_each(?3)) END
      AND (?6 OR type IN (SELECT value FROM json_each(?5))
           OR substr(type, 1, instr(type, '.') - 1) IN (SELECT value FROM json_each(?5)))
      AND type NOT IN (SELECT value FROM json_each(?7))
    ORDER BY seq LIMIT ?8
"""  # noqa: S608

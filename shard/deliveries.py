"""What outgoing webhooks have still to tell, and how telling it went. Asked by the server itself, which delivers.

A webhook tells what its keeper sees at that moment, nothing of what was replaced, and messages as they are then.
"""

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

from ids import ChannelId
from shard import replays
from shard.connections import Reader, Writer
from shard.rows import Event
from shard.webhooks import PER_ROOM_MAX, Webhook

EVENTS_MAX: Final = 100
"""Events of one delivery."""
EXAMINED_MAX: Final = 2_000
"""Events looked at for one delivery (4 ms), of which a webhook may want none."""
EVERYTHING: Final = "*"


class Due(NamedTuple):
    """A webhook that is to be told, and when it may be tried again after a failure (milliseconds UTC)."""

    webhook_id: int
    next_try_at: int | None


def enabled(reader: Reader) -> list[Due]:
    """Return the outgoing webhooks that are to be told, the oldest first."""
    rows = reader.all(
        "SELECT id, next_try_at FROM webhooks WHERE direction = 'outgoing' AND disabled_at IS NULL ORDER BY id LIMIT ?",
        (PER_ROOM_MAX,),
    )
    return [Due(*row) for row in rows]


def pending(
    reader: Reader, hook: Webhook, channel_ids: Sequence[ChannelId], *, after_seq: int, hides: Sequence[str]
) -> tuple[list[Event], int, bool]:
    """Return what a webhook wants of the events after a number, how far it was looked for, and whether to the end.

    `channel_ids` are the channels that its keeper reads, `hides` the types that they are not told of.
    """
    last_seq = reader.one("SELECT coalesce(max(seq), 0) FROM events")
    assert last_seq is not None
    until = min(after_seq + EXAMINED_MAX, last_seq[0])
    rows = reader.all(
        _PENDING,
        (
            after_seq, until, json.dumps(list(channel_ids)), hook.channel_id is None, json.dumps(hook.events),
            EVERYTHING in hook.events, json.dumps(list(hides)), EVENTS_MAX,
        ),
    )  # fmt: skip
    found = replays.told(reader, rows)
    reached = found[-1].seq if len(found) == EVENTS_MAX else max(until, after_seq)
    return found, reached, reached >= last_seq[0]


def note_taken(writer: Writer, webhook_id: int, seq: int, status: int, *, now_ms: int) -> None:
    """Remember that a receiver took everything up to a number; the number never goes back."""
    writer.run(
        "UPDATE webhooks SET last_seq = max(last_seq, ?), last_tried_at = ?, last_status = ?, last_error = NULL, "
        "failures = 0, failing_since = NULL, next_try_at = NULL WHERE id = ?",
        (seq, now_ms, status, webhook_id),
    )


def note_passed(writer: Writer, webhook_id: int, seq: int) -> None:
    """Remember that a webhook wanted nothing of what is between."""
    writer.run("UPDATE webhooks SET last_seq = max(last_seq, ?) WHERE id = ?", (seq, webhook_id))


def note_failed(
    writer: Writer, webhook_id: int, status: int | None, error: str, *, next_try_at: int | None, now_ms: int
) -> None:
    """Remember a try that failed, and when the next is due."""
    writer.run(
        "UPDATE webhooks SET last_tried_at = ?1, last_status = ?2, last_error = ?3, failures = failures + 1, "
        "failing_since = coalesce(failing_since, ?1), next_try_at = ?4 WHERE id = ?5",
        (now_ms, status, error, next_try_at, webhook_id),
    )


def disable(writer: Writer, webhook_id: int, reason: str, *, now_ms: int) -> None:
    """Tell a webhook nothing more, until somebody enables it."""
    writer.run(
        "UPDATE webhooks SET disabled_at = ?, disabled_reason = ?, next_try_at = NULL WHERE id = ?",
        (now_ms, reason, webhook_id),
    )


_PENDING = f"""
    SELECT {replays.COLUMNS} FROM events
    WHERE seq > ?1 AND seq <= ?2
      AND CASE WHEN channel_id IS NULL THEN ?4 ELSE channel_id IN (SELECT value FROM json_each(?3)) END
      AND (?6 OR type IN (SELECT value FROM json_each(?5))
           OR substr(type, 1, instr(type, '.') - 1) IN (SELECT value FROM json_each(?5)))
      AND type NOT IN (SELECT value FROM json_each(?7))
    ORDER BY seq LIMIT ?8
"""  # noqa: S608

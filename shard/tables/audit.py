"""Rows of `audit_log`: actions of moderators and administrators in this room, with their targets and reasons.

A row is written in the transaction of its action. Triggers refuse changes, and each row's hash covers the row before
it, so that a row changed, removed or inserted without the triggers is detected. A cut at the newest end is not: keep a
copy of `head` elsewhere to detect that too.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import ids
from ids import UserId
from shard import permissions
from shard.access import Sight
from shard.engine.connections import Reader, Writer
from shard.event_types import AuditAction, EventType

FIRST_HASH: Final = bytes(32)
"""The hash before the first row."""
VERIFY_PAGE: Final = 1_000
"""Rows verified at a time, so that a long log needs little memory."""

Target = tuple[str, int]
"""The target of an action: its kind (`member`, `role`, `channel`, `message`, ...) and its id."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One action; `created_at` in milliseconds UTC. `before` and `after` have the changed fields, as JSON text."""

    id: int
    actor_id: UserId | None
    action: str
    target_type: str | None
    target_id: int | None
    before: str | None
    after: str | None
    reason: str | None
    created_at: int


def append(
    writer: Writer,
    action: EventType | AuditAction,
    *,
    actor_id: UserId | None,
    target: Target | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str | None = None,
    now_ms: int,
) -> None:
    """Append an action in its own transaction; ids in `before` and `after` are strings, as on the wire."""
    last_id, previous = head(writer)
    kind, target_id = (None, None) if target is None else target
    row = (last_id + 1, actor_id, action, kind, target_id, _kept(before), _kept(after), reason or None, now_ms)
    writer.run(
        "INSERT INTO audit_log (id, actor_id, action, target_type, target_id, before, after, reason, created_at, hash) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*row, _chained(previous, row)),
    )


def _kept(facts: Mapping[str, Any] | None) -> str | None:
    return None if facts is None else json.dumps(facts, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _chained(previous: bytes, row: tuple[Any, ...]) -> bytes:
    """Return SHA-256(previous hash, the row's other columns as one JSON array without spaces, ASCII only)."""
    return hashlib.sha256(previous + json.dumps(row, separators=(",", ":")).encode("ascii")).digest()


def head(reader: Reader) -> tuple[int, bytes]:
    """Return the number and hash of the newest row; (0, FIRST_HASH) for an empty log."""
    row = reader.one("SELECT id, hash FROM audit_log WHERE id = (SELECT max(id) FROM audit_log)")
    return (0, FIRST_HASH) if row is None else (row[0], row[1])


def verify(reader: Reader) -> int | None:
    """Return the number of the first row that was changed since it was appended, or None for a sound log."""
    expected, previous = 1, FIRST_HASH
    while True:
        rows = reader.all(
            "SELECT id, actor_id, action, target_type, target_id, before, after, reason, created_at, hash "
            "FROM audit_log WHERE id >= ? ORDER BY id LIMIT ?",
            (expected, VERIFY_PAGE),
        )
        for row in rows:
            if row[9] != _chained(previous, row[:9]):
                return expected
            expected, previous = expected + 1, row[9]
        if not rows:
            return None


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of actions: those that match all given fields."""

    actor_id: UserId | None = None
    target_id: int | None = None
    action: str | None = None


def page(reader: Reader, sight: Sight, wanted: Filter, *, before: int | None = None, limit: int = 50) -> list[Entry]:
    """Return actions, newest first, before a number; `sight` is that of a reader with VIEW_AUDIT_LOG.

    Actions in channels that they do not see, or that were deleted, are left out; only administrators see all.
    """
    if sight.member.may(permissions.ADMINISTRATOR):
        return newest(reader, wanted, before=before, limit=limit)
    return _select(reader, wanted, before, limit, seen=json.dumps(list(sight.channels)))


def newest(reader: Reader, wanted: Filter, *, before: int | None = None, limit: int = 50) -> list[Entry]:
    """Return all actions, newest first, before a number: for administrators and for the operator who has the file."""
    return _select(reader, wanted, before, limit, seen=None)


def _select(reader: Reader, wanted: Filter, before: int | None, limit: int, *, seen: str | None) -> list[Entry]:
    conditions = ["id < ?1"]
    if wanted.actor_id is not None:
        conditions.append("actor_id = ?2")
    if wanted.target_id is not None:
        conditions.append("target_id = ?3")
    if wanted.action is not None:
        conditions.append("action = ?4")
    if seen is not None:
        conditions.append(_IS_SEEN)
    rows = reader.all(
        "SELECT id, actor_id, action, target_type, target_id, before, after, reason, created_at FROM audit_log "  # noqa: S608
        f"WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?6",
        (ids.ID_MAX if before is None else before, wanted.actor_id, wanted.target_id, wanted.action, seen, limit),
    )
    return [Entry(*row) for row in rows]


# A kind of target without a line here is for administrators alone: its channel is not known.
_IS_SEEN: Final = """
    CASE target_type
        WHEN 'member' THEN 1 WHEN 'role' THEN 1 WHEN 'room' THEN 1
        ELSE CASE target_type
            WHEN 'channel' THEN target_id
            WHEN 'category' THEN (SELECT c.id FROM channels c WHERE c.category_id = target_id
                                  AND c.id IN (SELECT value FROM json_each(?5)) LIMIT 1)
            WHEN 'thread' THEN (SELECT t.channel_id FROM threads t WHERE t.id = target_id)
            WHEN 'message' THEN coalesce((SELECT m.channel_id FROM messages m WHERE m.id = target_id),
                                         CAST(before ->> '$.channel_id' AS INTEGER),
                                         CAST(after ->> '$.channel_id' AS INTEGER))
            WHEN 'voice_session' THEN (SELECT v.channel_id FROM voice_sessions v WHERE v.id = target_id)
            WHEN 'webhook' THEN (SELECT w.channel_id FROM webhooks w WHERE w.id = target_id)
        END IN (SELECT value FROM json_each(?5))
    END
"""

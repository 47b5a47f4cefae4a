"""Rows of `webhooks`: incoming ones post into the room by a token, outgoing ones deliver its events to an address.

Only members with the permission to manage webhooks in a webhook's channel see it (`managed`); one of a private channel
is hidden with its channel. Events only say that a webhook changed; the details are in the audit log.
"""

import hmac
import json
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ids import ChannelId, UserId
from shard import permissions
from shard.access import Sight
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.event_types import EventType
from shard.tables import diffs, events

PER_ROOM_MAX: Final = 20
"""Webhooks of a room: each outgoing one reads every event of the room. Beyond it 409."""

Direction = Literal["incoming", "outgoing"]


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook; times in milliseconds UTC.

    `url`, `secret`, `events`, `keeper_id` and the state of deliveries belong to outgoing ones. `failures` counts failed
    attempts in a row; `last_status` and `last_error` belong to the last attempt.
    """

    id: int
    channel_id: ChannelId | None
    name: str
    direction: Direction
    created_by: UserId
    created_at: int
    url: str | None = None
    secret: bytes | None = field(default=None, repr=False)
    events: tuple[str, ...] = ()
    keeper_id: UserId | None = None
    last_seq: int = 0
    last_tried_at: int | None = None
    last_status: int | None = None
    last_error: str | None = None
    failures: int = 0
    failing_since: int | None = None
    next_try_at: int | None = None
    disabled_at: int | None = None
    disabled_reason: str | None = None


_COLUMNS: Final = (
    "id, channel_id, name, direction, created_by, created_at, url, secret, events, keeper_id, last_seq, last_tried_at, "
    "last_status, last_error, failures, failing_since, next_try_at, disabled_at, disabled_reason"
)
_ONE: Final = f"SELECT {_COLUMNS} FROM webhooks WHERE id = ?"  # noqa: S608


def _from_row(row: tuple[Any, ...]) -> Webhook:
    return Webhook(*(*row[:8], tuple(json.loads(row[8] or "[]")), *row[9:]))


def _may_manage(sight: Sight, channel_id: ChannelId | None) -> bool:
    granted = sight.member.permissions if channel_id is None else sight.channels.get(channel_id, 0)
    return bool(granted & permissions.MANAGE_WEBHOOKS)


def require_managing(sight: Sight) -> None:
    """Raise ForbiddenError for a member who manages no webhooks, neither of the room nor of any channel."""
    if not _may_manage(sight, None) and not sight.where(permissions.MANAGE_WEBHOOKS):
        raise ForbiddenError("This needs the permission manage_webhooks.", need="manage_webhooks")


def managed(reader: Reader, sight: Sight) -> list[Webhook]:
    """Return the webhooks that a member manages, the oldest first; raises ForbiddenError as `require_managing` does."""
    require_managing(sight)
    rows = reader.all(f"SELECT {_COLUMNS} FROM webhooks ORDER BY id LIMIT ?", (PER_ROOM_MAX,))  # noqa: S608
    return [hook for hook in map(_from_row, rows) if _may_manage(sight, hook.channel_id)]


def one(reader: Reader, sight: Sight, webhook_id: int) -> Webhook:
    """Return a webhook that a member manages; raises NotFoundError, and ForbiddenError as `require_managing` does."""
    require_managing(sight)
    hook = known(reader, webhook_id)
    if hook is None or not _may_manage(sight, hook.channel_id):
        raise NotFoundError("webhook")
    return hook


def known(reader: Reader, webhook_id: int) -> Webhook | None:
    """Return a webhook without a permission check, for the server itself."""
    row = reader.one(_ONE, (webhook_id,))
    return None if row is None else _from_row(row)


def opened_with(reader: Reader, webhook_id: int, token_hash: bytes) -> Webhook:
    """Return the incoming webhook of a token; raises NotFoundError, in the same time for any wrong token."""
    row = reader.one(f"SELECT token_hash, {_COLUMNS} FROM webhooks WHERE id = ?", (webhook_id,))  # noqa: S608
    if row is None or row[0] is None or not hmac.compare_digest(row[0], token_hash):
        raise NotFoundError("webhook")
    return _from_row(row[1:])


def require_room(reader: Reader) -> None:
    """Raise ConflictError when the room has PER_ROOM_MAX webhooks."""
    row = reader.one("SELECT count(*) FROM webhooks")
    assert row is not None
    if row[0] >= PER_ROOM_MAX:
        raise ConflictError(f"A room has at most {PER_ROOM_MAX} webhooks; delete one first.")


def facts(hook: Webhook) -> dict[str, Any]:
    """Return the editable fields of a webhook, as on the wire."""
    shown: dict[str, Any] = {
        "name": hook.name,
        "channel_id": None if hook.channel_id is None else str(hook.channel_id),
    }
    if hook.direction == "outgoing":
        shown |= {"url": hook.url, "events": [*hook.events], "is_enabled": hook.disabled_at is None}
        shown["keeper_id"] = str(hook.keeper_id)
    return shown


def insert(writer: Writer, hook: Webhook, token_hash: bytes | None, *, now_ms: int) -> None:
    """Insert a webhook; raises ConflictError when the room has PER_ROOM_MAX."""
    require_room(writer)
    writer.run(
        "INSERT INTO webhooks (id, channel_id, name, direction, token_hash, secret, url, events, keeper_id, last_seq, "
        "created_by, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            hook.id, hook.channel_id, hook.name, hook.direction, token_hash, hook.secret, hook.url, _packed(hook),
            hook.keeper_id, hook.last_seq, hook.created_by, hook.created_at,
        ),
    )  # fmt: skip
    note(writer, EventType.WEBHOOK_CREATED, hook, by=hook.created_by, now_ms=now_ms)


def update(writer: Writer, before: Webhook, hook: Webhook, *, by: UserId, now_ms: int) -> None:
    """Update a webhook; the state of its deliveries stays, unless it is enabled again."""
    writer.run(
        "UPDATE webhooks SET channel_id = ?, name = ?, url = ?, events = ?, keeper_id = ?, disabled_at = ?, "
        "disabled_reason = ?, failures = ?, failing_since = ?, next_try_at = ? WHERE id = ?",
        (
            hook.channel_id, hook.name, hook.url, _packed(hook), hook.keeper_id, hook.disabled_at,
            hook.disabled_reason, hook.failures, hook.failing_since, hook.next_try_at, hook.id,
        ),
    )  # fmt: skip
    replaced, _ = diffs.between(facts(before), facts(hook))
    note(writer, EventType.WEBHOOK_EDITED, hook, by=by, replaced=dict(replaced), now_ms=now_ms)


def renew(writer: Writer, hook: Webhook, token_hash: bytes, secret: bytes, *, by: UserId, now_ms: int) -> None:
    """Replace a webhook's token, or its secret and keeper (`hook.keeper_id`); the old token or secret is invalid."""
    if hook.direction == "incoming":
        writer.run("UPDATE webhooks SET token_hash = ? WHERE id = ?", (token_hash, hook.id))
    else:
        writer.run("UPDATE webhooks SET secret = ?, keeper_id = ? WHERE id = ?", (secret, hook.keeper_id, hook.id))
    note(writer, EventType.WEBHOOK_RENEWED, hook, by=by, now_ms=now_ms)


def delete(writer: Writer, hook: Webhook, *, by: UserId, now_ms: int) -> None:
    """Delete a webhook; its messages stay."""
    writer.run("DELETE FROM webhooks WHERE id = ?", (hook.id,))
    note(writer, EventType.WEBHOOK_DELETED, hook, by=by, replaced=facts(hook), now_ms=now_ms)


def note(
    writer: Writer,
    type_: EventType,
    hook: Webhook,
    *,
    by: UserId | None,
    replaced: dict[str, Any] | None = None,
    now_ms: int,
) -> None:
    """Append an event of a webhook; everybody who sees its channel receives it, so it has only the id."""
    payload = {"id": str(hook.id), "direction": hook.direction}
    channel_id = hook.channel_id
    events.append(writer, type_, actor_id=by, channel_id=channel_id, payload=payload, replaced=replaced, now_ms=now_ms)


def _packed(hook: Webhook) -> str | None:
    return json.dumps(hook.events) if hook.direction == "outgoing" else None

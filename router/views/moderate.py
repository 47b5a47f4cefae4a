"""Bans of a room, and its record of what moderators did."""

from datetime import datetime
from typing import Any

import orjson
from typing_extensions import TypedDict

from router.views.people import UserView
from router.views.values import moment, moment_or_none, text_or_none, with_moments
from shard.audit import Entry
from shard.bans import Ban


class BanView(TypedDict):
    """A ban; for good without `expires_at`."""

    user_id: str
    reason: str | None
    banned_by: str
    banned_at: datetime
    expires_at: datetime | None


class BanPageView(TypedDict):
    """The bans that hold, by the id of the banned; `next_cursor` is null on the last page."""

    bans: list[BanView]
    users: list[UserView]
    next_cursor: str | None


class RoomActView(TypedDict):
    """What somebody did, to what; `before` and `after` have what changed. Without `actor_id` it was the server."""

    id: str
    actor_id: str | None
    action: str
    target_type: str | None
    target_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None
    created_at: datetime


class RoomAuditView(TypedDict):
    """Acts of moderators, newest first, with the people in them; `next_cursor` is null on the last page."""

    entries: list[RoomActView]
    users: list[UserView]
    next_cursor: str | None


def ban(row: Ban) -> BanView:
    """Render a ban."""
    return {
        "user_id": str(row.user_id),
        "reason": row.reason,
        "banned_by": str(row.banned_by),
        "banned_at": moment(row.banned_at),
        "expires_at": moment_or_none(row.expires_at),
    }


def act(row: Entry) -> RoomActView:
    """Render what somebody did."""
    return {
        "id": str(row.id),
        "actor_id": text_or_none(row.actor_id),
        "action": row.action,
        "target_type": row.target_type,
        "target_id": text_or_none(row.target_id),
        "before": None if row.before is None else with_moments(orjson.loads(row.before)),
        "after": None if row.after is None else with_moments(orjson.loads(row.after)),
        "reason": row.reason,
        "created_at": moment(row.created_at),
    }

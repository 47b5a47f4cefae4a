"""What administrators and moderators of the platform see: bans, and the platform's audit log."""

from datetime import datetime
from typing import Any

from typing_extensions import TypedDict

from directory.audit import Entry
from directory.global_bans import GlobalBan
from router.views.people import UserView
from router.views.values import moment, moment_or_none, text_or_none, with_moments


class GlobalBanView(TypedDict):
    """A ban from the platform; for good without `expires_at`. Without `banned_by` it was the operator."""

    user_id: str
    reason: str
    banned_by: str | None
    banned_at: datetime
    expires_at: datetime | None


class GlobalBanPageView(TypedDict):
    """The bans that hold, by the id of the banned; `next_cursor` is null on the last page."""

    bans: list[GlobalBanView]
    users: list[UserView]
    next_cursor: str | None


class ActView(TypedDict):
    """What somebody did, to what, from where. Without `actor_id` it was the operator or the server itself."""

    id: str
    actor_id: str | None
    action: str
    resource_type: str | None
    resource_id: str | None
    metadata: dict[str, Any]
    ip_address: str | None
    user_agent: str | None
    created_at: datetime


class AuditView(TypedDict):
    """Acts, newest first, with the people in them; `next_cursor` is null on the last page."""

    entries: list[ActView]
    users: list[UserView]
    next_cursor: str | None


def ban(row: GlobalBan) -> GlobalBanView:
    """Render a ban."""
    return {
        "user_id": str(row.user_id),
        "reason": row.reason,
        "banned_by": text_or_none(row.banned_by),
        "banned_at": moment(row.banned_at),
        "expires_at": moment_or_none(row.expires_at),
    }


def act(row: Entry) -> ActView:
    """Render what somebody did."""
    return {
        "id": str(row.id),
        "actor_id": text_or_none(row.user_id),
        "action": row.action,
        "resource_type": row.resource_type,
        "resource_id": row.resource_id,
        "metadata": with_moments(row.metadata),
        "ip_address": row.ip_address,
        "user_agent": row.user_agent,
        "created_at": moment(row.created_at),
    }

"""Schemas of site administration: bans and suspensions of users, and the site's audit log."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator
from typing_extensions import TypedDict

from directory.audit import Entry
from directory.global_bans import GlobalBan
from router.schemas.fields import (
    NO_NUL,
    Id,
    PageQuery,
    Reason,
    Wire,
    moment,
    moment_or_none,
    text_or_none,
    with_moments,
)
from router.schemas.moderation import BAN_SECONDS_MAX, Action
from router.schemas.people import UserView


class BanUser(Wire):
    """Ban of a user from the site, with its reason; permanent without `expires_in_seconds`."""

    reason: Reason
    expires_in_seconds: Annotated[int, Field(ge=60, le=BAN_SECONDS_MAX)] | None = None


class SuspendUser(Wire):
    """Suspension of an account until it is reinstated, with its reason."""

    reason: Reason


class AuditQuery(PageQuery):
    """Filter of acts: by actor, by kind and by resource (its type and id), combined if several are given."""

    actor_id: Id | None = None
    action: Action | None = None
    resource_type: Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,32}$")] | None = None
    resource_id: Annotated[str, StringConstraints(min_length=1, max_length=64), NO_NUL] | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.resource_type is None) != (self.resource_id is None):
            raise ValueError("resource_type and resource_id go together")
        return self


class GlobalBanView(TypedDict):
    """Ban of a user from the site; permanent without `expires_at`. Without `banned_by` the operator did it."""

    user_id: str
    reason: str
    banned_by: str | None
    banned_at: datetime
    expires_at: datetime | None


class GlobalBanPageView(TypedDict):
    """Site bans in force, by the banned user's id. `next_cursor` is null on the last page."""

    bans: list[GlobalBanView]
    users: list[UserView]
    next_cursor: str | None


class ActView(TypedDict):
    """Act on a resource, with the client's address. Without `actor_id` the operator or the server itself did it."""

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
    """Acts, newest first, with their users. `next_cursor` is null on the last page."""

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
    """Render an act."""
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

"""Schemas of moderation: member search and changes, bans of a room, and its audit log."""

from datetime import datetime
from typing import Annotated, Any, Final, Self

import orjson
from pydantic import Field, StringConstraints
from typing_extensions import TypedDict

from router.errors import FieldFault, InvalidError
from router.schemas.fields import (
    NO_NUL,
    VISIBLE,
    Bounds,
    Id,
    Name,
    PageQuery,
    Reason,
    Wire,
    moment,
    moment_or_none,
    text_or_none,
    with_moments,
)
from router.schemas.people import UserView
from shard.tables.audit import Entry
from shard.tables.bans import Ban

BAN_SECONDS_MAX: Final = 31_536_000 * 10
ERASED_SECONDS_MAX: Final = 604_800
"""Limit of a week, as on Discord."""
TIME_OUT_SECONDS_MAX: Final = 2_419_200
"""Limit of 28 days, as on Discord; for longer, ban the member."""

Action = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]*\.[a-z][a-z_]*$", max_length=64)]


class MembersQuery(PageQuery):
    """Filter of members: with `q`, those in whose nickname, username and display name each of its words begins a
    word."""

    q: Annotated[str, StringConstraints(min_length=1, max_length=64), NO_NUL, VISIBLE] | None = None


class RenameMember(Wire):
    """Nickname of a member in this room; null for none."""

    nickname: Name | None = None
    reason: Reason | None = None

    def within(self, bounds: Bounds) -> Self:
        """Return it; raises InvalidError without a nickname, since null means none."""
        if "nickname" not in self.model_fields_set:
            raise InvalidError([FieldFault("body.nickname", "Field required")])
        return super().within(bounds)


class BanMember(Wire):
    """Ban; permanent without `expires_in_seconds`. `delete_message_seconds` deletes the user's messages of that last
    period."""

    reason: Reason | None = None
    expires_in_seconds: Annotated[int, Field(ge=60, le=BAN_SECONDS_MAX)] | None = None
    delete_message_seconds: Annotated[int, Field(ge=0, le=ERASED_SECONDS_MAX)] = 0


class TimeOutMember(Wire):
    """Duration for which a member can only read."""

    duration_seconds: Annotated[int, Field(ge=1, le=TIME_OUT_SECONDS_MAX)]
    reason: Reason | None = None


class RoomAuditQuery(PageQuery):
    """Filter of acts: by actor, by target and by kind, combined if several are given."""

    actor_id: Id | None = None
    target_id: Id | None = None
    action: Action | None = None


class BanView(TypedDict):
    """Ban of a user; permanent without `expires_at`."""

    user_id: str
    reason: str | None
    banned_by: str
    banned_at: datetime
    expires_at: datetime | None


class BanPageView(TypedDict):
    """Bans in force, by the banned user's id. `next_cursor` is null on the last page."""

    bans: list[BanView]
    users: list[UserView]
    next_cursor: str | None


class RoomActView(TypedDict):
    """Act on a target; `before` and `after` have the changed values. Without `actor_id` the server did it."""

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
    """Acts of moderators, newest first, with their users. `next_cursor` is null on the last page."""

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
    """Render an act."""
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

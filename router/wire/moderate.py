"""Members, and what moderators do."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from router.wire.fields import NO_NUL, VISIBLE, Id, Name, PageQuery, Reason, Wire

BAN_SECONDS_MAX: Final = 31_536_000 * 10
ERASED_SECONDS_MAX: Final = 604_800
"""Discord's bound: a week."""
TIME_OUT_SECONDS_MAX: Final = 2_419_200
"""Discord's bound: whoever is to be silent for longer than 28 days is to be out."""

Action = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]*\.[a-z][a-z_]*$", max_length=64)]


class MembersQuery(PageQuery):
    """With `q`, only members with a word in their nickname, username or display name that begins so."""

    q: Annotated[str, StringConstraints(min_length=1, max_length=64), NO_NUL, VISIBLE] | None = None


class RenameMember(Wire):
    """What a member is called here; null for their own name."""

    nickname: Name | None = None
    reason: Reason | None = None


class BanMember(Wire):
    """A ban: for good without `expires_in_seconds`. With `delete_message_seconds`, what they wrote since then goes."""

    reason: Reason | None = None
    expires_in_seconds: Annotated[int, Field(ge=60, le=BAN_SECONDS_MAX)] | None = None
    delete_message_seconds: Annotated[int, Field(ge=0, le=ERASED_SECONDS_MAX)] = 0


class TimeOutMember(Wire):
    """For how long a member can only read."""

    duration_seconds: Annotated[int, Field(ge=1, le=TIME_OUT_SECONDS_MAX)]
    reason: Reason | None = None


class RoomAuditQuery(PageQuery):
    """Acts of one actor, upon one target, of one kind, or all that is told of these."""

    actor_id: Id | None = None
    target_id: Id | None = None
    action: Action | None = None

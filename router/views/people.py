"""Users as everybody sees them, and members of a room."""

from datetime import datetime

from typing_extensions import TypedDict

from directory.users import Profile
from router.views.values import moment, moment_or_none
from shard.members import Member


class UserView(TypedDict):
    """What everybody may see of a user."""

    id: str
    username: str
    display_name: str
    avatar_url: str | None
    is_bot: bool
    is_deleted: bool


class MemberView(TypedDict):
    """A member."""

    user_id: str
    nickname: str | None
    joined_at: datetime
    timed_out_until: datetime | None


class MemberPageView(TypedDict):
    """Members by id; `next_cursor` is null on the last page."""

    members: list[MemberView]
    users: list[UserView]
    next_cursor: str | None


def user(profile: Profile) -> UserView:
    """Render a user."""
    return {
        "id": str(profile.id),
        "username": profile.username,
        "display_name": profile.display_name,
        "avatar_url": profile.avatar_url,
        "is_bot": profile.is_bot,
        "is_deleted": profile.is_deleted,
    }


def member(row: Member) -> MemberView:
    """Render a member."""
    return {
        "user_id": str(row.user_id),
        "nickname": row.nickname,
        "joined_at": moment(row.joined_at),
        "timed_out_until": moment_or_none(row.timed_out_until),
    }

"""Schemas of users' public profiles, and of members of a room."""

from datetime import datetime

from typing_extensions import TypedDict

from directory.users import Profile
from router.schemas.fields import moment, moment_or_none
from shard.tables.members import Member


class UserView(TypedDict):
    """Public profile of a user."""

    id: str
    username: str
    display_name: str
    avatar_url: str | None
    is_bot: bool
    is_deleted: bool


class MemberView(TypedDict):
    """Member of a room. `role_ids` leaves out the role that everyone has."""

    user_id: str
    nickname: str | None
    role_ids: list[str]
    joined_at: datetime
    timed_out_until: datetime | None


class OneMemberView(TypedDict):
    """Member of a room, with the user's public profile."""

    member: MemberView
    user: UserView


class MemberPageView(TypedDict):
    """Members by id. `next_cursor` is null on the last page. A page of a search may be empty without being the last."""

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
        "role_ids": [str(role_id) for role_id in row.role_ids],
        "joined_at": moment(row.joined_at),
        "timed_out_until": moment_or_none(row.timed_out_until),
    }

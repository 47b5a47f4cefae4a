"""Invitations: to whoever gave or manages them, and to whoever holds one."""

from datetime import datetime

from typing_extensions import TypedDict

from directory.invites import Invite
from directory.rooms import Room
from router.views.people import UserView
from router.views.values import moment, moment_or_none, text_or_none


class InviteView(TypedDict):
    """An invitation that works, to those who give it away. Whoever it lets in gets the role `role_id`."""

    code: str
    room_id: str
    created_by: str
    role_id: str | None
    uses: int
    max_uses: int | None
    created_at: datetime
    expires_at: datetime | None


class InviteListView(TypedDict):
    """A room's invitations that work, newest first, with the people who made them."""

    invites: list[InviteView]
    users: list[UserView]


class InvitedRoomView(TypedDict):
    """What somebody sees of a room who is not in it yet."""

    name: str | None
    display_name: str | None
    icon_url: str | None
    member_count: int


class InvitePreviewView(TypedDict):
    """Where an invitation leads, and how long it works."""

    code: str
    room: InvitedRoomView
    expires_at: datetime | None


def invite(row: Invite) -> InviteView:
    """Render an invitation to somebody who gives it away."""
    return {
        "code": row.code,
        "room_id": str(row.room_id),
        "created_by": str(row.created_by),
        "role_id": text_or_none(row.role_id),
        "uses": row.uses,
        "max_uses": row.max_uses,
        "created_at": moment(row.created_at),
        "expires_at": moment_or_none(row.expires_at),
    }


def preview(row: Invite, room: Room) -> InvitePreviewView:
    """Render an invitation to somebody who holds it."""
    return {
        "code": row.code,
        "room": {
            "name": room.name,
            "display_name": room.display_name,
            "icon_url": room.icon_url,
            "member_count": room.member_count,
        },
        "expires_at": moment_or_none(row.expires_at),
    }

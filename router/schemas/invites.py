"""Schemas of invites: for members who create or manage them, and for users who hold one."""

from datetime import datetime
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from directory.invites import Invite
from directory.rooms import Room
from router.schemas.fields import Id, Wire, moment, moment_or_none, text_or_none
from router.schemas.people import UserView


class CreateInvite(Wire):
    """Invite to create; without limits it works until it is revoked. Users who join by it get the role `role_id`."""

    max_uses: Annotated[int, Field(ge=1, le=100_000)] | None = None
    expires_in_seconds: Annotated[int, Field(ge=60, le=31_536_000)] | None = 604_800
    role_id: Id | None = None


class InviteView(TypedDict):
    """Usable invite, for members who create or manage it. Users who join by it get the role `role_id`."""

    code: str
    room_id: str
    created_by: str
    role_id: str | None
    uses: int
    max_uses: int | None
    created_at: datetime
    expires_at: datetime | None


class InviteListView(TypedDict):
    """Usable invites of a room, newest first, with the users who created them."""

    invites: list[InviteView]
    users: list[UserView]


class InvitedRoomView(TypedDict):
    """Room as a user sees it who is not a member yet."""

    name: str | None
    display_name: str | None
    icon_url: str | None
    member_count: int


class InvitePreviewView(TypedDict):
    """Room of an invite, and the invite's expiry."""

    code: str
    room: InvitedRoomView
    expires_at: datetime | None


def invite(row: Invite) -> InviteView:
    """Render an invite for a member who manages it."""
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
    """Render an invite for a user who holds it."""
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

"""Rooms, as their members and as strangers see them."""

from datetime import datetime

from typing_extensions import TypedDict

from directory.room_pages import OwnRoom, PublicRoom
from directory.rooms import Room
from ids import UserId
from router.views.people import UserView
from router.views.shape import ChannelView
from router.views.values import moment, moment_or_none, text_or_none


class RoomView(TypedDict):
    """A room."""

    id: str
    kind: str
    name: str | None
    display_name: str | None
    description: str | None
    icon_url: str | None
    banner_url: str | None
    owner_id: str | None
    is_public: bool
    is_verified: bool
    member_count: int
    state: str
    music_url: str | None
    created_at: datetime


class RoomWithChannelsView(TypedDict):
    """A room with the channels that the caller sees; none for who is not a member."""

    room: RoomView
    is_member: bool
    channels: list[ChannelView]


class PublicRoomView(TypedDict):
    """A public community."""

    id: str
    name: str
    display_name: str
    description: str | None
    icon_url: str | None
    banner_url: str | None
    is_verified: bool
    member_count: int
    created_at: datetime


class PublicRoomPageView(TypedDict):
    """Public communities, most members first; `next_cursor` is null on the last page. A page of a search may have none,
    and not be the last."""

    rooms: list[PublicRoomView]
    next_cursor: str | None


class OwnRoomView(TypedDict):
    """A room that one is in. `direct_user_id` is the other person of a direct chat."""

    id: str
    kind: str
    direct_user_id: str | None
    name: str | None
    display_name: str | None
    icon_url: str | None
    owner_id: str | None
    state: str
    member_count: int
    nickname: str | None
    joined_at: datetime
    last_read_at: datetime | None
    notification_level: str


class OwnRoomPageView(TypedDict):
    """The rooms one is in, the one joined last first, with the people of the direct chats; `next_cursor` is null on the
    last page."""

    rooms: list[OwnRoomView]
    users: list[UserView]
    next_cursor: str | None


def room(row: Room) -> RoomView:
    """Render a room."""
    return {
        "id": str(row.id),
        "kind": row.kind,
        "name": row.name,
        "display_name": row.display_name,
        "description": row.description,
        "icon_url": row.icon_url,
        "banner_url": row.banner_url,
        "owner_id": text_or_none(row.owner_id),
        "is_public": row.is_public,
        "is_verified": row.is_verified,
        "member_count": row.member_count,
        "state": row.state,
        "music_url": row.music_url,
        "created_at": moment(row.created_at),
    }


def public_room(row: PublicRoom) -> PublicRoomView:
    """Render a public community."""
    return {
        "id": str(row.id),
        "name": row.name,
        "display_name": row.display_name,
        "description": row.description,
        "icon_url": row.icon_url,
        "banner_url": row.banner_url,
        "is_verified": row.is_verified,
        "member_count": row.member_count,
        "created_at": moment(row.created_at),
    }


def own_room(row: OwnRoom, direct_user_id: UserId | None) -> OwnRoomView:
    """Render a room that one is in."""
    return {
        "id": str(row.id),
        "kind": row.kind,
        "direct_user_id": text_or_none(direct_user_id),
        "name": row.name,
        "display_name": row.display_name,
        "icon_url": row.icon_url,
        "owner_id": text_or_none(row.owner_id),
        "state": row.state,
        "member_count": row.member_count,
        "nickname": row.nickname,
        "joined_at": moment(row.joined_at),
        "last_read_at": moment_or_none(row.last_read_at),
        "notification_level": row.notification_level,
    }

"""Schemas of rooms, for their members and for others."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints
from typing_extensions import TypedDict

from directory.room_pages import OwnRoom, PublicRoom
from directory.rooms import Room
from ids import UserId
from router.schemas.channels import ChannelView
from router.schemas.fields import (
    NO_NUL,
    VISIBLE,
    Description,
    Id,
    Reason,
    TimedPageQuery,
    Title,
    Why,
    Wire,
    moment,
    moment_or_none,
    text_or_none,
)
from router.schemas.people import UserView

WORDS_MAX: Final = 5
"""Words of a search for communities: each is looked for in each of them. Beyond it 422."""

RoomName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,49}$")]
ImageUrl = Annotated[str, StringConstraints(pattern=r"^https?://\S+$", max_length=2000), NO_NUL]


class CreateRoom(Wire):
    """Community to create: `name` is its address, `display_name` its title."""

    name: RoomName
    display_name: Title | None = None
    description: Description | None = None
    is_public: bool = False


class UpdateRoom(Wire):
    """Changes to a room. Fields that are left out do not change. Only communities have a name and can be public."""

    # These can be changed but not emptied, so null is refused. The defaults are never read.
    name: RoomName = Field(default_factory=str)
    display_name: Title = Field(default_factory=str)
    is_public: bool = Field(default_factory=bool)
    description: Description | None = None
    icon_url: ImageUrl | None = None
    banner_url: ImageUrl | None = None
    reason: Reason | None = None


class HandOver(Wire):
    """New owner of the room."""

    user_id: Id
    reason: Reason | None = None


def _few_words(text: str) -> str:
    if len(text.split()) > WORDS_MAX:
        raise ValueError(f"at most {WORDS_MAX} words")
    return text


Words = Annotated[str, StringConstraints(min_length=1, max_length=100), NO_NUL, VISIBLE, AfterValidator(_few_words)]


class PublicRoomsQuery(TimedPageQuery):
    """Filter of communities: with `q`, those that have all of its words (5 at most) in their name, display name or
    description."""

    q: Words | None = None


class ChooseSystemChannel(Why):
    """Channel in which the server announces new members; null for none."""

    channel_id: Id | None


class RoomView(TypedDict):
    """Room."""

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


class SystemChannelView(TypedDict):
    """Channel in which the server announces new members; null for none."""

    channel_id: str | None


class RoomWithChannelsView(TypedDict):
    """Room with the channels that the caller can see; none if the caller is not a member."""

    room: RoomView
    is_member: bool
    channels: list[ChannelView]


class PublicRoomView(TypedDict):
    """Public community."""

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
    """Public communities, the one with the most members first. `next_cursor` is null on the last page. A page of a
    search may be empty without being the last."""

    rooms: list[PublicRoomView]
    next_cursor: str | None


class OwnRoomView(TypedDict):
    """Room that the caller is in. `direct_user_id` is the other user of a direct chat."""

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
    """The caller's rooms, the most recently joined first, with the users of the direct chats. `next_cursor` is null on
    the last page."""

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
    """Render a room that the caller is in."""
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

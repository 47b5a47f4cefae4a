"""What the gateway tells of itself: who one is, which rooms one hears, and what is in them."""

from datetime import datetime

from typing_extensions import TypedDict

from directory.listeners import ListenedRoom
from ids import RoomId
from router.views import people, reading, rooms, shape
from router.views.people import UserView
from router.views.reading import ChannelUnreadView
from router.views.rooms import OwnRoomView
from router.views.shape import ChannelView
from shard.acts.watching import Overview


class HeardRoomView(OwnRoomView):
    """A room that the client hears, every event above `last_seq` from now on."""

    last_seq: int


class OverviewView(TypedDict):
    """A room as the client sees it after the event `last_seq`."""

    room_id: str
    last_seq: int
    channels: list[ChannelView]
    unread: list[ChannelUnreadView]


class ReadyView(TypedDict):
    """Who the client is, the rooms that it hears, the one joined last first, overviews of those that it asked them of,
    and the people of its direct chats."""

    user: UserView
    rooms: list[HeardRoomView]
    overviews: list[OverviewView]
    users: list[UserView]


class PresenceView(TypedDict):
    """How somebody is present. `room_id` is this room if they look at it, else null: other rooms are their business."""

    user_id: str
    status: str
    activity: str | None
    room_id: str | None


class PresenceListView(TypedDict):
    """Who is there in a room."""

    room_id: str
    presences: list[PresenceView]


class TicketView(TypedDict):
    """What a page shows at the gateway instead of a token, once."""

    ticket: str
    expires_at: datetime


user = people.user


def heard(listened: ListenedRoom, last_seq: int) -> HeardRoomView:
    """Render a room that a client hears."""
    return {**rooms.own_room(listened.room, listened.partner_id), "last_seq": last_seq}


def overview(room_id: RoomId, seen: Overview) -> OverviewView:
    """Render a room as somebody sees it."""
    return {
        "room_id": str(room_id),
        "last_seq": seen.last_seq,
        "channels": [shape.channel(room_id, channel) for channel in seen.channels],
        "unread": [reading.channel_unread(row) for row in seen.unread],
    }

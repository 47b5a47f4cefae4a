"""Notices of changes to a user's own state: to all connections of that user, in the order of the changes, and to nobody
else.

Call it right after the commit, with no await between: then two changes of one thing are sent in the order in which they
were committed.
"""

from collections.abc import Mapping
from typing import Any

from ids import ChannelId, RoomId, UserId
from router.gateway import frames
from router.gateway.connection import Connection
from router.gateway.hub import Hub
from router.schemas.fields import text_or_none
from router.schemas.gateway import BlockView, NotificationsView, ReadView
from router.schemas.unread import MarkerView


class OwnState:
    """Notices to the connections of one user."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def read(self, user_id: UserId, room_id: RoomId, marker: MarkerView, *, but: Connection | None = None) -> None:
        """Send a read marker, also to a connection that moved it unless it is `but`."""
        view: ReadView = {"room_id": str(room_id), **marker}
        self._send(user_id, "read", view, but)

    def read_room(self, user_id: UserId, room_id: RoomId, last_read_id: int) -> None:
        """Send that everything in a room up to a message is read."""
        view: ReadView = {
            "room_id": str(room_id), "channel_id": None, "thread_id": None, "last_read_id": str(last_read_id)
        }  # fmt: skip
        self._send(user_id, "read", view)

    def notifications(self, user_id: UserId, room_id: RoomId, channel_id: ChannelId | None, level: str | None) -> None:
        """Send the notification level of a room, or of a channel; None for a channel without a level of its own."""
        view: NotificationsView = {
            "room_id": str(room_id), "channel_id": text_or_none(channel_id), "level": level
        }  # fmt: skip
        self._send(user_id, "notifications", view)

    def block(self, user_id: UserId, other_id: UserId, *, is_blocked: bool) -> None:
        """Send that the user blocks another, or no longer does."""
        view: BlockView = {"user_id": str(other_id), "is_blocked": is_blocked}
        self._send(user_id, "block", view)

    def settings(self, user_id: UserId, changed: Mapping[str, Any]) -> None:
        """Send the settings that changed."""
        if changed:
            self._send(user_id, "settings", changed)

    def profile(self, user_id: UserId, changed: Mapping[str, Any]) -> None:
        """Send the fields of the profile that changed."""
        if changed:
            self._send(user_id, "profile", changed)

    def sessions(self, user_id: UserId) -> None:
        """Send that the user signed in somewhere, or ended a session."""
        self._send(user_id, "sessions", {})

    def _send(self, user_id: UserId, op: str, d: Any, but: Connection | None = None) -> None:
        connections = self._hub.connections_of(user_id)
        if connections:
            frame = frames.message(op, d)
            for connection in connections:
                if connection is not but:
                    connection.notify(frame)

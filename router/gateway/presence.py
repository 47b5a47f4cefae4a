"""Presence of users: in memory only, published at most once in five seconds, to users who share a room where neither
blocks the other.

A user with several connections has the presence of the most present of them. The last one counts for a while after it
is closed, so that a short interruption does not flicker; if there is another, that one counts at once.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from database.database import EverythingChanged
from directory.changes import BlockChanged, Change
from ids import RoomId, UserId
from router.gateway import frames
from router.gateway.connection import Connection
from router.gateway.hub import Hub
from router.schemas.gateway import Presence, PresenceView

PUBLISH_EVERY_SECONDS: Final = 5.0
"""How often presences are published."""
LINGER_SECONDS: Final = 75.0
"""Time for which the last connection of a user counts after it is closed."""
PEOPLE_MAX: Final = 500
"""Connected users of a room up to which its presences are published; in larger ones clients ask for those they show."""
PEOPLE_AT_ONCE: Final = 200
"""Users of one turn of the event loop."""
OFFLINE: Final = Presence(status="offline")
_RANKS: Final = {"online": 2, "away": 1, "offline": 0}


@dataclass(slots=True)
class _Report:
    """Presence that one connection reports, and until when it counts once the connection is closed."""

    presence: Presence
    until: float | None = None


@dataclass(slots=True)
class _User:
    reports: dict[Connection, _Report] = field(default_factory=dict)
    rooms: set[RoomId] = field(default_factory=set)
    """Rooms of closed connections, where the end is to be published."""
    published: Presence = OFFLINE

    def combined(self) -> Presence:
        """Return the most present of all reports, and of equal ones the latest.

        The report of a closed connection counts only where there is no other: else a user who reconnects could not stay
        unseen.
        """
        current = [report for report in self.reports.values() if report.until is None]
        presences = [report.presence for report in current or self.reports.values()]
        return max(reversed(presences), key=lambda one: _RANKS[one.status], default=OFFLINE)


class Presences:
    """Presences of all users. Lives on one event loop; `publish` is called every five seconds."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._users: dict[UserId, _User] = {}
        self._blocked: dict[UserId, set[UserId]] = {}
        self._changed: set[UserId] = set()
        self.block_changes = 0
        """Number of changes of blocks, whoever they concern."""

    def report(self, connection: Connection, presence: Presence) -> None:
        """Note the presence that a client reports of its user."""
        user = self._users.setdefault(connection.user_id, _User())
        user.reports.pop(connection, None)
        user.reports[connection] = _Report(presence)
        self._changed.add(connection.user_id)

    def apply(self, change: Change) -> None:
        """Hide two users from each other with the commit of a block between them, before it is answered."""
        match change:
            case BlockChanged(user_id, other_id, is_blocked):
                self.block_changes += 1
                if is_blocked and (user_id in self._users or other_id in self._users):
                    self._hide(user_id, other_id)
            case EverythingChanged():
                self.block_changes += 1

    def set_blocks(self, blocked: Mapping[UserId, Iterable[UserId]], *, read_at: int) -> bool:
        """Note for each of some users the others whom they block or who block them, as read when the count of
        `block_changes` was `read_at`; return False, and note nothing, if it may be stale."""
        if read_at != self.block_changes:
            return False
        for user_id, others in blocked.items():
            for former in self._blocked.pop(user_id, ()):
                self._blocked.get(former, set()).discard(user_id)
            for other in others:
                self._hide(user_id, other)
        return True

    def _hide(self, user_id: UserId, other: UserId) -> None:
        self._blocked.setdefault(user_id, set()).add(other)
        self._blocked.setdefault(other, set()).add(user_id)

    def disconnect(self, connection: Connection) -> None:
        """Note that a connection is closed, while it still has its subscriptions."""
        if connection.viewer is None or (user := self._users.get(connection.user_id)) is None:
            return
        user.rooms.update(connection.subscriptions)
        if (report := user.reports.get(connection)) is not None:
            report.until = asyncio.get_running_loop().time() + LINGER_SECONDS
        self._changed.add(connection.user_id)

    def of_room(self, room_id: RoomId, seer: UserId, user_ids: Iterable[UserId]) -> list[PresenceView]:
        """Return the presences of those of some users whom a member may see in a room."""
        blocked = self._blocked.get(seer, ())
        return [
            _view(user_id, user.published, room_id)
            for user_id in user_ids
            if user_id not in blocked and (user := self._users.get(user_id)) is not None
        ]

    async def publish(self) -> None:
        """Publish what changed since the last call."""
        changed, self._changed = self._changed, set()
        by_room: dict[RoomId, dict[UserId, Presence]] = {}
        for number, user_id in enumerate(changed, 1):
            if (user := self._users.get(user_id)) is not None:
                for room_id in self._update(user_id, user):
                    by_room.setdefault(room_id, {})[user_id] = user.published
            if number % PEOPLE_AT_ONCE == 0:
                await asyncio.sleep(0)
        for room_id, changes in by_room.items():
            self._publish_in(room_id, changes)
            await asyncio.sleep(0)

    def _update(self, user_id: UserId, user: _User) -> set[RoomId]:
        """Combine the reports of a user's connections; return the rooms to publish it in, if it is new."""
        now = asyncio.get_running_loop().time()
        for connection, report in list(user.reports.items()):
            if report.until is not None and report.until <= now:
                del user.reports[connection]
        if any(report.until is not None for report in user.reports.values()):
            self._changed.add(user_id)
        if not user.reports:
            del self._users[user_id]
            self._blocked.pop(user_id, None)
        presence = user.combined()
        if presence == user.published:
            return set()
        user.published = presence
        rooms = {room_id for connection in self._hub.connections_of(user_id) for room_id in connection.subscriptions}
        return {room_id for room_id in rooms | user.rooms if self._is_published(room_id)}

    def _is_published(self, room_id: RoomId) -> bool:
        room = self._hub.find_room(room_id)
        return room is not None and len(room.users()) <= PEOPLE_MAX

    def _publish_in(self, room_id: RoomId, changes: Mapping[UserId, Presence]) -> None:
        room = self._hub.find_room(room_id)
        if room is None:
            return
        whole = _frame(room_id, changes)
        for user_id in room.users():
            blocked = self._blocked.get(user_id)
            if blocked and not blocked.isdisjoint(changes):
                seen = {other: presence for other, presence in changes.items() if other not in blocked}
                frame = _frame(room_id, seen) if seen else None
            else:
                frame = whole
            if frame is not None:
                for connection in room.connections_of(user_id):
                    connection.write(frame)


def _frame(room_id: RoomId, changes: Mapping[UserId, Presence]) -> bytes:
    presences = [_view(user_id, presence, room_id) for user_id, presence in changes.items()]
    return frames.message("presences", {"room_id": str(room_id), "presences": presences})


def _view(user_id: UserId, presence: Presence, room_id: RoomId) -> PresenceView:
    """Render a presence as others in a room see it: which other room the user looks at is left out."""
    is_here = presence.room_id == room_id
    return {
        "user_id": str(user_id),
        "status": presence.status,
        "activity": presence.activity,
        "room_id": str(room_id) if is_here else None,
    }

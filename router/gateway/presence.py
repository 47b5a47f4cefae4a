"""Who is there, and what they do: in memory only, told at most once in five seconds, and to those alone who share a
room and where neither blocks the other.

Somebody with several connections is as present as the most present of them. The last one counts for a while after it
is gone, so that nobody flickers who changes trains; where there is another, what that one says counts at once.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ids import RoomId, UserId
from router.gateway import frames
from router.gateway.connections import Connection
from router.gateway.hub import Hub
from router.views.gateway import PresenceView
from router.wire.gateway import Presence

TOLD_EVERY_SECONDS: Final = 5.0
LASTS_SECONDS: Final = 75.0
"""How long a connection counts after it was last heard of: one that keeps its heartbeats counts until it is gone, and
for this long after."""
PEOPLE_MAX: Final = 500
"""Connected people of a room up to which its presences are told; in larger ones clients ask for those they show."""
PEOPLE_AT_ONCE: Final = 200
"""People looked at before others have their turn on the event loop."""
OFFLINE: Final = Presence(status="offline")
_RANKS: Final = {"online": 2, "away": 1, "offline": 0}


@dataclass(slots=True)
class _Claim:
    """What one connection says, and until when it counts once the connection is gone."""

    said: Presence
    until: float | None = None


@dataclass(slots=True)
class _Person:
    claims: dict[Connection, _Claim] = field(default_factory=dict)
    rooms: set[RoomId] = field(default_factory=set)
    """Rooms of connections that are gone, whose people are to be told of the end."""
    told: Presence = OFFLINE

    def now(self) -> Presence:
        """What all connections come to: the most present one, and of those what was said last.

        What a connection said that is gone counts only where there is no other: else nobody who comes back could stay
        unseen.
        """
        living = [claim for claim in self.claims.values() if claim.until is None]
        said = [claim.said for claim in living or self.claims.values()]
        return max(reversed(said), key=lambda one: _RANKS[one.status], default=OFFLINE)


class Presences:
    """Everybody who is there. Lives on one event loop; `tell` is called every five seconds."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._people: dict[UserId, _Person] = {}
        self._apart: dict[UserId, set[UserId]] = {}
        self._changed: set[UserId] = set()

    def claim(self, connection: Connection, said: Presence) -> None:
        """Take in what a client says of its person."""
        person = self._people.setdefault(connection.user_id, _Person())
        person.claims.pop(connection, None)
        person.claims[connection] = _Claim(said)
        self._changed.add(connection.user_id)

    def part(self, apart: Mapping[UserId, Iterable[UserId]]) -> None:
        """Take in who is not to notice whom, for each of some users."""
        for user_id, others in apart.items():
            for former in self._apart.pop(user_id, ()):
                self._apart.get(former, set()).discard(user_id)
            for other in others:
                self._apart.setdefault(user_id, set()).add(other)
                self._apart.setdefault(other, set()).add(user_id)

    def leave(self, connection: Connection) -> None:
        """Note that a connection is gone, while it still has its rooms."""
        if connection.viewer is None or (person := self._people.get(connection.user_id)) is None:
            return
        person.rooms.update(connection.places)
        if (claim := person.claims.get(connection)) is not None:
            claim.until = asyncio.get_running_loop().time() + LASTS_SECONDS
        self._changed.add(connection.user_id)

    def of_room(self, room_id: RoomId, seer: UserId, user_ids: Iterable[UserId]) -> list[PresenceView]:
        """Return how those of some users are present whom somebody may see in a room."""
        apart = self._apart.get(seer, ())
        return [
            _view(user_id, person.told, room_id)
            for user_id in user_ids
            if user_id not in apart and (person := self._people.get(user_id)) is not None
        ]

    async def tell(self) -> None:
        """Tell everybody of what changed since the last call."""
        changed, self._changed = self._changed, set()
        by_room: dict[RoomId, dict[UserId, Presence]] = {}
        for number, user_id in enumerate(changed, 1):
            if (person := self._people.get(user_id)) is not None:
                for room_id in self._settle(user_id, person):
                    by_room.setdefault(room_id, {})[user_id] = person.told
            if number % PEOPLE_AT_ONCE == 0:
                await asyncio.sleep(0)
        for room_id, changes in by_room.items():
            self._tell_room(room_id, changes)
            await asyncio.sleep(0)

    def _settle(self, user_id: UserId, person: _Person) -> set[RoomId]:
        """Bring together what somebody's connections say; return the rooms to tell of it, if it is something new."""
        now = asyncio.get_running_loop().time()
        for connection, claim in list(person.claims.items()):
            if claim.until is not None and claim.until <= now:
                del person.claims[connection]
        if any(claim.until is not None for claim in person.claims.values()):
            self._changed.add(user_id)
        if not person.claims:
            del self._people[user_id]
            self._apart.pop(user_id, None)
        present = person.now()
        if present == person.told:
            return set()
        person.told = present
        rooms = {room_id for connection in self._hub.connections_of(user_id) for room_id in connection.places}
        return {room_id for room_id in rooms | person.rooms if self._is_told(room_id)}

    def _is_told(self, room_id: RoomId) -> bool:
        room = self._hub.known_room(room_id)
        return room is not None and len(room.people()) <= PEOPLE_MAX

    def _tell_room(self, room_id: RoomId, changes: Mapping[UserId, Presence]) -> None:
        room = self._hub.known_room(room_id)
        if room is None:
            return
        whole = _frame(room_id, changes)
        for user_id in room.people():
            apart = self._apart.get(user_id)
            if apart and not apart.isdisjoint(changes):
                seen = {other: present for other, present in changes.items() if other not in apart}
                frame = _frame(room_id, seen) if seen else None
            else:
                frame = whole
            if frame is not None:
                for connection in room.connections_of(user_id):
                    connection.write(frame)


def _frame(room_id: RoomId, changes: Mapping[UserId, Presence]) -> bytes:
    presences = [_view(user_id, present, room_id) for user_id, present in changes.items()]
    return frames.told("presences", {"room_id": str(room_id), "presences": presences})


def _view(user_id: UserId, present: Presence, room_id: RoomId) -> PresenceView:
    """Render how somebody is present, as others in a room see it: which other room they look at is not told."""
    is_here = present.room_id == room_id
    return {
        "user_id": str(user_id),
        "status": present.status,
        "activity": present.activity,
        "room_id": str(room_id) if is_here else None,
    }

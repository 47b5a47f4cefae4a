"""Everybody who is connected, and the rooms that they listen to. Lives on one event loop."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from directory import shards
from directory.changes import Change, EverythingChanged, MembersChanged, SessionChanged, UserChanged
from directory.directory import Directory
from ids import RoomId, UserId
from router.gateway import closing, frames
from router.gateway.connections import Connection
from router.gateway.rooms import LiveRoom
from router.gateway.tallies import Tallies
from router.gateway.tapes import Library
from shard.pool import ShardPool
from shard.rows import Event

log = logging.getLogger(__name__)

K = TypeVar("K")
JOINED: Final = "member.joined"


class Hub:
    """Who hears what. The log of a shard is the truth; what is published here only saves reading it."""

    def __init__(self, directory: Directory, pool: ShardPool, tallies: Tallies) -> None:
        self._directory = directory
        self._pool = pool
        self._tallies = tallies
        self._library = Library()
        self._rooms: dict[RoomId, LiveRoom] = {}
        self._of_user: dict[UserId, set[Connection]] = {}
        self._of_token: dict[bytes, set[Connection]] = {}
        self._of_bots: set[Connection] = set()
        self._last_seqs: dict[RoomId, int] = {}
        self._unsaved: set[RoomId] = set()
        self.connections: set[Connection] = set()
        self.suspects: set[Connection] = set()
        """Connections whose session has to be looked at again."""
        self.suspected = asyncio.Event()
        directory.database.listen(self._notice)

    def publish(self, room_id: RoomId, events: Sequence[Event]) -> None:
        """Tell of a commit, after it and before anybody is answered."""
        if not events:
            if (doubted := self._rooms.get(room_id)) is not None:
                doubted.doubt()
            return
        self._last_seqs[room_id] = events[-1].seq
        self._unsaved.add(room_id)
        for event in events:
            if event.type == JOINED and event.actor_id in self._of_user:
                self._let_in(room_id, event.actor_id, event.seq - 1)
        room = self._rooms.get(room_id)
        if room is not None:
            room.publish(events)

    def _let_in(self, room_id: RoomId, user_id: UserId, place: int) -> None:
        """Have somebody's connections hear a room that they came into."""
        for connection in self._of_user.get(user_id, ()):
            connection.left.discard(room_id)
            if not connection.is_ready:
                connection.came[room_id] = place
            elif room_id not in connection.places and room_id not in connection.muted:
                self.welcome(connection, room_id, place)

    def welcome(self, connection: Connection, room_id: RoomId, place: int) -> None:
        """Have a client hear a room that it did not know of."""
        self.listen(connection, room_id, place)
        connection.write(frames.told("joined", {"room_id": str(room_id), "last_seq": place}))

    def _notice(self, change: Change) -> None:
        match change:
            case MembersChanged(room_id, user_ids, are_in):
                for user_id in user_ids:
                    if user_id in self._of_user:
                        self._follow(room_id, user_id, is_in=are_in)
            case SessionChanged(token_hash):
                self.suspect(self._of_token.get(token_hash, ()))
            case UserChanged(user_id):
                self.suspect(self._of_user.get(user_id, ()))
                self.suspect(one for one in self._of_bots if one.viewer and one.viewer.owner_id == user_id)
            case EverythingChanged():
                self.suspect(self.connections)

    def _follow(self, room_id: RoomId, user_id: UserId, *, is_in: bool) -> None:
        if is_in:
            # What was published of it last is before this; a room that is new has little to tell.
            self._let_in(room_id, user_id, self._last_seqs.get(room_id, 0))
        else:
            for connection in self._of_user[user_id]:
                connection.left.add(room_id)
            if (room := self._rooms.get(room_id)) is not None:
                room.remove(user_id, "not_a_member")
                self._sweep(room)

    def suspect(self, connections: Iterable[Connection]) -> None:
        """Have the sessions of some connections looked at."""
        found = [connection for connection in connections if connection.viewer is not None]
        if found:
            self.suspects.update(found)
            self.suspected.set()

    def come(self) -> None:
        """Note that somebody connected, whom those who are told of the past give way to."""
        self._library.turns.come()

    def enlist(self, connection: Connection) -> None:
        """Take in somebody who has identified; from now on changes of their rooms reach them."""
        assert connection.viewer is not None
        self.connections.add(connection)
        self._of_user.setdefault(connection.user_id, set()).add(connection)
        self._of_token.setdefault(connection.viewer.token_hash, set()).add(connection)
        if connection.viewer.is_bot:
            self._of_bots.add(connection)

    def connections_of(self, user_id: UserId) -> frozenset[Connection]:
        """Return somebody's connections."""
        return frozenset(self._of_user.get(user_id, ()))

    def room(self, room_id: RoomId) -> LiveRoom:
        """Return a room, to listen to."""
        room = self._rooms.get(room_id)
        if room is None:
            room = self._rooms[room_id] = LiveRoom(room_id, self._pool, self._library, self._tallies)
        return room

    def known_room(self, room_id: RoomId) -> LiveRoom | None:
        """Return a room that somebody listens to."""
        return self._rooms.get(room_id)

    def last_seq(self, room_id: RoomId, saved: int) -> int:
        """Return a number that a room's log has reached for sure, where the directory knows of `saved`."""
        return max(saved, self._last_seqs.get(room_id, 0))

    def listen(self, connection: Connection, room_id: RoomId, place: int) -> None:
        """Have a connection hear a room from its next event on."""
        self.room(room_id).listen(connection, place)

    def stop(self, connection: Connection, room_id: RoomId) -> None:
        """Have a connection hear no more of a room."""
        room = self._rooms.get(room_id)
        if room is not None:
            room.stop(connection)
            self._sweep(room)

    def _sweep(self, room: LiveRoom) -> None:
        if room.is_empty:
            room.close()
            self._rooms.pop(room.room_id, None)

    def dismiss(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        self.connections.discard(connection)
        self.suspects.discard(connection)
        for room_id in list(connection.places):
            self.stop(connection, room_id)
        self._of_bots.discard(connection)
        if connection.viewer is not None:
            _take_out(self._of_user, connection.user_id, connection)
            _take_out(self._of_token, connection.viewer.token_hash, connection)

    def break_silences(self) -> None:
        """Tell of events that were held back because they were not for everybody."""
        for room in self._rooms.values():
            room.break_silence()

    async def save(self) -> None:
        """Write into the directory how far the logs of rooms go, so that who connects can be told."""
        unsaved, self._unsaved = self._unsaved, set()
        if not unsaved:
            return
        try:
            async with self._directory.database.write() as writer:
                await shards.note_seqs(writer, {room_id: self._last_seqs[room_id] for room_id in unsaved})
        except BaseException:
            self._unsaved |= unsaved
            raise

    def close(self) -> None:
        """Say goodbye to everybody."""
        for connection in list(self.connections):
            connection.close(closing.GOING_AWAY)
        for room in self._rooms.values():
            room.close()


def _take_out(places: dict[K, set[Connection]], key: K, connection: Connection) -> None:
    found = places.get(key, set())
    found.discard(connection)
    if not found:
        places.pop(key, None)

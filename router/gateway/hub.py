"""Hub of all connections, and of the live rooms that they are subscribed to. Lives on one event loop."""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from database.database import EverythingChanged
from directory import listeners, shards
from directory.changes import Change, MembersChanged, RoomChanged, SessionChanged, UserChanged
from directory.directory import Directory
from directory.listeners import ListenedRoom
from directory.users import Profile
from ids import RoomId, UserId
from router.gateway import close_codes, frames
from router.gateway.coalescer import Coalescer
from router.gateway.connection import Connection
from router.gateway.event_buffer import BlockCache
from router.gateway.live_room import LiveRoom
from router.gateway.metrics import GatewayMetrics
from router.schemas import gateway as schemas
from shard.engine.pool import ShardPool
from shard.event_types import EventType
from shard.rows import Event

log = logging.getLogger(__name__)

USERS_AT_ONCE: Final = 200
"""Users whose memberships are compared in one turn of the event loop."""


@dataclass(frozen=True, slots=True)
class _Memberships:
    """Rooms of users who joined them, by user and room, and the profiles of the others in direct chats."""

    rooms: Mapping[tuple[UserId, RoomId], ListenedRoom]
    profiles: Mapping[UserId, Profile]


K = TypeVar("K")


class Hub:
    """Publisher of commits to subscribers. The log of a shard is the truth; publishing only saves reading it."""

    def __init__(self, directory: Directory, pool: ShardPool, metrics: GatewayMetrics) -> None:
        self._directory = directory
        self._pool = pool
        self._metrics = metrics
        self._cache = BlockCache()
        self._rooms: dict[RoomId, LiveRoom] = {}
        self._by_user: dict[UserId, set[Connection]] = {}
        self._by_token: dict[bytes, set[Connection]] = {}
        self._bots: set[Connection] = set()
        self._last_seqs: dict[RoomId, int] = {}
        self._unsaved: set[RoomId] = set()
        self._has_foreign_changes = False
        self._memberships: Coalescer[tuple[UserId, RoomId], _Memberships] = Coalescer(self._read_memberships)
        self.connections: set[Connection] = set()
        self.to_recheck: set[Connection] = set()
        """Connections whose session has to be checked again."""
        self.recheck_is_due = asyncio.Event()
        directory.database.listen(self._apply)

    def publish(self, room_id: RoomId, events: Sequence[Event]) -> None:
        """Publish a commit, after it and before its reply; without events, one whose outcome is unknown."""
        if not events:
            if (uncertain := self._rooms.get(room_id)) is not None:
                uncertain.reconcile()
            return
        self._last_seqs[room_id] = events[-1].seq
        self._unsaved.add(room_id)
        for event in events:
            if event.type == EventType.MEMBER_JOINED and event.actor_id in self._by_user:
                for connection in self._by_user[event.actor_id]:
                    connection.joined_rooms[room_id] = event.seq - 1
        room = self._rooms.get(room_id)
        if room is not None:
            room.publish(events)

    def introduce(self, connection: Connection, room_id: RoomId) -> None:
        """Subscribe a client to a room that its user joined, and send `joined`, if the directory lists the room; else
        this happens when it does."""
        connection.start(self._introduce(connection, room_id))

    async def _introduce(self, connection: Connection, room_id: RoomId) -> None:
        found = await self._memberships.fetch([(connection.user_id, room_id)])
        room = found.rooms.get((connection.user_id, room_id))
        if room is None or room_id in connection.left_rooms or room_id not in connection.joined_rooms:
            return
        position = connection.joined_rooms.pop(room_id)
        if room_id in connection.subscriptions or room_id in connection.unsubscribed:
            return
        connection.send_removed(room_id)
        self.subscribe(connection, room_id, position)
        connection.write(frames.message("joined", schemas.joined(room, position, found.profiles)))
        if self._last_seqs.get(room_id, 0) > position:
            self.room(room_id).catch_up(connection)

    async def _read_memberships(self, keys: Collection[tuple[UserId, RoomId]]) -> "_Memberships":
        async with self._directory.database.read() as reader:
            rooms = await listeners.memberships(reader, keys)
        partners = {room.partner_id for room in rooms.values() if room.partner_id is not None}
        return _Memberships(rooms, await self._directory.profiles.load(partners))

    def _apply(self, change: Change) -> None:
        match change:
            case MembersChanged(room_id, user_ids, are_in):
                for user_id in user_ids:
                    if user_id in self._by_user:
                        self._apply_membership(room_id, user_id, is_in=are_in)
            case RoomChanged(room_id, is_deleted=True):
                for connection in self.connections:
                    if room_id in connection.subscriptions or room_id in connection.removals:
                        connection.left_rooms.add(room_id)
                        connection.send_removed(room_id)
            case SessionChanged(token_hash):
                self.recheck(self._by_token.get(token_hash, ()))
            case UserChanged(user_id):
                self.recheck(self._by_user.get(user_id, ()))
                self.recheck(one for one in self._bots if one.viewer and one.viewer.owner_id == user_id)
            case EverythingChanged():
                self._has_foreign_changes = True
                self.recheck(self.connections)

    async def introduce_foreign(self) -> None:
        """After commits of another process, introduce clients to the rooms that it added their users to."""
        if not self._has_foreign_changes:
            return
        self._has_foreign_changes = False
        user_ids = list(self._by_user)
        for start in range(0, len(user_ids), USERS_AT_ONCE):
            async with self._directory.database.read() as reader:
                ends = await listeners.ends_of(reader, user_ids[start : start + USERS_AT_ONCE])
            for user_id, rooms in ends.items():
                for connection in self._by_user.get(user_id, ()):
                    self._introduce_missing(connection, rooms)

    def _introduce_missing(self, connection: Connection, rooms: Mapping[RoomId, int]) -> None:
        known = connection.subscriptions.keys() | connection.removals.keys() | connection.unsubscribed
        for room_id in rooms.keys() - known - connection.left_rooms if connection.is_ready else ():
            connection.joined_rooms.setdefault(room_id, self.last_seq(room_id, rooms[room_id]))
            self.introduce(connection, room_id)

    def _apply_membership(self, room_id: RoomId, user_id: UserId, *, is_in: bool) -> None:
        if not is_in:
            for connection in self._by_user[user_id]:
                connection.left_rooms.add(room_id)
                connection.joined_rooms.pop(room_id, None)
                connection.send_removed(room_id)
            if (room := self._rooms.get(room_id)) is not None:
                room.remove_user(user_id, "not_a_member")
                self._drop_if_empty(room)
            return
        for connection in self._by_user[user_id]:
            connection.left_rooms.discard(room_id)
            if room_id in connection.subscriptions:
                connection.joined_rooms.pop(room_id, None)
                continue
            # The last published event precedes this; the log of a new room is short.
            connection.joined_rooms.setdefault(room_id, self._last_seqs.get(room_id, 0))
            if connection.is_ready:
                self.introduce(connection, room_id)

    def recheck(self, connections: Iterable[Connection]) -> None:
        """Have the sessions of some connections checked again soon."""
        found = [connection for connection in connections if connection.viewer is not None]
        if found:
            self.to_recheck.update(found)
            self.recheck_is_due.set()

    def note_connection(self) -> None:
        """Note that a client connected: while many do, replays are throttled."""
        self._cache.throttle.note_connection()

    def register(self, connection: Connection) -> None:
        """Add an identified connection; from now on changes of its user's rooms reach it."""
        assert connection.viewer is not None
        self.connections.add(connection)
        self._by_user.setdefault(connection.user_id, set()).add(connection)
        self._by_token.setdefault(connection.viewer.token_hash, set()).add(connection)
        if connection.viewer.is_bot:
            self._bots.add(connection)

    def connections_of(self, user_id: UserId) -> frozenset[Connection]:
        """Return the connections of a user."""
        return frozenset(self._by_user.get(user_id, ()))

    def room(self, room_id: RoomId) -> LiveRoom:
        """Return a live room to subscribe to, a new one if it has no subscriber yet."""
        room = self._rooms.get(room_id)
        if room is None:
            room = self._rooms[room_id] = LiveRoom(room_id, self._pool, self._cache, self._metrics)
        return room

    def find_room(self, room_id: RoomId) -> LiveRoom | None:
        """Return a live room if it has a subscriber."""
        return self._rooms.get(room_id)

    def last_seq(self, room_id: RoomId, saved: int) -> int:
        """Return a number that a room's log has certainly reached, given the directory's `saved`."""
        return max(saved, self._last_seqs.get(room_id, 0))

    def subscribe(self, connection: Connection, room_id: RoomId, position: int) -> None:
        """Subscribe a connection to the events after a position of a room."""
        self.room(room_id).subscribe(connection, position)

    def unsubscribe(self, connection: Connection, room_id: RoomId) -> None:
        """Unsubscribe a connection from a room."""
        room = self._rooms.get(room_id)
        if room is not None:
            room.unsubscribe(connection)
            self._drop_if_empty(room)

    def _drop_if_empty(self, room: LiveRoom) -> None:
        if room.is_empty:
            room.close()
            self._rooms.pop(room.room_id, None)

    def unregister(self, connection: Connection) -> None:
        """Forget a closed connection and its subscriptions."""
        self.connections.discard(connection)
        self.to_recheck.discard(connection)
        for room_id in list(connection.subscriptions):
            self.unsubscribe(connection, room_id)
        self._bots.discard(connection)
        if connection.viewer is not None:
            _discard(self._by_user, connection.user_id, connection)
            _discard(self._by_token, connection.viewer.token_hash, connection)

    def flush_skipped(self) -> None:
        """Send the spans of hidden events that rooms hold back."""
        for room in self._rooms.values():
            room.flush_skipped()

    async def save(self) -> None:
        """Write the ends of the rooms' logs into the directory, for the clients that connect later."""
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
        """Close every connection and room."""
        for connection in list(self.connections):
            connection.close(close_codes.GOING_AWAY)
        for room in self._rooms.values():
            room.close()


def _discard(index: dict[K, set[Connection]], key: K, connection: Connection) -> None:
    found = index.get(key, set())
    found.discard(connection)
    if not found:
        index.pop(key, None)

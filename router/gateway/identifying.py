"""Who a client is, and what it is told when it has said so."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from directory import blocks, bot_tokens, listeners, members
from directory.directory import Directory
from directory.listeners import ListenedRoom
from directory.sessions import Viewer, hash_token
from directory.users import Profile
from ids import RoomId, UserId
from router.gateway import closing, frames
from router.gateway.connections import Connection
from router.gateway.gathering import Gathering
from router.gateway.hub import Hub
from router.gateway.presence import Presences
from router.gateway.tickets import Tickets
from router.scopes import Scope
from router.views import gateway as views
from router.wire.gateway import Identify, Presence
from shard.acts import watching
from shard.acts.watching import Overview
from shard.errors import ShardError
from shard.pool import ShardPool

log = logging.getLogger(__name__)

PER_USER_MAX: Final = 25
"""Connections of one person."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What is read for many who come at the same time: their rooms, and the people to paint them with."""

    rooms: Mapping[UserId, list[ListenedRoom]]
    profiles: Mapping[UserId, Profile]


class Identification:
    """Lets clients in."""

    def __init__(
        self,
        directory: Directory,
        pool: ShardPool,
        hub: Hub,
        presences: Presences,
        tickets: Tickets,
        clock: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._pool = pool
        self._hub = hub
        self._presences = presences
        self._tickets = tickets
        self._clock = clock
        self._viewers: Gathering[bytes, Mapping[bytes, Viewer]] = Gathering(self._find_viewers)
        self._arrivals: Gathering[UserId, Arrivals] = Gathering(self._read_arrivals)

    async def _find_viewers(self, token_hashes: Collection[bytes]) -> Mapping[bytes, Viewer]:
        return await self._directory.sessions.load_many(token_hashes, now_ms=self._clock())

    async def _read_arrivals(self, user_ids: Collection[UserId]) -> Arrivals:
        async with self._directory.database.read() as reader:
            rooms = await listeners.rooms_of(reader, user_ids)
            apart = await blocks.around(reader, user_ids)
        partners = {room.partner_id for own in rooms.values() for room in own if room.partner_id is not None}
        self._presences.part(apart)
        return Arrivals(rooms, await self._directory.profiles.load({*user_ids, *partners}))

    async def identify(self, connection: Connection, asked: Identify) -> None:
        """Let a client in and tell it of its rooms, or close its connection and say why."""
        viewer = await self._viewer(asked)
        if viewer is None or not _may_hear(viewer):
            connection.close(closing.REFUSED)
            return
        if len(self._hub.connections_of(viewer.user_id)) >= PER_USER_MAX:
            connection.close(closing.TOO_MANY)
            return
        if connection.is_gone():
            return
        connection.viewer = viewer
        self._hub.enlist(connection)
        if self._directory.sessions.peek(viewer.token_hash, now_ms=self._clock()) is None:
            # It may have ended after it was read and before anybody could be told.
            self._hub.suspect([connection])
        arrivals = await self._arrivals.ask([viewer.user_id])
        overviews = await self._overviews(viewer.user_id, map(RoomId, asked.overview))
        if connection.is_gone():
            return
        rooms = [one for one in arrivals.rooms[viewer.user_id] if one.room.id not in connection.left]
        self._attach(connection, rooms, asked, overviews)
        connection.socket.write_whole(
            frames.told("ready", self._ready(connection, rooms, arrivals.profiles, overviews))
        )
        connection.is_ready = True
        self._presences.claim(connection, asked.presence or Presence())
        for room_id, place in connection.came.items():
            if room_id not in connection.places:
                self._hub.welcome(connection, room_id, place)
        if asked.resume:
            connection.start(self._resume(connection, {RoomId(room_id): seq for room_id, seq in asked.resume.items()}))

    async def _viewer(self, asked: Identify) -> Viewer | None:
        now_ms = self._clock()
        token_hash = self._tickets.use(asked.ticket, now_ms=now_ms) if asked.ticket else hash_token(asked.token or "")
        if token_hash is None:
            return None
        sessions = self._directory.sessions
        if asked.token is not None and bot_tokens.is_one(asked.token):
            return sessions.peek(token_hash, now_ms=now_ms) or await sessions.load(
                token_hash, of_bot=True, now_ms=now_ms
            )
        known = sessions.peek(token_hash, now_ms=now_ms)
        return known or (await self._viewers.ask([token_hash])).get(token_hash)

    def touch(self, connections: Iterable[Connection]) -> None:
        """Let the sessions of connections slide, as using them over HTTP does."""
        now_ms = self._clock()
        for connection in connections:
            if connection.viewer is not None:
                self._directory.sessions.peek(connection.viewer.token_hash, now_ms=now_ms)

    async def recheck(self, connections: Collection[Connection]) -> None:
        """End those of some connections whose sessions ended, and take in whom their people block now."""
        alive = await self._alive({one.viewer for one in connections if one.viewer is not None})
        for connection in connections:
            found = None if connection.token_hash is None else alive.get(connection.token_hash)
            if found is None or not _may_hear(found):
                connection.close(closing.ENDED)
            else:
                connection.viewer = found
        async with self._directory.database.read() as reader:
            self._presences.part(await blocks.around(reader, {viewer.user_id for viewer in alive.values()}))

    async def _alive(self, viewers: Collection[Viewer]) -> dict[bytes, Viewer]:
        found = dict(await self._find_viewers([viewer.token_hash for viewer in viewers if not viewer.is_bot]))
        for viewer in viewers:
            if viewer.is_bot:
                now_ms = self._clock()
                bot = await self._directory.sessions.load(viewer.token_hash, of_bot=True, now_ms=now_ms)
                if bot is not None:
                    found[viewer.token_hash] = bot
        return found

    async def _overviews(self, user_id: UserId, room_ids: Iterable[RoomId]) -> dict[RoomId, Overview]:
        found = {}
        for room_id in room_ids:
            try:
                found[room_id] = await self.overview(user_id, room_id)
            except ShardError as error:  # the client sees that it is not there, and may ask for it by itself
                log.info("an overview was left out", extra={"room_id": room_id, "reason": str(error)})
        return found

    async def overview(self, user_id: UserId, room_id: RoomId) -> Overview:
        """Return a room as somebody sees it; raises NotFoundError for whoever is not in it."""
        return await self._pool.read(room_id, watching.look_around, user_id, now_ms=self._clock())

    def _attach(
        self,
        connection: Connection,
        rooms: Collection[ListenedRoom],
        asked: Identify,
        overviews: Mapping[RoomId, Overview],
    ) -> None:
        for one in rooms:
            room_id = one.room.id
            if room_id in connection.places:
                continue
            if room_id in asked.resume:
                self._hub.room(room_id).listen(connection, asked.resume[room_id], is_asleep=False)
            elif room_id in overviews:
                self._hub.listen(connection, room_id, overviews[room_id].last_seq)
            else:
                self._hub.listen(connection, room_id, self._hub.last_seq(room_id, one.last_seq))

    def _ready(
        self,
        connection: Connection,
        rooms: Collection[ListenedRoom],
        profiles: Mapping[UserId, Profile],
        overviews: Mapping[RoomId, Overview],
    ) -> views.ReadyView:
        places = connection.places
        return {
            "user": views.user(profiles[connection.user_id]),
            "rooms": [views.heard(one, places.get(one.room.id, one.last_seq)) for one in rooms],
            "overviews": [views.overview(room_id, one) for room_id, one in overviews.items()],
            "users": [
                views.user(profiles[one.partner_id])
                for one in rooms
                if one.partner_id is not None and one.partner_id in profiles
            ],
        }

    async def _resume(self, connection: Connection, places: Mapping[RoomId, int]) -> None:
        """Bring a client up to date, room after room, at the pace at which it reads."""
        await connection.drain()
        for room_id, place in places.items():
            if room_id not in connection.places and await self._is_member(connection, room_id):
                self._hub.room(room_id).listen(connection, place, is_asleep=False)
            room = self._hub.known_room(room_id)
            if room is None or room_id not in connection.places:
                connection.write(frames.told("removed", {"room_id": str(room_id), "reason": "not_a_member"}))
            else:
                await room.resume(connection)

    async def _is_member(self, connection: Connection, room_id: RoomId) -> bool:
        """Tell whether the client's person is in a room that it was not told of, having more than it is told."""
        if room_id in connection.left:
            return False
        async with self._directory.database.read() as reader:
            return await members.find(reader, room_id, connection.user_id) is not None


def _may_hear(viewer: Viewer) -> bool:
    return viewer.scopes is None or Scope.MESSAGES_READ in viewer.scopes

"""Identification of clients: session, rooms and `ready`; then the rooms that they resume."""

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
from router.gateway import close_codes, frames
from router.gateway.coalescer import Coalescer
from router.gateway.connection import Connection
from router.gateway.hub import Hub
from router.gateway.presence import Presences
from router.gateway.subscription import Live
from router.gateway.tickets import Tickets
from router.schemas import gateway as schemas
from router.schemas.gateway import Identify, Presence
from router.scopes import Scope
from shard.actions import gateway
from shard.actions.gateway import Overview
from shard.engine.pool import ShardPool
from shard.errors import ShardError

log = logging.getLogger(__name__)

PER_USER_MAX: Final = 25
"""Connections of one person. Beyond it 4009."""


@dataclass(frozen=True, slots=True)
class ReadyData:
    """Rooms and profiles for the `ready` of many users, read with one query each."""

    rooms: Mapping[UserId, list[ListenedRoom]]
    profiles: Mapping[UserId, Profile]


class Identification:
    """Identification of clients, and later checks of their sessions."""

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
        self._viewers: Coalescer[bytes, Mapping[bytes, Viewer]] = Coalescer(self._find_viewers)
        self._ready_data: Coalescer[UserId, ReadyData] = Coalescer(self._read_ready_data)

    async def _find_viewers(self, token_hashes: Collection[bytes]) -> Mapping[bytes, Viewer]:
        return await self._directory.sessions.load_many(token_hashes, now_ms=self._clock())

    async def _read_ready_data(self, user_ids: Collection[UserId]) -> ReadyData:
        async with self._directory.database.read() as reader:
            rooms = await listeners.rooms_of(reader, user_ids)
        await self._read_blocks(user_ids)
        partners = {room.partner_id for own in rooms.values() for room in own if room.partner_id is not None}
        return ReadyData(rooms, await self._directory.profiles.load({*user_ids, *partners}))

    async def _read_blocks(self, user_ids: Collection[UserId]) -> None:
        """Read whom some users block or are blocked by, again if a block changed meanwhile."""
        are_set = False
        while not are_set:
            read_at = self._presences.block_changes
            async with self._directory.database.read() as reader:
                blocked = await blocks.around(reader, user_ids)
            are_set = self._presences.set_blocks(blocked, read_at=read_at)

    async def identify(self, connection: Connection, request: Identify) -> None:
        """Identify a client and send `ready`, or close its connection with a reason."""
        viewer = await self._viewer(request)
        if viewer is None or not _may_subscribe(viewer):
            connection.close(close_codes.REFUSED)
            return
        if len(self._hub.connections_of(viewer.user_id)) >= PER_USER_MAX:
            connection.close(close_codes.TOO_MANY)
            return
        if connection.is_closed():
            return
        connection.viewer = viewer
        self._hub.register(connection)
        if self._directory.sessions.peek(viewer.token_hash, now_ms=self._clock()) is None:
            # It may have ended after it was read and before the connection was registered.
            self._hub.recheck([connection])
        data = await self._ready_data.fetch([viewer.user_id])
        overviews = await self._overviews(viewer.user_id, map(RoomId, request.overview))
        if connection.is_closed():
            return
        rooms = [one for one in data.rooms[viewer.user_id] if one.room.id not in connection.left_rooms]
        self._subscribe(connection, rooms, request, overviews)
        connection.become_ready(frames.message("ready", self._ready(connection, rooms, data.profiles, overviews)))
        self._presences.report(connection, request.presence or Presence())
        for room_id in list(connection.joined_rooms):
            self._hub.introduce(connection, room_id)
        if request.resume:
            positions = {RoomId(room_id): seq for room_id, seq in request.resume.items()}
            connection.start(self._resume(connection, positions))

    async def _viewer(self, request: Identify) -> Viewer | None:
        now_ms = self._clock()
        token_hash = (
            self._tickets.use(request.ticket, now_ms=now_ms) if request.ticket else hash_token(request.token or "")
        )
        if token_hash is None:
            return None
        sessions = self._directory.sessions
        if request.token is not None and bot_tokens.is_one(request.token):
            return sessions.peek(token_hash, now_ms=now_ms) or await sessions.load(
                token_hash, of_bot=True, now_ms=now_ms
            )
        known = sessions.peek(token_hash, now_ms=now_ms)
        return known or (await self._viewers.fetch([token_hash])).get(token_hash)

    def touch(self, connections: Iterable[Connection]) -> None:
        """Extend the sessions of connections, as using them over HTTP does."""
        now_ms = self._clock()
        for connection in connections:
            if connection.viewer is not None:
                self._directory.sessions.peek(connection.viewer.token_hash, now_ms=now_ms)

    async def recheck(self, connections: Collection[Connection]) -> None:
        """Close the connections whose sessions ended, and update the blocks of the others' users."""
        alive = await self._alive({one.viewer for one in connections if one.viewer is not None})
        for connection in connections:
            found = None if connection.token_hash is None else alive.get(connection.token_hash)
            if found is None or not _may_subscribe(found):
                connection.close(close_codes.ENDED)
            else:
                connection.viewer = found
        await self._read_blocks({viewer.user_id for viewer in alive.values()})

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
            except ShardError as error:  # the client sees that it is missing, and may request it later
                log.info("an overview was left out", extra={"room_id": room_id, "reason": str(error)})
        return found

    async def overview(self, user_id: UserId, room_id: RoomId) -> Overview:
        """Return a room as a member sees it; raises NotFoundError for users who are not members."""
        return await self._pool.read(room_id, gateway.look_around, user_id, now_ms=self._clock())

    def _subscribe(
        self,
        connection: Connection,
        rooms: Collection[ListenedRoom],
        request: Identify,
        overviews: Mapping[RoomId, Overview],
    ) -> None:
        for one in rooms:
            room_id = one.room.id
            if room_id in connection.subscriptions:
                continue
            if room_id in request.resume:
                self._hub.room(room_id).subscribe(connection, request.resume[room_id], is_idle=False)
            elif room_id in overviews:
                self._hub.subscribe(connection, room_id, overviews[room_id].last_seq)
            else:
                self._hub.subscribe(connection, room_id, self._hub.last_seq(room_id, one.last_seq))

    def _ready(
        self,
        connection: Connection,
        rooms: Collection[ListenedRoom],
        profiles: Mapping[UserId, Profile],
        overviews: Mapping[RoomId, Overview],
    ) -> schemas.ReadyView:
        return {
            "user": schemas.user(profiles[connection.user_id]),
            "rooms": [schemas.subscribed_room(one, _position(connection, one)) for one in rooms],
            "overviews": [schemas.overview(room_id, one) for room_id, one in overviews.items()],
            "users": schemas.partners(rooms, profiles),
        }

    async def _resume(self, connection: Connection, positions: Mapping[RoomId, int]) -> None:
        """Resume a client's rooms, one after the other, at the pace at which it reads."""
        await connection.drain()
        for room_id, position in positions.items():
            # Its user may have joined the room again while the directory was asked.
            if (
                room_id not in connection.subscriptions
                and await self._is_member(connection, room_id)
                and room_id not in connection.subscriptions
            ):
                self._hub.room(room_id).subscribe(connection, position, is_idle=False)
            room = self._hub.find_room(room_id)
            if room is None or room_id not in connection.subscriptions:
                connection.write(frames.removed(room_id, "not_a_member"))
            else:
                await room.resume(connection)

    async def _is_member(self, connection: Connection, room_id: RoomId) -> bool:
        """Tell whether the client's user is a member of a room that `ready` left out because of its limit."""
        if room_id in connection.left_rooms:
            return False
        async with self._directory.database.read() as reader:
            return await members.find(reader, room_id, connection.user_id) is not None


def _position(connection: Connection, room: ListenedRoom) -> int:
    """Return the position of a subscription that was made just now."""
    subscription = connection.subscriptions[room.room.id]
    assert not isinstance(subscription, Live), "nothing was awaited since it began"
    return subscription.position


def _may_subscribe(viewer: Viewer) -> bool:
    return viewer.scopes is None or Scope.MESSAGES_READ in viewer.scopes

"""What clients can ask for over the gateway, beside what HTTP has: the same acts upon the same shards."""

from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ids import ChannelId, MessageId, RoomId, ThreadId, UserId
from router import sending
from router.doors import RoomDoor
from router.gateway import frames
from router.gateway.connections import Connection
from router.gateway.desk import Op
from router.gateway.hub import Hub
from router.gateway.identifying import Identification
from router.gateway.presence import Presences
from router.scopes import Scope
from router.views import gateway as views
from router.views.gateway import PresenceListView
from router.views.reading import MarkerView
from router.views.values import moment, text_or_none
from router.wire.gateway import AskPresences, Presence, Read, Send, Subscribe, Typing, Unsubscribe
from shard.acts import joining, reading, watching
from shard.acts.talking import Sent
from shard.errors import ConflictError, NotFoundError
from shard.history import History
from shard.messages import Draft
from shard.pool import ShardPool

TYPING_SECONDS: Final = 8
"""How long clients show that somebody types; who goes on typing says so again before."""
ASKED_MAX: Final = 500
"""People of one answer about presence."""


@dataclass(frozen=True, slots=True)
class Acts:
    """The requests and what they need."""

    hub: Hub
    presences: Presences
    identification: Identification
    door: RoomDoor
    pool: ShardPool
    history: History
    message_length_max: int

    def ops(self) -> Mapping[str, Op]:
        """Return every request but those that every connection begins with."""
        return {
            "send": Op(Send, self.send, Scope.MESSAGES_WRITE, sent),
            "typing": Op(Typing, self.typing, Scope.MESSAGES_WRITE),
            "read": Op(Read, self.read, Scope.MESSAGES_READ),
            "presence": Op(Presence, self.presence, Scope.MESSAGES_READ),
            "presences": Op(AskPresences, self.ask_presences, Scope.MESSAGES_READ),
            "subscribe": Op(Subscribe, self.subscribe, Scope.MESSAGES_READ),
            "unsubscribe": Op(Unsubscribe, self.unsubscribe, Scope.MESSAGES_READ),
        }

    def send(self, connection: Connection, asked: Send, now_ms: int) -> Awaitable[Sent]:
        """Store a message, and answer when it is on disk."""
        draft = sending.draft(asked, self.message_length_max, place="d")
        if self.door.peek_for_talking(RoomId(asked.room_id), connection.user_id) is None:
            return self._reach_and_store(connection.user_id, asked, draft, now_ms)
        return self._store(connection.user_id, asked, draft, now_ms)

    async def _reach_and_store(self, user_id: UserId, asked: Send, draft: Draft, now_ms: int) -> Sent:
        await self.door.reach_for_talking(RoomId(asked.room_id), user_id, now_ms=now_ms)
        return await self._store(user_id, asked, draft, now_ms)

    def _store(self, user_id: UserId, asked: Send, draft: Draft, now_ms: int) -> Awaitable[Sent]:
        return self.history.send_message(
            RoomId(asked.room_id), user_id, ChannelId(asked.channel_id), draft, now_ms=now_ms
        )

    async def typing(self, connection: Connection, asked: Typing, now_ms: int) -> None:
        """Tell the others who see a channel that somebody writes in it."""
        place = RoomId(asked.room_id), ChannelId(asked.channel_id)
        await self.type(connection.user_id, *place, asked.thread_id, now_ms=now_ms)

    async def type(
        self, user_id: UserId, room_id: RoomId, channel_id: ChannelId, thread_id: int | None, *, now_ms: int
    ) -> None:
        """Tell the others who see a channel that somebody writes in it; raises what sending there would."""
        await self.door.reach_for_talking(room_id, user_id, now_ms=now_ms)
        in_thread = thread_id is not None
        await self.pool.read(room_id, watching.may_type, user_id, channel_id, in_thread=in_thread, now_ms=now_ms)
        room = self.hub.known_room(room_id)
        if room is None:
            return
        facts = {
            "room_id": str(room_id),
            "channel_id": str(channel_id),
            "thread_id": text_or_none(thread_id),
            "user_id": str(user_id),
            "seconds": TYPING_SECONDS,
        }
        await room.whisper(frames.told("typing", facts), channel_id, but=user_id)

    async def read(self, connection: Connection, asked: Read, now_ms: int) -> MarkerView:
        """Move one's marker, and tell one's other connections."""
        room_id, channel_id = RoomId(asked.room_id), ChannelId(asked.channel_id)
        await self.door.reach_for_writing(room_id, connection.user_id, now_ms=now_ms)
        stands_at = await self.pool.write(
            room_id,
            reading.mark_read,
            connection.user_id,
            channel_id,
            None if asked.thread_id is None else ThreadId(asked.thread_id),
            None if asked.last_read_id is None else MessageId(asked.last_read_id),
            may_go_back=asked.may_go_back,
            now_ms=now_ms,
        )
        marker: MarkerView = {
            "channel_id": str(channel_id),
            "thread_id": text_or_none(asked.thread_id),
            "last_read_id": str(stands_at),
        }
        frame = frames.told("read", {"room_id": str(room_id), **marker})
        for other in self.hub.connections_of(connection.user_id) - {connection}:
            other.write(frame)
        return marker

    async def presence(self, connection: Connection, asked: Presence, now_ms: int) -> None:
        """Say how present one is."""
        self.presences.claim(connection, asked)

    async def ask_presences(self, connection: Connection, asked: AskPresences, now_ms: int) -> PresenceListView:
        """Tell who is there of some users, or of all who are connected to a room."""
        user_ids = None if asked.user_ids is None else set(map(UserId, asked.user_ids))
        return await self.present(connection.user_id, RoomId(asked.room_id), user_ids, now_ms=now_ms)

    async def present(
        self, seer: UserId, room_id: RoomId, user_ids: Collection[UserId] | None, *, now_ms: int
    ) -> PresenceListView:
        """Return who is there of some users, None for all, whom somebody may see in a room of theirs; raises
        NotFoundError for other rooms."""
        await self.door.reach(room_id)
        await self.pool.read(room_id, joining.membership, seer, now_ms=now_ms)
        room = self.hub.known_room(room_id)
        there = set(room.people()) if room is not None else set()
        wanted = sorted(there if user_ids is None else there.intersection(user_ids))
        presences = self.presences.of_room(room_id, seer, wanted[:ASKED_MAX])
        return {"room_id": str(room_id), "presences": presences}

    async def subscribe(self, connection: Connection, asked: Subscribe, now_ms: int) -> dict[str, Any]:
        """Hear a room, from its next event on or from an earlier one."""
        room_id = RoomId(asked.room_id)
        await self.door.reach(room_id)
        connection.left.discard(room_id)
        seen = await self.identification.overview(connection.user_id, room_id)
        if room_id in connection.left:
            raise NotFoundError("room")
        connection.muted.discard(room_id)
        is_heard = room_id in connection.places
        if asked.after is not None:
            if is_heard:
                raise ConflictError(
                    "This connection hears the room already: unsubscribe first, to hear it from a place."
                )
            room = self.hub.room(room_id)
            room.listen(connection, asked.after, is_asleep=False)
            connection.start(room.resume(connection))
        elif not is_heard:
            self.hub.listen(connection, room_id, seen.last_seq)
        if asked.overview:
            return {**views.overview(room_id, seen)}
        return {"room_id": str(room_id), "last_seq": seen.last_seq}

    async def unsubscribe(self, connection: Connection, asked: Unsubscribe, now_ms: int) -> None:
        """Hear a room no more."""
        connection.muted.add(RoomId(asked.room_id))
        self.hub.stop(connection, RoomId(asked.room_id))


def sent(stored: Sent) -> dict[str, Any]:
    """Render that a message is stored."""
    message = stored.message
    return {
        "id": str(message.id),
        "channel_id": str(message.channel_id),
        "created_at": moment(message.created_at),
        "nonce": message.nonce,
        "is_new": stored.is_new,
    }

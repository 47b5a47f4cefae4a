"""Ops: the requests of clients over the gateway; they run the same actions as those over HTTP."""

from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ids import ChannelId, MessageId, RoomId, ThreadId, UserId
from router.gateway import frames
from router.gateway.connection import Connection
from router.gateway.hub import Hub
from router.gateway.identify import Identification
from router.gateway.own_state import OwnState
from router.gateway.presence import Presences
from router.gateway.requests import Op
from router.room_access import RoomAccess
from router.schemas import gateway as schemas
from router.schemas import messages
from router.schemas.fields import moment, text_or_none
from router.schemas.gateway import AskPresences, Presence, PresenceListView, Read, Send, Subscribe, Typing, Unsubscribe
from router.schemas.unread import MarkerView
from router.scopes import Scope
from router.sends import Sends
from shard.actions import gateway, members, unread
from shard.actions.messages import Sent
from shard.engine.pool import ShardPool
from shard.errors import ConflictError, NotFoundError
from shard.history.history import History

TYPING_SECONDS: Final = 8
"""Seconds for which clients show that a user types; while the user continues, the client reports it again before they
end."""
ASKED_MAX: Final = 500
"""Maximum number of users in one reply about presence."""


@dataclass(frozen=True, slots=True)
class Ops:
    """Requests after `identify`, and their dependencies."""

    hub: Hub
    presences: Presences
    own_state: OwnState
    identification: Identification
    room_access: RoomAccess
    pool: ShardPool
    history: History
    message_length_max: int

    def ops(self) -> Mapping[str, Op]:
        """Return the ops by name, without `identify` and `heartbeat`."""
        return {
            "send": Op(Send, self.send, Scope.MESSAGES_WRITE, sent),
            "typing": Op(Typing, self.typing, Scope.MESSAGES_WRITE),
            "read": Op(Read, self.read, Scope.MESSAGES_READ),
            "presence": Op(Presence, self.presence, Scope.MESSAGES_READ),
            "presences": Op(AskPresences, self.ask_presences, Scope.MESSAGES_READ),
            "subscribe": Op(Subscribe, self.subscribe, Scope.MESSAGES_READ),
            "unsubscribe": Op(Unsubscribe, self.unsubscribe, Scope.MESSAGES_READ),
        }

    def send(self, connection: Connection, request: Send, now_ms: int) -> Awaitable[Sent]:
        """Store a message; the reply follows when it is on disk."""
        messages.require_length(request.content, self.message_length_max, place="d")
        # A costly text is parsed in the room's thread: a client's messages that follow each other stay in order.
        return Sends(self.room_access, self.history).begin(
            RoomId(request.room_id), connection.user_id, ChannelId(request.channel_id),
            request.draft(), now_ms=now_ms,
        )  # fmt: skip

    async def typing(self, connection: Connection, request: Typing, now_ms: int) -> None:
        """Notify the other users who can see a channel that the client's user types in it."""
        room_id, channel_id = RoomId(request.room_id), ChannelId(request.channel_id)
        await self.room_access.talkable(room_id, connection.user_id, now_ms=now_ms)
        await self.publish_typing(connection.user_id, room_id, channel_id, request.thread_id, now_ms=now_ms)

    async def publish_typing(
        self, user_id: UserId, room_id: RoomId, channel_id: ChannelId, thread_id: int | None, *, now_ms: int
    ) -> None:
        """Notify the other users who can see a channel of a talkable room that a user types in it; raises the errors of
        sending there."""
        in_thread = thread_id is not None
        await self.pool.read(room_id, gateway.may_type, user_id, channel_id, in_thread=in_thread, now_ms=now_ms)
        room = self.hub.find_room(room_id)
        if room is None:
            return
        facts = {
            "room_id": str(room_id),
            "channel_id": str(channel_id),
            "thread_id": text_or_none(thread_id),
            "user_id": str(user_id),
            "seconds": TYPING_SECONDS,
        }
        await room.send_ephemeral(frames.message("typing", facts), channel_id, except_user_id=user_id)

    async def read(self, connection: Connection, request: Read, now_ms: int) -> MarkerView:
        """Move a read marker of the client's user, and send it to the user's other connections."""
        room_id, channel_id = RoomId(request.room_id), ChannelId(request.channel_id)
        await self.room_access.writable(room_id, connection.user_id, now_ms=now_ms)
        stands_at = await self.pool.write(
            room_id,
            unread.mark_read,
            connection.user_id,
            channel_id,
            None if request.thread_id is None else ThreadId(request.thread_id),
            None if request.last_read_id is None else MessageId(request.last_read_id),
            may_go_back=request.may_go_back,
            now_ms=now_ms,
        )
        marker: MarkerView = {
            "channel_id": str(channel_id),
            "thread_id": text_or_none(request.thread_id),
            "last_read_id": str(stands_at),
        }
        self.own_state.read(connection.user_id, room_id, marker, but=connection)
        return marker

    async def presence(self, connection: Connection, request: Presence, now_ms: int) -> None:
        """Report the presence of the client's user."""
        self.presences.report(connection, request)

    async def ask_presences(self, connection: Connection, request: AskPresences, now_ms: int) -> PresenceListView:
        """Return the presences of some users, or of all who are connected to a room."""
        room_id = RoomId(request.room_id)
        await self.room_access.readable(room_id)
        user_ids = None if request.user_ids is None else set(map(UserId, request.user_ids))
        return await self.presences_in(connection.user_id, room_id, user_ids, now_ms=now_ms)

    async def presences_in(
        self, seer: UserId, room_id: RoomId, user_ids: Collection[UserId] | None, *, now_ms: int
    ) -> PresenceListView:
        """Return the presences of some users, None for all, that a member of a room may see there; raises NotFoundError
        where the seer is not a member."""
        await self.pool.read(room_id, members.membership, seer, now_ms=now_ms)
        room = self.hub.find_room(room_id)
        connected = set(room.users()) if room is not None else set()
        wanted = sorted(connected if user_ids is None else connected.intersection(user_ids))
        presences = self.presences.of_room(room_id, seer, wanted[:ASKED_MAX])
        return {"room_id": str(room_id), "presences": presences}

    async def subscribe(self, connection: Connection, request: Subscribe, now_ms: int) -> dict[str, Any]:
        """Subscribe to a room, from its next event on or from an earlier one."""
        room_id = RoomId(request.room_id)
        await self.room_access.readable(room_id)
        connection.left_rooms.discard(room_id)
        seen = await self.identification.overview(connection.user_id, room_id)
        if room_id in connection.left_rooms:
            raise NotFoundError("room")
        connection.unsubscribed.discard(room_id)
        is_subscribed = room_id in connection.subscriptions
        if request.after is not None:
            if is_subscribed:
                raise ConflictError(
                    "This connection hears the room already: unsubscribe first, to hear it from a place."
                )
            room = self.hub.room(room_id)
            room.subscribe(connection, request.after, is_idle=False)
            connection.start(room.resume(connection))
        elif not is_subscribed:
            self.hub.subscribe(connection, room_id, seen.last_seq)
        if request.overview:
            return {**schemas.overview(room_id, seen)}
        return {"room_id": str(room_id), "last_seq": seen.last_seq}

    async def unsubscribe(self, connection: Connection, request: Unsubscribe, now_ms: int) -> None:
        """Unsubscribe from a room, for this connection."""
        connection.unsubscribed.add(RoomId(request.room_id))
        self.hub.unsubscribe(connection, RoomId(request.room_id))


def sent(stored: Sent) -> dict[str, Any]:
    """Render the reply to a stored message."""
    message = stored.message
    return {
        "id": str(message.id),
        "channel_id": str(message.channel_id),
        "created_at": moment(message.created_at),
        "nonce": message.nonce,
        "is_new": stored.is_new,
    }

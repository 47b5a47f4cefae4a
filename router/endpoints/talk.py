"""Talking: sending and reading messages."""

from dataclasses import dataclass

from ids import MessageId, ThreadId
from router import cursors, sending
from router.doors import People, RoomDoor
from router.errors import FieldFault, InvalidError
from router.scopes import Scope
from router.table import Call, Reply, Route
from router.views import talk as views
from router.views.talk import MessagePageView, MessageView
from router.wire.fields import Nothing
from router.wire.talk import HistoryQuery, SendMessage
from shard.acts import paging
from shard.history import History

MESSAGES = "/v1/rooms/{room_id}/channels/{channel_id}/messages"


@dataclass(frozen=True, slots=True)
class Talk:
    """The endpoints and what they need."""

    door: RoomDoor
    history: History
    people: People
    message_length_max: int
    page_size_max: int

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part, the busiest first."""
        return (
            Route(
                "POST", MESSAGES, self.send, "Send a message", "messages", MessageView, 201, SendMessage,
                or_status=200, refusals=(409,), scope=Scope.MESSAGES_WRITE,
            ),
            Route(
                "GET", MESSAGES, self.page, "Read history", "messages", MessagePageView, query=HistoryQuery,
                scope=Scope.MESSAGES_READ,
            ),
            Route(
                "GET", MESSAGES + "/{message_id}", self.one, "Read one message", "messages", MessageView,
                scope=Scope.MESSAGES_READ,
            ),
        )  # fmt: skip

    async def send(self, call: Call[SendMessage, Nothing]) -> Reply:
        """Store a message, and answer when it is on disk: 201 for a new one, 200 when its nonce was sent before."""
        draft = sending.draft(call.body, self.message_length_max)
        room = await self.door.reach_for_talking(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        sent = await self.history.send_message(
            room.room_id,
            call.user_id,
            call.path["channel_id"],
            draft,
            now_ms=call.now_ms,
        )
        return Reply(views.message(room.room_id, sent.message), 201 if sent.is_new else 200)

    async def page(self, call: Call[Nothing, HistoryQuery]) -> Reply:
        """Read a stretch of a channel or of one thread."""
        span = self._span(call.query)
        room = await self.door.reach(call.path["room_id"])
        page = await self.history.read_page(
            room.room_id,
            call.user_id,
            call.path["channel_id"],
            None if call.query.thread_id is None else ThreadId(call.query.thread_id),
            span,
            now_ms=call.now_ms,
        )
        rendered, replied_to = views.page(room.room_id, page.packed), views.page(room.room_id, page.replied_to or "[]")
        answer: MessagePageView = {
            "messages": rendered.messages,
            "replied_to": replied_to.messages,
            "my_reactions": {str(message_id): [*own] for message_id, own in page.own_reactions.items()},
            "users": await self.people.of(rendered.user_ids | replied_to.user_ids),
            "has_older": page.has_older,
            "has_newer": page.has_newer,
        }
        return Reply(answer)

    def _span(self, query: HistoryQuery) -> paging.Span:
        places = [name for name in ("before", "after", "around") if getattr(query, name) is not None]
        if len(places) > 1:
            raise InvalidError([FieldFault(f"query.{name}", "at most one of before, after, around") for name in places])
        return paging.Span(
            cursors.size(query, self.page_size_max),
            None if query.before is None else MessageId(query.before),
            None if query.after is None else MessageId(query.after),
            None if query.around is None else MessageId(query.around),
        )

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Read one message."""
        room = await self.door.reach(call.path["room_id"])
        message = await self.history.get_message(
            room.room_id,
            call.user_id,
            call.path["channel_id"],
            call.path["message_id"],
            now_ms=call.now_ms,
        )
        return Reply(views.message(room.room_id, message))

"""Talking: messages, threads, search."""

from dataclasses import dataclass

from ids import ChannelId, MessageId, ThreadId
from router import cursors
from router.doors import People, RoomDoor
from router.errors import FieldFault, InvalidError
from router.table import Call, Reply, Route
from router.views import talk as views
from router.views.talk import MessagePageView, MessageView, SearchView, ThreadPageView, ThreadView
from router.wire.fields import Nothing, PageQuery
from router.wire.talk import CreateThread, HistoryQuery, SearchQuery, SendMessage
from shard import search
from shard.acts import paging, searching, talking
from shard.messages import Draft
from shard.pool import ShardPool

MESSAGES = "/v1/rooms/{room_id}/channels/{channel_id}/messages"
SEARCH = "/v1/rooms/{room_id}/search"
THREADS = "/v1/rooms/{room_id}/channels/{channel_id}/threads"


@dataclass(frozen=True, slots=True)
class Talk:
    """The endpoints and what they need."""

    door: RoomDoor
    pool: ShardPool
    people: People
    message_length_max: int
    page_size_max: int
    search_deadline_seconds: float

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part, the busiest first."""
        return (
            Route(
                "POST", MESSAGES, self.send, "Send a message", "messages", MessageView, 201, SendMessage,
                or_status=200, refusals=(409,),
            ),
            Route("GET", MESSAGES, self.page, "Read history", "messages", MessagePageView, query=HistoryQuery),
            Route("GET", MESSAGES + "/{message_id}", self.one, "Read one message", "messages", MessageView),
            Route(
                "POST", THREADS, self.open_thread, "Open a thread", "threads", ThreadView, 201, CreateThread,
                refusals=(409,),
            ),
            Route("GET", THREADS, self.threads, "List threads", "threads", ThreadPageView, query=PageQuery),
            Route("GET", SEARCH, self.find, "Search a room", "messages", SearchView, query=SearchQuery),
        )  # fmt: skip

    async def send(self, call: Call[SendMessage, Nothing]) -> Reply:
        """Store a message, and answer when it is on disk: 201 for a new one, 200 when its nonce was sent before."""
        body = call.body
        if len(body.content) > self.message_length_max:
            raise InvalidError([FieldFault("body.content", f"at most {self.message_length_max} characters")])
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        thread_id = None if body.thread_id is None else ThreadId(body.thread_id)
        reply_to_id = None if body.reply_to_id is None else MessageId(body.reply_to_id)
        sent = await self.pool.write(
            room.room_id,
            talking.send_message,
            call.user_id,
            call.path["channel_id"],
            Draft(body.content, body.nonce, thread_id, reply_to_id),
            now_ms=call.now_ms,
        )
        return Reply(views.message(room.room_id, sent.message), 201 if sent.is_new else 200)

    async def page(self, call: Call[Nothing, HistoryQuery]) -> Reply:
        """Read a stretch of a channel or of one thread."""
        span = self._span(call.query)
        room = await self.door.reach(call.path["room_id"])
        page = await self.pool.read(
            room.room_id,
            paging.read_page,
            call.user_id,
            call.path["channel_id"],
            None if call.query.thread_id is None else ThreadId(call.query.thread_id),
            span,
            now_ms=call.now_ms,
        )
        rendered = views.page(room.room_id, page.packed)
        answer: MessagePageView = {
            "messages": rendered.messages,
            "users": await self.people.of(rendered.user_ids),
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
        message = await self.pool.read(
            room.room_id,
            paging.get_message,
            call.user_id,
            call.path["channel_id"],
            call.path["message_id"],
            now_ms=call.now_ms,
        )
        return Reply(views.message(room.room_id, message))

    async def open_thread(self, call: Call[CreateThread, Nothing]) -> Reply:
        """Open a thread in a channel."""
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        thread = await self.pool.write(
            room.room_id,
            talking.open_thread,
            call.user_id,
            call.path["channel_id"],
            call.body.title,
            now_ms=call.now_ms,
        )
        return Reply(views.thread(room.room_id, thread), 201)

    async def threads(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List a channel's threads, last active first."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 2)
        room = await self.door.reach(call.path["room_id"])
        found = await self.pool.read(
            room.room_id,
            talking.list_threads,
            call.user_id,
            call.path["channel_id"],
            before=None if place is None else (place[0], ThreadId(place[1])),
            limit=limit + 1,
            now_ms=call.now_ms,
        )
        page = found[:limit]
        last = page[-1] if len(found) > limit else None
        answer: ThreadPageView = {
            "threads": [views.thread(room.room_id, thread) for thread in page],
            "next_cursor": cursors.write(last.last_message_at, last.id) if last else None,
        }
        return Reply(answer)

    async def find(self, call: Call[Nothing, SearchQuery]) -> Reply:
        """Search the channels that the caller sees."""
        query, wanted = call.query, search.parse(call.query.q)
        limit = cursors.size(query, self.page_size_max)
        room = await self.door.reach(call.path["room_id"])
        found = await self.pool.search(
            self.search_deadline_seconds,
            room.room_id,
            searching.search_messages,
            call.user_id,
            wanted,
            channel_id=None if query.channel_id is None else ChannelId(query.channel_id),
            before=None if query.before is None else MessageId(query.before),
            limit=limit + 1,
            now_ms=call.now_ms,
        )
        page = found[:limit]
        answer: SearchView = {
            "messages": views.messages(room.room_id, page),
            "users": await self.people.of(message.user_id for message in page),
            "next_before": str(page[-1].id) if len(found) > limit else None,
        }
        return Reply(answer)

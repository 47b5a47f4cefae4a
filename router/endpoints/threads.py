"""Threads: opening, changing and finding them."""

from dataclasses import dataclass

from ids import ThreadId
from router import cursors
from router.doors import RoomDoor
from router.scopes import Scope
from router.table import Call, Reply, Route
from router.views import threads as views
from router.views.threads import ThreadPageView, ThreadView
from router.wire.fields import Nothing, PageQuery
from router.wire.threads import ChangeThread, CreateThread, ThreadsQuery
from shard.acts import branching
from shard.pool import ShardPool

THREADS = "/v1/rooms/{room_id}/channels/{channel_id}/threads"
THREAD = THREADS + "/{thread_id}"


@dataclass(frozen=True, slots=True)
class Threads:
    """The endpoints and what they need."""

    door: RoomDoor
    pool: ShardPool
    page_size_max: int

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, read, write = "threads", Scope.MESSAGES_READ, Scope.MESSAGES_WRITE
        return (
            Route(
                "POST", THREADS, self.open, "Open a thread", tag, ThreadView, 201, CreateThread,
                refusals=(409,), scope=write,
            ),
            Route(
                "GET", THREADS, self.of_channel, "List a channel's threads", tag, ThreadPageView, query=ThreadsQuery,
                scope=read,
            ),
            Route("GET", THREAD, self.one, "Look at a thread", tag, ThreadView, scope=read),
            Route(
                "PATCH", THREAD, self.change, "Rename, lock or archive a thread", tag, ThreadView, takes=ChangeThread,
                refusals=(409,), scope=write,
            ),
            Route(
                "GET", "/v1/rooms/{room_id}/threads", self.of_room, "List a room's active threads", tag,
                ThreadPageView, query=PageQuery, scope=read,
            ),
        )  # fmt: skip

    async def open(self, call: Call[CreateThread, Nothing]) -> Reply:
        """Open a thread in a channel, which is told so by a message of the server."""
        room = await self.door.reach_for_talking(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        thread = await self.pool.write(
            room.room_id,
            branching.open_thread,
            call.user_id,
            call.path["channel_id"],
            call.body.title,
            now_ms=call.now_ms,
        )
        return Reply(views.thread(room.room_id, thread), 201)

    async def of_channel(self, call: Call[Nothing, ThreadsQuery]) -> Reply:
        """List a channel's threads, last active first."""
        limit, place = cursors.size(call.query, self.page_size_max), _place(call.query)
        room = await self.door.reach(call.path["room_id"])
        if call.query.title is not None:
            titled = await self.pool.read(
                room.room_id,
                branching.complete_title,
                call.user_id,
                call.path["channel_id"],
                call.query.title,
                state=call.query.state,
                limit=limit,
                now_ms=call.now_ms,
            )
            return Reply(views.page(room.room_id, titled, limit))
        found = await self.pool.read(
            room.room_id,
            branching.list_threads,
            call.user_id,
            call.path["channel_id"],
            state=call.query.state,
            before=place,
            limit=limit + 1,
            now_ms=call.now_ms,
        )
        return Reply(views.page(room.room_id, found, limit))

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Look at one thread."""
        room = await self.door.reach(call.path["room_id"])
        thread = await self.pool.read(
            room.room_id,
            branching.get_thread,
            call.user_id,
            call.path["channel_id"],
            call.path["thread_id"],
            now_ms=call.now_ms,
        )
        return Reply(views.thread(room.room_id, thread))

    async def change(self, call: Call[ChangeThread, Nothing]) -> Reply:
        """Rename, archive or revive a thread of one's own; with manage_threads any, and lock or unlock it."""
        room = await self.door.reach_for_talking(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        thread = await self.pool.write(
            room.room_id,
            branching.change_thread,
            call.user_id,
            call.path["channel_id"],
            call.path["thread_id"],
            call.body.change(),
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(views.thread(room.room_id, thread))

    async def of_room(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List the threads of all channels that the caller may read, last active first, but not archived ones."""
        limit, place = cursors.size(call.query, self.page_size_max), _place(call.query)
        room = await self.door.reach(call.path["room_id"])
        found = await self.pool.read(
            room.room_id, branching.list_active, call.user_id, before=place, limit=limit + 1, now_ms=call.now_ms
        )
        return Reply(views.page(room.room_id, found, limit))


def _place(query: PageQuery) -> tuple[int, ThreadId] | None:
    place = cursors.read(query.cursor, 2)
    return None if place is None else (place[0], ThreadId(place[1]))

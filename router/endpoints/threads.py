"""Endpoints of threads: create, list, read and change.

A route for communities alone says so with `community_only=True` (router/routes.py).
"""

from dataclasses import dataclass

from ids import ThreadId
from router.context import AppContext
from router.room_access import Need
from router.routes import Call, Reply, Route
from router.schemas import threads as schemas
from router.schemas.fields import Nothing, TimedPageQuery
from router.schemas.threads import ChangeThread, CreateThread, ThreadPageView, ThreadsQuery, ThreadView
from router.scopes import Scope
from shard.actions import threads

THREADS = "/v1/rooms/{room_id}/channels/{channel_id}/threads"
THREAD = THREADS + "/{thread_id}"


@dataclass(frozen=True, slots=True)
class Threads:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, read, write = "threads", Scope.MESSAGES_READ, Scope.MESSAGES_WRITE
        return (
            Route(
                "POST", THREADS, self.open, "Create a thread", tag, ThreadView, 201, CreateThread, refusals=(409,),
                room=Need.TALK, scope=write,
            ),
            Route(
                "GET", THREADS, self.of_channel, "List a channel's threads", tag, ThreadPageView, query=ThreadsQuery,
                room=Need.READ, scope=read,
            ),
            Route("GET", THREAD, self.one, "Get a thread", tag, ThreadView, room=Need.READ, scope=read),
            Route(
                "PATCH", THREAD, self.change, "Rename, lock or archive a thread", tag, ThreadView, takes=ChangeThread,
                refusals=(409,), room=Need.TALK, scope=write,
            ),
            Route(
                "GET", "/v1/rooms/{room_id}/threads", self.of_room, "List a room's active threads", tag, ThreadPageView,
                query=TimedPageQuery, room=Need.READ, scope=read,
            ),
        )  # fmt: skip

    async def open(self, call: Call[CreateThread, Nothing]) -> Reply:
        """Create a thread in a channel. The server announces it in the channel with a message of its own."""
        thread = await call.room.write(threads.open_thread, call.channel_id, call.body.title)
        return Reply(schemas.thread(call.room_id, thread), 201)

    async def of_channel(self, call: Call[Nothing, ThreadsQuery]) -> Reply:
        """List a channel's threads, the most recently active first."""
        limit, place = call.query.limit, _place(call.query)
        if call.query.title is not None:
            titled = await call.room.read(
                threads.complete_title, call.channel_id, call.query.title, state=call.query.state, limit=limit
            )
            return Reply(schemas.page(call.room_id, titled, limit))
        found = await call.room.read(
            threads.list_threads, call.channel_id, state=call.query.state, before=place, limit=limit + 1
        )
        return Reply(schemas.page(call.room_id, found, limit))

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return one thread."""
        thread = await call.room.read(threads.get_thread, call.channel_id, call.thread_id)
        return Reply(schemas.thread(call.room_id, thread))

    async def change(self, call: Call[ChangeThread, Nothing]) -> Reply:
        """Rename, archive or unarchive one of the caller's threads. With `manage_threads`, change any thread, and lock
        or unlock it."""
        thread = await call.room.write(
            threads.change_thread, call.channel_id, call.thread_id, call.body.change(), reason=call.body.reason
        )
        return Reply(schemas.thread(call.room_id, thread))

    async def of_room(self, call: Call[Nothing, TimedPageQuery]) -> Reply:
        """List the unarchived threads of all channels that the caller can read, the most recently active first."""
        limit, place = call.query.limit, _place(call.query)
        found = await call.room.read(threads.list_active, before=place, limit=limit + 1)
        return Reply(schemas.page(call.room_id, found, limit))


def _place(query: TimedPageQuery) -> tuple[int, ThreadId] | None:
    return None if query.place is None else (query.place[0], ThreadId(query.place[1]))

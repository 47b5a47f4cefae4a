"""Endpoints of messages: send, read, edit, delete and move."""

from dataclasses import dataclass

from ids import MessageId, ThreadId
from router.context import AppContext
from router.room_access import Need
from router.routes import Call, Reply, Route
from router.schemas import messages as schemas
from router.schemas import pages
from router.schemas.fields import Nothing, PageQuery, Why
from router.schemas.messages import (
    AffectedView,
    DeleteMessages,
    EditMessage,
    HistoryQuery,
    MessagePageView,
    MessageView,
    MoveMessages,
    SendMessage,
    VersionPageView,
)
from router.scopes import Scope
from router.sends import Sends
from shard.actions import messages
from shard.history import mentions

MESSAGES = "/v1/rooms/{room_id}/channels/{channel_id}/messages"
MESSAGE = MESSAGES + "/{message_id}"


@dataclass(frozen=True, slots=True)
class Messages:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part, the busiest first."""
        return (
            # Only `Sends` refuses a room that takes no messages, because a repeated nonce is answered there too.
            Route(
                "POST", MESSAGES, self.send, "Send a message", "messages", MessageView, 201, SendMessage, or_status=200,
                refusals=(409,), room=Need.READ, scope=Scope.MESSAGES_WRITE,
            ),
            Route(
                "GET", MESSAGES, self.page, "List messages", "messages", MessagePageView, query=HistoryQuery,
                room=Need.READ, scope=Scope.MESSAGES_READ,
            ),
            Route(
                "GET", MESSAGE, self.one, "Get a message", "messages", MessageView, room=Need.READ,
                scope=Scope.MESSAGES_READ,
            ),
            Route(
                "PATCH", MESSAGE, self.edit, "Edit a message", "messages", MessageView, takes=EditMessage,
                refusals=(409,), room=Need.TALK, scope=Scope.MESSAGES_WRITE,
            ),
            Route(
                "DELETE", MESSAGE, self.delete, "Delete a message", "messages", None, 204, Why, room=Need.FREE,
                scope=Scope.MESSAGES_WRITE,
            ),
            Route(
                "GET", MESSAGE + "/history", self.versions, "List the versions of a message", "messages",
                VersionPageView, query=PageQuery, room=Need.READ, scope=Scope.MESSAGES_READ,
            ),
            Route(
                "POST", MESSAGES + "/bulk-delete", self.delete_many, "Delete several messages", "messages",
                AffectedView, takes=DeleteMessages, room=Need.FREE, scope=Scope.MESSAGES_WRITE,
            ),
            Route(
                "POST", MESSAGES + "/move", self.move, "Move messages between threads", "messages", AffectedView,
                takes=MoveMessages, refusals=(409,), room=Need.WRITE, scope=Scope.MESSAGES_WRITE,
            ),
        )  # fmt: skip

    async def send(self, call: Call[SendMessage, Nothing]) -> Reply:
        """Send a message. Returns 201 when it is stored on disk, and 200 with the stored message when its nonce was
        sent before."""
        draft = await mentions.add_to(call.body.draft())
        sends = Sends(self.context.rooms, self.context.history)
        sent = await call.room.ask(sends.send, call.channel_id, draft)
        return Reply(schemas.message(call.room_id, sent.message), 201 if sent.is_new else 200)

    async def page(self, call: Call[Nothing, HistoryQuery]) -> Reply:
        """List messages of a channel, or of one of its threads: one page of history."""
        thread_id = None if call.query.thread_id is None else ThreadId(call.query.thread_id)
        page = await call.room.ask(self.context.history.read_page, call.channel_id, thread_id, call.query.span())
        rendered = schemas.page(call.room_id, page.packed)
        replied_to = schemas.page(call.room_id, page.replied_to or "[]")
        answer: MessagePageView = {
            "messages": rendered.messages,
            "replied_to": replied_to.messages,
            "my_reactions": {str(message_id): [*own] for message_id, own in page.own_reactions.items()},
            "users": await self.context.people.of(rendered.user_ids | replied_to.user_ids),
            "has_older": page.has_older,
            "has_newer": page.has_newer,
        }
        return Reply(answer)

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return one message."""
        message = await call.room.ask(self.context.history.get_message, call.channel_id, call.message_id)
        return Reply(schemas.message(call.room_id, message))

    async def edit(self, call: Call[EditMessage, Nothing]) -> Reply:
        """Edit one of the caller's messages. Its earlier versions are kept. An edit with the same content changes
        nothing."""
        named = await mentions.read(call.body.content)
        edited = call.room.write(messages.edit_message, call.channel_id, call.message_id, call.body.content, named)
        message = await self.context.history.changing(call.room_id, edited)
        return Reply(schemas.message(call.room_id, message))

    async def versions(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List the versions of a message, oldest first; the last one is its current content."""
        limit, place = call.query.limit, call.query.place
        versions, last = await call.room.ask(
            self.context.history.list_versions,
            call.channel_id,
            call.message_id,
            after=0 if place is None else place[0],
            limit=limit,
        )
        answer: VersionPageView = {
            "versions": [schemas.version(version) for version in versions],
            "next_cursor": None if last is None else pages.write(last),
        }
        return Reply(answer)

    async def delete(self, call: Call[Why, Nothing]) -> Reply:
        """Delete one of the caller's messages, or with `manage_messages` any message. `reason` is for moderators."""
        await call.room.ask(
            self.context.history.delete_message, call.channel_id, call.message_id, reason=call.body.reason
        )
        return Reply(status=204)

    async def delete_many(self, call: Call[DeleteMessages, Nothing]) -> Reply:
        """Delete up to 100 messages of a channel; ids that are not in it are ignored. Needs `manage_messages`."""
        deleted = await call.room.ask(
            self.context.history.delete_messages,
            call.channel_id,
            [MessageId(number) for number in call.body.ids],
            reason=call.body.reason,
        )
        return Reply(schemas.affected(deleted))

    async def move(self, call: Call[MoveMessages, Nothing]) -> Reply:
        """Move up to 100 messages of a channel into one of its threads, or with null out of any thread; ids that are
        not in the channel are ignored. Needs `manage_threads`. Returns the ids of the messages that moved."""
        moved = await call.room.ask(
            self.context.history.move_messages,
            call.channel_id,
            [MessageId(number) for number in call.body.ids],
            None if call.body.thread_id is None else ThreadId(call.body.thread_id),
            reason=call.body.reason,
        )
        return Reply(schemas.affected(moved))

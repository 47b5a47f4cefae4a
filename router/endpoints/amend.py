"""Changing what was said, and where the server tells of the room."""

from dataclasses import dataclass

from ids import ChannelId, MessageId, ThreadId
from router import cursors
from router.doors import RoomDoor
from router.errors import FieldFault, InvalidError
from router.scopes import Scope
from router.table import Call, Reply, Route
from router.views import talk as views
from router.views.talk import AffectedView, MessageView, SystemChannelView, VersionPageView
from router.views.values import text_or_none
from router.wire.fields import Nothing, PageQuery, Why
from router.wire.talk import ChooseSystemChannel, DeleteMessages, EditMessage, MoveMessages
from shard.acts import amending, announcing
from shard.history import History
from shard.pool import ShardPool

MESSAGES = "/v1/rooms/{room_id}/channels/{channel_id}/messages"
MESSAGE = MESSAGES + "/{message_id}"
SYSTEM_CHANNEL = "/v1/rooms/{room_id}/system-channel"


@dataclass(frozen=True, slots=True)
class Amend:
    """The endpoints and what they need."""

    door: RoomDoor
    pool: ShardPool
    archive: History
    message_length_max: int
    page_size_max: int

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        return (
            Route(
                "PATCH", MESSAGE, self.edit, "Edit a message", "messages", MessageView, takes=EditMessage,
                refusals=(409,), scope=Scope.MESSAGES_WRITE,
            ),
            Route(
                "DELETE", MESSAGE, self.delete, "Delete a message", "messages", None, 204, Why,
                scope=Scope.MESSAGES_WRITE,
            ),
            Route(
                "GET", MESSAGE + "/history", self.history, "See what a message said", "messages", VersionPageView,
                query=PageQuery, scope=Scope.MESSAGES_READ,
            ),
            Route(
                "POST", MESSAGES + "/bulk-delete", self.delete_many, "Delete messages", "messages", AffectedView,
                takes=DeleteMessages, scope=Scope.MESSAGES_WRITE,
            ),
            Route(
                "POST", MESSAGES + "/move", self.move, "Move messages between threads", "messages", AffectedView,
                takes=MoveMessages, refusals=(409,), scope=Scope.MESSAGES_WRITE,
            ),
            Route(
                "GET", SYSTEM_CHANNEL, self.system_channel, "Where the server tells who joined", "channels",
                SystemChannelView, scope=Scope.ROOMS_READ,
            ),
            Route(
                "PUT", SYSTEM_CHANNEL, self.choose_system_channel, "Choose where the server tells who joined",
                "channels", SystemChannelView, takes=ChooseSystemChannel, refusals=(409,), scope=Scope.ROOMS_MANAGE,
            ),
        )  # fmt: skip

    async def edit(self, call: Call[EditMessage, Nothing]) -> Reply:
        """Give one's own message other words; what it said before is kept. The same words again change nothing."""
        if len(call.body.content) > self.message_length_max:
            raise InvalidError([FieldFault("body.content", f"at most {self.message_length_max} characters")])
        room = await self.door.reach_for_talking(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        edited = self.pool.write(
            room.room_id,
            amending.edit_message,
            call.user_id,
            call.path["channel_id"],
            call.path["message_id"],
            call.body.content,
            now_ms=call.now_ms,
        )
        message = await self.archive.changing(room.room_id, edited)
        return Reply(views.message(room.room_id, message))

    async def history(self, call: Call[Nothing, PageQuery]) -> Reply:
        """See what a message said, oldest first and at last what it says."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 1)
        room = await self.door.reach(call.path["room_id"])
        versions, last = await self.archive.list_versions(
            room.room_id,
            call.user_id,
            call.path["channel_id"],
            call.path["message_id"],
            after=0 if place is None else place[0],
            limit=limit,
            now_ms=call.now_ms,
        )
        answer: VersionPageView = {
            "versions": [views.version(version) for version in versions],
            "next_cursor": None if last is None else cursors.write(last),
        }
        return Reply(answer)

    async def delete(self, call: Call[Why, Nothing]) -> Reply:
        """Delete one's own message, or with manage_messages anyone's; a moderator may say why."""
        room = await self.door.reach_for_freeing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.archive.delete_message(
            room.room_id,
            call.user_id,
            call.path["channel_id"],
            call.path["message_id"],
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(status=204)

    async def delete_many(self, call: Call[DeleteMessages, Nothing]) -> Reply:
        """Delete those of up to 100 messages that are in the channel; needs manage_messages."""
        room = await self.door.reach_for_freeing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        deleted = await self.archive.delete_messages(
            room.room_id,
            call.user_id,
            call.path["channel_id"],
            [MessageId(number) for number in call.body.ids],
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(views.affected(deleted))

    async def move(self, call: Call[MoveMessages, Nothing]) -> Reply:
        """Put those of up to 100 messages that are in the channel into one of its threads, or with null into none;
        needs manage_threads. Told are those that were not there yet."""
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        moved = await self.archive.move_messages(
            room.room_id,
            call.user_id,
            call.path["channel_id"],
            [MessageId(number) for number in call.body.ids],
            None if call.body.thread_id is None else ThreadId(call.body.thread_id),
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(views.affected(moved))

    async def system_channel(self, call: Call[Nothing, Nothing]) -> Reply:
        """Where the server tells who joined: null for nowhere, and for a channel that the caller does not see."""
        room = await self.door.reach(call.path["room_id"])
        channel_id = await self.pool.read(room.room_id, announcing.get_channel, call.user_id, now_ms=call.now_ms)
        answer: SystemChannelView = {"channel_id": text_or_none(channel_id)}
        return Reply(answer)

    async def choose_system_channel(self, call: Call[ChooseSystemChannel, Nothing]) -> Reply:
        """Choose where the server tells who joined, with null nowhere; needs manage_room."""
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        chosen = None if call.body.channel_id is None else ChannelId(call.body.channel_id)
        await self.pool.write(
            room.room_id,
            announcing.choose_channel,
            call.user_id,
            chosen,
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        answer: SystemChannelView = {"channel_id": text_or_none(chosen)}
        return Reply(answer)

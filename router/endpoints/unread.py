"""Endpoints of read markers, unread counts, mentions, notification levels, and the export of a room."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from directory import members, room_pages
from ids import MessageId, RoomId, ThreadId
from router.context import AppContext
from router.room_access import Need
from router.routes import Call, Reply, Route
from router.schemas import messages as message_schemas
from router.schemas import pages
from router.schemas import unread as schemas
from router.schemas.fields import Nothing, PageQuery, TimedPageQuery
from router.schemas.unread import (
    ChooseLevel,
    GatheredPageView,
    LevelsView,
    MarkerView,
    MarkRead,
    RoomUnreadListView,
    UnreadPageView,
)
from router.scopes import Scope
from shard.actions import members as member_actions
from shard.actions import unread
from shard.errors import NotFoundError, ShardError
from shard.history.merge import Gathered
from shard.rows import Message
from shard.tables.notification_levels import Level
from shard.tables.read_markers import ChannelUnread

ROOM = "/v1/rooms/{room_id}"
CHANNEL = ROOM + "/channels/{channel_id}"
LEVEL = CHANNEL + "/notifications"

ROOMS_AT_ONCE = 8
"""Shards that one request reads at a time: it must not open a hundred shards at once."""


@dataclass(frozen=True, slots=True)
class Unread:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, scope = "reading", Scope.MESSAGES_READ
        return (
            Route(
                "GET", "/v1/unread", self.unread, "List unread counts of my rooms", tag, UnreadPageView,
                query=TimedPageQuery, scope=scope,
            ),
            Route(
                "GET", ROOM + "/unread", self.unread_of_room, "List unread counts of a room", tag, RoomUnreadListView,
                room=Need.READ, scope=scope,
            ),
            Route(
                "PUT", CHANNEL + "/read", self.mark_channel, "Mark a channel as read", tag, MarkerView, takes=MarkRead,
                room=Need.WRITE, scope=scope,
            ),
            Route(
                "PUT", CHANNEL + "/threads/{thread_id}/read", self.mark_thread, "Mark a thread as read", tag,
                MarkerView, takes=MarkRead, room=Need.WRITE, scope=scope,
            ),
            Route(
                "PUT", ROOM + "/read", self.mark_room, "Mark a room as read", tag, None, 204, room=Need.WRITE,
                scope=scope,
            ),
            Route(
                "GET", ROOM + "/mentions", self.mentions, "List my mentions", tag, GatheredPageView, query=PageQuery,
                room=Need.READ, scope=scope,
            ),
            Route(
                "GET", ROOM + "/export", self.export, "Export a room", tag, GatheredPageView,
                query=PageQuery, room=Need.READ, scope=scope,
            ),
            Route(
                "GET", ROOM + "/notifications", self.levels, "Get my notification levels", tag, LevelsView,
                room=Need.READ, scope=scope,
            ),
            Route(
                "PUT", ROOM + "/notifications", self.set_level, "Set a room's notification level", tag, LevelsView,
                takes=ChooseLevel, room=Need.READ, scope=scope,
            ),
            Route(
                "PUT", LEVEL, self.set_channel_level, "Set a channel's notification level", tag, None, 204,
                ChooseLevel, room=Need.WRITE, scope=scope,
            ),
            Route(
                "DELETE", LEVEL, self.clear_channel_level, "Clear a channel's notification level", tag, None, 204,
                room=Need.WRITE, scope=scope,
            ),
        )  # fmt: skip

    async def unread(self, call: Call[Nothing, TimedPageQuery]) -> Reply:
        """Count the caller's unread messages and mentions in all of their rooms."""
        limit, place = call.query.limit, call.query.place
        after = room_pages.START if place is None else (place[0], place[1])
        async with self.context.directory.database.read() as reader:
            rooms = await room_pages.of_user(reader, call.user_id, after=after, limit=limit + 1)
        page = rooms[:limit]
        found, unavailable = await self._count([room.id for room in page if room.state != "hibernated"], call)
        answer: UnreadPageView = {
            "rooms": [schemas.room_unread(room, found[room.id]) for room in page if room.id in found],
            "unavailable_room_ids": [str(room_id) for room_id in unavailable],
            "hibernated_room_ids": [str(room.id) for room in page if room.state == "hibernated"],
            "next_cursor": pages.write(page[-1].joined_at, page[-1].id) if len(rooms) > limit else None,
        }
        return Reply(answer)

    async def _count(
        self, room_ids: Iterable[RoomId], call: Call[Any, Any]
    ) -> tuple[dict[RoomId, list[ChannelUnread]], list[RoomId]]:
        """Read the counts of rooms, ROOMS_AT_ONCE at a time; return the counts, and the rooms that cannot be read
        now."""
        waiting = iter(room_ids)
        found: dict[RoomId, list[ChannelUnread]] = {}
        unavailable: list[RoomId] = []

        async def ask() -> None:
            for room_id in waiting:
                try:
                    found[room_id] = await self.context.pool.read(
                        room_id, unread.count_unread, call.user_id, now_ms=call.now_ms
                    )
                except NotFoundError:
                    # The index may still list a room that the caller has left.
                    continue
                except ShardError:
                    unavailable.append(room_id)

        await asyncio.gather(*(ask() for _ in range(ROOMS_AT_ONCE)))
        return found, unavailable

    async def unread_of_room(self, call: Call[Nothing, Nothing]) -> Reply:
        """Count the caller's unread messages in each channel, and in each thread that has some."""
        left = await call.room.read(unread.count_unread_threads)
        answer: RoomUnreadListView = {
            "channels": [schemas.channel_unread(row) for row in left.channels],
            "threads": [schemas.thread_unread(row) for row in left.threads],
        }
        return Reply(answer)

    async def mark_channel(self, call: Call[MarkRead, Nothing]) -> Reply:
        """Set the caller's read marker of a channel and all of its threads."""
        return await self._mark(call, None)

    async def mark_thread(self, call: Call[MarkRead, Nothing]) -> Reply:
        """Set the caller's read marker of a thread, independently of its channel."""
        return await self._mark(call, call.thread_id)

    async def _mark(self, call: Call[MarkRead, Nothing], thread_id: ThreadId | None) -> Reply:
        asked = call.body.last_read_id
        stands_at = await call.room.write(
            unread.mark_read,
            call.channel_id,
            thread_id,
            None if asked is None else MessageId(asked),
            may_go_back=call.body.may_go_back,
        )
        answer: MarkerView = {
            "channel_id": str(call.channel_id),
            "thread_id": None if thread_id is None else str(thread_id),
            "last_read_id": str(stands_at),
        }
        self.context.gateway.own_state.read(call.user_id, call.room_id, answer)
        return Reply(answer)

    async def mark_room(self, call: Call[Nothing, Nothing]) -> Reply:
        """Mark everything that the caller can read in a room as read."""
        newest_id = await call.room.write(unread.mark_room_read)
        if newest_id is not None:
            self.context.gateway.own_state.read_room(call.user_id, call.room_id, newest_id)
        return Reply(status=204)

    async def mentions(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List the messages of others that mention the caller, one of their roles or everyone, newest first."""
        limit, place = call.query.limit, call.query.place
        found = await call.room.ask(
            self.context.history.list_mentions, before=None if place is None else MessageId(place[0]), limit=limit + 1
        )
        return Reply(await self._gathered(call.room_id, found, limit))

    async def export(self, call: Call[Nothing, PageQuery]) -> Reply:
        """Export all messages of a room that the caller can read, oldest first."""
        limit, place = call.query.limit, call.query.place
        found = await call.room.ask(
            self.context.history.export_messages, after=MessageId(0 if place is None else place[0]), limit=limit + 1
        )
        return Reply(await self._gathered(call.room_id, found, limit))

    async def _gathered(self, room_id: RoomId, found: Gathered[Message], limit: int) -> GatheredPageView:
        page = found.rows[:limit]
        # An empty page need not be the last one.
        place = page[-1].id if len(found.rows) > limit else found.edge
        return {
            "messages": message_schemas.messages(room_id, page),
            "users": await self.context.people.of(message_schemas.people_in(page)),
            "next_cursor": None if place is None else pages.write(place),
        }

    async def levels(self, call: Call[Any, Any]) -> Reply:
        """Return the caller's notification levels of a room and of its channels."""
        channels = await call.room.read(unread.list_levels)
        async with self.context.directory.database.read() as reader:
            member = await members.find(reader, call.room_id, call.user_id)
        # After a crash during a join the index may lack the member, who then has the default level.
        return Reply(schemas.levels("all" if member is None else member.notification_level, channels))

    async def set_level(self, call: Call[ChooseLevel, Nothing]) -> Reply:
        """Set the caller's notification level of a room. Channels with a level of their own keep it."""
        await call.room.read(member_actions.membership)
        async with self.context.directory.database.write() as writer:
            await members.add(writer, call.room_id, call.user_id, joined_at=call.now_ms)
            await members.update(writer, call.room_id, call.user_id, {"notification_level": call.body.level})
        self.context.gateway.own_state.notifications(call.user_id, call.room_id, None, call.body.level)
        return await self.levels(call)

    async def set_channel_level(self, call: Call[ChooseLevel, Nothing]) -> Reply:
        """Set the caller's notification level of a channel."""
        return await self._level(call, call.body.level)

    async def clear_channel_level(self, call: Call[Nothing, Nothing]) -> Reply:
        """Clear the caller's notification level of a channel; the room's level applies again."""
        return await self._level(call, None)

    async def _level(self, call: Call[Any, Any], level: Level | None) -> Reply:
        await call.room.write(unread.set_level, call.channel_id, level)
        self.context.gateway.own_state.notifications(call.user_id, call.room_id, call.channel_id, level)
        return Reply(status=204)

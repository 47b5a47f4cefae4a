"""Reading: how far, what is left, what calls one, and taking all of it along."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from directory import members, room_pages
from directory.directory import Directory
from ids import MessageId, RoomId, ThreadId
from router import cursors
from router.doors import People, RoomDoor
from router.scopes import Scope
from router.table import Call, Reply, Route
from router.views import reading as views
from router.views import talk as talk_views
from router.views.reading import (
    GatheredPageView,
    LevelsView,
    MarkerView,
    RoomUnreadListView,
    UnreadPageView,
)
from router.wire.fields import Nothing, PageQuery
from router.wire.reading import ChooseLevel, MarkRead
from shard.acts import joining, reading
from shard.channel_levels import Level
from shard.errors import NotFoundError, ShardError
from shard.gathering import Gathered
from shard.history import History
from shard.pool import ShardPool
from shard.read_markers import ChannelUnread
from shard.rows import Message

ROOM = "/v1/rooms/{room_id}"
CHANNEL = ROOM + "/channels/{channel_id}"
LEVEL = CHANNEL + "/notifications"

ROOMS_AT_ONCE = 8
"""Shards that one request asks at a time: a hundred that must be opened first are not all open for it at once."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The endpoints and what they need."""

    directory: Directory
    pool: ShardPool
    history: History
    door: RoomDoor
    people: People
    page_size_max: int

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, scope = "reading", Scope.MESSAGES_READ
        return (
            Route(
                "GET", "/v1/unread", self.unread, "What I have not read", tag, UnreadPageView, query=PageQuery,
                scope=scope,
            ),
            Route(
                "GET", ROOM + "/unread", self.unread_of_room, "What I have not read of a room", tag,
                RoomUnreadListView, scope=scope,
            ),
            Route(
                "PUT", CHANNEL + "/read", self.mark_channel, "Mark a channel as read", tag, MarkerView, takes=MarkRead,
                scope=scope,
            ),
            Route(
                "PUT", CHANNEL + "/threads/{thread_id}/read", self.mark_thread, "Mark a thread as read", tag,
                MarkerView, takes=MarkRead, scope=scope,
            ),
            Route("PUT", ROOM + "/read", self.mark_room, "Mark a room as read", tag, None, 204, scope=scope),
            Route(
                "GET", ROOM + "/mentions", self.mentions, "What calls me", tag, GatheredPageView, query=PageQuery,
                scope=scope,
            ),
            Route(
                "GET", ROOM + "/export", self.export, "Take a room's talk along", tag, GatheredPageView,
                query=PageQuery, scope=scope,
            ),
            Route("GET", ROOM + "/notifications", self.levels, "My notification levels", tag, LevelsView, scope=scope),
            Route(
                "PUT", ROOM + "/notifications", self.set_level, "Choose a room's notification level", tag, LevelsView,
                takes=ChooseLevel, scope=scope,
            ),
            Route(
                "PUT", LEVEL, self.set_channel_level, "Choose a channel's notification level", tag, None, 204,
                ChooseLevel, scope=scope,
            ),
            Route("DELETE", LEVEL, self.clear_channel_level, "Follow the room's level", tag, None, 204, scope=scope),
        )  # fmt: skip

    async def unread(self, call: Call[Nothing, PageQuery]) -> Reply:
        """Count what the caller has not read, and what of it calls them, in all of their rooms."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 2)
        after = room_pages.START if place is None else (place[0], place[1])
        async with self.directory.database.read() as reader:
            rooms = await room_pages.of_user(reader, call.user_id, after=after, limit=limit + 1)
        page = rooms[:limit]
        found, unavailable = await self._count([room.id for room in page if room.state != "hibernated"], call)
        answer: UnreadPageView = {
            "rooms": [views.room_unread(room, found[room.id]) for room in page if room.id in found],
            "unavailable_room_ids": [str(room_id) for room_id in unavailable],
            "hibernated_room_ids": [str(room.id) for room in page if room.state == "hibernated"],
            "next_cursor": cursors.write(page[-1].joined_at, page[-1].id) if len(rooms) > limit else None,
        }
        return Reply(answer)

    async def _count(
        self, room_ids: Iterable[RoomId], call: Call[Any, Any]
    ) -> tuple[dict[RoomId, list[ChannelUnread]], list[RoomId]]:
        """Ask rooms, ROOMS_AT_ONCE at a time; return their counts, and which cannot be asked now."""
        waiting = iter(room_ids)
        found: dict[RoomId, list[ChannelUnread]] = {}
        unavailable: list[RoomId] = []

        async def ask() -> None:
            for room_id in waiting:
                try:
                    found[room_id] = await self.pool.read(
                        room_id, reading.count_unread, call.user_id, now_ms=call.now_ms
                    )
                except NotFoundError:
                    # The index may still have a room that the caller has left.
                    continue
                except ShardError:
                    unavailable.append(room_id)

        await asyncio.gather(*(ask() for _ in range(ROOMS_AT_ONCE)))
        return found, unavailable

    async def unread_of_room(self, call: Call[Nothing, Nothing]) -> Reply:
        """Count what the caller has not read of each channel, and of each thread in which there is something."""
        room = await self.door.reach(call.path["room_id"])
        left = await self.pool.read(room.room_id, reading.count_unread_threads, call.user_id, now_ms=call.now_ms)
        answer: RoomUnreadListView = {
            "channels": [views.channel_unread(row) for row in left.channels],
            "threads": [views.thread_unread(row) for row in left.threads],
        }
        return Reply(answer)

    async def mark_channel(self, call: Call[MarkRead, Nothing]) -> Reply:
        """Say how far one has read a channel and all of its threads."""
        return await self._mark(call, None)

    async def mark_thread(self, call: Call[MarkRead, Nothing]) -> Reply:
        """Say how far one has read a thread, whatever goes for its channel."""
        return await self._mark(call, call.path["thread_id"])

    async def _mark(self, call: Call[MarkRead, Nothing], thread_id: ThreadId | None) -> Reply:
        asked = call.body.last_read_id
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        stands_at = await self.pool.write(
            room.room_id,
            reading.mark_read,
            call.user_id,
            call.path["channel_id"],
            thread_id,
            None if asked is None else MessageId(asked),
            may_go_back=call.body.may_go_back,
            now_ms=call.now_ms,
        )
        answer: MarkerView = {
            "channel_id": str(call.path["channel_id"]),
            "thread_id": None if thread_id is None else str(thread_id),
            "last_read_id": str(stands_at),
        }
        return Reply(answer)

    async def mark_room(self, call: Call[Nothing, Nothing]) -> Reply:
        """Mark everything that the caller may read in a room as read."""
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.pool.write(room.room_id, reading.mark_room_read, call.user_id, now_ms=call.now_ms)
        return Reply(status=204)

    async def mentions(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List what others said that calls the caller, one of their roles or everyone, newest first."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 1)
        room = await self.door.reach(call.path["room_id"])
        found = await self.history.list_mentions(
            room.room_id,
            call.user_id,
            before=None if place is None else MessageId(place[0]),
            limit=limit + 1,
            now_ms=call.now_ms,
        )
        return Reply(await self._gathered(room.room_id, found, limit))

    async def export(self, call: Call[Nothing, PageQuery]) -> Reply:
        """Return all messages that the caller may read in a room, oldest first."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 1)
        room = await self.door.reach(call.path["room_id"])
        found = await self.history.export_messages(
            room.room_id,
            call.user_id,
            after=MessageId(0 if place is None else place[0]),
            limit=limit + 1,
            now_ms=call.now_ms,
        )
        return Reply(await self._gathered(room.room_id, found, limit))

    async def _gathered(self, room_id: RoomId, found: Gathered[Message], limit: int) -> GatheredPageView:
        page = found.rows[:limit]
        # A page may have nothing, and there may still be something further on.
        place = page[-1].id if len(found.rows) > limit else found.edge
        return {
            "messages": talk_views.messages(room_id, page),
            "users": await self.people.of(talk_views.people_in(page)),
            "next_cursor": None if place is None else cursors.write(place),
        }

    async def levels(self, call: Call[Any, Any]) -> Reply:
        """Tell what the caller wants to be told of a room and of its channels."""
        room = await self.door.reach(call.path["room_id"])
        channels = await self.pool.read(room.room_id, reading.list_levels, call.user_id, now_ms=call.now_ms)
        async with self.directory.database.read() as reader:
            member = await members.find(reader, room.room_id, call.user_id)
        # A crash while somebody joined leaves them out of the index, and at the default.
        return Reply(views.levels("all" if member is None else member.notification_level, channels))

    async def set_level(self, call: Call[ChooseLevel, Nothing]) -> Reply:
        """Choose what to be told of a room; channels that have a level of their own keep it."""
        room = await self.door.reach(call.path["room_id"])
        await self.pool.read(room.room_id, joining.membership, call.user_id, now_ms=call.now_ms)
        async with self.directory.database.write() as writer:
            await members.add(writer, room.room_id, call.user_id, joined_at=call.now_ms)
            await members.update(writer, room.room_id, call.user_id, {"notification_level": call.body.level})
        return await self.levels(call)

    async def set_channel_level(self, call: Call[ChooseLevel, Nothing]) -> Reply:
        """Choose what to be told of a channel."""
        return await self._level(call, call.body.level)

    async def clear_channel_level(self, call: Call[Nothing, Nothing]) -> Reply:
        """Be told of a channel what one wants to be told of its room."""
        return await self._level(call, None)

    async def _level(self, call: Call[Any, Any], level: Level | None) -> Reply:
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.pool.write(
            room.room_id, reading.set_level, call.user_id, call.path["channel_id"], level, now_ms=call.now_ms
        )
        return Reply(status=204)

"""History as its readers know it: what the shard has and what segments have, as if nothing had ever moved.

The shard decides in one snapshot who may read, what it has, and which segments continue it; then its connection is let
go, and the segments are asked. Nothing of a segment is told that the snapshot did not open the channel for.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, TypeVar

import orjson

from ids import ChannelId, MessageId, RoomId, ThreadId, UserId
from shard import gathering, messages, overviews, reactions, segment_files, segment_parts, segments, stretches
from shard.access import Channel
from shard.acts import amending, paging, reacting, reading, talking
from shard.acts.paging import Leg, Page, Rest, Span
from shard.acts.talking import Sent
from shard.errors import ArchivedError, ArchiveUnavailableError, NotFoundError, ShardBusyError
from shard.gathering import Gathered
from shard.messages import Draft, Version
from shard.moved import MovedError
from shard.permissions import MANAGE_MESSAGES, MANAGE_THREADS, READ_HISTORY
from shard.pool import ShardPool
from shard.rows import Message
from shard.segment_cache import SegmentCache
from shard.segments import Segment

T = TypeVar("T")
Row = list[Any]


class History:
    """Reads a room across its segments; every method raises what the act of its name raises, and
    ArchiveUnavailableError when all that was asked for is in segments that cannot be had now."""

    def __init__(self, pool: ShardPool, cache: SegmentCache) -> None:
        self._pool = pool
        self._cache = cache

    async def read_page(
        self,
        room_id: RoomId,
        user_id: UserId,
        channel_id: ChannelId,
        thread_id: ThreadId | None,
        span: Span,
        *,
        now_ms: int,
    ) -> Page:
        """Return a stretch of a channel, or of one of its threads, newest first."""
        asked = (user_id, channel_id, thread_id, span)

        async def read() -> Page:
            page = await self._pool.read(room_id, paging.read_page, *asked, now_ms=now_ms)
            if page.rest is not None and page.rest.legs:
                rows, own = await self._walk(room_id, page.rest, thread_id, span)
                found = stretches.packed(rows)
                page = await self._pool.read(room_id, paging.surround, *asked, found, now_ms=now_ms)
                shown = {row[0] for row in rows}
                own = {message_id: emoji for message_id, emoji in own.items() if message_id in shown}
                page = replace(page, own_reactions={**page.own_reactions, **own})
            if page.rest is None or not page.rest.messages:
                return page
            return replace(page, replied_to=await self._replied_to(room_id, page, page.rest), rest=None)

        return await gathering.anew(read)

    async def _walk(
        self, room_id: RoomId, rest: Rest, thread_id: ThreadId | None, span: Span
    ) -> tuple[list[Row], dict[MessageId, list[str]]]:
        """Return the rows of a page, newest first, and what its reader reacted with to those in segments."""
        own: dict[MessageId, list[str]] = {}
        older: list[Row] = []
        newer: list[Row] = []
        for leg in rest.legs:
            limit = leg.limit if leg.is_older else span.limit - len(older)
            live = orjson.loads(leg.live.packed)
            try:
                found = await self._leg(room_id, rest.channel, thread_id, leg._replace(limit=limit), live, own)
            except ArchiveUnavailableError:
                if not older:
                    raise
                continue
            if leg.is_older:
                older = found.rows
            else:
                newer = found.rows[::-1]
        return newer + older, own

    async def _leg(
        self,
        room_id: RoomId,
        channel: Channel,
        thread_id: ThreadId | None,
        leg: Leg,
        live: list[Row],
        own: dict[MessageId, list[str]],
    ) -> Gathered[Row]:
        async def ask(segment: Segment) -> list[Row]:
            rows, reacted = await self._cache.ask(
                room_id, segment, segment_parts.of_leg, channel, thread_id, leg, segment
            )
            own.update(reacted)
            return rows

        return await gathering.gather(
            live, leg.segments, ask, limit=leg.limit, newest_first=leg.is_older, goes_on=segments.is_full(leg.segments)
        )

    async def _replied_to(self, room_id: RoomId, page: Page, rest: Rest) -> str | None:
        """Return what a page replies to with what segments have of it, without what cannot be had now."""
        rows: list[Row] = [] if page.replied_to is None else orjson.loads(page.replied_to)
        try:
            rows += [list(message) for message in await segment_parts.some(self._cache, room_id, rest)]
        except ArchiveUnavailableError:
            return page.replied_to
        return stretches.packed(sorted(rows, key=itemgetter(0), reverse=True)).packed if rows else None

    async def get_message(
        self, room_id: RoomId, user_id: UserId, channel_id: ChannelId, message_id: MessageId, *, now_ms: int
    ) -> Message:
        """Return one message."""

        async def read() -> Message:
            try:
                return await self._pool.read(
                    room_id, paging.get_message, user_id, channel_id, message_id, now_ms=now_ms
                )
            except MovedError as moved:
                return (await self._found(room_id, moved))[0]

        return await gathering.anew(read)

    async def _found(self, room_id: RoomId, moved: MovedError) -> tuple[Message, Segment]:
        """Return a message that may have moved, and where it is; raises NotFoundError where it is not."""
        for segment in moved.segments:
            for message in await self._cache.ask(room_id, segment, messages.some, moved.channel, [moved.message_id]):
                return message, segment
        raise NotFoundError("message")

    async def list_versions(
        self,
        room_id: RoomId,
        user_id: UserId,
        channel_id: ChannelId,
        message_id: MessageId,
        *,
        after: int,
        limit: int,
        now_ms: int,
    ) -> tuple[list[Version], int | None]:
        """Return what a message said, oldest first and at last what it says, with the place to go on from, if any."""
        asked = (user_id, channel_id, message_id)

        async def read() -> tuple[list[Version], int | None]:
            try:
                return await self._pool.read(
                    room_id, amending.list_versions, *asked, after=after, limit=limit, now_ms=now_ms
                )
            except MovedError as moved:
                message, segment = await self._found(room_id, moved)
                return await self._cache.ask(room_id, segment, amending.versions_of, message, after=after, limit=limit)

        return await gathering.anew(read)

    async def who_reacted(
        self,
        room_id: RoomId,
        user_id: UserId,
        channel_id: ChannelId,
        message_id: MessageId,
        emoji: str,
        *,
        after: UserId | None,
        limit: int,
        now_ms: int,
    ) -> list[UserId]:
        """Return who reacted to a message with an emoji, by id."""
        asked = (user_id, channel_id, message_id, emoji)

        async def read() -> list[UserId]:
            try:
                return await self._pool.read(
                    room_id, reacting.who_reacted, *asked, after=after, limit=limit, now_ms=now_ms
                )
            except MovedError as moved:
                message, segment = await self._found(room_id, moved)
                return await self._cache.ask(
                    room_id, segment, reactions.who, message.id, emoji, after=after, limit=limit
                )

        return await gathering.anew(read)

    async def export_messages(
        self, room_id: RoomId, user_id: UserId, *, after: MessageId, limit: int, now_ms: int
    ) -> Gathered[Message]:
        """Return all that one may read in the room, oldest first."""

        async def read() -> Gathered[Message]:
            begun = await self._pool.read(
                room_id, reading.begin_export, user_id, after=after, limit=limit, now_ms=now_ms
            )

            async def ask(segment: Segment) -> list[Message]:
                more = limit + len(segment.hidden)
                found = await self._cache.ask(
                    room_id, segment, overviews.every, [segment.channel_id], after=after, limit=more
                )
                return segment_parts.counting(segment, found)

            return await gathering.gather(
                begun.messages,
                begun.segments,
                ask,
                limit=limit,
                newest_first=False,
                goes_on=segments.is_full(begun.segments),
            )

        return await gathering.anew(read)

    async def list_mentions(
        self, room_id: RoomId, user_id: UserId, *, before: MessageId | None, limit: int, now_ms: int
    ) -> Gathered[Message]:
        """Return the messages that call one, newest first."""

        async def read() -> Gathered[Message]:
            calls = await self._pool.read(
                room_id, reading.begin_mentions, user_id, before=before, limit=limit, now_ms=now_ms
            )

            async def ask(segment: Segment) -> list[Message]:
                place = segment.cut_id + 1 if before is None else min(before, segment.cut_id + 1)
                found = await self._cache.ask(
                    room_id, segment, overviews.archived_calling, user_id, calls.targets,
                    joined_at=calls.joined_at, before=place, limit=limit + len(segment.hidden),
                )  # fmt: skip
                return segment_parts.counting(segment, found)

            return await gathering.gather(
                calls.messages, calls.segments, ask, limit=limit, newest_first=True, goes_on=calls.goes_on
            )

        return await gathering.anew(read)

    async def changing(self, room_id: RoomId, act: Awaitable[T]) -> T:
        """Return what an act on a message returns; raises ArchivedError for one that is in a segment."""
        try:
            return await act
        except MovedError as moved:
            message, _ = await self._found(room_id, moved)
            if message.user_id != moved.channel.user_id and not moved.channel.may(READ_HISTORY):
                raise NotFoundError("message") from None
            raise ArchivedError from None

    def send_message(
        self, room_id: RoomId, user_id: UserId, channel_id: ChannelId, draft: Draft, *, now_ms: int
    ) -> Awaitable[Sent]:
        """Send a message, which may reply to one in a segment; it is in its lane when this returns."""
        sent = self._pool.write(room_id, talking.send_message, user_id, channel_id, draft, now_ms=now_ms)
        if draft.reply_to_id is None:
            return sent
        return self._reply(sent, room_id, user_id, channel_id, draft, now_ms=now_ms)

    async def _reply(
        self,
        sent: Awaitable[Sent],
        room_id: RoomId,
        user_id: UserId,
        channel_id: ChannelId,
        draft: Draft,
        *,
        now_ms: int,
    ) -> Sent:
        try:
            return await sent
        except MovedError as moved:
            await self._found(room_id, moved)
        return await self._pool.write(
            room_id, talking.send_message, user_id, channel_id, draft, reply_is_archived=True, now_ms=now_ms
        )

    async def delete_message(
        self,
        room_id: RoomId,
        user_id: UserId,
        channel_id: ChannelId,
        message_id: MessageId,
        *,
        reason: str | None,
        now_ms: int,
    ) -> None:
        """Delete one's own message, or with MANAGE_MESSAGES anyone's, wherever it is."""
        asked = (user_id, channel_id)

        async def act() -> None:
            for _ in range(gathering.TRIES):
                try:
                    await self._pool.write(
                        room_id, amending.delete_message, *asked, message_id, reason=reason, now_ms=now_ms
                    )
                except MovedError as moved:
                    message, segment = await self._found(room_id, moved)
                    if await self._take_out(
                        room_id, asked, segment, [message], is_many=False, reason=reason, now_ms=now_ms
                    ):
                        return
                else:
                    return
            raise ShardBusyError("This part of the archive is being changed.")

        await gathering.anew(act)

    async def delete_messages(
        self,
        room_id: RoomId,
        user_id: UserId,
        channel_id: ChannelId,
        message_ids: Sequence[MessageId],
        *,
        reason: str | None,
        now_ms: int,
    ) -> list[MessageId]:
        """Delete those of some messages that are in the channel, wherever they are; return their ids, oldest first."""
        asked = (user_id, channel_id)
        gone = await self._pool.write(
            room_id, amending.delete_messages, *asked, message_ids, reason=reason, now_ms=now_ms
        )
        need = MANAGE_MESSAGES | READ_HISTORY
        for _ in range(gathering.TRIES):
            left = [message_id for message_id in message_ids if message_id not in gone]
            rest = await self._pool.read(room_id, paging.seek, *asked, left, need, now_ms=now_ms)
            parts = await segment_parts.archived(self._cache, room_id, rest)
            for segment, found in parts:
                if found and await self._take_out(
                    room_id, asked, segment, found, is_many=True, reason=reason, now_ms=now_ms
                ):
                    gone += [message.id for message in found]
            if not parts:
                break
        return sorted(gone)

    async def move_messages(
        self,
        room_id: RoomId,
        user_id: UserId,
        channel_id: ChannelId,
        message_ids: Sequence[MessageId],
        thread_id: ThreadId | None,
        *,
        reason: str | None,
        now_ms: int,
    ) -> list[MessageId]:
        """Put messages into a thread, or into none; raises ArchivedError, and moves none, if one is in a segment."""
        asked, need = (user_id, channel_id), MANAGE_THREADS | READ_HISTORY
        rest = await self._pool.read(room_id, paging.seek, *asked, message_ids, need, now_ms=now_ms)
        if any(found for _, found in await segment_parts.archived(self._cache, room_id, rest)):
            raise ArchivedError
        return await self._pool.write(
            room_id, amending.move_messages, *asked, message_ids, thread_id, reason=reason, now_ms=now_ms
        )

    async def _take_out(
        self,
        room_id: RoomId,
        asked: tuple[UserId, ChannelId],
        segment: Segment,
        found: Sequence[Message],
        *,
        is_many: bool,
        reason: str | None,
        now_ms: int,
    ) -> bool:
        """Delete messages of a segment; False when the segment changed since it was seen."""
        hidden = [*segment.hidden, *(message.id for message in found)]
        threads = sorted({message.thread_id for message in found if message.thread_id is not None})
        edges = await self._cache.ask(
            room_id, segment, segment_files.edges, hidden=hidden, cut_id=segment.cut_id, thread_ids=threads
        )
        return await self._pool.write(
            room_id, amending.delete_archived, *asked, segment, found, edges, is_many=is_many, reason=reason,
            now_ms=now_ms,
        )  # fmt: skip

"""The history of a room: messages of the shard and of its segments, read and changed as if none had ever moved.

One snapshot of the shard checks access, reads its rows, and names the segments that continue them; then its connection
is free, and the segments are read. No message of a segment is returned unless that snapshot granted access.
"""

from collections.abc import Awaitable, Sequence
from typing import TypeVar

from ids import ChannelId, MessageId, RoomId, ThreadId, UserId
from shard.actions import messages as message_actions
from shard.actions import nonces as nonce_actions
from shard.actions import pages as page_actions
from shard.actions import reactions as reaction_actions
from shard.actions import unread
from shard.actions import webhooks as webhook_actions
from shard.actions.messages import Sent
from shard.actions.pages import Page, Span
from shard.archive import manifest, segment_files
from shard.archive.manifest import MaybeArchivedError, MaybeSentError, Segment
from shard.archive.segment_cache import SegmentCache
from shard.engine.pool import ShardPool
from shard.errors import ArchivedError, NotFoundError, ShardBusyError
from shard.history import merge, nonces, pages, segments
from shard.history.merge import Gathered
from shard.permissions import MANAGE_MESSAGES, MANAGE_THREADS, READ_HISTORY
from shard.rows import Message
from shard.tables import inbox, messages, reactions
from shard.tables.messages import Draft, Version

T = TypeVar("T")


class History:
    """The messages of a room across its segments.

    Every method raises the errors of the action of its name, and ArchiveUnavailableError when it needs segments that
    cannot be fetched now, and has nothing to return without them.
    """

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
        """Return a page of a channel, or of one of its threads, newest first."""
        asked = (user_id, channel_id, thread_id, span)
        return await merge.retry_replaced(
            lambda: pages.read_page(self._pool, self._cache, room_id, asked, now_ms=now_ms)
        )

    async def get_message(
        self, room_id: RoomId, user_id: UserId, channel_id: ChannelId, message_id: MessageId, *, now_ms: int
    ) -> Message:
        """Return one message."""
        asked = (user_id, channel_id, message_id)

        async def read() -> Message:
            try:
                return await self._pool.read(room_id, page_actions.get_message, *asked, now_ms=now_ms)
            except MaybeArchivedError as moved:
                return (await self._found(room_id, moved))[0]

        return await merge.retry_replaced(read)

    async def _found(self, room_id: RoomId, moved: MaybeArchivedError) -> tuple[Message, Segment]:
        """Return an archived message and its segment; raises NotFoundError when no segment has it."""
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
        """Return versions of a message, oldest first, the current one last, and the place of the next page, if any."""
        asked = (user_id, channel_id, message_id)

        async def read() -> tuple[list[Version], int | None]:
            try:
                return await self._pool.read(
                    room_id, message_actions.list_versions, *asked, after=after, limit=limit, now_ms=now_ms
                )
            except MaybeArchivedError as moved:
                message, segment = await self._found(room_id, moved)
                return await self._cache.ask(
                    room_id, segment, message_actions.versions_of, message, after=after, limit=limit
                )

        return await merge.retry_replaced(read)

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
        """Return the users who reacted to a message with an emoji, by id."""
        asked = (user_id, channel_id, message_id, emoji)

        async def read() -> list[UserId]:
            try:
                return await self._pool.read(
                    room_id, reaction_actions.who_reacted, *asked, after=after, limit=limit, now_ms=now_ms
                )
            except MaybeArchivedError as moved:
                message, segment = await self._found(room_id, moved)
                return await self._cache.ask(
                    room_id, segment, reactions.who, message.id, emoji, after=after, limit=limit
                )

        return await merge.retry_replaced(read)

    async def export_messages(
        self, room_id: RoomId, user_id: UserId, *, after: MessageId, limit: int, now_ms: int
    ) -> Gathered[Message]:
        """Return all messages that a member may read in the room, oldest first."""

        async def read() -> Gathered[Message]:
            begun = await self._pool.read(
                room_id, unread.begin_export, user_id, after=after, limit=limit, now_ms=now_ms
            )

            async def ask(segment: Segment) -> list[Message]:
                more = limit + len(segment.hidden)
                found = await self._cache.ask(
                    room_id, segment, inbox.every, [segment.channel_id], after=after, limit=more
                )
                return segments.valid(segment, found)

            return await merge.gather(
                begun.messages,
                begun.segments,
                ask,
                limit=limit,
                newest_first=False,
                has_more=manifest.is_full(begun.segments),
            )

        return await merge.retry_replaced(read)

    async def list_mentions(
        self, room_id: RoomId, user_id: UserId, *, before: MessageId | None, limit: int, now_ms: int
    ) -> Gathered[Message]:
        """Return the messages that mention a member, newest first."""

        async def read() -> Gathered[Message]:
            calls = await self._pool.read(
                room_id, unread.begin_mentions, user_id, before=before, limit=limit, now_ms=now_ms
            )

            async def ask(segment: Segment) -> list[Message]:
                place = segment.cut_id + 1 if before is None else min(before, segment.cut_id + 1)
                found = await self._cache.ask(
                    room_id, segment, inbox.archived_calling, user_id, calls.targets,
                    joined_at=calls.joined_at, before=place, limit=limit + len(segment.hidden),
                )  # fmt: skip
                return segments.valid(segment, found)

            return await merge.gather(
                calls.messages, calls.segments, ask, limit=limit, newest_first=True, has_more=calls.goes_on
            )

        return await merge.retry_replaced(read)

    async def changing(self, room_id: RoomId, act: Awaitable[T]) -> T:
        """Await an act on a message, and return its result; raises ArchivedError for a message in a segment."""
        try:
            return await act
        except MaybeArchivedError as moved:
            message, _ = await self._found(room_id, moved)
            if message.user_id != moved.channel.user_id and not moved.channel.may(READ_HISTORY):
                raise NotFoundError("message") from None
            raise ArchivedError from None

    def begin_message(
        self, room_id: RoomId, user_id: UserId, channel_id: ChannelId, draft: Draft, *, now_ms: int
    ) -> Awaitable[Sent]:
        """Send a message as `send_message` does; it is in its queue when this returns, and a future unless it replies.

        For a client's next request that need not wait: the future costs a send a twentieth of its time.
        """
        if draft.reply_to_id is not None:
            return self.send_message(room_id, user_id, channel_id, draft, now_ms=now_ms)
        sent = self._pool.write(room_id, message_actions.send_message, user_id, channel_id, draft, now_ms=now_ms)
        if draft.nonce is None:
            return sent
        return nonces.watch(sent, lambda: self._repeat(room_id, user_id, channel_id, draft, now_ms=now_ms))

    async def send_message(
        self, room_id: RoomId, user_id: UserId, channel_id: ChannelId, draft: Draft, *, now_ms: int
    ) -> Sent:
        """Send a message, which may reply to one in a segment, or return the one that its nonce made."""
        is_archived = False
        try:
            return await self._pool.write(
                room_id, message_actions.send_message, user_id, channel_id, draft, now_ms=now_ms
            )
        except MaybeArchivedError as moved:
            await self._found(room_id, moved)
            is_archived = True
        except MaybeSentError:
            pass
        return await self._repeat(room_id, user_id, channel_id, draft, reply_is_archived=is_archived, now_ms=now_ms)

    async def _repeat(
        self,
        room_id: RoomId,
        user_id: UserId,
        channel_id: ChannelId,
        draft: Draft,
        *,
        reply_is_archived: bool = False,
        now_ms: int,
    ) -> Sent:
        """Send again what needs a message of a segment: to reply to, or as the one that its nonce made."""
        asked = (user_id, channel_id, draft)
        return await nonces.send(
            self._cache,
            room_id,
            lambda: self._pool.write(
                room_id, message_actions.send_message, *asked, reply_is_archived=reply_is_archived, now_ms=now_ms
            ),
        )

    async def find_sent(
        self, room_id: RoomId, user_id: UserId, channel_id: ChannelId, nonce: str | None, *, now_ms: int
    ) -> Message | None:
        """Return the message of a channel that a user sent with a nonce, if they see the channel."""
        asked = (user_id, channel_id, nonce)
        return await nonces.find(
            self._cache, room_id, lambda: self._pool.read(room_id, nonce_actions.find, *asked, now_ms=now_ms)
        )

    async def post_by_webhook(
        self, room_id: RoomId, webhook_id: int, token_hash: bytes, draft: Draft, username: str | None, *, now_ms: int
    ) -> Sent:
        """Store a message of an incoming webhook."""
        asked = (webhook_id, token_hash, draft, username)
        return await nonces.send(
            self._cache, room_id, lambda: self._pool.write(room_id, webhook_actions.post, *asked, now_ms=now_ms)
        )

    async def find_posted(
        self, room_id: RoomId, webhook_id: int, token_hash: bytes, nonce: str | None
    ) -> Message | None:
        """Return the message that an incoming webhook posted with a nonce; raises NotFoundError for a wrong token."""
        asked = (webhook_id, token_hash, nonce)
        return await nonces.find(
            self._cache, room_id, lambda: self._pool.read(room_id, webhook_actions.find_posted, *asked)
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
            for _ in range(merge.TRIES):
                try:
                    await self._pool.write(
                        room_id, message_actions.delete_message, *asked, message_id, reason=reason, now_ms=now_ms
                    )
                except MaybeArchivedError as moved:
                    message, segment = await self._found(room_id, moved)
                    if await self._take_out(
                        room_id, asked, segment, [message], is_many=False, reason=reason, now_ms=now_ms
                    ):
                        return
                else:
                    return
            raise ShardBusyError("This part of the archive is being changed.")

        await merge.retry_replaced(act)

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
        """Delete the given messages of a channel, wherever they are; return the ids of those deleted, oldest first."""
        asked = (user_id, channel_id)
        gone = await self._pool.write(
            room_id, message_actions.delete_messages, *asked, message_ids, reason=reason, now_ms=now_ms
        )
        need = MANAGE_MESSAGES | READ_HISTORY
        for _ in range(merge.TRIES):
            left = [message_id for message_id in message_ids if message_id not in gone]
            lookup = await self._pool.read(room_id, page_actions.look_up, *asked, left, need, now_ms=now_ms)
            parts = await segments.archived(self._cache, room_id, lookup)
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
        """Move messages into a thread, or out of one; raises ArchivedError, and moves none, if one is in a segment."""
        asked, need = (user_id, channel_id), MANAGE_THREADS | READ_HISTORY
        lookup = await self._pool.read(room_id, page_actions.look_up, *asked, message_ids, need, now_ms=now_ms)
        if any(found for _, found in await segments.archived(self._cache, room_id, lookup)):
            raise ArchivedError
        return await self._pool.write(
            room_id, message_actions.move_messages, *asked, message_ids, thread_id, reason=reason, now_ms=now_ms
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
        """Delete messages of a segment; False when the segment changed since it was read."""
        hidden = [*segment.hidden, *(message.id for message in found)]
        threads = sorted({message.thread_id for message in found if message.thread_id is not None})
        edges = await self._cache.ask(
            room_id, segment, segment_files.edges, hidden=hidden, cut_id=segment.cut_id, thread_ids=threads
        )
        return await self._pool.write(
            room_id, message_actions.delete_archived, *asked, segment, found, edges, is_many=is_many, reason=reason,
            now_ms=now_ms,
        )  # fmt: skip

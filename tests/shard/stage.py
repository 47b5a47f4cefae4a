"""A pool with rooms in it, for tests of what happens in shards; every event it publishes is kept."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from ids import ChannelId, MessageId, RoomId, ThreadId, UserId
from migrations import engine
from shard.actions import messages, rooms
from shard.actions.channels import ChannelDraft
from shard.actions.messages import Sent
from shard.actions.pages import Page, Span
from shard.archive.segment_cache import SegmentCache
from shard.engine import files
from shard.engine.connections import Reader
from shard.engine.pool import PoolLimits, Publish, ShardPool
from shard.errors import ShardError, UnavailableError
from shard.history.history import History
from shard.rows import Event, Message
from shard.tables.members import add as seat
from shard.tables.messages import Draft

T = TypeVar("T")

MIGRATIONS = engine.load(engine.SHARD_FOLDER)
OWNER, ANNA, BEN = UserId(11), UserId(12), UserId(13)
NOW_MS = 1_750_000_000_000
NOTHING_ARCHIVED = cast(SegmentCache, None)
"""The cache of rooms without segments, which nobody asks."""
LIMITS = PoolLimits(writers=2, readers=2, idle_close_seconds=3_600)
CHANNELS = (
    ChannelDraft("general"),
    ChannelDraft("other"),
    ChannelDraft("news", type="announcement"),
    ChannelDraft("voice", type="voice"),
    ChannelDraft("topics", thread_mode="required"),
    ChannelDraft("flat", thread_mode="disabled"),
)


@dataclass(frozen=True, slots=True)
class Room:
    """A founded room and its channels by name."""

    id: RoomId
    channels: dict[str, ChannelId]

    @property
    def general(self) -> ChannelId:
        return self.channels["general"]


@dataclass(slots=True)
class Stage:
    """A pool, what it has published, and the clock of its acts."""

    pool: ShardPool
    folder: Path
    published: list[tuple[RoomId, tuple[Event, ...]]] = field(default_factory=list)
    now_ms: int = NOW_MS

    async def found(self, number: int = 1, *, members: Iterable[UserId] = (ANNA, BEN)) -> Room:
        """Make room `number` with CHANNELS, the owner and some members."""
        room_id = RoomId(number)
        rows = await self.pool.create(room_id, rooms.found_room, "community", OWNER, CHANNELS, now_ms=self.now_ms)
        for user_id in members:
            await self.pool.write(room_id, seat, user_id, now_ms=self.now_ms)
        return Room(room_id, {row.name: row.id for row in rows})

    async def send(
        self,
        room: Room,
        content: str,
        *,
        user_id: UserId = ANNA,
        channel: str = "general",
        nonce: str | None = None,
        thread_id: ThreadId | None = None,
        reply_to_id: MessageId | None = None,
        sent_at: int | None = None,
    ) -> Sent:
        """Send a message at the stage's time."""
        draft = Draft(content, nonce=nonce, thread_id=thread_id, reply_to_id=reply_to_id)
        return await self.pool.write(
            room.id,
            messages.send_message,
            user_id,
            room.channels[channel],
            draft,
            now_ms=self.now_ms,
            sent_at=sent_at,
        )

    async def page(
        self, room: Room, span: Span | None = None, *, channel: str = "general", thread_id: ThreadId | None = None
    ) -> Page:
        """Read a page as the owner."""
        span = span or Span(limit=10_000)
        channel_id = room.channels[channel]
        history = History(self.pool, NOTHING_ARCHIVED)
        return await history.read_page(room.id, OWNER, channel_id, thread_id, span, now_ms=self.now_ms)

    async def texts(self, room: Room, *, channel: str = "general") -> list[str]:
        """Return everything said in a channel, oldest first."""
        return [message.content for message in reversed((await self.page(room, channel=channel)).messages)]

    async def rows(self, room: Room, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the room's shard in SQL."""
        return await self.pool.read(room.id, Reader.all, sql, parameters)

    def events(self, room: Room) -> list[Event]:
        """Return what was published of a room, in the order of publishing."""
        return [event for room_id, events in self.published if room_id == room.id for event in events]

    def messages(self, room: Room) -> list[Message]:
        """Return the messages whose creation was published."""
        created = (event.message for event in self.events(room) if event.type == "message.created")
        return [message for message in created if message is not None]

    async def rest(self) -> None:
        """Wait until no room is in use: a reply is sent a moment before its queue is idle."""
        await until(lambda: self.pool.waiting_count == 0)

    async def evict(self, room: Room) -> None:
        """Close the room's shard; the next use opens it again."""
        await self.rest()
        self.pool._retire(room.id)
        path = files.path_of(self.folder, room.id)
        # The last connection to close removes the log.
        await until(lambda: not path.with_name(path.name + "-wal").exists())


async def until(is_so: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Wait for something that happens in other threads; raises TimeoutError."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError
        await asyncio.sleep(0.002)


def open_files(folder: Path) -> int:
    """Count this process's descriptors of files in a folder; a server of other tests may hold files of its own."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            count += descriptor.readlink().is_relative_to(folder)
    return count


async def result_of(answer: Awaitable[Any]) -> Any:
    """Return what an act returns or the ShardError that it raises."""
    try:
        return await answer
    except ShardError as error:
        return error


async def insist(ask: Callable[[], Awaitable[T]], *, seconds: float = 60.0) -> T:
    """Ask until there is an answer, as a client does that was told to try again; raises TimeoutError."""
    end = time.monotonic() + seconds
    while True:
        try:
            return await ask()
        except UnavailableError as error:
            if time.monotonic() > end:
                raise TimeoutError from error
            await asyncio.sleep(0.003)


@asynccontextmanager
async def opened(folder: Path, *, publish: Publish | None = None, **limits: Any) -> AsyncIterator[Stage]:
    """Open a pool over a folder and close it afterwards; `publish` is told as well as the stage."""

    def keep(room_id: RoomId, events: Any) -> None:
        stage.published.append((room_id, tuple(events)))
        if publish is not None:
            publish(room_id, events)

    pool = ShardPool(folder, MIGRATIONS, limits=replace(LIMITS, **limits), clock=lambda: stage.now_ms, publish=keep)
    stage = Stage(pool, folder)
    try:
        yield stage
    finally:
        await pool.close()

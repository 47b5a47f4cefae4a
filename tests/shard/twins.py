"""Two rooms with the same history, one of them archived: readers must get the same answers from both."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from ids import RoomId, ThreadId, UserId
from monitor.archiver import Archiver, Outcome
from objects import disk
from objects.store import Content, Store
from shard.actions import archive, threads
from shard.actions.messages import Sent
from shard.actions.pages import Span
from shard.actions.search import SearchRequest
from shard.archive import manifest, segment_files
from shard.archive.manifest import Segment
from shard.archive.retention import Policy
from shard.archive.segment_cache import SegmentCache
from shard.engine.connections import Reader
from shard.errors import ShardError
from shard.history.history import History
from shard.history.search import Searches
from shard.rows import Message
from shard.search import query
from tests.shard import stage
from tests.shard.stage import OWNER, Room, Stage

DAY_MS = 86_400_000
POLICY = Policy(archive_after_days=30)


def shrink(monkeypatch: pytest.MonkeyPatch, *, kept: int = 5, least: int = 3, most: int = 6, step: int = 2) -> None:
    """Make segments and cuts small, so that a few messages make many of them."""
    monkeypatch.setattr(archive, "NEWEST_KEPT", kept)
    monkeypatch.setattr(archive, "SEGMENT_MIN", least)
    monkeypatch.setattr(archive, "STEP", step)
    monkeypatch.setattr("shard.archive.segment_files.MESSAGES_MAX", most)


@dataclass(slots=True)
class Side:
    """One of the two: a room, read through its history."""

    stage: Stage
    room: Room
    history: History
    searches: Searches
    archiver: Archiver
    store: Store

    async def archive(self, *, under_pressure: bool = False) -> Outcome:
        """Visit the room as the monitor does."""
        return await self.archiver.visit(self.room.id, under_pressure=under_pressure)


async def every(side: Side) -> list[Message]:
    """Return all messages, oldest first, read in pages of eleven."""
    found: list[Message] = []
    span = Span(11)
    while True:
        page = await side.history.read_page(
            side.room.id, OWNER, side.room.general, None, span, now_ms=side.stage.now_ms
        )
        found += page.messages
        if not page.has_older:
            return found[::-1]
        span = Span(11, before=found[-1].id)


async def segments(side: Side) -> list[Segment]:
    """Return the whole manifest, in the order in which its segments were begun."""

    def read(reader: Reader) -> list[Segment]:
        found = [manifest.one(reader, number) for (number,) in reader.all("SELECT id FROM segments ORDER BY id")]
        return [segment for segment in found if segment is not None]

    return await side.stage.pool.read(side.room.id, read)


async def placed(side: Side) -> list[int]:
    """Return the ids of all messages by where they count, the shard's tables and each segment: each is there once."""
    found = [row[0] for row in await side.stage.rows(side.room, "SELECT id FROM messages WHERE is_deleted = 0")]
    for row in await segments(side):
        pieces = await side.archiver.cache.ask(side.room.id, row, segment_files.pieces, after=0)
        found += [one.id for one in pieces if one.id <= row.cut_id and one.id not in row.hidden]
    return sorted(found)


@dataclass(slots=True)
class Twins:
    """Both, and what happens to both."""

    plain: Side
    archived: Side
    threads: list[ThreadId] = field(default_factory=list)

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.plain, self.archived

    @property
    def now_ms(self) -> int:
        return self.plain.stage.now_ms

    def wait(self, milliseconds: int) -> None:
        """Let time pass."""
        for side in self.sides:
            side.stage.now_ms += milliseconds

    async def do(self, act: Callable[[Side], Awaitable[Any]]) -> Any:
        """Have the same done on both sides, and return what the archived one answers, which the plain one does too."""
        plain, archived = [await _told(act(side)) for side in self.sides]
        assert archived == plain, f"archived: {archived!r}\nplain:    {plain!r}"
        if isinstance(archived, Refusal):
            raise archived
        return archived

    async def send(self, content: str, **options: Any) -> Message:
        """Send a message on both sides, a second after the last one."""
        self.wait(1_000)
        sent: Sent = await self.do(lambda side: side.stage.send(side.room, content, **options))
        return sent.message

    async def open_thread(self, title: str) -> ThreadId:
        """Open a thread on both sides."""

        async def act(side: Side) -> ThreadId:
            made = await side.stage.pool.write(
                side.room.id, threads.open_thread, OWNER, side.room.general, title, now_ms=self.now_ms
            )
            return made.id

        self.threads.append(await self.do(act))
        return self.threads[-1]

    async def page(self, span: Span, thread_id: ThreadId | None = None, user_id: UserId = OWNER) -> list[Message]:
        """Read a page of both sides; they agree in all that a page tells."""

        async def act(side: Side) -> Any:
            page = await side.history.read_page(
                side.room.id, user_id, side.room.general, thread_id, span, now_ms=self.now_ms
            )
            replied = sorted(_unpacked(page.replied_to))
            return page.messages, page.has_older, page.has_newer, replied, dict(page.own_reactions)

        messages: list[Message] = (await self.do(act))[0]
        return messages

    async def search(self, text: str, *, limit: int = 100, user_id: UserId = OWNER) -> list[Message]:
        """Search both sides."""

        async def act(side: Side) -> Any:
            request = SearchRequest(query=query.parse(text), limit=limit, seconds=5.0, deadline_seconds=10.0)
            found = await side.searches.search_room(side.room.id, user_id, request, now_ms=self.now_ms)
            return found.messages, [snippet.text for snippet in found.snippets], found.next_place

        messages: list[Message] = (await self.do(act))[0]
        return messages

    async def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the archived room's shard in SQL."""
        return await self.archived.stage.pool.read(self.archived.room.id, Reader.all, sql, parameters)


def content_of(data: bytes) -> Content:
    """Announce these bytes as a segment's."""
    return Content("application/zstd", len(data), hashlib.sha256(data).hexdigest())


def _unpacked(packed: str | None) -> list[Any]:
    return orjson.loads(packed) if packed else []


async def _told(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except ShardError as error:
        return Refusal(type(error), str(error))


@dataclass(frozen=True, slots=True)
class Refusal(Exception):  # noqa: N818 - what a side answered, compared and raised
    """An error of one side, by what it says."""

    kind: type[Exception]
    text: str


@asynccontextmanager
async def side(
    folder: Path, *, store: Store | None = None, is_new: bool = True, now_ms: int = stage.NOW_MS
) -> AsyncIterator[Side]:
    """Open a room whose history may be archived, new or as it was left."""
    for name in ("shards", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    opened = disk.open_store(folder / "objects") if store is None else store
    cache = SegmentCache(opened, folder / "cache", bytes_max=1 << 30)
    async with stage.opened(folder / "shards") as at:
        at.now_ms = now_ms
        room = await at.found() if is_new else await _known(at)
        archiver = Archiver(at.pool, opened, cache, folder / "shards", folder / "work", POLICY, lambda: at.now_ms)
        yield Side(at, room, History(at.pool, cache), Searches(at.pool, cache), archiver, opened)
    await cache.close()
    if store is None:
        await opened.close()


async def _known(at: Stage) -> Room:
    rows = await at.pool.read(RoomId(1), Reader.all, "SELECT name, id FROM channels")
    return Room(RoomId(1), {row[0]: row[1] for row in rows})


@asynccontextmanager
async def twins(folder: Path) -> AsyncIterator[Twins]:
    """Open two rooms that get the same ids for the same acts."""
    async with side(folder / "plain") as plain, side(folder / "archived") as archived:
        yield Twins(plain, archived)

"""Moves old history into segments, room by room: build, put, read back, compare, cut; and cleans up behind it.

A crash anywhere leaves either an object that nobody names, which a later run puts again or sweeps up, or a cut that the
next run finishes: what is to be done is read from the shard each time.
"""

import asyncio
import contextlib
import fcntl
import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ids import ChannelId, RoomId
from objects.errors import CorruptObjectError, ObjectError, ObjectExistsError
from objects.store import Content, Store
from shard import cuts, files, segment_files, segments
from shard.acts import archiving
from shard.acts.archiving import Plan
from shard.errors import ShardError
from shard.policies import Policy
from shard.pool import ShardPool
from shard.segment_cache import SegmentCache
from shard.segment_files import Built, Piece
from shard.segments import Segment

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/zstd"
QUIET_FACTOR: Final = 4
"""A room in which nobody else writes is cut in steps so many times as large: fewer syncs, and nobody waits for them."""
PAUSE_SECONDS_MAX: Final = 0.1
SPENT_AT_ONCE: Final = 2_000
"""Nonces that one step notes, about 5 ms."""
VACUUM_PAGES: Final = 256
"""Pages that one step gives back to the file system: half a megabyte, some milliseconds."""
MERGE_PAGES: Final = 64
"""Pages of the search index that one step tidies up."""
STEPS_MAX: Final = 100_000
"""Steps of vacuum, merge or trim in one visit: more than any room has work for; the next visit goes on."""
SWAPS_MAX: Final = 3
"""How often a segment is rewritten anew because more of it was deleted meanwhile; the next visit tries again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a visit did to a room. `error` is why it ended early."""

    room_id: RoomId
    messages_moved: int = 0
    segments_made: int = 0
    segments_rewritten: int = 0
    objects_removed: int = 0
    messages_deleted: int = 0
    stored_bytes: int = 0
    error: str | None = None


Progress = Callable[[int], None]
"""Told how many messages a step moved."""


@dataclass(slots=True)
class Archiver:
    """Visits rooms, one at a time; two of them, of whatever process, never visit one room at once."""

    pool: ShardPool
    store: Store
    cache: SegmentCache
    shards: Path
    work: Path
    default: Policy
    clock: Callable[[], int]
    between_steps: Callable[[], None] = lambda: None
    """Called between the steps that a crash may come between."""

    async def visit(
        self, room_id: RoomId, *, under_pressure: bool = False, progress: Progress = lambda _count: None
    ) -> Outcome:
        """Do what a room's policies ask for; a room that cannot be done now says so in the outcome."""
        visit = _Visit(self, room_id, progress)
        try:
            with self.alone(room_id) as folder:
                await visit.run(folder, under_pressure=under_pressure)
        except BlockingIOError:
            visit.outcome = replace(visit.outcome, error="another process is archiving this room")
        except (ShardError, ObjectError, OSError) as error:
            log.warning("a room was not archived to its end", extra={"room_id": room_id, "reason": str(error)})
            visit.outcome = replace(visit.outcome, error=str(error))
        return visit.outcome

    @contextlib.contextmanager
    def alone(self, room_id: RoomId) -> Iterator[Path]:
        """Lend the folder of a room to one visit, empty; raises BlockingIOError while another has it, of whatever
        process. A crash lets go of it."""
        folder = self.work / str(room_id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                _clear(folder)
                yield folder
            finally:
                _clear(folder)


def _clear(folder: Path) -> None:
    """Remove what a visit built and did not store."""
    for path in folder.iterdir():
        if path.name != "lock":
            path.unlink(missing_ok=True)


class _Visit:
    """One visit to one room."""

    def __init__(self, archiver: Archiver, room_id: RoomId, progress: Progress) -> None:
        self._archiver = archiver
        self._pool = archiver.pool
        self._room_id = room_id
        self._progress = progress
        self.outcome = Outcome(room_id)

    async def run(self, folder: Path, *, under_pressure: bool) -> None:
        await self._finish_cuts()
        await self._delete_old()
        await self._move(folder, under_pressure=under_pressure)
        await self._rewrite(folder)
        await self._remove_freed()
        await self._tidy()

    def _now(self) -> int:
        return self._archiver.clock()

    async def _finish_cuts(self) -> None:
        """Go on with cuts that a crash, or a hold that is over, left unfinished."""
        after = 0
        while segment := await self._pool.read(self._room_id, segments.uncut, after=after):
            after = segment.id
            pieces = await self._archiver.cache.ask(self._room_id, segment, segment_files.pieces, after=segment.cut_id)
            await self._cut(segment, pieces)

    async def _move(self, folder: Path, *, under_pressure: bool) -> None:
        after, default = 0, self._archiver.default
        while True:
            plans, after = await self._pool.read(
                self._room_id, archiving.plan, default, after=after, under_pressure=under_pressure, now_ms=self._now()
            )
            for plan in plans:
                await self._move_channel(folder, plan)
            if not after:
                return

    async def _move_channel(self, folder: Path, plan: Plan) -> None:
        """Make segments of what may move, each while the one before it is stored and cut."""
        building = asyncio.create_task(self._build(folder, plan, 0))
        try:
            while (built := await building) is not None:
                building = asyncio.create_task(self._build(folder, plan, built.until_id))
                if not await self._store_and_cut(plan.channel_id, built):
                    return
        finally:
            # A thread cannot be stopped, and the folder is its own until it has ended.
            await asyncio.gather(building, return_exceptions=True)

    async def _build(self, folder: Path, plan: Plan, after: int) -> Built | None:
        least = archiving.SEGMENT_MIN
        left = await self._pool.read(
            self._room_id, cuts.count_old, plan.channel_id, above=after, below=plan.below, limit=least
        )
        if left < least:
            return None
        live = files.path_of(self._archiver.shards, self._room_id)
        return await asyncio.to_thread(
            segment_files.build, live, folder, self._room_id, plan.channel_id, after=after, below=plan.below
        )

    async def _store_and_cut(self, channel_id: ChannelId, built: Built) -> bool:
        """Store a segment, cut what it has, and return whether all of it was looked at."""
        key = self._key(channel_id, built)
        await self._put(key, built)
        # Before anything moves, so that no nonce is free in between.
        spent = await asyncio.to_thread(cuts.hashes, [(piece.user_id, piece.nonce) for piece in built.pieces])
        for at in range(0, len(spent), SPENT_AT_ONCE):
            await self._pool.write(self._room_id, cuts.spend, spent[at : at + SPENT_AT_ONCE])
        self._archiver.between_steps()
        segment = await self._pool.write(self._room_id, archiving.begin_cut, channel_id, key, built, now_ms=self._now())
        if segment is None:
            await self._archiver.store.delete(key)
            return False
        self._moved(segment.message_count)
        self._count(segments_made=1, stored_bytes=built.size_bytes)
        return await self._cut(segment, built.pieces)

    async def _put(self, key: str, built: Built) -> None:
        """Store an object and read it back; what is stored already under its key has to be the same."""
        content = Content(MEDIA_TYPE, built.size_bytes, built.sha256)
        store = self._archiver.store
        with contextlib.suppress(ObjectExistsError):
            await store.put(key, built.path, content)
        self._archiver.between_steps()
        try:
            if (await store.verify(key)).content != content:
                raise CorruptObjectError(key, "it is not what was put")
        except CorruptObjectError:
            # Nobody names it yet, so the next visit can put it again.
            await store.delete(key)
            raise
        finally:
            built.path.unlink(missing_ok=True)

    def _key(self, channel_id: ChannelId, built: Built) -> str:
        return f"archive/{self._room_id}/{channel_id}/{built.first_id}-{built.sha256[:32]}"

    async def _cut(self, segment: Segment, pieces: list[Piece]) -> bool:
        counted, seq, is_quiet = segment.message_count, None, False
        ids = [piece.id for piece in pieces]
        while (at := bisect_right(ids, segment.cut_id)) < len(pieces):
            self._archiver.between_steps()
            size = archiving.STEP * QUIET_FACTOR if is_quiet else archiving.STEP
            started = time.monotonic()
            found = await self._pool.write(
                self._room_id, archiving.go_on, segment.id, pieces[at : at + size], now_ms=self._now()
            )
            if found is None:
                return False
            segment = found.segment
            self._moved(segment.message_count - counted)
            counted = segment.message_count
            is_quiet, seq = seq == found.last_seq, found.last_seq
            if not is_quiet:
                # Others write here: they have the room for as long as this step had it.
                await asyncio.sleep(min(time.monotonic() - started, PAUSE_SECONDS_MAX))
        return True

    def _moved(self, count: int) -> None:
        self._count(messages_moved=count)
        self._progress(count)

    def _count(self, **more: int) -> None:
        self.outcome = replace(
            self.outcome, **{name: getattr(self.outcome, name) + count for name, count in more.items()}
        )

    async def _delete_old(self) -> None:
        channels = await self._pool.read(self._room_id, archiving.channel_ids)
        for channel_id in channels:
            for _ in range(STEPS_MAX):
                count = await self._pool.write(
                    self._room_id, archiving.erase_old, self._archiver.default, channel_id, now_ms=self._now()
                )
                if not count:
                    break
                self._count(messages_deleted=count)

    async def _rewrite(self, folder: Path) -> None:
        """Make new objects of segments with messages that nobody is shown, without these."""
        while segment := await self._pool.read(self._room_id, segments.to_rewrite):
            if not await self._rewrite_one(folder, segment):
                return

    async def _rewrite_one(self, folder: Path, segment: Segment) -> bool:
        for _ in range(SWAPS_MAX):
            built = await self._rebuild(folder, segment)
            self._archiver.between_steps()
            if built is None:
                is_done = await self._pool.write(self._room_id, archiving.remove_empty, segment)
            else:
                key = self._key(segment.channel_id, built)
                await self._put(key, built)
                self._archiver.between_steps()
                is_done = await self._pool.write(self._room_id, archiving.replace, segment, key, built)
            if is_done:
                self._count(segments_rewritten=1)
                # Its words that were deleted are to be nowhere, however long the copy could have stayed.
                await self._archiver.cache.forget(segment)
                return True
            now = await self._pool.read(self._room_id, segments.one, segment.id)
            if now is None:
                return True
            segment = now
        return False

    async def _rebuild(self, folder: Path, segment: Segment) -> Built | None:
        # Only what the cache opens is known to be this segment.
        await self._archiver.cache.ask(self._room_id, segment, segment_files.guard)
        file = folder / "rewriting.db"
        try:
            await self._archiver.cache.copy(segment, file)
            return await asyncio.to_thread(
                segment_files.rebuild, file, folder, self._room_id, segment.channel_id, hidden=set(segment.hidden)
            )
        finally:
            file.unlink(missing_ok=True)

    async def _remove_freed(self) -> None:
        while keys := await self._pool.read(self._room_id, segments.freed):
            for key in keys:
                await self._archiver.store.delete(key)
                self._archiver.between_steps()
                await self._pool.write(self._room_id, segments.forget, key)
                self._count(objects_removed=1)

    async def _tidy(self) -> None:
        """Trim the log, merge the search index and give space back, in small steps, after something moved."""
        if not (self.outcome.messages_moved or self.outcome.messages_deleted):
            return
        seq = 0
        for _ in range(STEPS_MAX):
            reached = await self._pool.write(self._room_id, cuts.trim_log, seq, now_ms=self._now())
            if reached is None:
                break
            seq = reached
        is_first = True
        for _ in range(STEPS_MAX):
            if not await self._pool.write(self._room_id, archiving.merge_index, pages=MERGE_PAGES, is_first=is_first):
                break
            is_first = False
        for _ in range(STEPS_MAX):
            if not await self._pool.write(self._room_id, archiving.vacuum, pages=VACUUM_PAGES):
                break

"""The archiver: moves old history into segments, room by room: build, put, read back, compare, cut, clean up.

A crash anywhere leaves either an object that no room names, which a later run stores again or removes, or a cut that
the next run finishes: each visit reads the work to do from the shard.
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
from objects.errors import (
    CorruptObjectError,
    ObjectError,
    ObjectExistsError,
    ObjectNotFoundError,
    StoreFullError,
    StoreUnavailableError,
)
from objects.store import Content, Store
from shard.actions import archive
from shard.actions.archive import Plan
from shard.archive import cuts, manifest, segment_files
from shard.archive.manifest import Segment
from shard.archive.retention import Policy
from shard.archive.segment_cache import SegmentCache
from shard.archive.segment_files import Built, Piece
from shard.engine import files, maintenance
from shard.engine.pool import ShardPool
from shard.errors import ArchiveUnavailableError, ShardError
from shard.tables import channels

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/zstd"
QUIET_FACTOR: Final = 4
"""The factor by which steps of a cut are larger in a room without other writes: fewer syncs, and no write waits."""
PAUSE_SECONDS_MAX: Final = 0.1
"""The longest pause between two steps in a busy room."""
NONCES_AT_ONCE: Final = 2_000
"""Nonces of archived messages that one step records, about 5 ms."""
VACUUM_PAGES: Final = 256
"""Pages that one step gives back to the file system: half a megabyte, some milliseconds."""
MERGE_PAGES: Final = 64
"""Pages of the search index that one step merges."""
STEPS_MAX: Final = 100_000
"""Steps of vacuum, merge or trim in one visit: more than any room needs; the next visit continues."""
REWRITES_MAX: Final = 3
"""Tries of one visit to rewrite a segment of which more is deleted meanwhile; the next visit tries again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a visit to a room. `error` is why it ended early."""

    room_id: RoomId
    messages_moved: int = 0
    segments_made: int = 0
    segments_rewritten: int = 0
    objects_removed: int = 0
    messages_deleted: int = 0
    stored_bytes: int = 0
    error: str | None = None


Progress = Callable[[int], None]
"""Receives the count of messages that a step moved."""


@dataclass(slots=True)
class Archiver:
    """The archiver, which visits one room at a time; a lock prevents two visits of one room, in other processes too."""

    pool: ShardPool
    store: Store
    cache: SegmentCache
    shards: Path
    work: Path
    default: Policy
    clock: Callable[[], int]
    between_steps: Callable[[], None] = lambda: None
    """Called between the steps that a crash may separate."""

    async def visit(
        self, room_id: RoomId, *, under_pressure: bool = False, progress: Progress = lambda _count: None
    ) -> Outcome:
        """Archive, delete and rewrite by a room's policies; an error that ends the visit early is in the outcome.

        A channel, segment or object that cannot be handled is logged, and all others of the room are handled; an
        unexpected error of theirs is raised at the end.
        """
        visit = _Visit(self, room_id, progress)
        try:
            with self.locked(room_id) as folder:
                await visit.run(folder, under_pressure=under_pressure)
        except BlockingIOError:
            visit.outcome = replace(visit.outcome, error="another process is archiving this room")
        except (ShardError, ObjectError, OSError) as error:
            log.warning("a room was not archived to its end", extra={"room_id": room_id, "reason": str(error)})
            visit.outcome = replace(visit.outcome, error=str(error))
        return visit.outcome

    @contextlib.contextmanager
    def locked(self, room_id: RoomId) -> Iterator[Path]:
        """Lock a room against other visits, and yield an empty folder to work in; raises BlockingIOError while another
        visit, of any process, holds the lock. A crash unlocks it."""
        folder = self.work / str(room_id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                _clear(folder)
                yield folder
            finally:
                _clear(folder)


def _is_of_all(error: Exception) -> bool:
    """Tell whether an error is of the room, the store or the disk, and not of one segment that cannot be had."""
    if isinstance(error, ArchiveUnavailableError):
        return not isinstance(error.__cause__, (CorruptObjectError, ObjectNotFoundError))
    return isinstance(error, (ShardError, StoreUnavailableError, StoreFullError, OSError))


def _clear(folder: Path) -> None:
    """Remove the segments that a visit built and did not store."""
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
        self._failed: list[Exception] = []
        self.outcome = Outcome(room_id)

    async def run(self, folder: Path, *, under_pressure: bool) -> None:
        await self._finish_cuts()
        await self._delete_old()
        await self._move(folder, under_pressure=under_pressure)
        await self._rewrite(folder)
        await self._remove_freed()
        await self._reclaim()
        for error in self._failed:
            raise error

    @contextlib.contextmanager
    def _apart(self, **part: object) -> Iterator[None]:
        """Do a part of the visit; an error that is of this part alone is logged, and raised after all others."""
        try:
            yield
        except Exception as error:  # the other channels and segments are handled, and the next visit tries again
            if _is_of_all(error):
                raise
            facts = {"room_id": self._room_id, **part}
            log.exception("a part of a room could not be archived", extra=facts)
            self._failed.append(error)

    def _now(self) -> int:
        return self._archiver.clock()

    async def _finish_cuts(self) -> None:
        """Continue cuts that a crash or a hold interrupted."""
        after = 0
        while segment := await self._pool.read(self._room_id, manifest.uncut, after=after):
            after = segment.id
            with self._apart(segment_id=segment.id):
                pieces = await self._archiver.cache.ask(
                    self._room_id, segment, segment_files.pieces, after=segment.cut_id
                )
                await self._cut(segment, pieces)

    async def _move(self, folder: Path, *, under_pressure: bool) -> None:
        after, default = 0, self._archiver.default
        while True:
            plans, after = await self._pool.read(
                self._room_id, archive.plan, default, after=after, under_pressure=under_pressure, now_ms=self._now()
            )
            for plan in plans:
                with self._apart(channel_id=plan.channel_id):
                    await self._move_channel(folder, plan)
            if not after:
                return

    async def _move_channel(self, folder: Path, plan: Plan) -> None:
        """Build segments of the messages that may move, each while the one before it is stored and cut."""
        building = asyncio.create_task(self._build(folder, plan, 0))
        try:
            while (built := await building) is not None:
                building = asyncio.create_task(self._build(folder, plan, built.until_id))
                if not await self._store_and_cut(plan.channel_id, built):
                    return
        finally:
            # A thread cannot be stopped, and it writes into the folder until it has ended.
            await asyncio.gather(building, return_exceptions=True)

    async def _build(self, folder: Path, plan: Plan, after: int) -> Built | None:
        least = archive.SEGMENT_MIN
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
        """Store a segment, cut its messages, and return whether the cut was completed."""
        key = self._key(channel_id, built)
        await self._put(key, built)
        # The nonces are spent before any message moves, so that none can be used again in between.
        spent = await asyncio.to_thread(cuts.hashes, [(piece.user_id, piece.nonce) for piece in built.pieces])
        for at in range(0, len(spent), NONCES_AT_ONCE):
            await self._pool.write(self._room_id, cuts.spend, spent[at : at + NONCES_AT_ONCE])
        self._archiver.between_steps()
        segment = await self._pool.write(self._room_id, archive.begin_cut, channel_id, key, built, now_ms=self._now())
        if segment is None:
            await self._archiver.store.delete(key)
            return False
        self._moved(segment.message_count)
        self._count(segments_made=1, stored_bytes=built.size_bytes)
        return await self._cut(segment, built.pieces)

    async def _put(self, key: str, built: Built) -> None:
        """Store an object and read it back; an object that is stored already under its key must be equal."""
        content = Content(MEDIA_TYPE, built.size_bytes, built.sha256)
        store = self._archiver.store
        with contextlib.suppress(ObjectExistsError):
            await store.put(key, built.path, content)
        self._archiver.between_steps()
        try:
            if (await store.verify(key)).content != content:
                raise CorruptObjectError(key, "it is not what was put")
        except CorruptObjectError:
            # No room names it yet, so the next visit can store it again.
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
            size = archive.STEP * QUIET_FACTOR if is_quiet else archive.STEP
            started = time.monotonic()
            found = await self._pool.write(
                self._room_id, archive.go_on, segment.id, pieces[at : at + size], now_ms=self._now()
            )
            if found is None:
                return False
            segment = found.segment
            self._moved(segment.message_count - counted)
            counted = segment.message_count
            is_quiet, seq = seq == found.last_seq, found.last_seq
            if not is_quiet:
                # The room has other writes: the pause gives them as much time as this step took.
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
        for channel_id in await self._pool.read(self._room_id, channels.present_ids):
            with self._apart(channel_id=channel_id):
                await self._delete_old_of(channel_id)

    async def _delete_old_of(self, channel_id: ChannelId) -> None:
        for _ in range(STEPS_MAX):
            count = await self._pool.write(
                self._room_id, archive.erase_old, self._archiver.default, channel_id, now_ms=self._now()
            )
            if not count:
                return
            self._count(messages_deleted=count)

    async def _rewrite(self, folder: Path) -> None:
        """Rewrite segments with hidden messages, without these."""
        after = 0
        while segment := await self._pool.read(self._room_id, manifest.to_rewrite, after=after):
            after = segment.id
            with self._apart(segment_id=segment.id):
                await self._rewrite_one(folder, segment)

    async def _rewrite_one(self, folder: Path, segment: Segment) -> None:
        for _ in range(REWRITES_MAX):
            built = await self._rebuild(folder, segment)
            self._archiver.between_steps()
            if built is None:
                is_done = await self._pool.write(self._room_id, archive.remove_empty, segment)
            else:
                key = self._key(segment.channel_id, built)
                await self._put(key, built)
                self._archiver.between_steps()
                is_done = await self._pool.write(self._room_id, archive.replace, segment, key, built)
            if is_done:
                self._count(segments_rewritten=1)
                # The local copy still has the deleted messages.
                await self._archiver.cache.forget(segment)
                return
            now = await self._pool.read(self._room_id, manifest.one, segment.id)
            if now is None:
                return
            segment = now

    async def _rebuild(self, folder: Path, segment: Segment) -> Built | None:
        # The query makes the cache fetch and verify the segment.
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
        after = ""
        while keys := await self._pool.read(self._room_id, manifest.freed, after=after):
            after = keys[-1]
            for key in keys:
                with self._apart(key=key):
                    await self._archiver.store.delete(key)
                    self._archiver.between_steps()
                    await self._pool.write(self._room_id, manifest.forget, key)
                    self._count(objects_removed=1)

    async def _reclaim(self) -> None:
        """Trim the log, merge the search index and give space back, in small steps, after messages moved."""
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
            step = await self._pool.write(
                self._room_id, maintenance.merge_index, MERGE_PAGES, begin=is_first, checkpoint=None
            )
            if not step.left:
                break
            is_first = False
        for _ in range(STEPS_MAX):
            step = await self._pool.write(self._room_id, maintenance.give_back, VACUUM_PAGES, checkpoint=None)
            if not step.left:
                break

"""The hibernator: moves an idle room into object storage, and wakes it at the next request.

At every moment the directory says whether the file or the object is the room; one transaction changes it when the room
is hibernated, another when it is woken. The object is read back and compared before the first, the file is compared
before the second; a crash leaves at most a file or an object that is removed later.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from database.errors import DatabaseError
from directory import hibernations
from directory.directory import Directory
from directory.errors import DirectoryError
from directory.hibernations import Hibernation
from ids import RoomId
from migrations.engine import Migration
from monitor.isolation import Isolation
from objects.errors import CorruptObjectError, ObjectError, ObjectNotFoundError
from objects.store import Content, Store
from objects.threads import Threads
from shard.actions import hibernation as hibernation_actions
from shard.engine import dump
from shard.engine.dump import Packed, StillShard, StoppedError
from shard.engine.pool import ShardPool
from shard.engine.restore import RestoredFile, Unpacker
from shard.engine.suspensions import Suspension
from shard.errors import BrokenShardError, UnavailableError, WakingError

log = logging.getLogger(__name__)
T = TypeVar("T")

CONTENT_TYPE: Final = "application/zstd"
PACKERS: Final = 2
"""Threads that copy and pack, for minutes where rooms are large: no request waits for them.

Waking has `WAKERS` of its own.
"""
WAKERS: Final = 8
"""Threads that requests wait for: one for each room that the pool wakes at once."""
OPERATIONS_MAX: Final = 256
"""Operations that may wait for a thread: more than the pool and a round ever begin at once."""
STEPS: Final = ("packed", "registered", "stored", "compared", "asleep", "removed", "fetched", "placed", "awake")
"""The steps between which a crash may come, in their order: those of hibernating, then those of waking."""


REMOVAL: Final = "removal of a woken room's object"
"""The name of this work among the failures."""


class NotIdleError(Exception):
    """The room is not hibernated; the message is the reason, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Hibernated:
    """A hibernated room: the size of its file, and that of its object."""

    file_bytes: int
    size_bytes: int


class Hibernator:
    """Hibernation and waking of rooms, for the pool that has them; the hook `step` is called with each of STEPS."""

    def __init__(
        self,
        directory: Directory,
        pool: ShardPool,
        store: Store,
        folder: Path,
        migrations: Sequence[Migration],
        clock: Callable[[], int],
        *,
        woken: Callable[[RoomId], None] = lambda _room_id: None,
        step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._directory = directory
        self._pool = pool
        self._store = store
        self._folder = folder
        self._migrations = migrations
        self._clock = clock
        self._woken = woken
        """Called with each room that was woken, and with each that was suspended but not hibernated."""
        self._step = step
        self._packers = Threads("hibernating", count=PACKERS, operations_max=OPERATIONS_MAX)
        self._wakers = Threads("waking", count=WAKERS, operations_max=OPERATIONS_MAX)
        self._uploading: set[int] = set()
        self._cancelled: set[asyncio.Task[Any]] = set()
        self._isolation = Isolation(directory)
        self.on_loss: Callable[[RoomId], None] = lambda _room_id: None
        """Called with each room whose object was missed, or was damaged."""
        self.waking_seconds = 0.0
        """Time that the last wake took."""
        pool.suspensions.wake_with(self.wake)

    async def hibernate(self, room_id: RoomId) -> Hibernated:
        """Hibernate a room, unless it is hibernated.

        A request for the room ends the attempt. Raises NotIdleError when the room is not hibernated,
        ShardError when it cannot be read, ObjectError, DatabaseError and DirectoryError.
        """
        try:
            async with self._pool.shut(room_id) as suspension:
                still = StillShard(self._folder, room_id, self._migrations, self._clock)
                try:
                    return await self._hibernate_shut(room_id, suspension, still)
                finally:
                    still.stop()
                    await self._wakers.run(still.release)
        except BaseException as error:
            # Webhook deliveries and file cleanup skip a suspended room: now they may continue.
            self._woken(room_id)
            if isinstance(error, StoppedError):
                raise NotIdleError("somebody asked for it") from None
            raise

    async def _hibernate_shut(self, room_id: RoomId, suspension: Suspension, still: StillShard) -> Hibernated:
        async with self._directory.database.read() as reader:
            kept = await hibernations.find_asleep(reader, room_id)
        if kept is not None:
            return Hibernated(kept.file_bytes, kept.size_bytes)
        shard = await self._unless_requested(suspension, still, self._packers.run(still.hold))
        obstacle = await self._packers.run(hibernation_actions.obstacle, shard, now_ms=self._clock())
        if obstacle is not None:
            raise NotIdleError(obstacle)
        packed = await self._unless_requested(suspension, still, self._packers.run(still.pack))
        self._step("packed")
        hibernation = await self._register(room_id, packed)
        self._uploading.add(hibernation.id)
        try:
            await self._unless_requested(suspension, still, self._put(hibernation, packed))
            await self._commit(hibernation, packed.last_seq)
        finally:
            self._uploading.discard(hibernation.id)
        try:
            await self._packers.run(still.remove)
        except OSError as error:  # the object is the room by now; its file is removed at the next start
            facts = {"room_id": room_id, "reason": str(error)}
            log.warning("the file of a hibernated room stays", extra=facts)
        self._step("removed")
        return Hibernated(packed.file_bytes, packed.size_bytes)

    async def _unless_requested(self, suspension: Suspension, still: StillShard, work: Coroutine[Any, Any, T]) -> T:
        """Await a part of the work, or cancel it, without awaiting its end, when the room is requested meanwhile."""
        task, requested = asyncio.ensure_future(work), asyncio.ensure_future(suspension.requested.wait())
        try:
            await asyncio.wait({task, requested}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise NotIdleError("somebody asked for it")
            return task.result()
        finally:
            requested.cancel()
            if not task.done():
                still.stop()
                task.cancel()
                self._cancelled.add(task)
                task.add_done_callback(self._log_cancelled)

    def _log_cancelled(self, task: "asyncio.Task[Any]") -> None:
        self._cancelled.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("hibernating was given up", extra={"reason": str(error)})

    async def _register(self, room_id: RoomId, packed: Packed) -> Hibernation:
        async with self._directory.database.write() as writer:
            hibernation = await hibernations.begin(
                writer,
                room_id,
                size_bytes=packed.size_bytes,
                sha256=packed.sha256,
                file_bytes=packed.file_bytes,
                file_sha256=packed.file_sha256,
                now_ms=self._clock(),
            )
        self._step("registered")
        return hibernation

    async def _put(self, hibernation: Hibernation, packed: Packed) -> None:
        """Store the object, read it back, and compare its unpacked bytes with the room."""
        content = Content(CONTENT_TYPE, hibernation.size_bytes, hibernation.sha256)
        await self._store.put(hibernation.object_key, packed.path, content)
        self._step("stored")
        unpacker = _unpacker(hibernation)
        async with aclosing(self._bytes_of(hibernation)) as chunks:
            async for chunk in chunks:
                await self._packers.run(unpacker.take, chunk)
        unpacker.compare()
        self._step("compared")

    async def _commit(self, hibernation: Hibernation, last_seq: int) -> None:
        # Whether or not the transaction succeeds, the pool must ask the directory before it opens the file.
        self._pool.suspensions.require_wake(hibernation.room_id)
        async with self._directory.database.write() as writer:
            is_hibernated = await hibernations.fall_asleep(writer, hibernation, last_seq=last_seq, now_ms=self._clock())
        if not is_hibernated:
            raise NotIdleError("it is not an active room any more")
        self._step("asleep")

    async def wake(self, room_id: RoomId) -> None:
        """Wake a room if it is hibernated; the pool calls it before it opens a file that may be out of date.

        Raises BrokenShardError when the object is not the one that was stored, WakingError when object storage does not
        answer, ShardFullError without space, and UnavailableError when the directory cannot be asked.
        """
        began = time.perf_counter()
        try:
            async with self._directory.database.read() as reader:
                hibernation = await hibernations.find_asleep(reader, room_id)
            if hibernation is None:
                return
            await self._fetch(hibernation)
            async with self._directory.database.write() as writer:
                await hibernations.wake(writer, hibernation, now_ms=self._clock())
        except (DatabaseError, DirectoryError) as error:
            raise UnavailableError(f"This room cannot be brought back now: {error}") from error
        self._step("awake")
        self.waking_seconds = time.perf_counter() - began
        facts = {"room_id": room_id, "seconds": round(self.waking_seconds, 3), "bytes": hibernation.file_bytes}
        log.info("a room was woken", extra=facts)
        # Called after the pool has opened the room.
        asyncio.get_running_loop().call_soon(self._woken, room_id)

    async def _fetch(self, hibernation: Hibernation) -> None:
        """Write the file of a room into its place while its object is still downloaded."""
        room_id = hibernation.room_id
        restored = RestoredFile(self._folder, room_id, _unpacker(hibernation))
        writing: asyncio.Future[None] | None = None
        try:
            async with aclosing(self._bytes_of(hibernation)) as chunks:
                async for chunk in chunks:
                    if writing is not None:
                        await writing
                    writing = asyncio.ensure_future(self._wakers.run(restored.write, chunk))
            if writing is not None:
                await writing
            self._step("fetched")
            await self._wakers.run(restored.finish)
            self._step("placed")
        except (CorruptObjectError, ObjectNotFoundError) as error:
            self.on_loss(room_id)
            raise BrokenShardError(room_id, f"it is hibernated, and {str(error).removesuffix('.')}") from error
        except ObjectError as error:
            raise WakingError(f"This room is hibernated, and object storage does not answer: {error}") from error
        finally:
            if writing is not None:
                await asyncio.wait([writing])
            await self._wakers.run(restored.discard)

    async def _bytes_of(self, hibernation: Hibernation) -> AsyncGenerator[bytes]:
        async with self._store.open(hibernation.object_key) as reading:
            if reading.head.content.sha256 != hibernation.sha256:
                raise CorruptObjectError(hibernation.object_key, "it is another object")
            async for chunk in reading.chunks:
                yield chunk

    async def remove_unneeded(self) -> None:
        """Remove objects that no room needs; raises ObjectError and DatabaseError, and the next call continues."""
        async with self._directory.database.read() as reader:
            unneeded = await hibernations.left(reader, now_ms=self._clock())
        for hibernation in unneeded:
            if hibernation.id not in self._uploading and not await self._is_set_aside(hibernation):
                await self._remove(hibernation)

    async def _is_set_aside(self, hibernation: Hibernation) -> bool:
        return await self._isolation.waits(REMOVAL, hibernation.object_key, now_ms=self._clock())

    async def _remove(self, hibernation: Hibernation) -> None:
        key, room_id = hibernation.object_key, hibernation.room_id
        async with self._isolation.guarded(REMOVAL, key, room_id, now_ms=self._clock()):
            await self._store.delete(key)
            async with self._directory.database.write() as writer:
                await hibernations.forget(writer, hibernation)

    async def recover(self) -> int:
        """Set aside files of hibernated rooms that a crash left, before the server opens; return their count."""
        await self._wakers.run(dump.discard_left, self._folder, now_ms=self._clock())
        after, count = 0, 0
        while True:
            async with self._directory.database.read() as reader:
                page = await hibernations.asleep(reader, after=after)
            for hibernation in page:
                count += await self._set_file_aside(hibernation.room_id)
            if len(page) < hibernations.PAGE_MAX:
                return count
            after = page[-1].room_id

    async def _set_file_aside(self, room_id: RoomId) -> bool:
        try:
            left = await self._wakers.run(dump.set_aside, self._folder, room_id)
        except OSError:  # the room is its object, whatever its file is: all others are served
            log.exception("the file of a hibernated room cannot be set aside", extra={"room_id": room_id})
            return False
        if left is not None:
            log.warning("the file of a hibernated room is set aside for a week", extra={"path": str(left)})
        return left is not None

    async def close(self) -> None:
        """Wait for the work that is under way, and end the threads."""
        await self._pool.suspensions.close()
        if self._cancelled:
            await asyncio.wait(self._cancelled)
        await self._packers.close()
        await self._wakers.close()


def _unpacker(hibernation: Hibernation) -> Unpacker:
    return Unpacker(hibernation.room_id, file_bytes=hibernation.file_bytes, file_sha256=hibernation.file_sha256)

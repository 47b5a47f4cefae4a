"""Puts rooms that nobody uses into object storage, and brings them back when somebody asks.

At every moment one place is the room: its file, until one transaction of the directory says that its object is; the
object, until another says that the file is again. The object was read back and compared before the first, the file was
compared before the second; whatever is cut short leaves at most something that is removed later.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from directory import hibernations
from directory.directory import Directory
from directory.errors import DirectoryError
from directory.hibernations import Hibernation
from ids import RoomId
from migrations.engine import Migration
from objects.errors import CorruptObjectError, ObjectError, ObjectNotFoundError
from objects.store import Content, Store
from objects.threads import Threads
from shard import packing
from shard.acts import resting
from shard.errors import BrokenShardError, UnavailableError, WakingError
from shard.gates import Gate
from shard.packing import Packed, StillShard, StoppedError
from shard.pool import ShardPool
from shard.unpacking import Placing, Unpacking

log = logging.getLogger(__name__)
T = TypeVar("T")

CONTENT_TYPE: Final = "application/zstd"
PACKERS: Final = 2
"""Threads that copy and pack, for minutes where rooms are large: nobody waits for them."""
WAKERS: Final = 8
"""Threads for those who wait: one for each room that the pool's gates let come back at once."""
OPERATIONS_MAX: Final = 256
"""Rooms that are on their way at once: the pool's gates and a round's pace let fewer through."""
STEPS: Final = ("packed", "registered", "stored", "compared", "asleep", "removed", "fetched", "placed", "awake")
"""The moments between which a crash may come, in their order: those of putting away, then those of bringing back."""


class NotIdleError(Exception):
    """The room stays where it is, for a reason that ends a sentence."""


@dataclass(frozen=True, slots=True)
class Away:
    """A room that was put away: what its file had in bytes, and what its object has."""

    file_bytes: int
    size_bytes: int


class Hibernating:
    """Puts rooms away and brings them back, for the one pool that has them; a hook hears of each of STEPS."""

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
        """Told of rooms that are back, and of those that were shut and stayed."""
        self._step = step
        self._packers = Threads("hibernating", count=PACKERS, operations_max=OPERATIONS_MAX)
        self._wakers = Threads("waking", count=WAKERS, operations_max=OPERATIONS_MAX)
        self._going: set[int] = set()
        self._ending: set[asyncio.Task[Any]] = set()
        self.waking_seconds = 0.0
        """How long the last waking took."""
        pool.gates.wake_with(self.wake)

    async def hibernate(self, room_id: RoomId) -> Away:
        """Put a room away, unless it is.

        It gives way to whoever asks for the room meanwhile. Raises NotIdleError when the room stays where it is,
        ShardError when it cannot be read, ObjectError and DirectoryError.
        """
        try:
            async with self._pool.shut(room_id) as gate:
                still = StillShard(self._folder, room_id, self._migrations, self._clock)
                try:
                    return await self._put_away(room_id, gate, still)
                finally:
                    still.stop()
                    await self._wakers.run(still.let_go)
        except BaseException as error:
            # Whoever passed it by while it was shut looks again.
            self._woken(room_id)
            if isinstance(error, StoppedError):
                raise NotIdleError("somebody asked for it") from None
            raise

    async def _put_away(self, room_id: RoomId, gate: Gate, still: StillShard) -> Away:
        async with self._directory.database.read() as reader:
            kept = await hibernations.find_asleep(reader, room_id)
        if kept is not None:
            return Away(kept.file_bytes, kept.size_bytes)
        shard = await self._unless_wanted(gate, still, self._packers.run(still.hold))
        obstacle = await self._packers.run(resting.obstacle, shard, now_ms=self._clock())
        if obstacle is not None:
            raise NotIdleError(obstacle)
        packed = await self._unless_wanted(gate, still, self._packers.run(still.pack))
        self._step("packed")
        hibernation = await self._register(room_id, packed)
        self._going.add(hibernation.id)
        try:
            await self._unless_wanted(gate, still, self._put(hibernation, packed))
            await self._fall_asleep(hibernation, packed.last_seq)
        finally:
            self._going.discard(hibernation.id)
        try:
            await self._packers.run(still.remove)
        except OSError as error:  # the room is its object by now; what stands of it is removed at the next start
            facts = {"room_id": room_id, "reason": str(error)}
            log.warning("the file of a hibernated room stays", extra=facts)
        self._step("removed")
        return Away(packed.file_bytes, packed.size_bytes)

    async def _unless_wanted(self, gate: Gate, still: StillShard, doing: Coroutine[Any, Any, T]) -> T:
        """Do something while nobody asks for the room; what is still under way then ends behind its back."""
        task, wanted = asyncio.ensure_future(doing), asyncio.ensure_future(gate.wanted.wait())
        try:
            await asyncio.wait({task, wanted}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise NotIdleError("somebody asked for it")
            return task.result()
        finally:
            wanted.cancel()
            if not task.done():
                still.stop()
                task.cancel()
                self._ending.add(task)
                task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[Any]") -> None:
        self._ending.discard(task)
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
        """Store the object, read it back, and see that the room comes out of it."""
        content = Content(CONTENT_TYPE, hibernation.size_bytes, hibernation.sha256)
        await self._store.put(hibernation.object_key, packed.path, content)
        self._step("stored")
        unpacking = _unpacking(hibernation)
        async with aclosing(self._bytes_of(hibernation)) as chunks:
            async for chunk in chunks:
                await self._packers.run(unpacking.take, chunk)
        unpacking.compare()
        self._step("compared")

    async def _fall_asleep(self, hibernation: Hibernation, last_seq: int) -> None:
        # Whatever becomes of the transaction, nobody opens the file again without asking the directory.
        self._pool.gates.doubt(hibernation.room_id)
        async with self._directory.database.write() as writer:
            is_asleep = await hibernations.fall_asleep(writer, hibernation, last_seq=last_seq, now_ms=self._clock())
        if not is_asleep:
            raise NotIdleError("it is not an active room any more")
        self._step("asleep")

    async def wake(self, room_id: RoomId) -> None:
        """Bring a room back if it is away; the pool calls it before it opens a file that may not be the room.

        Raises BrokenShardError when object storage has something else than was put, WakingError when it does not
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
        except DirectoryError as error:
            raise UnavailableError(f"This room cannot be brought back now: {error}") from error
        self._step("awake")
        self.waking_seconds = time.perf_counter() - began
        facts = {"room_id": room_id, "seconds": round(self.waking_seconds, 3), "bytes": hibernation.file_bytes}
        log.info("a room was woken", extra=facts)
        # The pool lets everybody in before this is called.
        asyncio.get_running_loop().call_soon(self._woken, room_id)

    async def _fetch(self, hibernation: Hibernation) -> None:
        """Put the file of a room into its place, while its object still comes in."""
        room_id = hibernation.room_id
        placing = Placing(self._folder, room_id, _unpacking(hibernation))
        writing: asyncio.Future[None] | None = None
        try:
            async with aclosing(self._bytes_of(hibernation)) as chunks:
                async for chunk in chunks:
                    if writing is not None:
                        await writing
                    writing = asyncio.ensure_future(self._wakers.run(placing.write, chunk))
            if writing is not None:
                await writing
            self._step("fetched")
            await self._wakers.run(placing.finish)
            self._step("placed")
        except (CorruptObjectError, ObjectNotFoundError) as error:
            raise BrokenShardError(room_id, f"it is hibernated, and {str(error).removesuffix('.')}") from error
        except ObjectError as error:
            raise WakingError(f"This room is hibernated, and object storage does not answer: {error}") from error
        finally:
            if writing is not None:
                await asyncio.wait([writing])
            await self._wakers.run(placing.discard)

    async def _bytes_of(self, hibernation: Hibernation) -> AsyncGenerator[bytes]:
        async with self._store.open(hibernation.object_key) as reading:
            if reading.head.content.sha256 != hibernation.sha256:
                raise CorruptObjectError(hibernation.object_key, "it is another object")
            async for chunk in reading.chunks:
                yield chunk

    async def clear(self) -> None:
        """Remove objects that nobody needs any more; raises ObjectError and DirectoryError, and goes on next time."""
        async with self._directory.database.read() as reader:
            left = await hibernations.left(reader, now_ms=self._clock())
        for hibernation in left:
            if hibernation.id not in self._going:
                await self._store.delete(hibernation.object_key)
                async with self._directory.database.write() as writer:
                    await hibernations.forget(writer, hibernation)

    async def mend(self) -> int:
        """Set aside what a crash left beside the truth, before anybody is let in; return how many files that were."""
        await self._wakers.run(packing.discard_left, self._folder, now_ms=self._clock())
        after, count = 0, 0
        while True:
            async with self._directory.database.read() as reader:
                page = await hibernations.asleep(reader, after=after)
            for hibernation in page:
                left = await self._wakers.run(packing.set_aside, self._folder, hibernation.room_id)
                if left is not None:
                    count += 1
                    log.warning("the file of a hibernated room is set aside for a week", extra={"path": str(left)})
            if len(page) < hibernations.PAGE_MAX:
                return count
            after = page[-1].room_id

    async def close(self) -> None:
        """End what is under way."""
        await self._pool.gates.close()
        if self._ending:
            await asyncio.wait(self._ending)
        await self._packers.close()
        await self._wakers.close()


def _unpacking(hibernation: Hibernation) -> Unpacking:
    return Unpacking(hibernation.room_id, file_bytes=hibernation.file_bytes, file_sha256=hibernation.file_sha256)

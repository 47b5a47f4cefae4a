"""Cleanup of files that no message needs, beside a running server, with a recount of the bytes that each user stores.

It removes uploads without a message after a day, files of deleted messages, channels and rooms, and bytes without a
row. Rows are deleted first and leave the keys of their bytes, then the bytes, then the keys: a later run does the rest.
"""

import logging
import re
from collections.abc import Sequence
from typing import Final

from directory import storage
from directory.directory import Directory
from directory.storage import FileRoom
from ids import AttachmentId, RoomId
from monitor.isolation import Isolation
from objects.errors import ObjectError
from objects.store import LIST_MAX, Store
from shard.engine.pool import ShardPool
from shard.errors import ShardError
from shard.event_types import FREES_FILES
from shard.rows import Event
from shard.tables import attachments

log = logging.getLogger(__name__)

UPLOAD_KEPT_MS: Final = storage.LOOK_EVERY_MS
"""Time for which an upload without a message is kept."""
ROOMS_AT_ONCE: Final = 10
"""Rooms that one run cleans up."""
ROUNDS_MAX: Final = 10
"""Batches of files that one run removes from one room; the next run continues."""
KEYS_AT_ONCE: Final = LIST_MAX
"""Keys of one room that one run compares with its rows; the next run continues."""
HINTS_MAX: Final = 10_000
"""Rooms with deleted files that are remembered; others wait for their daily cleanup."""
RETRY_MS: Final = 600_000
"""Time after which a room whose shard or bytes could not be reached is cleaned up again."""

WORK: Final = "file cleanup"
OBJECT: Final = "file removal"
"""The names of this work among the failures: of rooms, and of objects."""

_KEY: Final = re.compile(r"rooms/[1-9][0-9]*/([1-9][0-9]{0,18})-[0-9a-f]+")


class FileCleanup:
    """Cleanup of the rooms that are due, and those in which files were just deleted; one run at a time."""

    def __init__(self, directory: Directory, pool: ShardPool, store: Store) -> None:
        self._directory = directory
        self._pool = pool
        self._store = store
        self._hinted: set[RoomId] = set()
        self._isolation = Isolation(directory)

    def hint(self, room_id: RoomId) -> None:
        """Mark a room for the next run, because files may have been deleted there."""
        if len(self._hinted) < HINTS_MAX:
            self._hinted.add(room_id)

    def publish(self, room_id: RoomId, events: Sequence[Event]) -> None:
        """Mark a room in which a commit deleted messages or channels."""
        if any(event.type in FREES_FILES for event in events):
            self.hint(room_id)

    async def run(self, *, now_ms: int) -> None:
        """Clean up the rooms that are due; one that cannot be reached, or cleaned up, is logged and left for later."""
        hinted, self._hinted = self._hinted, set()
        for room_id in hinted:
            if self._pool.is_away(room_id):
                continue  # it is marked again when it wakes
            if await self._isolation.waits(WORK, room_id, now_ms=now_ms):
                continue  # it is due at the end of its pause
            async with self._directory.database.read() as reader:
                has_files = await storage.has_files(reader, room_id)
            if has_files:
                await self._visit(FileRoom(room_id, place="", is_deleted=False), now_ms=now_ms, is_due=False)
        async with self._directory.database.write() as writer:
            due = await storage.take_due(writer, limit=ROOMS_AT_ONCE, now_ms=now_ms)
        for room in due:
            await self._visit(room, now_ms=now_ms, is_due=True)

    async def _visit(self, room: FileRoom, *, now_ms: int, is_due: bool) -> None:
        is_handled = False
        async with self._isolation.guarded(WORK, room.room_id, room.room_id, now_ms=now_ms):
            try:
                await self._handle(room, now_ms=now_ms, is_due=is_due)
            except (ShardError, ObjectError) as error:
                log.warning("files could not be removed", extra={"room_id": room.room_id, "reason": str(error)})
                await self._reschedule(room, room.place, due_at=now_ms + RETRY_MS)
            is_handled = True
        if not is_handled:
            await self._reschedule(room, room.place, due_at=now_ms + RETRY_MS)

    async def _handle(self, room: FileRoom, *, now_ms: int, is_due: bool) -> None:
        if room.is_deleted:
            await self._remove_all(room, now_ms=now_ms)
        elif is_due:
            await self._clean_up(room, now_ms=now_ms)
        elif not await self._remove_freed(room.room_id, now_ms=now_ms):
            await self._reschedule(room, room.place, due_at=now_ms)

    async def _clean_up(self, room: FileRoom, *, now_ms: int) -> None:
        for _ in range(ROUNDS_MAX):
            if not await self._pool.write(room.room_id, attachments.expire, before_ms=now_ms - UPLOAD_KEPT_MS):
                break
        is_done = await self._remove_freed(room.room_id, now_ms=now_ms)
        page = await self._store.list(f"rooms/{room.room_id}/", after=room.place, limit=KEYS_AT_ONCE)
        await self._remove_unknown(room.room_id, page, now_ms=now_ms)
        usage = await self._pool.read(room.room_id, attachments.usage)
        async with self._directory.database.write() as writer:
            await storage.recount(writer, room.room_id, usage, now_ms=now_ms)
        if len(page) == KEYS_AT_ONCE:
            await self._reschedule(room, page[-1], due_at=now_ms)
        elif room.place or not is_done:
            await self._reschedule(room, "", due_at=now_ms + (UPLOAD_KEPT_MS if is_done else 0))

    async def _remove_freed(self, room_id: RoomId, *, now_ms: int) -> bool:
        """Remove the bytes of freed files, and return whether none are left, but for those that are set aside."""
        for _ in range(ROUNDS_MAX):
            freed = await self._pool.read(room_id, attachments.freed)
            removed = [file.id for file in freed if await self._remove(file.object_key, room_id, now_ms=now_ms)]
            if not removed:
                return True
            less = await self._pool.write(room_id, attachments.forget, removed)
            async with self._directory.database.write() as writer:
                await storage.release(writer, room_id, less)
        return False

    async def _remove(self, key: str, room_id: RoomId, *, now_ms: int) -> bool:
        """Remove an object, and return whether it is gone; one that cannot be removed is set aside."""
        is_gone = False
        if not await self._isolation.waits(OBJECT, key, now_ms=now_ms):
            async with self._isolation.guarded(OBJECT, key, room_id, now_ms=now_ms):
                await self._store.delete(key)
                is_gone = True
        return is_gone

    async def _remove_unknown(self, room_id: RoomId, keys: Sequence[str], *, now_ms: int) -> None:
        """Remove bytes that arrived after their upload expired, or that a restored shard has no row for."""
        named = {key: AttachmentId(int(found[1])) for key in keys if (found := _KEY.fullmatch(key))}
        known = await self._pool.read(room_id, attachments.known, [*named.values()])
        for key, attachment_id in named.items():
            if attachment_id not in known:
                log.warning("bytes without a file are removed", extra={"room_id": room_id, "key": key})
                await self._remove(key, room_id, now_ms=now_ms)

    async def _remove_all(self, room: FileRoom, *, now_ms: int) -> None:
        """Remove the bytes of all files of a deleted room."""
        page = await self._store.list(f"rooms/{room.room_id}/", after=room.place, limit=KEYS_AT_ONCE)
        for key in page:
            if _KEY.fullmatch(key):
                await self._remove(key, room.room_id, now_ms=now_ms)
        if len(page) == KEYS_AT_ONCE:
            await self._reschedule(room, page[-1], due_at=now_ms)
            return
        async with self._directory.database.write() as writer:
            await storage.recount(writer, room.room_id, {}, now_ms=now_ms)

    async def _reschedule(self, room: FileRoom, place: str, *, due_at: int) -> None:
        async with self._directory.database.write() as writer:
            await storage.go_on(writer, room.room_id, place=place, due_at=due_at)

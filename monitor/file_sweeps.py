"""Removes the files that nobody needs, beside a running server, and counts anew what everyone stores.

Uploads that no message got within a day, files of deleted messages, channels and rooms, and bytes that no row knows.
Rows go first and leave the key of their bytes behind, bytes go next, keys last: whatever is cut short is found again.
"""

import logging
import re
from collections.abc import Sequence
from typing import Final

from directory import storage
from directory.directory import Directory
from directory.storage import FileRoom
from ids import AttachmentId, RoomId
from objects.errors import ObjectError
from objects.store import LIST_MAX, Store
from shard import attachments
from shard.errors import ShardError
from shard.pool import ShardPool
from shard.rows import Event

log = logging.getLogger(__name__)

KEPT_MS: Final = storage.LOOK_EVERY_MS
"""How long an upload without a message is kept."""
ROOMS_AT_ONCE: Final = 10
"""Rooms that one run looks through."""
ROUNDS_MAX: Final = 10
"""Batches of files that one run removes from one room; the next run goes on."""
KEYS_AT_ONCE: Final = LIST_MAX
"""Keys of one room that one run compares with its rows; the next run goes on."""
HINTS_MAX: Final = 10_000
"""Rooms remembered in which something was deleted; beyond it a room waits for its day."""
RETRY_MS: Final = 600_000
"""When a room is looked at again whose shard or whose bytes could not be reached."""

_DELETING: Final = frozenset({"message.deleted", "channel.deleted"})
_KEY: Final = re.compile(r"rooms/[1-9][0-9]*/([1-9][0-9]{0,18})-[0-9a-f]+")


class FileSweep:
    """Looks through the rooms that are due, and those in which something was just deleted; one run at a time."""

    def __init__(self, directory: Directory, pool: ShardPool, store: Store) -> None:
        self._directory = directory
        self._pool = pool
        self._store = store
        self._hinted: set[RoomId] = set()

    def hint(self, room_id: RoomId) -> None:
        """Have a room looked at in the next run, because something was deleted there."""
        if len(self._hinted) < HINTS_MAX:
            self._hinted.add(room_id)

    def publish(self, room_id: RoomId, events: Sequence[Event]) -> None:
        """Look at a commit for what was deleted by it."""
        if any(event.type in _DELETING for event in events):
            self.hint(room_id)

    async def run(self, *, now_ms: int) -> None:
        """Remove what is due; a room that cannot be reached is left for later, and told."""
        hinted, self._hinted = self._hinted, set()
        for room_id in hinted:
            if self._pool.is_away(room_id):
                continue  # it is hinted at again when it is back
            async with self._directory.database.read() as reader:
                has_files = await storage.has_files(reader, room_id)
            if has_files:
                await self._visit(FileRoom(room_id, place="", is_deleted=False), now_ms=now_ms, is_due=False)
        async with self._directory.database.write() as writer:
            due = await storage.take_due(writer, limit=ROOMS_AT_ONCE, now_ms=now_ms)
        for room in due:
            await self._visit(room, now_ms=now_ms, is_due=True)

    async def _visit(self, room: FileRoom, *, now_ms: int, is_due: bool) -> None:
        try:
            if room.is_deleted:
                await self._clear(room, now_ms=now_ms)
            elif is_due:
                await self._look_through(room, now_ms=now_ms)
            elif not await self._free(room.room_id):
                await self._go_on(room, room.place, due_at=now_ms)
        except (ShardError, ObjectError) as error:
            log.warning("files could not be removed", extra={"room_id": room.room_id, "reason": str(error)})
            await self._go_on(room, room.place, due_at=now_ms + RETRY_MS)

    async def _look_through(self, room: FileRoom, *, now_ms: int) -> None:
        for _ in range(ROUNDS_MAX):
            if not await self._pool.write(room.room_id, attachments.expire, before_ms=now_ms - KEPT_MS):
                break
        is_free = await self._free(room.room_id)
        page = await self._store.list(f"rooms/{room.room_id}/", after=room.place, limit=KEYS_AT_ONCE)
        await self._remove_unknown(room.room_id, page, now_ms=now_ms)
        usage = await self._pool.read(room.room_id, attachments.usage)
        async with self._directory.database.write() as writer:
            await storage.recount(writer, room.room_id, usage, now_ms=now_ms)
        if len(page) == KEYS_AT_ONCE:
            await self._go_on(room, page[-1], due_at=now_ms)
        elif room.place or not is_free:
            await self._go_on(room, "", due_at=now_ms + (KEPT_MS if is_free else 0))

    async def _free(self, room_id: RoomId) -> bool:
        """Remove the bytes of freed files, and return whether these were all."""
        for _ in range(ROUNDS_MAX):
            freed = await self._pool.read(room_id, attachments.freed)
            if not freed:
                return True
            for file in freed:
                await self._store.delete(file.object_key)
            less = await self._pool.write(room_id, attachments.forget, [file.id for file in freed])
            async with self._directory.database.write() as writer:
                await storage.release(writer, room_id, less)
        return False

    async def _remove_unknown(self, room_id: RoomId, keys: Sequence[str], *, now_ms: int) -> None:
        """Remove bytes that came after their upload was given up, or that a restored shard does not know."""
        named = {key: AttachmentId(int(found[1])) for key in keys if (found := _KEY.fullmatch(key))}
        known = await self._pool.read(room_id, attachments.known, [*named.values()])
        for key, attachment_id in named.items():
            if attachment_id not in known:
                log.warning("bytes without a file are removed", extra={"room_id": room_id, "key": key})
                await self._store.delete(key)

    async def _clear(self, room: FileRoom, *, now_ms: int) -> None:
        """Remove the bytes of all files of a deleted room."""
        page = await self._store.list(f"rooms/{room.room_id}/", after=room.place, limit=KEYS_AT_ONCE)
        for key in page:
            if _KEY.fullmatch(key):
                await self._store.delete(key)
        if len(page) == KEYS_AT_ONCE:
            await self._go_on(room, page[-1], due_at=now_ms)
            return
        async with self._directory.database.write() as writer:
            await storage.recount(writer, room.room_id, {}, now_ms=now_ms)

    async def _go_on(self, room: FileRoom, place: str, *, due_at: int) -> None:
        async with self._directory.database.write() as writer:
            await storage.go_on(writer, room.room_id, place=place, due_at=due_at)

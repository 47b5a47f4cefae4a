"""Isolation of failures: a room or an object that cannot be handled is set aside, and all others are handled.

An unexpected error is logged with its traceback and written into the directory, where `rookery doctor` finds it; the
item is tried again after a pause that doubles. Expected errors are each caller's own.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from database.errors import StorageFullError, UnavailableError
from directory import failures
from directory.directory import Directory
from directory.failures import Failure
from ids import RoomId
from objects.errors import StoreFullError, StoreUnavailableError

log = logging.getLogger(__name__)


def describe(error: BaseException) -> str:
    """Return an unexpected error in a line, for operators."""
    return f"unexpected: {type(error).__name__}: {error}"[:1000]


class Isolation:
    """Sets items of some work aside. Each of its users has one, over one directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._known: dict[tuple[str, str], Failure] | None = None

    async def waits(self, work: str, item: object, *, now_ms: int) -> bool:
        """Tell whether an item is set aside and not due yet."""
        failure = (await self._failures()).get((work, str(item)))
        # A clock that went back delays nothing for longer than the longest pause.
        return failure is not None and 0 < failure.next_try_at - now_ms <= failures.RETRY_MS_MAX

    @asynccontextmanager
    async def guarded(
        self, work: str, item: object, room_id: RoomId | None = None, *, now_ms: int
    ) -> AsyncIterator[None]:
        """Run the block, and end it when it raises: the item is set aside then; success ends that.

        Raises what says that the directory or object storage cannot be used: that is about every item.
        """
        try:
            yield
        except (UnavailableError, StorageFullError, StoreUnavailableError, StoreFullError):
            raise
        except Exception as error:
            await self._set_aside(work, str(item), room_id, error, now_ms)
        else:
            await self._release(work, str(item))

    async def _failures(self) -> dict[tuple[str, str], Failure]:
        if self._known is None:
            async with self._directory.database.read() as reader:
                self._known = {(one.work, one.item): one for one in await failures.list_all(reader)}
        return self._known

    async def _set_aside(self, work: str, item: str, room_id: RoomId | None, error: Exception, now_ms: int) -> None:
        facts = {"work": work, "item": item, "room_id": room_id}
        log.error("work failed unexpectedly and is set aside", exc_info=error, extra=facts)
        known = await self._failures()
        before = known.get((work, item))
        tries = 1 if before is None else before.tries + 1
        async with self._directory.database.write() as writer:
            known[work, item] = await failures.note(
                writer, work, item, room_id, describe(error), tries=tries, now_ms=now_ms
            )

    async def _release(self, work: str, item: str) -> None:
        known = await self._failures()
        if (work, item) in known:
            async with self._directory.database.write() as writer:
                await failures.forget(writer, work, item)
            del known[work, item]
            log.info("work that was set aside succeeded", extra={"work": work, "item": item})

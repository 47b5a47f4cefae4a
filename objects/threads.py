"""Threads of one store, and a bound on the operations under way, so that a slow disk or network cannot collect many."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from objects.errors import StoreUnavailableError

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """`count` threads for at most `operations_max` operations, each of which runs one step at a time."""

    def __init__(self, name: str, *, count: int, operations_max: int) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._operations_max = operations_max
        self._operations = 0

    @contextlib.contextmanager
    def operation(self) -> Iterator[None]:
        """Admit one operation, or raise StoreUnavailableError."""
        if self._operations >= self._operations_max:
            raise StoreUnavailableError("The object store is busy; try again soon.", retry_after_seconds=1)
        self._operations += 1
        try:
            yield
        finally:
            self._operations -= 1

    async def run(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one step of an operation in a thread; cancelling waits for the step, since a thread cannot be stopped."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, lambda: step(*args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # read, or asyncio would log it: no caller awaits it any more
            raise

    async def close(self) -> None:
        """Wait until every step has ended; no other may begin."""
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)

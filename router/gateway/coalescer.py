"""Coalesced lookups: one query at a time, and the next one for all callers that wait. A thousand clients that reconnect
together cost a few queries."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class Coalescer(Generic[K, R]):
    """Coalescer of lookups: one query for the keys of many callers; callers during a query share the next one."""

    def __init__(self, query: Callable[[set[K]], Awaitable[R]]) -> None:
        self._query = query
        self._keys: set[K] = set()
        self._next: asyncio.Task[R] | None = None
        self._under_way: asyncio.Task[R] | None = None

    async def fetch(self, keys: Iterable[K]) -> R:
        """Return the result of a query that includes these keys, and begins after this call.

        Raises the query's error, to every caller that shares it.
        """
        self._keys.update(keys)
        if self._next is None:
            self._next = asyncio.ensure_future(self._run(self._under_way))
        return await asyncio.shield(self._next)

    async def _run(self, before: "asyncio.Task[R] | None") -> R:
        if before is not None:
            await asyncio.wait([before])
        self._under_way, self._next = self._next, None
        keys, self._keys = self._keys, set()
        try:
            return await self._query(keys)
        finally:
            self._under_way = None

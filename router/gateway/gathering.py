"""Questions that many ask at about the same time, put as one: a thousand clients who come back together cost a few."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class Gathering(Generic[K, R]):
    """Answers for keys, one question at a time; who asks while one is under way shares the next."""

    def __init__(self, put: Callable[[set[K]], Awaitable[R]]) -> None:
        self._put = put
        self._wanted: set[K] = set()
        self._next: asyncio.Task[R] | None = None
        self._under_way: asyncio.Task[R] | None = None

    async def ask(self, keys: Iterable[K]) -> R:
        """Return the answer to a question that has these keys among others, and is put after this call.

        Raises what putting it raises, to everybody who shares it.
        """
        self._wanted.update(keys)
        if self._next is None:
            self._next = asyncio.ensure_future(self._answer(self._under_way))
        return await asyncio.shield(self._next)

    async def _answer(self, before: "asyncio.Task[R] | None") -> R:
        if before is not None:
            await asyncio.wait([before])
        self._under_way, self._next = self._next, None
        wanted, self._wanted = self._wanted, set()
        try:
            return await self._put(wanted)
        finally:
            self._under_way = None

"""Objects of one installation in a bucket that others use too: it writes and removes under its own prefix alone.

The keys that callers know have no prefix. An object that is not under the own prefix is looked for under the former
ones, which may belong to another installation by now: they are read and never changed.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from objects import keys
from objects.errors import CorruptObjectError, NotOwnedError, ObjectExistsError, ObjectNotFoundError
from objects.store import LIST_MAX, Content, Head, Reading, SignedUpload, Source, Store


class PrefixedStore(Store):
    """A store under prefixes of another one. `may_remove` tells whether the own prefix is still this installation's."""

    def __init__(self, inner: Store, prefix: str, former: Sequence[str], may_remove: Callable[[], bool]) -> None:
        self._inner = inner
        self._prefix = prefix
        self._former = tuple(former)
        self._may_remove = may_remove

    def _own(self, key: str) -> str:
        return _under(self._prefix, key)

    async def put(self, key: str, source: Source, content: Content) -> None:
        """Store an object under the own prefix; raises as every store does."""
        keys.check(key)
        try:
            await self._inner.put(self._own(key), source, content)
        except ObjectExistsError as error:
            raise ObjectExistsError(key) from error

    @asynccontextmanager
    async def open(self, key: str, *, start: int = 0, size_bytes: int | None = None) -> AsyncIterator[Reading]:
        """Open an object, wherever it is; raises as every store does."""
        keys.check(key)
        with _named(key):
            opening = self._inner.open(await self._found(key), start=start, size_bytes=size_bytes)
        async with AsyncExitStack() as stack:
            with _named(key):
                reading = await stack.enter_async_context(opening)
            yield Reading(_renamed(reading.head, key), _chunks(reading, key))

    async def head(self, key: str) -> Head:
        """Return the facts of an object, wherever it is; raises as every store does."""
        keys.check(key)
        with _named(key):
            return _renamed(await self._inner.head(await self._found(key)), key)

    async def list(self, prefix: str, *, after: str = "", limit: int = LIST_MAX) -> Sequence[str]:
        """Return keys of objects under the own prefix, as every store does."""
        keys.check_prefix(prefix)
        keys.check_prefix(after)
        found = await self._inner.list(self._own(prefix), after=self._own(after) if after else "", limit=limit)
        return [key.removeprefix(self._own("")) for key in found]

    async def delete(self, key: str) -> None:
        """Remove an object under the own prefix, if there is one; raises NotOwnedError when the prefix is another's."""
        keys.check(key)
        if not self._may_remove():
            raise NotOwnedError
        await self._inner.delete(self._own(key))

    async def forget_unfinished(self, *, after_days: int) -> bool:
        """Ask the bucket to remove unfinished uploads by itself; they are nobody's objects."""
        return await self._inner.forget_unfinished(after_days=after_days)

    def sign_put(self, key: str, content: Content, *, now_ms: int, expires_at: int) -> SignedUpload | None:
        """Return the URL of an upload to the own prefix."""
        keys.check(key)
        return self._inner.sign_put(self._own(key), content, now_ms=now_ms, expires_at=expires_at)

    def sign_get(self, key: str, *, filename: str, content_type: str, now_ms: int, expires_at: int) -> str | None:
        """Return the URL of a download; None while objects may be elsewhere: this server finds and sends them then."""
        keys.check(key)
        if self._former:
            return None
        return self._inner.sign_get(
            self._own(key), filename=filename, content_type=content_type, now_ms=now_ms, expires_at=expires_at
        )

    async def close(self) -> None:
        """Close the store beneath."""
        await self._inner.close()

    def _places(self, key: str) -> Sequence[str]:
        return tuple(_under(prefix, key) for prefix in (self._prefix, *self._former))

    async def _found(self, key: str) -> str:
        """Return the key beneath at which an object is; the own one when it is nowhere or cannot be elsewhere."""
        for place in self._places(key) if self._former else ():
            try:
                await self._inner.head(place)
            except ObjectNotFoundError:
                continue
            return place
        return self._own(key)


async def _chunks(reading: Reading, key: str) -> AsyncIterator[bytes]:
    with _named(key):
        async for chunk in reading.chunks:
            yield chunk


@contextmanager
def _named(key: str) -> Iterator[None]:
    """Have the errors of the store beneath name the key that the caller knows."""
    try:
        yield
    except ObjectNotFoundError as error:
        raise ObjectNotFoundError(key) from error
    except CorruptObjectError as error:
        raise CorruptObjectError(key, error.fault) from error


def _under(prefix: str, key: str) -> str:
    return f"{prefix}/{key}" if prefix else key


def _renamed(head: Head, key: str) -> Head:
    return Head(key, head.content, head.stored_at)

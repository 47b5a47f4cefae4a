"""A store that is only read: for a drill, which tries a copy of an installation and leaves its objects alone."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from objects import keys
from objects.errors import StoreUnavailableError
from objects.store import LIST_MAX, Content, Head, Reading, SignedUpload, Source, Store

RETRY_SECONDS: Final = 3_600
"""Seconds after which a refused change may be asked for again: no drill ends sooner for its clients."""


class ReadOnlyStore(Store):
    """Another store, in which nothing is put or removed."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    async def put(self, key: str, source: Source, content: Content) -> None:
        """Refuse an object; raises StoreUnavailableError."""
        keys.check(key)
        raise _refusal()

    @asynccontextmanager
    async def open(self, key: str, *, start: int = 0, size_bytes: int | None = None) -> AsyncIterator[Reading]:
        """Open an object; raises as every store does."""
        async with self._inner.open(key, start=start, size_bytes=size_bytes) as reading:
            yield reading

    async def head(self, key: str) -> Head:
        """Return the facts of an object; raises as every store does."""
        return await self._inner.head(key)

    async def list(self, prefix: str, *, after: str = "", limit: int = LIST_MAX) -> Sequence[str]:
        """Return keys, as every store does."""
        return await self._inner.list(prefix, after=after, limit=limit)

    async def delete(self, key: str) -> None:
        """Refuse to remove an object; raises StoreUnavailableError."""
        keys.check(key)
        raise _refusal()

    async def forget_unfinished(self, *, after_days: int) -> bool:
        """Leave the rules of the store as they are."""
        return False

    def sign_put(self, key: str, content: Content, *, now_ms: int, expires_at: int) -> SignedUpload | None:
        """Return None: nobody uploads past the server, which refuses."""
        keys.check(key)
        return None

    def sign_get(self, key: str, *, filename: str, content_type: str, now_ms: int, expires_at: int) -> str | None:
        """Return the URL of a download, as the store does."""
        return self._inner.sign_get(
            key, filename=filename, content_type=content_type, now_ms=now_ms, expires_at=expires_at
        )

    async def close(self) -> None:
        """Close the store beneath."""
        await self._inner.close()


def _refusal() -> StoreUnavailableError:
    return StoreUnavailableError(
        "This server is a drill: it reads object storage and changes nothing there.", retry_after_seconds=RETRY_SECONDS
    )

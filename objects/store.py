"""The protocol of object stores: immutable objects under keys, verified when written and when read.

An object's type, size and SHA-256 are announced before its bytes; a store keeps only bytes that agree with them,
and compares them again whenever a whole object is read.

A store of another kind is a module beside disk.py and s3.py; rookery/composition.py chooses the kind by the bucket's
settings (config/settings.py), and rookery/optional.py loads one that weighs much.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote

from objects.errors import BadContentError, ObjectTooLargeError

SIZE_BYTES_MAX: Final = 64 * 1024**3
"""Bytes of an object: several times the largest room. One request for more would take hours."""

LIST_MAX: Final = 1_000
"""Keys of one page, the maximum of S3."""

_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:; ?[A-Za-z0-9!#$&^_.+-]+=[A-Za-z0-9_.+-]+)*")
_TYPE_LENGTH_MAX: Final = 255
_SHA256: Final = re.compile(r"[0-9a-f]{64}")

Source = bytes | Path | AsyncIterable[bytes]
"""The source of an upload's bytes: memory, a file, or a stream such as a request's body."""


@dataclass(frozen=True, slots=True)
class Content:
    """The announced type, size and hash of an object; raises BadContentError for impossible ones."""

    content_type: str
    size_bytes: int
    sha256: str
    """64 lower-case hexadecimal digits."""

    def __post_init__(self) -> None:
        if len(self.content_type) > _TYPE_LENGTH_MAX or not _TYPE.fullmatch(self.content_type):
            raise BadContentError('A content type looks like "image/png".')
        if not 0 <= self.size_bytes <= SIZE_BYTES_MAX:
            raise BadContentError(f"An object has 0 to {SIZE_BYTES_MAX} bytes.")
        if not _SHA256.fullmatch(self.sha256):
            raise BadContentError("A SHA-256 is written as 64 lower-case hexadecimal digits.")


@dataclass(frozen=True, slots=True)
class Head:
    """The facts that a store has of an object without reading it; `stored_at` by the store's own clock, in ms UTC."""

    key: str
    content: Content
    stored_at: int


@dataclass(frozen=True, slots=True)
class Reading:
    """An open object, or a range of one: its head, and its bytes in bounded chunks.

    Reading a whole object to its end raises CorruptObjectError unless the hash agrees; the last chunk is yielded
    only after that, so that no caller has all of a damaged object. A range cannot be verified.
    """

    head: Head
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class SignedUpload:
    """The URL to which a client may PUT one announced object, and every header that it must send with it."""

    url: str
    headers: Mapping[str, str]


class Store(Protocol):
    """An object store. Every method may raise StoreUnavailableError, and BadKeyError for its keys.

    A cancelled call ends when the present step of its thread has ended, so that no work continues after it.
    """

    async def put(self, key: str, source: Source, content: Content) -> None:
        """Store an object whole, or not at all.

        Raises ContentMismatchError, ObjectExistsError, StoreFullError, and the errors of `source`.
        """
        ...

    def open(self, key: str, *, start: int = 0, size_bytes: int | None = None) -> AbstractAsyncContextManager[Reading]:
        """Open an object from byte `start` on, for at most `size_bytes`; a range is clipped as a slice is.

        Entering raises ObjectNotFoundError and CorruptObjectError.
        """
        ...

    async def get(self, key: str, *, size_bytes_max: int) -> bytes:
        """Return a whole object, verified.

        Raises ObjectNotFoundError, CorruptObjectError, ObjectTooLargeError.
        """
        async with self.open(key) as reading:
            size_bytes = reading.head.content.size_bytes
            if size_bytes > size_bytes_max:
                raise ObjectTooLargeError(key, size_bytes=size_bytes, size_bytes_max=size_bytes_max)
            return b"".join([chunk async for chunk in reading.chunks])

    async def verify(self, key: str) -> Head:
        """Read all of an object, in bounded memory, and return its head.

        Raises ObjectNotFoundError, CorruptObjectError.
        """
        async with self.open(key) as reading:
            async for _ in reading.chunks:
                pass
            return reading.head

    async def head(self, key: str) -> Head:
        """Return the facts of an object without reading it. Raises ObjectNotFoundError, CorruptObjectError."""
        ...

    async def list(self, prefix: str, *, after: str = "", limit: int = LIST_MAX) -> Sequence[str]:
        """Return the first keys with a prefix that come after `after`, in order; fewer than `limit` are the last."""
        ...

    async def pages(self, prefix: str, *, after: str = "", limit: int = LIST_MAX) -> AsyncIterator[Sequence[str]]:
        """Yield all keys with a prefix that come after `after`, in order, `limit` at a time.

        Keys put or deleted meanwhile may be yielded or not; every other key is, once. Memory is bounded.
        """
        while page := await self.list(prefix, after=after, limit=limit):
            yield page
            if len(page) < limit:
                return
            after = page[-1]

    async def delete(self, key: str) -> None:
        """Remove an object, if there is one."""
        ...

    async def forget_unfinished(self, *, after_days: int) -> bool:
        """Ask the store to remove unfinished large uploads of killed processes by itself, after so many days.

        Returns False if the store refuses: the unfinished uploads then cost space, and nothing else.
        """
        ...

    def sign_put(self, key: str, content: Content, *, now_ms: int, expires_at: int) -> SignedUpload | None:
        """Return a URL that uploads one announced object until `expires_at`; None where clients cannot reach the store.

        Not every store compares the hash (docs/objects.md): `verify` before trusting the object.
        """
        ...

    def sign_get(self, key: str, *, filename: str, content_type: str, now_ms: int, expires_at: int) -> str | None:
        """Return a URL that downloads an object until `expires_at`; None where clients cannot reach the store."""
        ...

    async def close(self) -> None:
        """Wait for operations under way, and release all resources."""
        ...


def attachment(filename: str) -> str:
    """Return the Content-Disposition that makes a browser save a file under its name, never show it (RFC 6266)."""
    ascii_name = re.sub(r"[^A-Za-z0-9 ._()-]", "_", filename)
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(filename, safe='')}"

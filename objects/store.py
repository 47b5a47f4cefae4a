"""What every object store offers: immutable objects under keys, verified when written and when read.

An object's type, size and SHA-256 are announced before its bytes; a store keeps only bytes that agree with them,
and gives out a whole object only after comparing again.
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
"""Several times the largest room: what one request needs hours for is no object of ours."""

LIST_MAX: Final = 1_000
"""S3 gives no more in one page."""

_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:; ?[A-Za-z0-9!#$&^_.+-]+=[A-Za-z0-9_.+-]+)*")
_TYPE_LENGTH_MAX: Final = 255
_SHA256: Final = re.compile(r"[0-9a-f]{64}")

Source = bytes | Path | AsyncIterable[bytes]
"""Where the bytes of an upload come from: memory, a file, or a stream such as a request's body."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an object is announced to be; raises BadContentError for what no object can be."""

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
    """What a store knows of an object without reading it; `stored_at` by the store's own clock, in ms UTC."""

    key: str
    content: Content
    stored_at: int


@dataclass(frozen=True, slots=True)
class Reading:
    """An open object, or a range of one: its head, and its bytes in bounded chunks.

    Reading a whole object to its end raises CorruptObjectError unless the hash agrees; the last chunk is given out
    only after that, so that nobody holds a damaged object complete. A range cannot be verified.
    """

    head: Head
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class SignedUpload:
    """Where a client may PUT one announced object, and every header that it must send with it."""

    url: str
    headers: Mapping[str, str]


class Store(Protocol):
    """An object store. Every method may raise StoreUnavailableError, and BadKeyError for its keys.

    A cancelled call ends when the step that its thread is in has ended, so that nothing goes on behind it.
    """

    async def put(self, key: str, source: Source, content: Content) -> None:
        """Store an object whole, or not at all.

        Raises ContentMismatchError, ObjectExistsError, StoreFullError, and what `source` raises.
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
        """Read an object through, in bounded memory, and return its head.

        Raises ObjectNotFoundError, CorruptObjectError.
        """
        async with self.open(key) as reading:
            async for _ in reading.chunks:
                pass
            return reading.head

    async def head(self, key: str) -> Head:
        """Return what is known of an object. Raises ObjectNotFoundError, CorruptObjectError."""
        ...

    async def list(self, prefix: str, *, after: str = "", limit: int = LIST_MAX) -> Sequence[str]:
        """Return the first keys with a prefix that come after `after`, in order; fewer than `limit` are the last."""
        ...

    async def pages(self, prefix: str, *, after: str = "", limit: int = LIST_MAX) -> AsyncIterator[Sequence[str]]:
        """Yield all keys with a prefix that come after `after`, in order, `limit` at a time.

        What is put or deleted meanwhile may be among them or not; everything else is, once. Memory is bounded.
        """
        while page := await self.list(prefix, after=after, limit=limit):
            yield page
            if len(page) < limit:
                return
            after = page[-1]

    async def delete(self, key: str) -> None:
        """Remove an object; it is no error that there is none."""
        ...

    async def forget_unfinished(self, *, after_days: int) -> bool:
        """Have the store itself remove what killed processes left of large uploads, after so many days.

        False where it will not, by its answer: such rests cost space, and nothing else.
        """
        ...

    def sign_put(self, key: str, content: Content, *, now_ms: int, expires_at: int) -> SignedUpload | None:
        """Let a client upload one announced object until `expires_at`; None where clients cannot reach the store.

        Not every store compares the hash (docs/objects.md): `verify` before trusting the object.
        """
        ...

    def sign_get(self, key: str, *, filename: str, content_type: str, now_ms: int, expires_at: int) -> str | None:
        """Return a URL that downloads an object until `expires_at`; None where clients cannot reach the store."""
        ...

    async def close(self) -> None:
        """Wait for what is under way, and give everything back."""
        ...


def attachment(filename: str) -> str:
    """Return the Content-Disposition that makes a browser save a file under its name, never show it (RFC 6266)."""
    ascii_name = re.sub(r"[^A-Za-z0-9 ._()-]", "_", filename)
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(filename, safe='')}"

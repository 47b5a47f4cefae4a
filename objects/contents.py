"""Transfer of the bytes of objects in bounded chunks, in which size and hash are compared."""

import contextlib
import errno
import hashlib
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from objects.errors import ContentMismatchError, CorruptObjectError, StoreFullError, StoreUnavailableError
from objects.store import Content, Head, Source
from objects.threads import Threads

CHUNK_BYTES: Final = 256 * 1024
"""Bytes of a chunk: the copy takes longer than the switch to a thread, and many fit into memory at once."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Readable(Protocol):
    """A source of chunks: a file, or the body of a response."""

    def read(self, size: int, /) -> bytes: ...


@contextlib.contextmanager
def disk_faults() -> Iterator[None]:
    """Translate errors of the disk into StoreFullError or StoreUnavailableError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFullError("There is no space for the object; make some on the disk.") from error
        raise StoreUnavailableError(f"The disk refuses: {error.strerror}.", retry_after_seconds=5) from error


async def receive(source: Source, content: Content, write: Callable[[bytes], object], threads: Threads) -> None:
    """Write the bytes of a source, and raise ContentMismatchError as soon as they differ from the announced content.

    `write` is called in a thread, chunk by chunk.
    """
    digest = hashlib.sha256()
    size_bytes = 0

    def keep(chunk: bytes) -> None:
        digest.update(chunk)
        write(chunk)

    async with contextlib.aclosing(_chunks(source, threads)) as chunks:
        async for chunk in chunks:
            size_bytes += len(chunk)
            if size_bytes > content.size_bytes:
                raise ContentMismatchError("size_bytes", announced=content.size_bytes, found=f"at least {size_bytes}")
            await threads.run(keep, chunk)
    if size_bytes != content.size_bytes:
        raise ContentMismatchError("size_bytes", announced=content.size_bytes, found=size_bytes)
    if digest.hexdigest() != content.sha256:
        raise ContentMismatchError("sha256", announced=content.sha256, found=digest.hexdigest())


async def _chunks(source: Source, threads: Threads) -> AsyncGenerator[bytes]:
    if isinstance(source, bytes):
        yield source
    elif isinstance(source, Path):
        # Opened here, not in a thread: a task cancelled while a thread opens it would leave it open.
        with source.open("rb") as file:
            while chunk := await threads.run(file.read, CHUNK_BYTES):
                yield chunk
    else:
        async for chunk in source:
            yield chunk


async def give(body: Readable, head: Head, size_bytes: int, threads: Threads) -> AsyncGenerator[bytes]:
    """Yield `size_bytes` of an object in chunks; for a whole object, compare its hash before the last chunk.

    Raises CorruptObjectError.
    """
    digest = hashlib.sha256()
    is_whole = size_bytes == head.content.size_bytes

    def read() -> bytes:
        chunk = body.read(min(CHUNK_BYTES, size_bytes))
        digest.update(chunk)
        return chunk

    held = b""
    while size_bytes > 0 and (chunk := await threads.run(read)):
        size_bytes -= len(chunk)
        if held:
            yield held
        held = chunk
    if size_bytes > 0:
        raise CorruptObjectError(head.key, f"its last {size_bytes} bytes are missing")
    if is_whole and digest.hexdigest() != head.content.sha256:
        raise CorruptObjectError(head.key, "its SHA-256 is another")
    if held:
        yield held

"""Byte range that a request asks for (RFC 9110, section 14): a single range; any other header means the whole file."""

import re
from typing import Final, NamedTuple

from router.errors import RangeRefusedError

_BYTES: Final = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.IGNORECASE)


class Range(NamedTuple):
    """Range of `size_bytes` bytes from byte `start` on; both lie within the file."""

    start: int
    size_bytes: int

    def header(self, whole_bytes: int) -> bytes:
        """Return the Content-Range header of this part of a file."""
        return b"bytes %d-%d/%d" % (self.start, self.start + self.size_bytes - 1, whole_bytes)


def read(header: bytes, if_range: bytes, *, etag: bytes, whole_bytes: int) -> Range | None:
    """Return the requested range of a file, None for all of it; raises RangeRefusedError for one that begins after its
    end.

    A range with an If-Range applies only if that is the file's current ETag: otherwise the client has the beginning of
    another file.
    """
    found = _BYTES.fullmatch(header.decode("latin-1").strip())
    if found is None or (if_range and if_range != etag):
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(whole_bytes - int(suffix), 0), whole_bytes
    else:
        start, end = int(first), min(int(last) + 1, whole_bytes) if last else whole_bytes
        if last and int(last) < start:
            return None
    if start >= whole_bytes or start >= end:
        raise RangeRefusedError(whole_bytes)
    return Range(start, end - start)

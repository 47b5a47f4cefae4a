"""Conditions of a request for a file (RFC 9110, section 13): whether the client has it already, or wants this one only.

Files have an ETag and no Last-Modified, so If-Modified-Since and If-Unmodified-Since are ignored, as the RFC demands.
"""

import re
from typing import Final, NamedTuple

from router.errors import PreconditionFailedError

_TAGS: Final = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class Conditions(NamedTuple):
    """The headers of a request that say which bytes of a file it wants, and when; empty where it has none.

    `range` is empty for HEAD as well: ranges are defined for GET alone (RFC 9110, section 14.2).
    """

    range: bytes = b""
    if_range: bytes = b""
    if_match: bytes = b""
    if_none_match: bytes = b""


UNCONDITIONAL: Final = Conditions()
"""The conditions of nearly all requests: none."""


def is_unchanged(conditions: Conditions, *, etag: bytes) -> bool:
    """Return whether the client has the file with this ETag already, which is answered with 304.

    Raises PreconditionFailedError when If-Match names other files only: it is looked at first (section 13.2.2).
    """
    if conditions.if_match and not _names(conditions.if_match, etag, is_strong=True):
        raise PreconditionFailedError("The file is not the one that If-Match names.")
    return _names(conditions.if_none_match, etag, is_strong=False)


def _names(header: bytes, etag: bytes, *, is_strong: bool) -> bool:
    """Return whether a list of tags has this one; the strong comparison passes over weak tags (section 8.8.3.2)."""
    if header.strip() == b"*":
        return True
    return any(tag == etag and not (is_strong and weak) for weak, tag in _TAGS.findall(header))

"""Cursors of lists: opaque to clients, a few integers to the server."""

import base64
import binascii
from collections.abc import Sequence

from router.errors import FieldFault, InvalidError


def write(*numbers: int) -> str:
    """Return the cursor of these integers."""
    return base64.urlsafe_b64encode(".".join(map(str, numbers)).encode()).decode().rstrip("=")


def read(cursor: str | None, count: int) -> Sequence[int] | None:
    """Return a cursor's integers; raises InvalidError for one that this server did not write."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        numbers = [int(part) for part in text.split(".")]
    except (binascii.Error, ValueError):
        numbers = []
    if len(numbers) != count or any(abs(number) >= 2**63 for number in numbers):
        raise InvalidError([FieldFault("query.cursor", "use the next_cursor of the page before, unchanged")])
    return numbers

"""Merge of rows of the shard and of segments into one page: in order, without gaps, as far as segments can be read.

Each source returns its nearest rows from a place on, so their union is complete up to the first row that a source not
yet read may have: the horizon. Rows beyond it are left out, and the next page begins there.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from objects.errors import ObjectNotFoundError
from shard.archive.manifest import Segment
from shard.errors import ArchiveUnavailableError

R = TypeVar("R", bound=Sequence[Any])
T = TypeVar("T")

TRIES: Final = 3
"""Tries of a read that begins anew when a segment's object was replaced between the snapshot and the fetch."""

ASKED_MAX: Final = 16
"""Segments that one page reads, if it has any row by then: a sparse thread's page is short rather than slow."""


class Gathered(NamedTuple, Generic[R]):
    """Rows in order. `edge` is None where the rows are complete up to the limit or the end; else they are complete up
    to this id, even if there are none, and the next page begins after it."""

    rows: list[R]
    edge: int | None = None


async def gather(
    live: Sequence[R],
    segments: Sequence[Segment],
    ask: Callable[[Segment], Awaitable[Sequence[R]]],
    *,
    limit: int,
    newest_first: bool,
    has_more: bool,
) -> Gathered[R]:
    """Return the first `limit` rows of all sources, by their first value, which is a message's id.

    `live` are the nearest rows of the shard, `segments` the manifest's in the order of asking; `has_more` says that
    it may have more after the last of these, which is then not read itself. Raises ArchiveUnavailableError when there
    are no rows before the first segment that cannot be read.
    """
    found = {row[0]: row for row in live}
    rows = _ordered(found, limit, newest_first)
    left = list(segments)
    asked = 0
    while limit > len(rows) or any(_reaches(one, rows[-1][0], newest_first) for one in left if rows):
        if not left:
            break
        before = _before(rows, left, newest_first)
        if len(left) == has_more or (before.rows and asked >= ASKED_MAX):
            return before
        try:
            found |= {row[0]: row for row in await ask(left[0])}
        except ArchiveUnavailableError:
            if not before.rows:
                raise
            return before
        left = left[1:]
        asked += 1
        rows = _ordered(found, limit, newest_first)
    return Gathered(rows)


async def retry_replaced(read: Callable[[], Awaitable[T]]) -> T:
    """Call `read`, and call it again when an object was replaced since the snapshot that named it."""
    for _ in range(TRIES - 1):
        try:
            return await read()
        except ArchiveUnavailableError as error:
            if not isinstance(error.__cause__, ObjectNotFoundError):
                raise
    return await read()


def _ordered(found: Mapping[int, R], limit: int, newest_first: bool) -> list[R]:
    return [found[number] for number in sorted(found, reverse=newest_first)[:limit]]


def _reaches(segment: Segment, last_id: int, newest_first: bool) -> bool:
    """Tell whether a segment may have rows before the last found row."""
    return segment.last_id > last_id if newest_first else segment.first_id < last_id


def _before(rows: list[R], left: Sequence[Segment], newest_first: bool) -> Gathered[R]:
    """Return the rows before the first one that any unread segment may have."""
    if newest_first:
        horizon = max(one.last_id for one in left)
        return Gathered([row for row in rows if row[0] > horizon], edge=horizon + 1)
    horizon = min(one.first_id for one in left)
    return Gathered([row for row in rows if row[0] < horizon], edge=horizon - 1)

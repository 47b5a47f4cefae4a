"""Puts one answer together from the shard and from segments: in order, without gaps, as far as the segments answer.

Each source gives its nearest rows from a place on, so their union is right up to where the first source that was not
asked might have more: the horizon. What lies beyond it is not told, and the next page begins there.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from objects.errors import ObjectNotFoundError
from shard.errors import ArchiveUnavailableError
from shard.segments import Segment

R = TypeVar("R", bound=Sequence[Any])
T = TypeVar("T")

TRIES: Final = 3
"""How often a read begins anew because a segment's object was replaced between the snapshot and the fetch."""

ASKED_MAX: Final = 16
"""Segments that one answer asks, if it has anything by then: a sparse thread's page is short rather than slow."""


class Gathered(NamedTuple, Generic[R]):
    """Rows in their order. `is_whole` is False where there may be more between the last of them and what was asked:
    then the next page begins behind `edge`, before which all was told, whether or not there was anything."""

    rows: list[R]
    is_whole: bool
    edge: int | None = None


async def gather(
    live: Sequence[R],
    segments: Sequence[Segment],
    ask: Callable[[Segment], Awaitable[Sequence[R]]],
    *,
    limit: int,
    newest_first: bool,
    goes_on: bool,
) -> Gathered[R]:
    """Return the first `limit` rows of all sources, by their first value, which is a message's id.

    `live` are the nearest rows of the shard, `segments` the manifest's in the order of asking; `goes_on` says that it
    may have more behind the last of these, which is then not asked itself. Raises ArchiveUnavailableError when there is
    nothing before the first segment that does not answer.
    """
    found = {row[0]: row for row in live}
    rows = _ordered(found, limit, newest_first)
    left = list(segments)
    asked = 0
    while limit > len(rows) or any(_reaches(one, rows[-1][0], newest_first) for one in left if rows):
        if not left:
            break
        before = _before(rows, left, newest_first)
        if len(left) == goes_on or (before.rows and asked >= ASKED_MAX):
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
    return Gathered(rows, is_whole=True)


async def anew(read: Callable[[], Awaitable[T]]) -> T:
    """Read, and read anew when an object was replaced since the snapshot that named it."""
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
    """Tell whether a segment may have rows before the last one that was found."""
    return segment.last_id > last_id if newest_first else segment.first_id < last_id


def _before(rows: list[R], left: Sequence[Segment], newest_first: bool) -> Gathered[R]:
    """Return the rows that lie before everything that segments which were not asked may have."""
    if newest_first:
        horizon = max(one.last_id for one in left)
        return Gathered([row for row in rows if row[0] > horizon], is_whole=False, edge=horizon + 1)
    horizon = min(one.first_id for one in left)
    return Gathered([row for row in rows if row[0] < horizon], is_whole=False, edge=horizon - 1)

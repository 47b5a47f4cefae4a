"""The check that object storage has what the databases name: existence by listing, and, deep, every byte by its hash.

It changes nothing. Whether an object is missing is asked of the store itself before it is told: a listing of the own
prefix does not have what lies under a former one, and is a moment old.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from directory.hibernations import Hibernation
from objects.errors import CorruptObjectError, ObjectNotFoundError
from objects.store import Store
from shard.inspections import Stored

ASKED_AT_ONCE: Final = 16
"""Objects asked for at a time: enough to hide the latency of a bucket, few enough for any service."""
DEEP_AT_ONCE: Final = 4
"""Objects read whole at a time: each takes a thread."""


def of_hibernation(hibernation: Hibernation) -> Stored:
    """Return the object of a hibernated room."""
    return Stored(hibernation.object_key, hibernation.sha256, hibernation.size_bytes)


async def unlisted(store: Store, prefix: str, named: Sequence[Stored]) -> list[Stored]:
    """Return those of some objects that a listing of a prefix does not have; raises as a store does."""
    left = {one.key: one for one in named}
    async for page in store.pages(prefix):
        for key in page:
            left.pop(key, None)
        if not left:
            break
    return list(left.values())


async def problems(store: Store, named: Sequence[Stored], *, is_deep: bool) -> Mapping[Stored, str]:
    """Return the problem of each object that is missing, damaged or another one; raises StoreUnavailableError.

    Deep, each is read whole and compared with its hash.
    """
    found: dict[Stored, str] = {}
    at_once = DEEP_AT_ONCE if is_deep else ASKED_AT_ONCE
    for start in range(0, len(named), at_once):
        some = named[start : start + at_once]
        told = await asyncio.gather(*(_problem(store, one, is_deep=is_deep) for one in some))
        found |= {one: problem for one, problem in zip(some, told, strict=True) if problem is not None}
    return found


async def _problem(store: Store, named: Stored, *, is_deep: bool) -> str | None:
    try:
        head = await (store.verify(named.key) if is_deep else store.head(named.key))
    except ObjectNotFoundError:
        return "is missing"
    except CorruptObjectError:
        return "is damaged"
    is_same = (head.content.sha256, head.content.size_bytes) == (named.sha256, named.size_bytes)
    return None if is_same else "is another object than was put there"

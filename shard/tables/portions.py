"""Portions: how many messages one transaction removes, by the size of their texts.

FTS5 writes the words that were removed at the commit, and merges its index then. That is proportional to the texts, and
no clock can stop it. A thousand messages of 8,000 characters took 0.9 s.
"""

from collections.abc import Iterable
from typing import Final

PORTION_BYTES: Final = 65_536
"""Bytes of text that one transaction removes, or one message: some 10 ms, and with a checkpoint of the log 36 ms."""


def count(sizes: Iterable[int]) -> int:
    """Return how many texts of these sizes, the first ones, are a portion."""
    found = total = 0
    for size in sizes:
        if total >= PORTION_BYTES:
            break
        total += size
        found += 1
    return found


def ids(rows: str, order: str) -> str:
    """Return SQL of the ids of a portion of the messages that `rows` selects, with `size`, in this order; its last
    parameter is PORTION_BYTES."""
    return (
        f"SELECT id FROM (SELECT id, sum(size) OVER (ORDER BY id {order}) - size AS before FROM ({rows})) "  # noqa: S608
        "WHERE before < ?"
    )

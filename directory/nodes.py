"""Nodes: the part of an id by which the ids of two processes differ (`ids.Generator`).

Each process that opens the rooms takes the next node of its kind. So a restarted server does not go on with the node of
the one before it, whose last ids are unknown after a crash: they differ even when the clock was set back meanwhile.
There is one server at a time; commands are short, and 256 of them would have to begin during one of them before two
share a node.
"""

from collections.abc import Mapping
from typing import Final, Literal

import ids
from directory.database import Writer

Kind = Literal["server", "command"]
HALF: Final = len(ids.NODES) // 2
NODES: Final[Mapping[Kind, range]] = {"command": ids.NODES[:HALF], "server": ids.NODES[HALF:]}
"""The nodes of each kind of process."""


async def take(writer: Writer, kind: Kind) -> int:
    """Take the next node of a kind."""
    numbers = NODES[kind]
    row = await writer.fetch_one(
        "INSERT INTO nodes (kind, last_node) VALUES (?1, ?2) ON CONFLICT (kind) DO UPDATE SET "
        "last_node = iif(last_node >= ?3, ?2, last_node + 1) RETURNING last_node",
        (kind, numbers[0], numbers[-1]),
    )
    assert row is not None
    return int(row[0])

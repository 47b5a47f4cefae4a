"""Nodes of processes: the next one of its kind for each, in turn."""

from directory import nodes
from directory.directory import Directory


async def take(directory: Directory, kind: nodes.Kind, times: int) -> list[int]:
    async with directory.database.write() as writer:
        return [await nodes.take(writer, kind) for _ in range(times)]


async def test_nodes_are_taken_in_turn(directory: Directory) -> None:
    """Each process gets another node than those before it, until all of its kind were taken once."""
    servers = await take(directory, "server", 257)
    assert servers[:256] == list(nodes.NODES["server"])
    assert servers[256] == servers[0]


async def test_kinds_share_no_node(directory: Directory) -> None:
    """Commands beside a running server have nodes that no server ever has."""
    taken = {kind: set(await take(directory, kind, 300)) for kind in nodes.NODES}
    assert taken["server"].isdisjoint(taken["command"])

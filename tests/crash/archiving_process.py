"""A process that archives a room for as long as it lives, told where by its arguments: it is there to be killed."""

import asyncio
import sys
from pathlib import Path

from ids import RoomId
from migrations import engine
from monitor.archiving import Archiver
from objects import disk
from shard import segment_files
from shard.acts import archiving
from shard.policies import Policy
from shard.pool import PoolLimits, ShardPool
from shard.segment_cache import SegmentCache


async def _archive(folder: Path, room_id: RoomId, now_ms: int) -> None:
    store = disk.open_store(folder / "objects")
    cache = SegmentCache(store, folder / "cache", bytes_max=1 << 30)
    pool = ShardPool(
        folder / "shards", engine.load(engine.SHARD_FOLDER), limits=PoolLimits(writers=1, readers=1),
        clock=lambda: now_ms, publish=lambda _room_id, _events: None,
    )  # fmt: skip
    archiver = Archiver(pool, store, cache, folder / "shards", folder / "work", Policy(30), lambda: now_ms)
    print("ready", flush=True)
    outcome = await archiver.visit(room_id)
    assert outcome.error is None, outcome
    print(outcome.messages_moved, outcome.segments_rewritten, flush=True)
    await pool.close()
    await cache.close()
    await store.close()


if __name__ == "__main__":
    archiving.NEWEST_KEPT = 20  # type: ignore[misc]
    archiving.SEGMENT_MIN = 20  # type: ignore[misc]
    archiving.STEP = 10  # type: ignore[misc]
    segment_files.MESSAGES_MAX = 100  # type: ignore[misc]
    asyncio.run(_archive(Path(sys.argv[1]), RoomId(int(sys.argv[2])), int(sys.argv[3])))

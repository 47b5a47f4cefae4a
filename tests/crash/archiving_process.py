"""A process that archives the room in its arguments until a test kills it."""

import asyncio
import sys
from pathlib import Path

from ids import RoomId
from migrations import engine
from monitor.archiver import Archiver
from objects import disk
from shard.actions import archive
from shard.archive import segment_files
from shard.archive.retention import Policy
from shard.archive.segment_cache import SegmentCache
from shard.engine.pool import PoolLimits, ShardPool


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
    archive.NEWEST_KEPT = 20  # type: ignore[misc]
    archive.SEGMENT_MIN = 20  # type: ignore[misc]
    archive.STEP = 10  # type: ignore[misc]
    segment_files.MESSAGES_MAX = 100  # type: ignore[misc]
    asyncio.run(_archive(Path(sys.argv[1]), RoomId(int(sys.argv[2])), int(sys.argv[3])))

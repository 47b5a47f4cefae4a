"""What shards say of their sizes, written into the directory's index."""

from collections.abc import Mapping
from pathlib import Path

from config.settings import Database
from directory import shards
from directory.directory import Directory
from directory.shards import Level, Measurement
from ids import RoomId
from shard import inspections
from shard.pool import ShardPool


async def record(
    directory: Directory, pool: ShardPool, folder: Path, room_id: RoomId, binding: Database, *, now_ms: int
) -> Measurement:
    """Measure one shard and keep what was seen; raises what the pool and the directory raise."""
    seen = await pool.read(room_id, inspections.measure, folder)
    measured = Measurement(
        schema_version=pool.schema_version,
        size_bytes=seen.size_bytes,
        wal_bytes=seen.wal_bytes,
        freelist_bytes=seen.freelist_bytes,
        message_count=seen.message_count,
        last_seq=seen.last_seq,
        measured_at=now_ms,
    )
    level = judge(seen.size_bytes, binding)
    async with directory.database.write() as writer:
        await shards.record(writer, room_id, measured, level=level)
    return measured


def judge(size_bytes: int, binding: Database) -> Level:
    """Return how serious a size is under a binding's limit and percentages."""
    floors: Mapping[Level, int] = {"full": 100, "critical": binding.critical_percent, "warn": binding.warn_percent}
    percent = size_bytes * 100 // binding.size_limit_bytes
    return next((level for level, floor in floors.items() if percent >= floor), "ok")

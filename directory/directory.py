"""The directory as one object: its file, its caches and its password threads, opened and closed together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from database.database import READERS, Schema
from directory import credentials
from directory.caches import ChatCache, ProfileCache, RoomCache, SessionCache
from directory.credentials import Passwords
from directory.database import SCHEMA, Database


@dataclass(frozen=True, slots=True)
class Directory:
    """The directory as endpoints and commands use it; `session_ms` is the life of a session from its last extension."""

    database: Database
    passwords: Passwords
    sessions: SessionCache
    rooms: RoomCache
    profiles: ProfileCache
    chats: ChatCache
    session_ms: int

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        now_ms: int,
        session_ms: int,
        hash_threads: int,
        hash_queue_max: int,
        session_cache_max: int,
        readers: int = READERS,
        schema: Schema = SCHEMA,
        size_bytes_max: int | None = None,
        hash_memory_kib: int = credentials.MEMORY_KIB,
        hash_time_cost: int = credentials.TIME_COST,
    ) -> Self:
        """Open the directory in a file, made if missing and migrated if behind; raises as `Database.open`."""
        database = await Database.open(path, schema, now_ms=now_ms, readers=readers, size_bytes_max=size_bytes_max)
        return cls(
            database=database,
            passwords=Passwords(hash_threads, hash_queue_max, memory_kib=hash_memory_kib, time_cost=hash_time_cost),
            sessions=SessionCache(database, session_ms=session_ms, entries_max=session_cache_max),
            rooms=RoomCache(database),
            profiles=ProfileCache(database),
            chats=ChatCache(database),
            session_ms=session_ms,
        )

    async def close(self) -> None:
        """Release threads and file, once nothing uses them any more; call `sessions.flush` first, for the last uses."""
        await self.passwords.close()
        await self.database.close()

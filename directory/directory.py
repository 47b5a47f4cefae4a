"""The directory as one thing: its file, its caches and its password threads, opened and closed together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from directory import credentials
from directory.caches import ChatCache, ProfileCache, RoomCache, SessionCache
from directory.credentials import Passwords
from directory.database import READERS, Database
from migrations import engine


@dataclass(frozen=True, slots=True)
class Directory:
    """What endpoints and commands are given; `session_ms` is how long a session lives from its last slide."""

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
        migrations_folder: Path = engine.CENTRAL_FOLDER,
        size_bytes_max: int | None = None,
        hash_memory_kib: int = credentials.MEMORY_KIB,
        hash_time_cost: int = credentials.TIME_COST,
    ) -> Self:
        """Open the directory in a file, made if missing and migrated if behind; raises what Database.open raises."""
        database = await Database.open(
            path, now_ms=now_ms, migrations_folder=migrations_folder, readers=readers, size_bytes_max=size_bytes_max
        )
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
        """Let go of threads and file, once nobody uses them any more; `sessions.flush` first keeps the last slides."""
        await self.passwords.close()
        await self.database.close()

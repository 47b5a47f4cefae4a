"""A real directory in a temporary file, with two people and a community in it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from directory import rooms, users
from directory.database import Database
from directory.directory import Directory
from directory.rooms import Room
from directory.users import User

NOW_MS = 1_760_000_000_000
HOUR_MS = 3_600_000
SESSION_MS = 7 * 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class World:
    """The state that most tests start from."""

    database: Database
    alice: User
    bob: User
    lean: Room


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "directory.db"


@pytest.fixture
async def directory(path: Path) -> AsyncIterator[Directory]:
    opened = await Directory.open(
        path,
        now_ms=NOW_MS,
        session_ms=SESSION_MS,
        hash_threads=2,
        hash_queue_max=8,
        session_cache_max=100,
        hash_memory_kib=8,
        hash_time_cost=1,
    )
    yield opened
    await opened.close()


@pytest.fixture
async def database(directory: Directory) -> Database:
    return directory.database


@pytest.fixture
async def world(database: Database) -> World:
    async with database.write() as writer:
        alice = await users.create(writer, username="Alice", email="alice@example.org", now_ms=NOW_MS)
        bob = await users.create(writer, username="bob", now_ms=NOW_MS)
        lean = await rooms.register(
            writer,
            kind="community",
            name="lean",
            display_name="Lean",
            owner_id=alice.id,
            is_public=True,
            now_ms=NOW_MS,
        )
        lean = await rooms.activate(writer, lean.id, schema_version=1, now_ms=NOW_MS)
    return World(database, alice, bob, lean)

"""The directory's file, as the engine of central stores opens it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from directory.database import SCHEMA, Database

NOW_MS = 1_760_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "directory.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(path, SCHEMA, now_ms=NOW_MS)
    yield opened
    await opened.close()

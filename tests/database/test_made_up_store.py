"""A store that this program does not have, opened by the same code as the directory."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import pytest

import sqlite
from database import database, errors, inspections
from database.database import EverythingChanged, Schema
from directory.database import SCHEMA as DIRECTORY
from migrations import engine

NOW_MS = 1_760_000_000_000
GARDEN_ID = 0x47617264


@dataclass(frozen=True, slots=True)
class BedChanged:
    """A bed's plants."""

    bed: str


Database: TypeAlias = database.Database[BedChanged]


@pytest.fixture
def schema(tmp_path: Path) -> Schema:
    """A garden: beds, and the counter of ids."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_beds.sql").write_text(
        "CREATE TABLE beds (id INTEGER PRIMARY KEY, plant TEXT NOT NULL CHECK (plant <> 'nettle')) STRICT;"
        "CREATE TABLE snowflakes (one INTEGER PRIMARY KEY CHECK (one = 1), last_id INTEGER NOT NULL) STRICT;"
        "INSERT INTO snowflakes (one, last_id) VALUES (1, 0);"
    )
    return Schema("garden", GARDEN_ID, folder)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "garden.db"


@pytest.fixture
async def garden(path: Path, schema: Schema) -> AsyncIterator[Database]:
    opened = await Database.open(path, schema, now_ms=NOW_MS)
    yield opened
    await opened.close()


async def sow(garden: Database, plant: str) -> None:
    async with garden.write() as writer:
        await writer.execute("INSERT INTO beds (id, plant) VALUES (?, ?)", (await writer.next_id(NOW_MS), plant))
        writer.tell(BedChanged(plant))


async def plants(garden: Database) -> list[str]:
    async with garden.read() as reader:
        return [row[0] for row in await reader.fetch_all("SELECT plant FROM beds ORDER BY id")]


async def test_changes_are_delivered_after_the_commit_only(garden: Database) -> None:
    """A listener receives the store's own changes once they stand, and nothing of what was taken back."""
    heard: list[BedChanged | EverythingChanged] = []
    garden.listen(heard.append)
    async with garden.write() as writer:
        await writer.execute("INSERT INTO beds (id, plant) VALUES (1, 'rose')")
        writer.tell(BedChanged("rose"))
        assert heard == []
    assert heard == [BedChanged("rose")]
    with pytest.raises(errors.ConstraintError):
        await sow(garden, "nettle")
    assert heard == [BedChanged("rose")]
    assert await plants(garden) == ["rose"]


async def test_another_process_makes_everything_stale(garden: Database, path: Path, schema: Schema) -> None:
    """What another process wrote is published as a change of everything, once."""
    heard: list[BedChanged | EverythingChanged] = []
    garden.listen(heard.append)
    beside = await Database.open(path, schema, now_ms=NOW_MS)
    await sow(beside, "rose")
    await beside.close()
    assert await garden.changed_elsewhere()
    assert not await garden.changed_elsewhere()
    assert heard == [EverythingChanged()]


async def test_a_use_has_one_snapshot(garden: Database) -> None:
    """What is committed while a reader is lent is not seen by it, and is seen by the next."""
    await sow(garden, "rose")
    async with garden.read() as reader:
        assert await reader.fetch_all("SELECT plant FROM beds") == [("rose",)]
        await sow(garden, "lily")
        assert await reader.fetch_all("SELECT plant FROM beds") == [("rose",)]
    assert await plants(garden) == ["rose", "lily"]


async def test_ids_grow_over_processes(garden: Database, path: Path, schema: Schema) -> None:
    """Two processes give out no number twice, whatever their clocks say."""
    beside = await Database.open(path, schema, now_ms=NOW_MS)
    given: list[int] = []
    for turn, opened in enumerate((garden, beside, garden)):
        async with opened.write() as writer:
            given += await writer.next_ids(NOW_MS - turn * 1_000, 2)
    await beside.close()
    assert given == sorted(set(given))
    assert len(given) == 6


@pytest.mark.parametrize("is_mutant", [False, True])
async def test_the_file_of_another_store_is_refused(path: Path, schema: Schema, *, is_mutant: bool) -> None:
    """A garden in the directory's place is left as it is, opened or looked into; by the id alone it is told."""
    await (await Database.open(path, schema, now_ms=NOW_MS)).close()
    before = path.read_bytes()
    other = replace(schema, store="directory", application_id=GARDEN_ID if is_mutant else DIRECTORY.application_id)
    if is_mutant:
        assert inspections.pending(path, other) == ()
        return
    with pytest.raises(errors.WrongDatabaseError, match=r"is not a directory of this program.*0x47617264"):
        await Database.open(path, other, now_ms=NOW_MS)
    with pytest.raises(errors.WrongDatabaseError):
        inspections.pending(path, other)
    with pytest.raises(errors.WrongDatabaseError):
        async with inspections.opened(path, other):
            pass
    assert path.read_bytes() == before


async def test_a_store_is_migrated_by_its_own_folder(garden: Database, path: Path, schema: Schema) -> None:
    """A step that is added to the folder is pending until the file is opened, and is applied then."""
    await sow(garden, "rose")
    (schema.migrations_folder / "0002_water.sql").write_text("ALTER TABLE beds ADD COLUMN watered_at INTEGER;")
    assert [each.name for each in inspections.pending(path, schema)] == ["water"]
    opened = await Database.open(path, schema, now_ms=NOW_MS)
    async with opened.read() as reader:
        assert await reader.fetch_all("SELECT plant, watered_at FROM beds") == [("rose", None)]
    await opened.close()
    assert inspections.pending(path, schema) == ()
    with pytest.raises(engine.ChangedMigrationError):
        inspections.pending(path, replace(schema, migrations_folder=DIRECTORY.migrations_folder))


async def test_errors_name_their_store(garden: Database, path: Path) -> None:
    """A full disk, a busy file and a refused value say which store they are about."""
    with pytest.raises(errors.ConstraintError, match="The garden refuses a value: CHECK"):
        await sow(garden, "nettle")
    await garden._writer.fetch_all("PRAGMA busy_timeout = 10")
    other = sqlite.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(errors.DatabaseBusyError, match="writing to the garden"):
        await sow(garden, "rose")
    other.execute("ROLLBACK")
    other.close()
    await garden._writer.fetch_all("PRAGMA max_page_count = 1")
    with pytest.raises(errors.StorageFullError, match="The garden has no space left"):
        await asyncio.gather(*(sow(garden, "rose" * 500) for _ in range(20)))

"""`rookery migrate`: files are made, what is pending is told, and applying goes on past what fails."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from directory.database import SCHEMA, Database
from migrations import engine
from rookery import composition
from rookery.composition import now_ms
from shard import inspections
from shard.actions import members
from shard.engine import files
from tests.rookery.histories import fill, settings
from tests.rookery.terminal import Ended, invoke


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return an installation whose migrations are its own copies."""
    for name, folder in (("central", engine.CENTRAL_FOLDER), ("shard", engine.SHARD_FOLDER)):
        shutil.copytree(folder, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "rookery.toml").write_text(
        '[[d1_databases]]\nbinding = "DIRECTORY"\ndatabase_name = "directory"\nmigrations_dir = "central"\n'
        '[[d1_databases]]\nbinding = "SHARDS"\ndatabase_name = "shards"\nmigrations_dir = "shard"\n'
    )
    return tmp_path


def migrate(home: Path, *words: object) -> Ended:
    return invoke("--config", home / "rookery.toml", "migrate", *words, "--json")


def test_a_new_file_has_the_next_number(home: Path) -> None:
    """create makes an empty numbered file in the folder of the databases that were named."""
    last = len(engine.load(home / "shard"))
    made = migrate(home, "create", "--shards", "Add pins!")
    assert made.json["path"] == str(home / "shard" / f"{last + 1:04d}_add_pins.sql")
    assert len(engine.load(home / "shard")) == last + 1
    assert len(engine.load(home / "central")) == len(engine.load(engine.CENTRAL_FOLDER))
    assert migrate(home, "create", "--central", "Add pins").code == 0
    assert (migrate(home, "create", "x").code, migrate(home, "create", "x", "--central", "--shards").code) == (2, 2)
    assert migrate(home, "create", "--shards", "!!!").code == 1


def test_a_new_directory_is_made_by_applying(home: Path) -> None:
    """Without data everything is pending, applying makes the directory, and then nothing is pending."""
    names = [f"{each.version:04d}_{each.name}" for each in engine.load(home / "central")]
    assert migrate(home, "list", "--central").json == {"directory": {"pending": names}}
    assert migrate(home, "apply", "--dry-run", "--central").json == {"directory": {"pending": names}}
    assert not (home / "data").exists()
    assert migrate(home, "apply").json["directory"] == {"applied": names}
    assert migrate(home, "list").json["directory"] == {"pending": []}
    assert migrate(home, "apply").json["directory"] == {"applied": []}


async def test_shards_are_brought_up_each_by_itself(home: Path) -> None:
    """A walk goes on past a shard that fails, tells it at the end, and finishes when it is run again."""
    rooms = await fill(home / "data", "one", "two", "three")
    folder = home / "data" / "shards"
    last = len(engine.load(home / "shard"))
    (home / "shard" / f"{last + 1:04d}_shelves.sql").write_text(
        "CREATE TABLE shelves (id INTEGER PRIMARY KEY) STRICT;\n"
    )
    title = f"{last + 1:04d}_shelves"
    broken = files.path_of(folder, rooms[1].id)
    whole = broken.read_bytes()
    broken.write_bytes(b"no database" * 1_000)

    listed = migrate(home, "list", "--shards")
    assert listed.code == 1
    assert (listed.json["shards"]["total"], listed.json["shards"]["behind"]) == (3, 2)
    assert listed.json["shards"]["pending"] == {title: 2}
    assert [each["room_id"] for each in listed.json["shards"]["failed"]] == [str(rooms[1].id)]

    applied = migrate(home, "apply", "--shards")
    assert applied.code == 1
    assert applied.json["shards"]["applied"] == {title: 2}
    assert [each["room_id"] for each in applied.json["shards"]["failed"]] == [str(rooms[1].id)]

    broken.write_bytes(whole)
    finished = migrate(home, "apply", "--shards")
    assert (finished.code, finished.json["shards"]["applied"], finished.json["shards"]["failed"]) == (0, {title: 1}, [])
    for room in rooms:
        assert inspections.pending(folder, room.id, engine.load(home / "shard")) == ()


async def test_a_file_that_sqlite_refuses_leaves_every_database_as_it_was(home: Path) -> None:
    """A migration with a mistake fails everywhere with its reason, and the rooms still work with the files before."""
    (room,) = await fill(home / "data", "one")
    last = {name: len(engine.load(home / name)) for name in ("central", "shard")}
    for name, number in last.items():
        (home / name / f"{number + 1:04d}_bad.sql").write_text("CREATE TABLE here (id);\nCREATE TABLE here (id);\n")
    applied = migrate(home, "apply")
    assert applied.code == 1
    assert "left nothing behind" in applied.json["directory"]["error"]
    assert "left nothing behind" in applied.json["shards"]["failed"][0]["error"]
    async with composition.open_stores(settings(home / "data")) as stores:
        assert await stores.pool.read(room.id, members.present_members) == [room.owner_id]


async def test_listing_changes_nothing(home: Path) -> None:
    """list and --dry-run leave a directory and a shard that are behind as they are."""
    await fill(home / "data", "one")
    for name in ("central", "shard"):
        number = len(engine.load(home / name)) + 1
        (home / name / f"{number:04d}_more.sql").write_text("CREATE TABLE more (id INTEGER PRIMARY KEY) STRICT;\n")
    before = {path: path.read_bytes() for path in (home / "data").rglob("*") if path.is_file()}
    assert migrate(home, "list").json == migrate(home, "apply", "--dry-run").json
    assert migrate(home, "list").json["shards"]["behind"] == 1
    assert {path: path.read_bytes() for path in (home / "data").rglob("*") if path.is_file()} == before


async def test_a_directory_of_a_newer_release_is_left_alone(home: Path) -> None:
    """A directory with a version that these files do not have is refused with what to do."""
    number = len(engine.load(home / "central")) + 1
    newer = home / "central" / f"{number:04d}_newer.sql"
    newer.write_text("CREATE TABLE newer (id INTEGER PRIMARY KEY) STRICT;\n")
    (home / "data").mkdir()
    database = await Database.open(
        home / "data" / "directory.db", replace(SCHEMA, migrations_folder=home / "central"), now_ms=now_ms()
    )
    await database.close()
    newer.unlink()
    for words in (("list",), ("apply",)):
        refused = migrate(home, *words)
        assert refused.code == 1
        assert f"this release knows {number - 1}" in refused.json["error"]

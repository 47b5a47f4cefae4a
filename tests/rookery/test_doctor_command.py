"""`rookery doctor`: names what is wrong and only that, changes nothing, and works beside a server."""

import shutil
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

import sqlite
from directory import audit, failures, room_pages, rooms, users
from directory.room_pages import ListedRoom
from directory.rooms import Room
from ids import RoomId
from migrations import engine
from monitor import doctor
from rookery import composition
from rookery.commands import machine_checks
from rookery.composition import now_ms
from shard import inspections
from shard.engine import files
from tests.rookery.histories import fill, settings
from tests.rookery.terminal import invoke, run, serving, start


def examine(data: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
    told = invoke("--data", data, "doctor", *(words or ("--all",)), "--json")
    return told.code, told.json["findings"]


@pytest.fixture
async def made(tmp_path: Path) -> list[Room]:
    """Make three rooms that the doctor finds nothing wrong with."""
    made = await fill(tmp_path, "one", "two", "three")
    assert examine(tmp_path) == (0, [])
    return made


def shard_of(data: Path, room: Room) -> Path:
    return files.path_of(data / "shards", room.id)


def change(path: Path, *statements: str) -> None:
    """Change a database behind everybody's back."""
    connection = sqlite.connect(path, keeps_mode=True)
    try:
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()


def restore_all(data: Path) -> None:
    """Put a copy made by VACUUM INTO in the place of each database."""
    for path in [data / "directory.db", *(data / "shards").glob("*.db")]:
        copy = path.with_suffix(".restored")
        change(path, f"VACUUM INTO '{copy}'")
        copy.chmod(0o600)
        copy.rename(path)


def remove(data: Path, one: Room, _two: Room) -> None:
    shard_of(data, one).unlink()


def swap(data: Path, one: Room, two: Room) -> None:
    shutil.copyfile(shard_of(data, two), shard_of(data, one))


def replace(data: Path, one: Room, _two: Room) -> None:
    shard_of(data, one).write_bytes(b"no database " * 1_000)


def scribble(data: Path, one: Room, _two: Room) -> None:
    path = shard_of(data, one)
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4_096):
        content[page * 4_096 + 100 : page * 4_096 + 4_000] = b"\xa5" * 3_900
    path.write_bytes(content)


def lose_words(data: Path, one: Room, _two: Room) -> None:
    change(shard_of(data, one), "DROP TRIGGER messages_update", "UPDATE messages SET content = 'other words'")


def lose_reference(data: Path, one: Room, _two: Room) -> None:
    change(shard_of(data, one), "PRAGMA foreign_keys = OFF", "DELETE FROM threads")


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (remove, "its file is missing"),
        (swap, "its file belongs to room"),
        (replace, "its file is damaged"),
        (scribble, "its file is damaged"),
        (lose_words, "its search index does not match its messages"),
        (lose_reference, "5 rows of messages point to missing rows of threads"),
    ],
)
def test_a_shard_with_a_fault_is_named_with_its_room(
    tmp_path: Path, made: list[Room], harm: Callable[[Path, Room, Room], None], problem: str
) -> None:
    """A missing, foreign or damaged shard is told with the name and id of its room, and no other room is."""
    harm(tmp_path, made[1], made[2])
    code, findings = examine(tmp_path)
    assert code == 1
    assert findings
    assert {(finding["check"], finding["room"]) for finding in findings} == {("shards", f"two ({made[1].id})")}
    assert any(finding["problem"].startswith(problem) for finding in findings), findings
    assert all(finding["remedy"] for finding in findings)


@pytest.mark.parametrize("harm", [scribble, lose_words, lose_reference])
def test_a_copy_with_a_fault_has_the_findings_of_the_original(
    tmp_path: Path, made: list[Room], harm: Callable[[Path, Room, Room], None]
) -> None:
    """A copy has no log yet; the same faults are found in it."""
    restore_all(tmp_path)
    harm(tmp_path, made[1], made[2])
    copies = contents(tmp_path)
    of_copy = examine(tmp_path)
    assert contents(tmp_path) == copies
    for path in (tmp_path / "shards").glob("*.db"):
        if path.stem != str(made[1].id) or harm is not scribble:
            sqlite.connect(path).close()
    assert (of_copy, of_copy[1][0]["room_id"]) == (examine(tmp_path), str(made[1].id))


def test_files_that_no_room_knows_are_named(tmp_path: Path, made: list[Room]) -> None:
    """An orphan shard and a file that is no shard are told apart from the rooms; Litestream's folders are neither."""
    shutil.copyfile(shard_of(tmp_path, made[0]), tmp_path / "shards" / "99.db")
    (tmp_path / "shards" / "notes.txt").write_text("mine")
    (tmp_path / "shards" / f".{made[0].id}.db-litestream").mkdir()
    for path in (tmp_path / "shards").iterdir():
        path.chmod(0o600)
    code, findings = examine(tmp_path)
    assert code == 1
    assert [finding["problem"] for finding in findings] == [
        "99.db belongs to no room of the directory",
        "'notes.txt' is no shard",
    ]


async def test_work_that_is_set_aside_is_named(tmp_path: Path, made: list[Room]) -> None:
    """A room whose work failed unexpectedly is told with the work, the error, and how often it was tried."""
    async with composition.open_directory(settings(tmp_path)) as directory, directory.database.write() as writer:
        item = str(made[1].id)
        await failures.note(writer, "archive", item, made[1].id, "unexpected: it", tries=3, now_ms=now_ms())
    code, (finding,) = examine(tmp_path)
    assert (code, finding["check"], finding["room_id"]) == (1, "work", item)
    assert finding["problem"] == f"archive of {item} failed 3 times: unexpected: it"


def test_a_check_that_fails_unexpectedly_is_a_finding_of_its_room(
    tmp_path: Path, made: list[Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other room is checked, and the report comes."""
    inspect = inspections.inspect

    def fail(folder: Path, room_id: RoomId, *rest: Any, **options: Any) -> Any:
        if room_id == made[1].id:
            raise AttributeError("the poisoned one")
        return inspect(folder, room_id, *rest, **options)

    monkeypatch.setattr(inspections, "inspect", fail)
    code, (finding,) = examine(tmp_path)
    assert (code, finding["check"], finding["room_id"]) == (1, "shards", str(made[1].id))
    assert "AttributeError: the poisoned one" in finding["problem"]


@pytest.mark.parametrize(("age_ms", "is_found"), [(1_000, False), (120_000, True)])
async def test_a_half_made_room_is_named_once_nobody_makes_it(
    tmp_path: Path, made: list[Room], age_ms: int, is_found: bool
) -> None:
    """A room that is being made is no finding; one that a crash left half-made is."""
    async with composition.open_directory(settings(tmp_path)) as directory, directory.database.write() as writer:
        owner = await users.find_by_username(writer, "ada")
        await rooms.register(
            writer, kind="community", name="half", display_name="Half", owner_id=owner.id, now_ms=now_ms() - age_ms
        )
    _, findings = examine(tmp_path)
    assert [finding["check"] for finding in findings] == (["rooms"] if is_found else [])


def test_a_changed_audit_log_is_found(tmp_path: Path, made: list[Room]) -> None:
    """A row of the audit log that somebody edited breaks the chain at its number."""
    change(tmp_path / "directory.db", "DROP TRIGGER audit_log_update", "UPDATE audit_log SET user_id = 1 WHERE id = 2")
    _, findings = examine(tmp_path)
    assert [finding["check"] for finding in findings] == ["audit"]
    assert "entry 2" in findings[0]["problem"]


def test_a_directory_that_cannot_be_used_is_one_finding(tmp_path: Path, made: list[Room]) -> None:
    """A damaged directory is told with its remedy instead of a traceback."""
    (tmp_path / "directory.db").write_bytes(b"no database " * 1_000)
    code, findings = examine(tmp_path)
    assert (code, [finding["check"] for finding in findings]) == (1, ["directory"])


def test_what_others_could_read_is_named(tmp_path: Path, made: list[Room]) -> None:
    """A folder that others can enter and a database that they can read are told with the command that helps."""
    tmp_path.chmod(0o755)
    shard_of(tmp_path, made[0]).chmod(0o644)
    _, findings = examine(tmp_path)
    assert [finding["check"] for finding in findings] == ["permissions", "permissions"]
    assert f"chmod 700 {tmp_path}" in findings[0]["remedy"]
    assert str(made[0].id) in findings[1]["problem"]


async def test_a_clock_behind_what_was_written_is_found(tmp_path: Path, made: list[Room]) -> None:
    """An audit entry or an event from the future means that the clock is wrong."""
    async with composition.open_directory(settings(tmp_path)) as directory, directory.database.write() as writer:
        await audit.append(writer, audit.Action.USER_REGISTERED, by=None, now_ms=now_ms() + 3_600_000)
    _, findings = examine(tmp_path)
    assert [(finding["check"], "audit entry" in finding["problem"]) for finding in findings] == [("clock", True)]


def test_a_shard_behind_is_no_finding_and_stays_behind(tmp_path: Path, made: list[Room]) -> None:
    """A shard of an older schema is counted and not migrated."""
    migrations = tmp_path.parent / "migrations"
    shutil.copytree(engine.SHARD_FOLDER, migrations, ignore=shutil.ignore_patterns("__pycache__"))
    engine.create(migrations, "nothing yet")
    file = tmp_path.parent / "rookery.toml"
    file.write_text(
        '[[d1_databases]]\nbinding = "DIRECTORY"\ndatabase_name = "directory"\n'
        f'[[d1_databases]]\nbinding = "SHARDS"\ndatabase_name = "shards"\nmigrations_dir = "{migrations}"\n'
    )
    for _ in range(2):
        told = invoke("--config", file, "--data", tmp_path, "doctor", "--all", "--json").json
        assert (told["ok"], told["shards_behind"]) == (True, 3)


def test_a_sample_looks_into_so_many_shards(tmp_path: Path, made: list[Room]) -> None:
    """--sample bounds how many shards are opened, and the registry is compared with the files in any case."""
    told = invoke("--data", tmp_path, "doctor", "--sample", "2", "--json").json
    assert (told["rooms"], told["shards_examined"]) == (3, 2)
    shard_of(tmp_path, made[2]).unlink()
    code, findings = examine(tmp_path, "--sample", "0")
    assert (code, [finding["room_id"] for finding in findings]) == (1, [str(made[2].id)])


async def test_shards_are_told_in_the_order_of_the_rooms(tmp_path: Path, made: list[Room]) -> None:
    """Some are looked into at the same time; the findings do not depend on which is done first."""
    scribble(tmp_path, made[1], made[2])
    rooms, told = await listed(tmp_path) * 20, []
    async for room, shard in doctor.check_shards(tmp_path / "shards", rooms, engine.load(engine.SHARD_FOLDER)):
        told.append((room.id, bool(shard.findings)))
    assert told == [(room.id, room.id == made[1].id) for room in rooms]


async def test_a_cancelled_look_leaves_no_thread(tmp_path: Path, made: list[Room]) -> None:
    """Ctrl+C ends the doctor soon, however many shards are left."""
    checking = doctor.check_shards(
        tmp_path / "shards", await listed(tmp_path) * 10_000, engine.load(engine.SHARD_FOLDER)
    )
    room, _ = await anext(checking)
    assert room.id == made[0].id
    await checking.aclose()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("doctor")] == []


async def listed(data: Path) -> list[ListedRoom]:
    async with composition.open_directory(settings(data)) as directory, directory.database.read() as reader:
        return await room_pages.all_rooms(reader)


def contents(data: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in data.rglob("*") if path.is_file() and path.suffix != ".db-shm"}


def talk(url: str) -> None:
    """Register, make a community and say something."""
    with httpx.Client(base_url=url) as client:
        signed_in = client.post("/v1/auth/register", json={"username": "alice", "password": "correct horse"}).json()
        client.headers["Authorization"] = f"Bearer {signed_in['token']}"
        made = client.post("/v1/rooms", json={"name": "lively", "display_name": "Lively"}).raise_for_status().json()
        messages = f"/v1/rooms/{made['room']['id']}/channels/{made['channels'][0]['id']}/messages"
        client.post(messages, json={"content": "hello"}).raise_for_status()


def test_the_doctor_changes_nothing_not_even_after_a_crash(tmp_path: Path, made: list[Room]) -> None:
    """Databases, and the logs that a SIGKILL left, are the same bytes before and after."""
    with start("--data", tmp_path, "serve", "--port", 0, "--json", cwd=tmp_path) as process:
        assert process.stdout is not None
        talk(orjson.loads(process.stdout.readline())["url"])
        process.kill()
    before = contents(tmp_path)
    logs = [name for name, content in before.items() if name.endswith("-wal") and content]
    assert len(logs) == 2
    assert examine(tmp_path) == (0, [])
    assert contents(tmp_path) == before


def test_a_restored_copy_stays_as_it_is(tmp_path: Path, made: list[Room]) -> None:
    """Neither the doctor nor a round writes to a copy: to change its journal mode took several syncs a room."""
    restore_all(tmp_path)
    copies = contents(tmp_path)
    assert examine(tmp_path) == (0, [])
    assert contents(tmp_path) == copies
    assert invoke("--data", tmp_path, "monitor", "once", "--json").json["measured"] == 3
    del copies["directory.db"]
    assert {name: content for name, content in contents(tmp_path).items() if name in copies} == copies


def test_the_doctor_works_beside_a_server(tmp_path: Path, made: list[Room]) -> None:
    """A server that has rooms open hides nothing from the doctor and goes on."""
    with serving(tmp_path, cwd=tmp_path) as server:
        talk(server.url)
        told = run("--data", tmp_path, "doctor", "--all", "--json", cwd=tmp_path)
        assert (told.code, told.json["shards_examined"], told.json["left_out"]) == (0, 4, [])
        shard_of(tmp_path, made[0]).unlink()
        assert run("--data", tmp_path, "doctor", cwd=tmp_path).code == 1
        assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_a_folder_without_data_is_a_finding(tmp_path: Path) -> None:
    """Where there is no data the doctor says so, and makes none."""
    code, findings = examine(tmp_path / "typo")
    assert (code, [finding["check"] for finding in findings]) == (1, ["data"])
    assert list(tmp_path.iterdir()) == []


def test_versions_below_the_floors_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is too old is told with both versions, and the floor itself is good enough."""
    for found, expected in (("1.3.0", 1), ("1.3.1", 0), ("1.10.0", 0), ("2.0.0rc1", 0)):
        monkeypatch.setattr(metadata, "version", {"starlette": found, "apsw": "3.51.3.0"}.__getitem__)
        findings = list(machine_checks.check_versions())
        assert len(findings) == expected
        assert all("starlette 1.3.0 is older than 1.3.1" in finding.problem for finding in findings)


def test_little_space_is_named(tmp_path: Path) -> None:
    """A disk with less free space than the setting says is told."""
    assert list(machine_checks.check_disk(tmp_path, 1)) == []
    assert [finding.check for finding in machine_checks.check_disk(tmp_path, 2**62)] == ["disk"]

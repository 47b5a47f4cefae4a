"""A shard file that is missing, damaged or another room's breaks that room alone, says why, and heals when right."""

import asyncio
import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import sqlite
from ids import RoomId, UserId
from migrations.engine import Migration
from shard.actions import rooms
from shard.engine import files, open_shard
from shard.errors import BrokenShardError, NotFoundError, ShardError
from tests.shard import stage

Damage = Callable[[Path, Path], None]
"""Spoils the first file; the second is another room's, closed and sound."""


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken shard is tried again soon."""
    monkeypatch.setattr(open_shard, "REOPEN_AFTER_SECONDS", 0.05)


def remove(path: Path, _other: Path) -> None:
    path.unlink()


def replace_by_a_folder(path: Path, _other: Path) -> None:
    path.unlink()
    path.mkdir()


def empty(path: Path, _other: Path) -> None:
    path.write_bytes(b"")


def fill_with_garbage(path: Path, _other: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(20_000))


def cut_the_header(path: Path, _other: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def cut_in_half(path: Path, _other: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def spoil_the_schema(path: Path, _other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:300] = b"\xff" * 200
    path.write_bytes(content)


def change_the_format(path: Path, _other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[47] ^= 64
    path.write_bytes(content)


def put_another_room(path: Path, other: Path) -> None:
    shutil.copy(other, path)


def put_another_room_by_name(path: Path, other: Path) -> None:
    copy = path.with_suffix(".copy")
    shutil.copy(other, copy)
    copy.rename(path)


def put_a_plain_database(path: Path, _other: Path) -> None:
    path.unlink()
    connection = sqlite.create(path, 0)
    connection.execute("CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')")
    connection.close()


def put_an_unfinished_shard(path: Path, _other: Path) -> None:
    path.unlink()
    sqlite.create(path, sqlite.SHARD_APPLICATION_ID).close()


def put_a_newer_schema(path: Path, _other: Path) -> None:
    connection = sqlite.connect(path)
    connection.execute(f"INSERT INTO migrations VALUES (9999, 'later', '{'0' * 64}', 1)")
    connection.close()


def put_a_changed_schema(path: Path, _other: Path) -> None:
    connection = sqlite.connect(path)
    connection.execute(f"UPDATE migrations SET sha256 = '{'0' * 64}' WHERE version = 1")
    connection.close()


DAMAGES: list[tuple[Damage, str]] = [
    (remove, "missing"),
    (replace_by_a_folder, "missing"),
    (empty, "not a shard"),
    (fill_with_garbage, "damaged"),
    (cut_the_header, "damaged"),
    (cut_in_half, "damaged"),
    (spoil_the_schema, "damaged"),
    (change_the_format, "cannot be used"),
    (put_another_room, "belongs to room 2"),
    (put_a_plain_database, "not a shard"),
    (put_an_unfinished_shard, "never finished"),
    (put_a_newer_schema, "newer"),
    (put_a_changed_schema, "changed"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
async def test_a_broken_file_breaks_one_room_until_it_is_put_right(tmp_path: Path, damage: Damage, reason: str) -> None:
    """Reads and writes of the room say what is wrong, other rooms go on, and the right file heals it unattended."""
    async with stage.opened(tmp_path) as it:
        room, other, third = await it.found(1), await it.found(2), await it.found(3)
        for one in (room, other, third):
            await it.send(one, "before")
            await it.evict(one)
        path = files.path_of(tmp_path, room.id)
        safe = tmp_path / "backup"
        shutil.copy(path, safe)
        damage(path, files.path_of(tmp_path, other.id))

        for refused in (await stage.result_of(it.texts(room)), await stage.result_of(it.send(room, "lost"))):
            assert isinstance(refused, BrokenShardError)
            assert reason in refused.reason
            assert refused.room_id == room.id
        await it.send(third, "meanwhile")
        assert await it.texts(third) == ["before", "meanwhile"]

        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        safe.rename(path)
        await asyncio.sleep(0.07)
        await it.send(room, "after")
        assert await it.texts(room) == ["before", "after"]


@pytest.mark.parametrize(
    ("damage", "reason"), [(remove, "missing"), (put_another_room_by_name, "belongs to room 2")], ids=["gone", "other"]
)
async def test_a_file_that_changes_while_it_is_open_takes_no_message_with_it(
    tmp_path: Path, damage: Damage, reason: str
) -> None:
    """An open shard whose file is taken away or replaced acknowledges nothing more, and heals with the right file."""
    async with stage.opened(tmp_path) as it:
        room, other = await it.found(1), await it.found(2)
        await it.evict(other)
        await it.send(room, "before")
        await it.evict(room)
        path = files.path_of(tmp_path, room.id)
        safe = tmp_path / "backup"
        shutil.copy(path, safe)
        # A refused send opens the writer and leaves no log, which would belong to the file that goes.
        assert isinstance(await stage.result_of(it.send(room, "no", user_id=UserId(99))), NotFoundError)

        damage(path, files.path_of(tmp_path, other.id))
        first = await stage.result_of(it.send(room, "lost"))
        assert isinstance(first, BrokenShardError)
        assert "moved" in first.reason
        await asyncio.sleep(0.1)
        second = await stage.result_of(it.send(room, "lost"))
        assert isinstance(second, BrokenShardError)
        assert reason in second.reason

        safe.rename(path)
        await asyncio.sleep(0.07)
        await it.send(room, "after")
        assert await it.texts(room) == ["before", "after"]


async def test_a_damaged_page_is_healed_by_the_right_file(tmp_path: Path) -> None:
    """Damage that only a read meets makes the room let the file go, so that the right one is seen when it is there."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        for number in range(100):
            await it.send(room, f"{number} {'long ' * 200}")
        await it.evict(room)
        path = files.path_of(tmp_path, room.id)
        sound = path.read_bytes()
        pages = len(sound) // 4096
        path.write_bytes(sound[: (pages - 20) * 4096] + b"\xff" * (20 * 4096))
        for _ in range(2):
            refused = await stage.result_of(it.texts(room))
            assert isinstance(refused, BrokenShardError)
            assert "damaged" in refused.reason
        right = tmp_path / "right"
        right.write_bytes(sound)
        right.rename(path)
        await asyncio.sleep(0.07)
        assert len(await it.texts(room)) == 100


async def test_a_flipped_bit_is_answered_by_no_strange_error(tmp_path: Path) -> None:
    """Whatever single bit of the file's first page is wrong, opening it succeeds or says that the shard is broken."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
    path = files.path_of(tmp_path, room.id)
    sound = path.read_bytes()
    dice = random.Random(3)
    broken = 0
    for position in [*range(100), *(dice.randrange(100, 4096) for _ in range(60))]:
        spoiled = bytearray(sound)
        spoiled[position] ^= 1 << dice.randrange(8)
        path.write_bytes(spoiled)
        for open_it in (open_for_writing, open_for_reading):
            try:
                open_it(path, room.id)
            except ShardError:
                broken += 1
        for suffix in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    assert broken > 40


def open_for_writing(path: Path, room_id: RoomId) -> None:
    files.open_writer(path, room_id, stage.MIGRATIONS, now_ms=stage.NOW_MS, check=True)[0].close()


def open_for_reading(path: Path, room_id: RoomId) -> None:
    files.open_reader(path, room_id, stage.MIGRATIONS)[0].close()


async def test_a_broken_room_costs_little(tmp_path: Path) -> None:
    """Requests to a broken room leave no descriptors open and no traceback that grows."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        await it.evict(room)
        path = files.path_of(tmp_path, room.id)
        path.write_bytes(b"garbage" * 1000)
        before = stage.open_files(tmp_path)
        depth = 0
        for _ in range(200):
            refused = await stage.result_of(it.send(room, "lost"))
            assert isinstance(refused, BrokenShardError)
            depth = traceback_depth(refused)
        assert depth < 15
        assert stage.open_files(tmp_path) <= before + 1


def traceback_depth(error: BaseException) -> int:
    """Count the frames that an exception carries."""
    depth, step = 0, error.__traceback__
    while step is not None:
        depth, step = depth + 1, step.tb_next
    return depth


async def test_a_shard_behind_is_migrated_by_whoever_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of an older release is brought up to date by the first read of it."""
    behind = stage.MIGRATIONS
    sql = "CREATE TABLE later (one INTEGER PRIMARY KEY) STRICT;"
    later = Migration(len(behind) + 1, "later", sql, hashlib.sha256(sql.encode()).hexdigest())
    monkeypatch.setattr(stage, "MIGRATIONS", (*behind, later))
    room_id = RoomId(1)
    rows = files.create(
        tmp_path,
        room_id,
        behind,
        lambda writer: rooms.found_room(writer, "community", stage.OWNER, stage.CHANNELS, now_ms=stage.NOW_MS),
        now_ms=stage.NOW_MS,
    )
    room = stage.Room(room_id, {row.name: row.id for row in rows})
    async with stage.opened(tmp_path) as it:
        assert await it.rows(room, "SELECT max(version) FROM migrations") == [(len(stage.MIGRATIONS),)]
        await it.send(room, "after", user_id=stage.OWNER)
        assert await it.texts(room) == ["after"]

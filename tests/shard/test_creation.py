"""A shard appears whole under its name or not at all, whatever stops its creation."""

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

import sqlite
from ids import RoomId
from migrations import engine
from shard.actions import channels, members, rooms
from shard.engine import files, identity
from shard.engine.connections import Writer
from shard.errors import BrokenShardError, ShardError, ShardFullError
from tests.shard import disks, dying_founder, stage

PROJECT = Path(__file__).parents[2]
LONG = "ROOKERY_CRASH_CYCLES" in os.environ


def is_whole(folder: Path) -> bool:
    """Tell whether room 1 stands complete; a file under its name that is not complete fails."""
    path = files.path_of(folder, RoomId(1))
    if not path.exists():
        return False
    connection, reader, is_behind = files.open_reader(path, RoomId(1), stage.MIGRATIONS)
    assert not is_behind
    assert identity.one(reader) is not None
    assert len(reader.all("SELECT id FROM channels")) == len(stage.CHANNELS)
    assert connection.pragma("integrity_check") == "ok"
    connection.close()
    return True


@pytest.mark.crash
def test_a_creation_killed_at_any_step_leaves_all_or_nothing(tmp_path: Path) -> None:
    """Killed at whatever step, a creation leaves no shard or a whole one, and the next one cleans up after it."""
    stride = "1" if LONG else "5"
    command = [sys.executable, "-m", "tests.shard.dying_founder", str(tmp_path), stride]
    subprocess.run(command, check=True, cwd=PROJECT, timeout=600)
    tries = sorted(tmp_path.iterdir(), key=lambda path: int(path.name))
    assert len(tries) > 20
    whole = [is_whole(folder) for folder in tries]
    assert whole[-1]
    assert not whole[0]
    assert whole == sorted(whole), "once whole, a later step cannot undo it"
    leftovers = 0
    for folder, stands in zip(tries, whole, strict=True):
        leftovers += len(list(folder.glob("*.new*")))
        if not stands:
            dying_founder.found(folder)
            assert is_whole(folder)
            assert list(folder.iterdir()) == [files.path_of(folder, RoomId(1))]
    assert leftovers > 0


def test_nothing_is_left_of_a_creation_that_is_undone(tmp_path: Path) -> None:
    """The file, its log, its shared memory and its first journal go together."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        (tmp_path / f"1.new{suffix}").touch()
    files.discard_unfinished(tmp_path, RoomId(1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.crash
@pytest.mark.parametrize(
    ("operation", "code", "error"),
    [
        ("xWrite", apsw.SQLITE_FULL, ShardFullError),
        ("xWrite", apsw.SQLITE_IOERR_WRITE, BrokenShardError),
        ("xSync", apsw.SQLITE_IOERR_FSYNC, BrokenShardError),
    ],
)
async def test_a_creation_on_a_failing_disk_says_so_and_leaves_nothing(
    tmp_path: Path, operation: str, code: int, error: type[ShardError]
) -> None:
    """Whichever call fails, a creation raises in the words of this package and a second one succeeds."""
    number, was_reached, refused = 1, True, 0
    stride = 1 if LONG or operation == "xSync" else 8
    while was_reached:
        fault = disks.Nth(operation, number, code)
        folder = tmp_path / str(number)
        folder.mkdir()
        with disks.inserted(fault):
            async with stage.opened(folder) as it:
                try:
                    await it.found(members=())
                except error:
                    refused += 1
                    assert list(folder.iterdir()) == []
                    await it.found(members=())
        assert is_whole(folder)
        was_reached = fault.was_reached
        number += stride
    assert refused > 5


def test_a_created_shard_outlives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a creation returns, every byte of the shard has been synced, and so has its name."""
    home = tmp_path / "home"
    home.mkdir()
    names: list[str] = []
    monkeypatch.setattr(sqlite, "sync_folder", lambda folder: names.extend(path.name for path in folder.iterdir()))
    with disks.inserted() as disk:
        dying_founder.found(home)
        disk.after_power_cut(home, tmp_path / "cut")
    assert names == ["1.db"]
    synced = (tmp_path / "cut" / "1.new").read_bytes()
    assert synced == files.path_of(home, RoomId(1)).read_bytes()


def test_a_created_shard_is_what_its_migrations_make(tmp_path: Path) -> None:
    """A new shard has the schema, the settings and the rows of migrations of a file to which each was applied."""
    applied = sqlite.create(tmp_path / "applied.db", sqlite.SHARD_APPLICATION_ID)
    engine.apply(applied, stage.MIGRATIONS, now_ms=stage.NOW_MS)
    dying_founder.found(tmp_path)
    created = sqlite.connect(files.path_of(tmp_path, RoomId(1)))
    for name in ("application_id", "page_size", "auto_vacuum", "encoding", "journal_mode", "user_version"):
        assert created.pragma(name) == applied.pragma(name), name
    for sql in (
        "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name",
        "SELECT version, name, sha256, applied_at FROM migrations ORDER BY version",
    ):
        assert created.execute(sql).fetchall() == applied.execute(sql).fetchall()
    created.close()
    applied.close()


async def test_no_space_for_the_file_itself_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that refuses even an empty file makes ShardFullError, and creation works when it has space."""

    def refuse(path: Path, _application_id: int) -> apsw.Connection:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    async with stage.opened(tmp_path) as it:
        with monkeypatch.context() as patched:
            patched.setattr(sqlite, "create", refuse)
            with pytest.raises(ShardFullError):
                await it.found()
        room = await it.found()
        await it.send(room, "hello")


async def test_a_room_is_not_created_over_another(tmp_path: Path) -> None:
    """Creating a room that is there is refused, also when both are asked for at once, and the first one stays."""
    async with stage.opened(tmp_path) as it:
        results = await asyncio.gather(it.found(), it.found(), return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["FileExistsError", "Room"]
        room = next(result for result in results if isinstance(result, stage.Room))
        await it.send(room, "hello")
        with pytest.raises(FileExistsError):
            await it.found()
        assert await it.texts(room) == ["hello"]


async def test_a_founding_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """When the first rows cannot be written there is no shard, and the error is the act's own."""

    def fail(writer: Writer) -> None:
        rooms.found_room(writer, "community", stage.OWNER, stage.CHANNELS, now_ms=stage.NOW_MS)
        raise KeyError("founding")

    async with stage.opened(tmp_path) as it:
        with pytest.raises(KeyError):
            await it.pool.create(RoomId(1), fail)
        assert list(tmp_path.iterdir()) == []
        room = await it.found()
        await it.send(room, "hello")


async def test_a_new_room_is_small_and_ready(tmp_path: Path) -> None:
    """A new room has its channels in order, its owner as only member, one log from number one, and under 200 KiB."""
    async with stage.opened(tmp_path) as it:
        room = await it.found(members=())
        listed = await it.pool.read(room.id, channels.list_channels, stage.OWNER, now_ms=it.now_ms)
        assert [channel.name for channel in listed] == [draft.name for draft in stage.CHANNELS]
        people = await it.pool.read(room.id, members.list_members, stage.OWNER, after=None, limit=9, now_ms=1)
        assert [member.user_id for member in people] == [stage.OWNER]
        seqs = await it.rows(room, "SELECT seq FROM events ORDER BY seq")
        assert seqs == [(number,) for number in range(1, len(stage.CHANNELS) + 3)]
        assert files.path_of(tmp_path, room.id).stat().st_size < 200 * 1024

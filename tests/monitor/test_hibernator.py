"""A room that sleeps is one object and no file, and comes back whole for whoever asks, or stays where it was."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import sqlite
from directory import hibernations, rooms
from monitor.hibernator import NotIdleError
from objects import folders
from shard.engine import dump
from shard.engine.restore import RestoredFile
from shard.errors import BrokenShardError, ShardBusyError, WakingError
from tests.monitor import sleepers
from tests.monitor.sleepers import Bed

PROJECT = Path(__file__).parents[2]
PUT_AWAY = ["packed", "registered", "stored", "compared", "asleep", "removed"]
BROUGHT_BACK = ["fetched", "placed", "awake"]


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    async with sleepers.made(tmp_path) as found:
        yield found


async def test_a_hibernated_room_is_one_object_and_no_file(bed: Bed) -> None:
    """Putting a room away leaves its object and nothing in the folder of shards, and the registry says so."""
    await bed.send("one")
    away = await bed.hibernator.hibernate(bed.room_id)
    assert bed.files() == []
    assert await bed.state() == "hibernated"
    kept = await bed.asleep()
    assert kept is not None
    assert await bed.keys() == [kept.object_key]
    assert (kept.size_bytes, kept.file_bytes) == (away.size_bytes, away.file_bytes)
    assert bed.steps == PUT_AWAY


async def test_the_first_request_brings_a_room_back(bed: Bed) -> None:
    """A request of a hibernated room is answered as if it had never slept, and the log goes on where it ended."""
    await bed.send("one")
    last_seq = bed.events[-1].seq
    await bed.hibernator.hibernate(bed.room_id)
    assert await bed.texts() == ["one"]
    assert await bed.state() == "active"
    assert bed.steps == PUT_AWAY + BROUGHT_BACK
    await bed.send("two")
    assert bed.events[-1].seq == last_seq + 1
    assert await bed.texts() == ["one", "two"]


async def test_the_object_is_removed_once_nobody_needs_it(bed: Bed) -> None:
    """The object of a room that is back goes some time later, and one of a room that sleeps again stays."""
    await bed.hibernator.hibernate(bed.room_id)
    await bed.texts()
    await bed.stores.pool.read(bed.room_id, lambda _reader: None)
    await bed.hibernator.hibernate(bed.room_id)
    assert len(await bed.keys()) == 2, "the same bytes are put under another key"
    await bed.clear()
    kept = await bed.asleep()
    assert kept is not None
    assert await bed.keys() == [kept.object_key]
    assert await bed.texts() == []


async def test_many_who_ask_wake_a_room_once(bed: Bed) -> None:
    """However many ask a room that sleeps at once, it is fetched once, and all are answered."""
    await bed.send("one")
    await bed.hibernator.hibernate(bed.room_id)
    bed.steps.clear()
    answers = await asyncio.gather(*(bed.texts() for _ in range(50)), *(bed.send(str(n)) for n in range(50)))
    assert bed.steps == BROUGHT_BACK
    assert len(answers) == 100
    assert sorted(await bed.texts()) == sorted(["one", *map(str, range(50))])


@pytest.mark.parametrize("step", PUT_AWAY[:4])
async def test_who_asks_while_a_room_is_put_away_is_answered(tmp_path: Path, step: str) -> None:
    """A request that comes while a room is being put away is answered: the room stays, and nothing of it is lost."""
    asked: list[asyncio.Task[object]] = []

    def ask(name: str) -> None:
        if name == step:
            asked.append(asyncio.ensure_future(found.send("now")))

    async with sleepers.made(tmp_path, step=ask) as found:
        bed = found
        await bed.send("one")
        with contextlib.suppress(NotIdleError):
            await bed.hibernator.hibernate(bed.room_id)
        assert asked
        await asked[0]
        assert await bed.texts() == ["one", "now"]
        assert await bed.state() == "active"


async def test_what_was_asked_before_is_done_first(bed: Bed) -> None:
    """Messages that were on their way when a room is put away are stored, and in what comes back."""
    sending = [asyncio.ensure_future(bed.send(str(number))) for number in range(200)]
    await asyncio.sleep(0)
    await bed.hibernator.hibernate(bed.room_id)
    assert all(task.done() for task in sending)
    assert await bed.texts() == [str(number) for number in range(200)]


async def test_a_file_that_another_process_has_open_stays(bed: Bed) -> None:
    """A room whose file somebody else has open is not put away; once they have closed it, it is."""
    other = sqlite.connect(bed.file)
    other.execute("SELECT count(*) FROM messages").fetchall()
    with pytest.raises(ShardBusyError):
        await bed.hibernator.hibernate(bed.room_id)
    assert await bed.texts() == []
    other.close()
    await bed.hibernator.hibernate(bed.room_id)
    assert bed.files() == []


@pytest.mark.parametrize("is_mutant", [False, True])
async def test_nobody_else_opens_a_file_that_is_put_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_mutant: bool
) -> None:
    """Between the copy and the end of the file no other process can write what would be lost with it; without the lock
    they could."""
    tries: list[str] = []
    if is_mutant:
        monkeypatch.setattr(sqlite, "hold_alone", lambda _connection: None)

    def intrude(name: str) -> None:
        if name in ("packed", "compared", "asleep"):
            script = f"import apsw; apsw.Connection({str(found.file)!r}).execute('SELECT * FROM messages').fetchall()"
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
            tries.append(done.stderr)

    async with sleepers.made(tmp_path, step=intrude) as found:
        await found.hibernator.hibernate(found.room_id)
    assert len(tries) == 3
    assert ["locked" in each for each in tries] == [not is_mutant] * 3


async def test_a_corrupt_object_is_never_served(bed: Bed) -> None:
    """A room whose object was damaged answers why, stays hibernated, and comes back once the object is mended."""
    await bed.send("one")
    await bed.hibernator.hibernate(bed.room_id)
    kept = await bed.asleep()
    assert kept is not None
    path = folders.path_of(bed.place.folder / "data" / "archive", kept.object_key)
    good = path.read_bytes()
    for position in (-1, -len(good) // 3, -len(good) // 2):
        bad = bytearray(good)
        bad[position] ^= 4
        path.write_bytes(bad)
        bed.stores.pool.suspensions._failed.clear()
        with pytest.raises(BrokenShardError, match="hibernated"):
            await bed.texts()
        assert bed.files() == []
        assert await bed.state() == "hibernated"
    path.unlink()
    bed.stores.pool.suspensions._failed.clear()
    with pytest.raises(BrokenShardError, match="no object"):
        await bed.texts()
    path.write_bytes(good)
    bed.stores.pool.suspensions._failed.clear()
    assert await bed.texts() == ["one"]


async def test_a_room_that_cannot_be_read_back_stays(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """What object storage gives back decides: where that is not what was put, the file stays the room."""
    await bed.send("one")
    put = bed.store.put

    async def put_otherwise(key: str, source: Path, content: object) -> None:
        await put(key, source, content)  # type: ignore[arg-type]
        path = folders.path_of(bed.place.folder / "data" / "archive", key)
        bad = bytearray(path.read_bytes())
        bad[-1] ^= 1
        path.write_bytes(bad)

    monkeypatch.setattr(bed.store, "put", put_otherwise)
    with pytest.raises(Exception, match="damaged"):
        await bed.hibernator.hibernate(bed.room_id)
    monkeypatch.undo()
    assert await bed.state() == "active"
    assert await bed.texts() == ["one"]
    await bed.clear()
    assert await bed.keys() == []


@pytest.mark.parametrize("is_mutant", [False, True])
async def test_a_transaction_of_unknown_outcome_is_asked_about(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, *, is_mutant: bool
) -> None:
    """Where nobody can say whether the directory took a room as hibernated, it is asked before the file is opened; a
    pool that did not ask would write into a file that is nothing any more."""
    if is_mutant:
        monkeypatch.setattr(bed.stores.pool.suspensions, "require_wake", lambda _room_id: None)
    await bed.send("one")
    fall_asleep = hibernations.fall_asleep

    def lose(_change: object) -> None:
        raise OSError("the answer was lost")

    async def committed_but_lost(writer, hibernation, **facts):  # type: ignore[no-untyped-def]
        # The last listener: what the server listens with has been called by then.
        monkeypatch.setattr(database, "_listeners", [*database._listeners, lose])
        return await fall_asleep(writer, hibernation, **facts)

    database = bed.stores.directory.database
    monkeypatch.setattr(hibernations, "fall_asleep", committed_but_lost)
    with pytest.raises(OSError, match="lost"):
        await bed.hibernator.hibernate(bed.room_id)
    monkeypatch.undo()
    assert bed.file.exists()
    assert await bed.state() == "hibernated"
    assert await bed.texts() == ["one"]
    assert (bed.steps[-3:] == BROUGHT_BACK) is not is_mutant, "it came back from its object"


async def test_a_read_only_room_stays(bed: Bed) -> None:
    """Only an active room is put away: what closed another has to be able to open it."""
    async with bed.stores.directory.database.write() as writer:
        await rooms.set_full(writer, bed.room_id, is_full=True, now_ms=bed.now_ms)
    with pytest.raises(NotIdleError, match="not an active room"):
        await bed.hibernator.hibernate(bed.room_id)
    assert await bed.state() == "readonly"
    assert await bed.texts() == []


async def test_waking_waits_no_longer_than_its_bound(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request of a room that takes too long to come back is told to ask again, and the room comes back for it."""
    await bed.send("one")
    await bed.hibernator.hibernate(bed.room_id)
    fetch, may_go = bed.hibernator._fetch, asyncio.Event()

    async def fetch_slowly(hibernation: hibernations.Hibernation) -> None:
        await may_go.wait()
        await fetch(hibernation)

    monkeypatch.setattr(bed.hibernator, "_fetch", fetch_slowly)
    monkeypatch.setattr("shard.engine.suspensions.WAITING_SECONDS_MAX", 0.05)
    with pytest.raises(WakingError):
        await bed.texts()
    may_go.set()
    monkeypatch.setattr("shard.engine.suspensions.WAITING_SECONDS_MAX", 10.0)
    assert await bed.texts() == ["one"]


async def test_a_full_disk_leaves_a_room_where_it_is(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without space for a copy or for the file the room stays in its one place, and works again with space."""
    await bed.send("one")
    full = OSError(28, "No space left on device")

    def refuse(*_args: object) -> None:
        raise full

    monkeypatch.setattr(dump.StillShard, "_check_copy", refuse)
    with pytest.raises(Exception, match="space"):
        await bed.hibernator.hibernate(bed.room_id)
    monkeypatch.undo()
    assert bed.files() == [bed.file.name]
    assert await bed.texts() == ["one"]
    await bed.hibernator.hibernate(bed.room_id)
    monkeypatch.setattr(RestoredFile, "_write", refuse)
    with pytest.raises(Exception, match="space"):
        await bed.texts()
    monkeypatch.undo()
    assert await bed.state() == "hibernated"
    assert bed.files() == []
    bed.stores.pool.suspensions._failed.clear()
    assert await bed.texts() == ["one"]


async def test_a_file_in_the_place_of_a_sleeping_room_is_set_aside(tmp_path: Path) -> None:
    """A start finds a file where a hibernated room has none: the object is the room, the file is kept for a week."""
    async with sleepers.made(tmp_path) as bed:
        await bed.send("one")
        older = tmp_path / "older.db"
        connection = sqlite.connect(bed.file)
        connection.execute("VACUUM INTO ?", (str(older),))
        connection.close()
        await bed.send("two")
        await bed.hibernator.hibernate(bed.room_id)
    older.rename(bed.file)
    async with sleepers.made(tmp_path) as bed:
        assert await bed.texts() == ["one", "two"]
        left = bed.file.with_suffix(".left")
        assert left.exists()
        await bed.hibernator.recover()
        assert left.exists()
        bed.now_ms = int(left.stat().st_ctime * 1_000) + dump.LEFT_MS + 1
        await bed.hibernator.recover()
        assert not left.exists()

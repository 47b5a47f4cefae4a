"""The scrub finds objects that are lost or damaged, tells each room once, and changes nothing."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from directory import scrubs
from ids import RoomId
from monitor.scrub import REST_MS, Scrub
from objects import disk, folders
from objects.disk import DiskStore
from objects.errors import StoreUnavailableError
from objects.store import Content
from shard.engine.connections import Writer
from tests.monitor.fleets import NOW_MS, Fleet, fleet_in

DATA = b"a picture of a nest"
SHA256 = hashlib.sha256(DATA).hexdigest()


class Bed:
    """A fleet whose rooms have files, the store of these, and the scrub over both."""

    def __init__(self, fleet: Fleet, store: DiskStore, folder: Path) -> None:
        self.fleet = fleet
        self.store = store
        self.folder = folder
        self.now_ms = NOW_MS
        self.scrub = self.over(bytes_max=1_000_000)

    def over(self, *, bytes_max: int) -> Scrub:
        stores, folder = self.fleet.stores, self.fleet.folder
        of_shards = (folder, stores.pool._migrations)
        return Scrub(
            stores.directory, self.store, self.store, *of_shards, ("log",), lambda: self.now_ms, bytes_max=bytes_max
        )

    async def put(self, room_id: RoomId, count: int = 1) -> list[Path]:
        """Give the messages of a room files, and return where their bytes are."""
        await self.fleet.say(room_id, count=count)

        def attach(writer: Writer) -> list[str]:
            writer.run(
                "INSERT INTO message_attachments (id, message_id, channel_id, user_id, filename, size_bytes, "
                "mime_type, sha256, object_key, state, created_at) "
                "SELECT id, id, channel_id, user_id, 'nest', ?, 'image/png', ?, "
                "'rooms/' || ? || '/' || id || '-x', 'attached', 1 FROM messages",
                (len(DATA), SHA256, room_id),
            )
            return [row[0] for row in writer.all("SELECT object_key FROM message_attachments ORDER BY id")]

        keys = await self.fleet.stores.pool.write(room_id, attach)
        for key in keys:
            await self.store.put(key, DATA, Content("image/png", len(DATA), SHA256))
        return [folders.path_of(self.folder, key) for key in keys]

    async def told(self) -> list[tuple[RoomId | None, str, str]]:
        return [(alert.room_id, alert.level, alert.reason or "") for alert in await self.fleet.alerts()]

    async def run(self) -> None:
        self.now_ms += 2 * REST_MS
        await self.scrub.run()


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    store = disk.open_store(tmp_path / "files")
    async with fleet_in(tmp_path) as fleet:
        yield Bed(fleet, store, tmp_path / "files")
    await store.close()


async def test_a_lost_object_is_told_once_and_again_when_it_is_back(bed: Bed) -> None:
    """One alert names the room and the key while the object is away, and another says that it is back."""
    sound, broken = await bed.fleet.found("sound"), await bed.fleet.found("broken")
    await bed.put(sound)
    file, other = await bed.put(broken, 2)
    await bed.run()
    assert await bed.told() == []
    content = file.read_bytes()
    file.unlink()
    for _ in range(2):
        await bed.run()
    ((room_id, level, reason),) = await bed.told()
    assert (room_id, level, "1 object in object storage amiss: rooms/" in reason) == (broken, "critical", True)
    assert reason.endswith("is missing")
    assert (await bed.fleet.shard(broken)).lost == reason
    assert bed.scrub.stats.lost == 1
    file.write_bytes(content)
    await bed.run()
    assert [level for _, level, _ in await bed.told()] == ["critical", "ok"]
    assert bed.scrub.stats.lost == 0
    assert other.exists()


async def test_damage_is_found_by_reading_within_the_budget(bed: Bed) -> None:
    """With a budget every byte is compared, and all objects have their turn; without one only existence is."""
    room_id = await bed.fleet.found("den")
    files = await bed.put(room_id, 6)
    content = bytearray(files[3].read_bytes())
    content[-1] ^= 1
    files[3].write_bytes(content)
    bed.scrub = bed.over(bytes_max=0)
    await bed.run()
    assert (await bed.told(), bed.scrub.stats.bytes) == ([], 0)
    bed.scrub = bed.over(bytes_max=2 * len(DATA))
    runs = 0
    while not await bed.told():
        await bed.run()
        runs += 1
        assert bed.scrub.stats.bytes <= 2 * len(DATA) * runs
    ((_, _, reason),) = await bed.told()
    assert reason.endswith("is damaged")


async def test_a_room_that_was_hinted_at_comes_first(bed: Bed) -> None:
    """Whoever misses an object has its room looked at, however lately it had its turn."""
    room_id = await bed.fleet.found("den")
    (file,) = await bed.put(room_id)
    await bed.run()
    file.unlink()
    bed.scrub.hint(room_id)
    bed.scrub.hint(room_id)
    await bed.scrub.run_hinted()
    await bed.scrub.run_hinted()
    assert [told[:2] for told in await bed.told()] == [(room_id, "critical")]


async def test_nothing_is_lost_while_nobody_can_be_asked(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer ends the run without an alert, and the next run goes on with the same rooms."""
    room_id = await bed.fleet.found("den")
    await bed.put(room_id)

    async def refuse(*_: object, **__: object) -> None:
        raise StoreUnavailableError("It is not there.", retry_after_seconds=1)

    with monkeypatch.context() as patched:
        patched.setattr(DiskStore, "verify", refuse)
        await bed.run()
    assert await bed.told() == []
    async with bed.fleet.stores.directory.database.read() as reader:
        assert await scrubs.due(reader, before_ms=bed.now_ms, limit=9) == [room_id]
    await bed.run()
    async with bed.fleet.stores.directory.database.read() as reader:
        assert await scrubs.due(reader, before_ms=bed.now_ms, limit=9) == []

"""Whose objects they are: a copy of a data folder is recognised, reads the original's objects, and removes none."""

import asyncio
import hashlib
import random
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

import sqlite
from database.errors import StorageFullError
from directory import installations
from directory.directory import Directory
from monitor.hibernator import NotIdleError
from objects import disk
from objects.disk import DiskStore
from objects.errors import NotOwnedError
from objects.prefixed import PrefixedStore
from objects.store import LIST_MAX, Content, Source, Store
from rookery import composition, installation
from rookery.composition import now_ms
from rookery.installation import Ownership
from shard.errors import BrokenShardError
from tests.monitor import sleepers
from tests.monitor.sleepers import Bed
from tests.rookery.histories import settings
from tests.rookery.terminal import invoke

Change = Callable[[Path, pytest.MonkeyPatch], None]

DATA = b"bytes of somebody"
CONTENT = Content("text/plain", len(DATA), hashlib.sha256(DATA).hexdigest())
SEEDS = range(20)
ACTS = 12


@asynccontextmanager
async def directory_of(folder: Path) -> AsyncIterator[Directory]:
    async with composition.open_directory(settings(folder)) as directory:
        yield directory


@asynccontextmanager
async def owning(folder: Path, bucket: Store) -> AsyncIterator[Ownership]:
    """Hold the prefix of a data folder in a bucket, as a server that starts does."""
    async with directory_of(folder) as directory:
        found = await installation.find(directory, folder, now_ms=now_ms())
        ownership = Ownership(directory, folder, [bucket], found, now_ms)
        await ownership.open()
        yield ownership


def store_of(bucket: Store, ownership: Ownership) -> PrefixedStore:
    own = ownership.installation
    return PrefixedStore(bucket, own.prefix, own.former, ownership.may_remove)


@pytest.fixture
async def bucket(tmp_path: Path) -> AsyncIterator[DiskStore]:
    """A store that two installations use."""
    store = disk.open_store(tmp_path / "bucket")
    yield store
    await store.close()


def copy(data: Path, to: Path) -> Path:
    """Copy a data folder with all that is said of its files, as cp -a does."""
    shutil.copytree(data, to, copy_function=shutil.copy2)
    return to


async def test_an_installation_stays_the_same(tmp_path: Path, bucket: DiskStore) -> None:
    """A data folder keeps its prefix over restarts, also when it is moved within its file system."""
    async with owning(tmp_path / "data", bucket) as ownership:
        first = ownership.installation
        assert ownership.may_remove()
    (tmp_path / "data").rename(tmp_path / "moved")
    async with owning(tmp_path / "moved", bucket) as ownership:
        assert ownership.installation.prefix == first.prefix
        assert ownership.installation.former == ()
        assert ownership.may_remove()


def forget_marker(data: Path, patch: pytest.MonkeyPatch) -> None:
    (data / installation.NAME).unlink()


def spoil_marker(data: Path, patch: pytest.MonkeyPatch) -> None:
    (data / installation.NAME).write_bytes(b"{")


def change_machine(data: Path, patch: pytest.MonkeyPatch) -> None:
    marker = data / installation.NAME
    said = orjson.loads(marker.read_bytes())
    with marker.open("r+b") as file:  # the file stays the same one
        file.write(orjson.dumps({**said, "machine": "f" * 32}))
        file.truncate()
    patch.setattr(installation, "machine", lambda: "0" * 32)


@pytest.mark.parametrize("change", [forget_marker, spoil_marker, change_machine])
async def test_what_may_be_a_copy_is_one(
    tmp_path: Path,
    bucket: DiskStore,
    change: Callable[[Path, pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a marker that names this file and this machine nobody knows, and nothing of before is removed."""
    data = tmp_path / "data"
    async with owning(data, bucket) as ownership:
        original = ownership.installation.prefix
    change(data, monkeypatch)
    async with owning(data, bucket) as ownership:
        assert ownership.installation.prefix != original
        assert ownership.installation.former == (original,)


async def test_a_copy_reads_and_never_removes(tmp_path: Path, bucket: DiskStore) -> None:
    """A copy finds the original's objects, puts its own elsewhere, and removes none of them; nor does the original."""
    data = tmp_path / "data"
    async with owning(data, bucket) as ownership:
        original = store_of(bucket, ownership)
        await original.put("rooms/7/a", DATA, CONTENT)
        duplicate = copy(data, tmp_path / "copy")
        async with owning(duplicate, bucket) as other:
            copied = store_of(bucket, other)
            assert await copied.get("rooms/7/a", size_bytes_max=100) == DATA
            assert (await copied.head("rooms/7/a")).key == "rooms/7/a"
            await copied.delete("rooms/7/a")
            assert await original.get("rooms/7/a", size_bytes_max=100) == DATA
            assert await copied.list("rooms/") == []
            await copied.put("rooms/7/b", DATA, CONTENT)
            assert await original.list("rooms/") == ["rooms/7/a"]
            await original.delete("rooms/7/b")
            assert await copied.get("rooms/7/b", size_bytes_max=100) == DATA
            assert await copied.list("rooms/") == ["rooms/7/b"]
            assert copied.sign_get("rooms/7/a", filename="a", content_type="a/b", now_ms=1, expires_at=2) is None


async def test_a_clone_that_nobody_can_tell_loses_by_its_claims(
    tmp_path: Path, bucket: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a whole machine's clone even the marker is equal: whoever goes on first keeps the prefix, the other stops."""
    monkeypatch.setattr(installation, "is_of", lambda marker, _folder, prefix: marker.prefix == prefix)
    data = tmp_path / "data"
    async with owning(data, bucket) as ownership:
        early, late = copy(data, tmp_path / "early"), copy(data, tmp_path / "late")
        await ownership.claim()
        async with owning(late, bucket) as other:
            assert other.installation.former == (ownership.installation.prefix,)
        await ownership.claim()
        assert ownership.may_remove()
        connection = sqlite.connect(early / "directory.db")
        connection.execute("UPDATE installations SET claim = ?", (ownership.installation.claim,))
        connection.close()
        async with owning(early, bucket) as other:
            assert other.installation.prefix == ownership.installation.prefix
            await ownership.claim()
            assert not ownership.may_remove()
            with pytest.raises(NotOwnedError):
                await store_of(bucket, ownership).delete("rooms/7/a")
    async with owning(data, bucket) as ownership:
        assert ownership.installation.former == (other.installation.prefix,)
        assert ownership.may_remove()


class Silent(PrefixedStore):
    """A bucket that does not answer until it is asked to."""

    def __init__(self, bucket: Store) -> None:
        super().__init__(bucket, "", (), lambda: True)
        self.answers = asyncio.Event()

    async def list(self, prefix: str, *, after: str = "", limit: int = LIST_MAX) -> Sequence[str]:
        await self.answers.wait()
        return await super().list(prefix, after=after, limit=limit)


async def test_a_silent_bucket_holds_no_start(
    tmp_path: Path, bucket: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server starts without its buckets; nothing is removed until they answered that nobody else has the prefix."""
    monkeypatch.setattr(installation, "OPEN_SECONDS_MAX", 0.05)
    silent = Silent(bucket)
    async with owning(tmp_path / "data", silent) as ownership:
        assert not ownership.may_remove()
        with pytest.raises(NotOwnedError):
            await store_of(silent, ownership).delete("rooms/7/a")
        silent.answers.set()
        await ownership.claim()
        assert ownership.may_remove()
        await ownership.close()


async def test_a_full_directory_ends_no_claim(
    tmp_path: Path, bucket: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a claim cannot be noted, none is made, and the prefix stays as it was."""

    async def fail(*_: object) -> None:
        raise StorageFullError("directory")

    async with owning(tmp_path / "data", bucket) as ownership:
        before = ownership.installation
        monkeypatch.setattr(installations, "note_claim", fail)
        await ownership.claim()
        assert ownership.installation == before
        assert await installation.latest_claim(bucket, before.prefix) == before.claim


async def test_a_directory_from_a_backup_sweeps_nothing(tmp_path: Path, bucket: DiskStore) -> None:
    """An older directory put back into its own folder does not know what was stored since, so it removes none of it."""
    data = tmp_path / "data"
    async with owning(data, bucket):
        shutil.copytree(data, tmp_path / "backup")
    async with owning(data, bucket) as ownership:
        await store_of(bucket, ownership).put("rooms/7/new", DATA, CONTENT)
        before = ownership.installation.prefix
    for file in data.glob("directory.db*"):
        file.unlink()
    for file in (tmp_path / "backup").glob("directory.db*"):
        shutil.copy(file, data)
    async with owning(data, bucket) as ownership:
        assert ownership.installation.former == (before,)
        assert await store_of(bucket, ownership).list("rooms/") == []


async def test_a_directory_of_an_earlier_release_keeps_its_objects(tmp_path: Path, bucket: DiskStore) -> None:
    """Objects without a prefix stay this installation's when it is upgraded, and are a former prefix to its copies."""
    data = tmp_path / "data"
    async with owning(data, bucket):
        pass
    (data / installation.NAME).unlink()
    connection = sqlite.connect(data / "directory.db")
    connection.execute("UPDATE installations SET prefix = '', claim = 0")
    connection.close()
    await bucket.put("rooms/7/old", DATA, CONTENT)
    async with owning(data, bucket) as ownership:
        assert ownership.installation.prefix == ""
        store = store_of(bucket, ownership)
        assert await store.list("rooms/") == ["rooms/7/old"]
        async with owning(copy(data, tmp_path / "copy"), bucket) as other:
            assert other.installation.former == ("",)
            assert await store_of(bucket, other).get("rooms/7/old", size_bytes_max=100) == DATA
        await store.delete("rooms/7/old")
        assert await store.list("rooms/") == []


async def test_a_copy_adopts_what_it_was_copied_from(tmp_path: Path, bucket: DiskStore) -> None:
    """When the original is gone, its prefix is handed over on purpose; what the copy put meanwhile is still found."""
    data = tmp_path / "data"
    async with owning(data, bucket) as ownership:
        await store_of(bucket, ownership).put("rooms/7/a", DATA, CONTENT)
        original = ownership.installation.prefix
    duplicate = copy(data, tmp_path / "copy")
    async with owning(duplicate, bucket) as other:
        await store_of(bucket, other).put("rooms/7/b", DATA, CONTENT)
        own = other.installation.prefix
    asked = invoke("--data", duplicate, "adopt", "--json")
    assert (asked.code, asked.json["adopted"], asked.json["former"]) == (0, None, [original])
    done = invoke("--data", duplicate, "adopt", "--yes", "--json")
    assert (done.code, done.json["adopted"]) == (0, original)
    connection = sqlite.connect(duplicate / "directory.db")
    connection.execute("UPDATE installations SET claim = 1 WHERE prefix = ?", (original,))  # its bucket is this test's
    connection.close()
    async with owning(duplicate, bucket) as other:
        assert (other.installation.prefix, other.installation.former) == (original, (own,))
        store = store_of(bucket, other)
        assert await store.list("rooms/") == ["rooms/7/a"]
        assert await store.get("rooms/7/b", size_bytes_max=100) == DATA
        assert other.may_remove()
    refused = invoke("--data", data, "adopt", "--yes")
    assert (refused.code, "nothing to adopt" in refused.err) == (1, True)


class Watched(PrefixedStore):
    """A bucket in which one installation acts, and the keys that it changed."""

    def __init__(self, bucket: Store) -> None:
        super().__init__(bucket, "", (), lambda: True)
        self.changed: set[str] = set()

    async def put(self, key: str, source: Source, content: Content) -> None:
        self.changed.add(key)
        await super().put(key, source, content)

    async def delete(self, key: str) -> None:
        self.changed.add(key)
        await super().delete(key)


async def act(bed: Bed, chance: random.Random, said: list[str]) -> None:
    """Do one thing to the room, as a server and its people do."""
    what = chance.choice(("say", "sleep", "wake", "clear"))
    if what == "say" or (what == "wake" and await bed.state() != "hibernated"):
        text = f"word {len(said)} {chance.random()}"
        await bed.send(text)
        said.append(text)
    elif what == "sleep" and await bed.state() != "hibernated":
        try:
            await bed.hibernator.hibernate(bed.room_id)
        except NotIdleError:
            return
    elif what == "wake":
        assert await bed.texts() == said
    else:
        await bed.clear()


@pytest.mark.parametrize("seed", SEEDS)
async def test_an_original_and_its_copy_never_touch_each_other(tmp_path: Path, bucket: DiskStore, seed: int) -> None:
    """However both go on with one bucket, each changes only what is under its own prefix, and has all its words."""
    chance = random.Random(seed)
    original, duplicate = tmp_path / "original", tmp_path / "copy"
    said: list[str] = []
    async with owning(original / "data", bucket) as ownership:
        first = Watched(bucket)
        async with sleepers.made(original, store=store_of(first, ownership)) as bed:
            for _ in range(4):
                await act(bed, chance, said)
            if chance.random() < 0.5 and await bed.state() != "hibernated":
                await bed.hibernator.hibernate(bed.room_id)
        copy(original, duplicate)
        async with owning(duplicate / "data", bucket) as other:
            second = Watched(bucket)
            async with (
                sleepers.made(original, store=store_of(first, ownership)) as one,
                sleepers.made(duplicate, store=store_of(second, other)) as two,
            ):
                theirs = [*said]
                for _ in range(ACTS):
                    if chance.random() < 0.5:
                        await act(one, chance, said)
                        continue
                    try:
                        await act(two, chance, theirs)
                    except BrokenShardError:
                        break  # the original removed an object of its own that the copy had not fetched
                await one.clear()
                assert await one.texts() == said
            for watched, own in ((first, ownership.installation.prefix), (second, other.installation.prefix)):
                assert all(key.startswith(f"{own}/") for key in watched.changed)

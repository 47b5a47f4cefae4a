"""What only the disk store does: files that appear whole, survive a crash of the process, and a disk that is full."""

import asyncio
import contextlib
import hashlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objects import disk, folders
from objects.errors import (
    CorruptObjectError,
    ObjectNotFoundError,
    StoreFullError,
    StoreUnavailableError,
)
from objects.store import Content

KEY = "rooms/7/cat.png"


def content_of(data: bytes) -> Content:
    """Announce these bytes."""
    return Content("image/png", len(data), hashlib.sha256(data).hexdigest())


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[disk.DiskStore]:
    """Open the store in a folder, and close it."""
    store = disk.open_store(folder)
    try:
        yield store
    finally:
        await store.close()


def files(folder: Path) -> list[Path]:
    """Return every file below a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def test_an_object_is_one_private_file(tmp_path: Path) -> None:
    """An object is one file with a line that says what it is, only its owner can read it, and it outlives the store."""
    async with opened(tmp_path / "a" / "store") as store:
        await store.put(KEY, b"meow", content_of(b"meow"))
        head = await store.head(KEY)
    [file] = files(tmp_path)
    assert file.read_bytes() == f"rookery-object 1 4 {hashlib.sha256(b'meow').hexdigest()} image/png\nmeow".encode()
    assert file.stat().st_mode & 0o777 == 0o600
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "a").rglob("*") if path.is_dir()} == {0o700}
    async with opened(tmp_path / "a" / "store") as store:
        assert await store.head(KEY) == head


async def test_an_object_is_on_the_disk_before_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is synced while nobody can see it, and each folder above it when it is visible, before the put returns."""
    path = folders.path_of(tmp_path, KEY)
    synced: list[tuple[int, bool]] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        fsync(descriptor)
        synced.append((os.fstat(descriptor).st_ino, path.exists()))

    monkeypatch.setattr(os, "fsync", record)
    async with opened(tmp_path) as store:
        await store.put(KEY, b"meow", content_of(b"meow"))
        assert synced[0] == (path.stat().st_ino, False)
        above = [folder for folder in path.parents if folder.is_relative_to(tmp_path)]
        assert synced[1:] == [(folder.stat().st_ino, True) for folder in above]
        synced.clear()
        await store.delete(KEY)
    assert [is_there for _, is_there in synced] == [False]


async def test_no_folder_grows_large(tmp_path: Path) -> None:
    """Ten thousand keys, alike in all but their numbers, leave no folder with more than 256 folders or 100 files."""
    paths = [folders.path_of(tmp_path, f"attachments/{7_000_000_000 + number * 4_096}") for number in range(10_000)]
    assert len(set(paths)) == 10_000
    shelves: dict[Path, int] = {}
    for path in paths:
        shelves[path.parent] = shelves.get(path.parent, 0) + 1
    assert len(shelves) == 256
    assert max(shelves.values()) <= 100


async def test_deleting_leaves_no_empty_folders(tmp_path: Path) -> None:
    """A deletion takes the folders with it that nothing else needs."""
    async with opened(tmp_path) as store:
        before = sorted(tmp_path.rglob("*"))
        await store.put("rooms/8/dog.png", b"wuff", content_of(b"wuff"))
        between = sorted(tmp_path.rglob("*"))
        await store.put(KEY, b"meow", content_of(b"meow"))
        await store.delete(KEY)
        assert sorted(tmp_path.rglob("*")) == between
        await store.delete("rooms/8/dog.png")
        assert sorted(tmp_path.rglob("*")) == before


async def test_puts_and_deletions_beside_each_other(tmp_path: Path) -> None:
    """A put succeeds while deletions keep removing the folders that it needs."""
    async with opened(tmp_path) as store:

        async def come_and_go(name: str) -> None:
            for _ in range(40):
                await store.put(f"a/b/{name}", b"x", content_of(b"x"))
                await store.delete(f"a/b/{name}")

        await asyncio.gather(*map(come_and_go, "cdefgh"))
        assert await store.list("") == []


@pytest.mark.parametrize("times", [1, 3, 1_000])
async def test_a_put_makes_its_folders_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """A put whose folder a deletion removes under its hands makes it again, and gives up if that never ends."""
    link = os.link
    left = times

    def lose_folder(source: Path, target: Path) -> None:
        nonlocal left
        if left:
            left -= 1
            target.parent.rmdir()
        link(source, target)

    monkeypatch.setattr(os, "link", lose_folder)
    async with opened(tmp_path) as store:
        with pytest.raises(StoreUnavailableError) if times > 100 else contextlib.nullcontext():
            await store.put(KEY, b"meow", content_of(b"meow"))
        assert await store.list("") == ([] if times > 100 else [KEY])
    assert len(files(tmp_path)) == (0 if times > 100 else 1)


WRITER = """
import asyncio, sys
from pathlib import Path
from objects import disk
from objects.store import Content

async def stalled():
    yield b"half"
    print("written", flush=True)
    await asyncio.Event().wait()

asyncio.run(disk.open_store(Path(sys.argv[1])).put("rooms/7/cat.png", stalled(), Content("image/png", 8, "0" * 64)))
"""


@pytest.mark.crash
async def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """A half-written upload stays while its process lives, and is removed when the store is opened after its death."""
    project = Path(disk.__file__).parent.parent
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=project) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"written\n"
            async with opened(tmp_path) as store:
                assert len(files(tmp_path)) == 1
                assert await store.list("") == []
        finally:
            writer.send_signal(signal.SIGKILL)
    assert len(files(tmp_path)) == 1
    async with opened(tmp_path) as store:
        assert files(tmp_path) == []
        await store.put(KEY, b"meow", content_of(b"meow"))


@contextlib.contextmanager
def small_disk(kind: str, folder: Path) -> Iterator[None]:
    """Leave room for a megabyte, by a limit on files or with a file system that is really full."""
    if kind == "limit":
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        return
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("kind", ["limit", "tmpfs"])
async def test_a_full_disk_keeps_nothing_and_loses_nothing(tmp_path: Path, kind: str) -> None:
    """A put that finds the disk full says so and leaves nothing, what was stored can be read, and less fits again."""
    folder = tmp_path / "store"
    small, large = b"small" * 1_000, b"large" * 400_000
    with small_disk(kind, folder):
        async with opened(folder) as store:
            await store.put("small", small, content_of(small))
            before = files(folder)
            with pytest.raises(StoreFullError):
                await store.put(KEY, large, content_of(large))
            assert files(folder) == before
            with pytest.raises(ObjectNotFoundError):
                await store.head(KEY)
            assert await store.get("small", size_bytes_max=len(small)) == small
            await store.put(KEY, small, content_of(small))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"rookery-object 2 4 " + b"0" * 64 + b" image/png\n",
        b"rookery-object 1 4 " + b"0" * 63 + b" image/png\n",
        b"rookery-object 1 5 " + b"0" * 64 + b" image/png\n",
        b"rookery-object 1 3 " + b"0" * 64 + b" image/png\n",
        b"rookery-object 1 4 " + b"0" * 64 + b" image\n",
        b"rookery-object 1 4 " + b"0" * 64 + b" image/png",
        b"\xff" * 600,
    ],
)
async def test_a_damaged_first_line_is_noticed(tmp_path: Path, line: bytes) -> None:
    """A file whose first line is damaged, or does not fit its length, is corrupt and nothing of it is given out."""
    async with opened(tmp_path) as store:
        await store.put(KEY, b"meow", content_of(b"meow"))
        folders.path_of(tmp_path, KEY).write_bytes(line + b"meow")
        for attempt in (store.head(KEY), store.get(KEY, size_bytes_max=100)):
            with pytest.raises(CorruptObjectError) as fault:
                await attempt
            assert fault.value.key == KEY


async def test_a_file_that_shrinks_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    """A range that loses its end after it was opened is damaged, not short."""
    data = bytes(100_000)
    async with opened(tmp_path) as store:
        await store.put(KEY, data, content_of(data))
        path = folders.path_of(tmp_path, KEY)
        async with store.open(KEY, start=1) as reading:
            os.truncate(path, path.stat().st_size - 1)
            with pytest.raises(CorruptObjectError):
                await anext(reading.chunks)


async def test_a_disk_that_refuses_is_unavailable(tmp_path: Path) -> None:
    """An error of the disk other than a missing file is no missing object, and a put says so too."""
    async with opened(tmp_path) as store:
        await store.put(KEY, b"meow", content_of(b"meow"))
        path = folders.path_of(tmp_path, KEY)
        path.unlink()
        path.symlink_to(path)
        with pytest.raises(StoreUnavailableError):
            await store.head(KEY)
        path.unlink()
        path.parent.rmdir()
        path.parent.write_bytes(b"in the way")
        with pytest.raises(StoreUnavailableError):
            await store.put(KEY, b"meow", content_of(b"meow"))


async def test_clients_do_not_reach_the_disk(tmp_path: Path) -> None:
    """A disk store signs no URLs, since the router serves it."""
    async with opened(tmp_path) as store:
        assert store.sign_put(KEY, content_of(b""), now_ms=0, expires_at=1) is None
        assert store.sign_get(KEY, filename="cat.png", content_type="image/png", now_ms=0, expires_at=1) is None


WORDS = st.text("ab-.0_", min_size=1, max_size=3).filter(lambda word: not word.startswith("."))
KEYS = st.lists(WORDS, min_size=1, max_size=4).map("/".join)


@given(
    st.sets(KEYS, max_size=12),
    st.text("ab-./0_", max_size=4),
    st.one_of(KEYS, st.text("ab-./0_", max_size=5)),
    st.integers(1, 5),
)
def test_walking_is_sorting(
    tmp_path_factory: pytest.TempPathFactory, stored: set[str], prefix: str, after: str, at_once: int
) -> None:
    """Whatever the keys, walking the folders gives those of a prefix after a key, sorted as text."""
    root = tmp_path_factory.mktemp("walk")
    for key in stored:
        path = folders.path_of(root, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    expected = [key for key in sorted(stored) if key.startswith(prefix) and key > after]
    assert list(folders.walk(root, prefix, after, at_once=at_once)) == expected


def test_large_folders_are_walked_in_order(tmp_path: Path) -> None:
    """A folder with more names than are held at once is walked in order to its end."""
    stored = [f"f/{number}" for number in range(2_500)]
    for key in stored:
        path = folders.path_of(tmp_path, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert list(folders.walk(tmp_path, "", "", at_once=1_000)) == sorted(stored)

"""What both stores promise, held against a folder and against a real S3 server."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from objects.contents import CHUNK_BYTES
from objects.errors import (
    BadContentError,
    BadKeyError,
    ContentMismatchError,
    CorruptObjectError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectTooLargeError,
)
from objects.store import SIZE_BYTES_MAX, Content, Source, Store
from tests.objects.places import Place

KEY = "rooms/7/cat.png"
BYTES_MAX = 16 * 1024 * 1024


def content_of(data: bytes, content_type: str = "image/png") -> Content:
    """Announce these bytes."""
    return Content(content_type, len(data), hashlib.sha256(data).hexdigest())


def bytes_of(size: int) -> bytes:
    """Return bytes of which no two parts are alike."""
    return hashlib.shake_128(b"seed").digest(size)


async def stream(data: bytes, *, chunk_bytes: int = 1_000, fault: Exception | None = None) -> AsyncIterator[bytes]:
    """Give bytes as a request's body would, and then perhaps break."""
    for at in range(0, len(data), chunk_bytes):
        yield data[at : at + chunk_bytes]
    if fault:
        raise fault


async def read(store: Store, key: str, start: int = 0, size_bytes: int | None = None) -> bytes:
    """Read through `open`."""
    async with store.open(key, start=start, size_bytes=size_bytes) as reading:
        return b"".join([chunk async for chunk in reading.chunks])


async def assert_empty(store: Store) -> None:
    """Hold that nothing is stored."""
    assert await store.list("") == []
    with pytest.raises(ObjectNotFoundError):
        await store.head(KEY)


@pytest.mark.parametrize("kind", ["bytes", "file", "stream"])
async def test_what_is_put_comes_back(place: Place, tmp_path: Path, kind: str) -> None:
    """An object put from memory, a file or a stream comes back with its bytes, type, size and hash."""
    data = bytes_of(5_000)
    file = tmp_path / "upload"
    file.write_bytes(data)
    sources: dict[str, Source] = {"bytes": data, "file": file, "stream": stream(data)}
    before = time.time()
    await place.store.put(KEY, sources[kind], content_of(data, "image/png; charset=utf-8"))
    head = await place.store.head(KEY)
    assert (head.key, head.content) == (KEY, content_of(data, "image/png; charset=utf-8"))
    assert before - 2 <= head.stored_at / 1_000 <= time.time() + 2
    assert await place.store.get(KEY, size_bytes_max=5_000) == data
    assert await place.store.verify(KEY) == head


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES + 7])
async def test_every_size_comes_back_in_bounded_chunks(place: Place, size: int) -> None:
    """Objects smaller and larger than one chunk come back whole, and no chunk is larger than its bound."""
    data = bytes_of(size)
    await place.store.put(KEY, stream(data, chunk_bytes=300_000), content_of(data))
    async with place.store.open(KEY) as reading:
        chunks = [chunk async for chunk in reading.chunks]
    assert b"".join(chunks) == data
    assert max(map(len, chunks), default=0) <= CHUNK_BYTES


async def test_a_missing_object_is_named(place: Place) -> None:
    """Reading what is not there names the key, and deleting it is no error."""
    await place.store.put("rooms/7/dog.png", b"x", content_of(b"x"))
    for attempt in (place.store.head(KEY), place.store.get(KEY, size_bytes_max=1), read(place.store, KEY)):
        with pytest.raises(ObjectNotFoundError) as refusal:
            await attempt
        assert refusal.value.key == KEY
    await place.store.delete(KEY)
    assert await place.store.list("") == ["rooms/7/dog.png"]


async def test_an_object_never_changes(place: Place) -> None:
    """A second put under the same key is refused, whether its bytes are the same or not, and changes nothing."""
    await place.store.put(KEY, b"first", content_of(b"first"))
    for data in (b"first", b"other"):
        with pytest.raises(ObjectExistsError):
            await place.store.put(KEY, data, content_of(data))
    assert await place.store.get(KEY, size_bytes_max=5) == b"first"


async def test_a_deleted_object_can_be_put_again(place: Place) -> None:
    """After a deletion the key is free, and its neighbours are untouched."""
    await place.store.put(KEY, b"first", content_of(b"first"))
    await place.store.put("rooms/7/dog.png", b"dog", content_of(b"dog"))
    for data in (b"second", b"third"):
        await place.store.delete(KEY)
        await place.store.put(KEY, data, content_of(data))
    assert await place.store.get(KEY, size_bytes_max=5) == b"third"
    assert await place.store.list("") == [KEY, "rooms/7/dog.png"]


async def test_one_of_many_writers_wins(place: Place) -> None:
    """Of 20 puts at once under one key one succeeds, and its bytes are those that stay."""
    attempts = [b"writer %d" % number * 1_000 for number in range(20)]

    async def attempt(data: bytes) -> bytes | None:
        with contextlib.suppress(ObjectExistsError):
            await place.store.put(KEY, stream(data), content_of(data))
            return data
        return None

    winners = [data for data in await asyncio.gather(*map(attempt, attempts)) if data]
    assert len(winners) == 1
    assert await place.store.get(KEY, size_bytes_max=BYTES_MAX) == winners[0]


@pytest.mark.security
@pytest.mark.parametrize(
    ("sent", "field"),
    [(b"announceD", "sha256"), (b"announce", "size_bytes"), (b"announced!", "size_bytes"), (b"", "size_bytes")],
)
@pytest.mark.parametrize("is_stream", [False, True])
async def test_only_the_announced_bytes_are_kept(place: Place, sent: bytes, field: str, is_stream: bool) -> None:
    """Other bytes, fewer or more than announced are refused by name and leave nothing, and the right ones are taken."""
    content = content_of(b"announced")
    with pytest.raises(ContentMismatchError) as refusal:
        await place.store.put(KEY, stream(sent) if is_stream else sent, content)
    assert refusal.value.field == field
    await assert_empty(place.store)
    await place.store.put(KEY, b"announced", content)


async def test_an_endless_upload_is_cut(place: Place) -> None:
    """A stream that goes on beyond the announced size is not read further."""
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield bytes(1_000)

    with pytest.raises(ContentMismatchError):
        await place.store.put(KEY, endless(), content_of(bytes(5_000)))
    assert given == 6
    await assert_empty(place.store)


async def test_a_broken_upload_leaves_nothing(place: Place) -> None:
    """When the stream breaks off, its own error is raised, nothing stays, and the upload can be repeated."""
    data = bytes_of(50_000)
    with pytest.raises(ConnectionResetError):
        await place.store.put(KEY, stream(data, fault=ConnectionResetError()), content_of(data))
    await assert_empty(place.store)
    await place.store.put(KEY, stream(data), content_of(data))


async def test_a_cancelled_upload_leaves_nothing(place: Place) -> None:
    """When the caller gives up in the middle, nothing stays."""
    waiting = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield b"some"
        waiting.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(place.store.put(KEY, stalled(), content_of(b"something")))
    await waiting.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await assert_empty(place.store)


@pytest.mark.security
@pytest.mark.parametrize("size", [9, 2 * CHUNK_BYTES])
async def test_a_changed_object_is_never_given_out_whole(place: Place, size: int) -> None:
    """Bytes changed behind the store's back are noticed before the last chunk is given out."""
    data = bytes_of(size)
    await place.store.put(KEY, data, content_of(data))
    assert await read(place.store, KEY) == data
    place.overwrite(KEY, data[:-1] + bytes([data[-1] ^ 1]))
    given = bytearray()

    async def read_through() -> None:
        async with place.store.open(KEY) as reading:
            async for chunk in reading.chunks:
                given.extend(chunk)

    with pytest.raises(CorruptObjectError) as fault:
        await read_through()
    assert fault.value.key == KEY
    assert len(given) <= max(size - CHUNK_BYTES, 0)
    with pytest.raises(CorruptObjectError):
        await place.store.get(KEY, size_bytes_max=BYTES_MAX)
    with pytest.raises(CorruptObjectError):
        await place.store.verify(KEY)


async def test_a_shortened_object_is_refused(place: Place) -> None:
    """An object that lost its end is noticed."""
    await place.store.put(KEY, b"something", content_of(b"something"))
    place.overwrite(KEY, b"some")
    with pytest.raises(CorruptObjectError):
        await place.store.get(KEY, size_bytes_max=BYTES_MAX)


@pytest.mark.parametrize(
    ("start", "size_bytes"),
    [(0, 1), (0, 100), (0, None), (99, 1), (50, None), (50, 7), (50, 500), (100, 1), (100, None), (5_000, 3), (7, 0)],
)
async def test_a_range_is_a_slice(place: Place, start: int, size_bytes: int | None) -> None:
    """A range gives what a slice gives, also at and beyond the end, and says how large the whole is."""
    data = bytes_of(100)
    await place.store.put(KEY, data, content_of(data))
    async with place.store.open(KEY, start=start, size_bytes=size_bytes) as reading:
        found = b"".join([chunk async for chunk in reading.chunks])
    assert found == data[start:][:size_bytes]
    assert reading.head.content == content_of(data)


async def test_a_range_of_nothing_is_nothing(place: Place) -> None:
    """Any range of an empty object is empty."""
    await place.store.put(KEY, b"", content_of(b""))
    assert [await read(place.store, KEY), await read(place.store, KEY, 0, 5), await read(place.store, KEY, 3)] == [
        b""
    ] * 3


async def test_get_is_bounded(place: Place) -> None:
    """A whole object is read into memory up to the caller's bound and not beyond."""
    await place.store.put(KEY, bytes(100), content_of(bytes(100)))
    assert await place.store.get(KEY, size_bytes_max=100) == bytes(100)
    with pytest.raises(ObjectTooLargeError) as refusal:
        await place.store.get(KEY, size_bytes_max=99)
    assert (refusal.value.size_bytes, refusal.value.size_bytes_max) == (100, 99)


async def test_readers_may_stop_early(place: Place) -> None:
    """An object that was opened and not read to its end can be opened again, many times."""
    data = bytes_of(4 * CHUNK_BYTES)
    await place.store.put(KEY, data, content_of(data))
    for _ in range(10):
        async with place.store.open(KEY) as reading:
            async for chunk in reading.chunks:
                assert chunk == data[: len(chunk)]
                break
    assert await read(place.store, KEY) == data


async def test_keys_are_listed_in_order_by_prefix(place: Place) -> None:
    """A list has the keys with a prefix, after a key, in the order of their characters, whatever folders they make."""
    stored = ["a", "a-b", "a.b", "a/b", "a/b/c", "a/b-c/d", "a0", "b/0", "b/1", "b/10", "b/2", "ab/c/d/e"]
    for key in stored:
        await place.store.put(key, b"x", content_of(b"x"))
    for prefix in ("", "a", "a/", "a/b", "a/b/", "b/1", "c", "a.", "ab/c/"):
        for after in ("", "a", "a/b", "b/1", "c"):
            for limit in (2, 100):
                expected = [key for key in sorted(stored) if key.startswith(prefix) and key > after][:limit]
                assert await place.store.list(prefix, after=after, limit=limit) == expected, (prefix, after, limit)


async def test_pages_cover_every_key_once(place: Place) -> None:
    """Page by page, each after the last key of the one before, a list gives every key once."""
    stored = [f"attachments/{number * 7_919}/file.bin" for number in range(120)]
    await asyncio.gather(*(place.store.put(key, b"x", content_of(b"x")) for key in stored[:60]))
    await asyncio.gather(*(place.store.put(key, b"x", content_of(b"x")) for key in stored[60:]))
    found: list[str] = []
    while page := await place.store.list("attachments/", after=found[-1] if found else "", limit=50):
        found += page
    assert found == sorted(stored)


async def test_everything_is_walked_page_by_page(place: Place) -> None:
    """All keys with a prefix come once and in order, a bounded page at a time, from wherever one goes on."""
    stored = sorted(f"archive/{number * 7_919}" for number in range(60))
    for key in [*stored, "attic/1", "zoo"]:
        await place.store.put(key, b"x", content_of(b"x"))
    pages = [page async for page in place.store.pages("archive/", limit=50)]
    assert [key for page in pages for key in page] == stored
    assert max(map(len, pages)) <= 50
    behind = [key async for page in place.store.pages("archive/", after=stored[30], limit=7) for key in page]
    assert behind == stored[31:]
    assert [page async for page in place.store.pages("none/")] == []


async def test_a_store_forgets_unfinished_uploads(place: Place) -> None:
    """Both stores see to what is left of uploads that were never finished."""
    assert await place.store.forget_unfinished(after_days=7)


@pytest.mark.security
@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../x",
        "a/../b",
        "a/./b",
        "a//b",
        "a/",
        ".incoming/x",
        "a/.b",
        "A",
        "ä",
        "a\0b",
        "a b",
        "a+",
        "a\n",
        "a\\b",
        "a" * 201,
        "/".join(["a" * 200, "b" * 200, "c" * 111]),
        "a/" * 16 + "a",
    ],
)
async def test_keys_stay_where_they_belong(place: Place, key: str) -> None:
    """A key that could leave its folder or mean two things is refused by every method, before anything is done."""
    attempts = [
        place.store.put(key, b"x", content_of(b"x")),
        place.store.get(key, size_bytes_max=1),
        place.store.head(key),
        place.store.verify(key),
        read(place.store, key),
        place.store.delete(key),
    ]
    for attempt in attempts:
        with pytest.raises(BadKeyError):
            await attempt
    assert await place.store.list("") == []


async def test_the_longest_keys_are_kept(place: Place) -> None:
    """Keys at their bounds work like others."""
    beside = place.prefix_length  # a prefix is a part of the key beneath, and one of its words
    words = 16 if not beside else 15
    longest = "/".join(["b" * 200, "c" * 200, "d" * (110 - beside)])
    stored = ["a" * 200, longest, "/".join(["0"] * words), "_-x.tar.gz", "-"]
    for key in stored:
        await place.store.put(key, b"x", content_of(b"x"))
    assert await place.store.list("") == sorted(stored)


@pytest.mark.security
@pytest.mark.parametrize("prefix", ["A", "a\0", "é", "%", "a" * 513])
async def test_prefixes_are_checked(place: Place, prefix: str) -> None:
    """A prefix, or a key to go on after, has the letters of keys or is refused."""
    with pytest.raises(BadKeyError):
        await place.store.list(prefix)
    with pytest.raises(BadKeyError):
        await place.store.list("", after=prefix)


@pytest.mark.security
@pytest.mark.parametrize(
    ("content_type", "size_bytes", "sha256"),
    [
        ("", 1, "0" * 64),
        ("image", 1, "0" * 64),
        ("image/png\r\nx: y", 1, "0" * 64),
        ("image/png\n", 1, "0" * 64),
        ("imäge/png", 1, "0" * 64),
        ("a/" + "b" * 254, 1, "0" * 64),
        ("image/png", -1, "0" * 64),
        ("image/png", SIZE_BYTES_MAX + 1, "0" * 64),
        ("image/png", 1, "0" * 63),
        ("image/png", 1, "A" * 64),
        ("image/png", 1, "0" * 64 + "\n"),
    ],
)
def test_impossible_content_is_refused(content_type: str, size_bytes: int, sha256: str) -> None:
    """A type, size or hash that no object can have is refused where it is announced."""
    assert Content("image/png", SIZE_BYTES_MAX, "0" * 64).size_bytes == SIZE_BYTES_MAX
    with pytest.raises(BadContentError):
        Content(content_type, size_bytes, sha256)

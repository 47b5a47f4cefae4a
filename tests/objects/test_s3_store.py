"""What only the S3 store does: signed URLs, and standing a network and a service that fail."""

import asyncio
import dataclasses
import hashlib
import socket
import time
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest

from objects import s3
from objects.errors import (
    CorruptObjectError,
    ObjectExistsError,
    ObjectNotFoundError,
    StoreFullError,
    StoreUnavailableError,
)
from objects.store import Content, SignedUpload
from tests.objects import proxies
from tests.objects.places import Bucket

KEY = "rooms/7/cat.png"
DATA = bytes(range(256)) * 1_000
CONTENT = Content("image/png", len(DATA), hashlib.sha256(DATA).hexdigest())
QUICK: Mapping[str, float] = {"connect_timeout_seconds": 0.5, "read_timeout_seconds": 0.5, "attempts_max": 1}


def now_ms() -> int:
    """Return the time that URLs are signed for."""
    return int(time.time() * 1_000)


def signed(store: s3.S3Store, content: Content = CONTENT, seconds: int = 60) -> SignedUpload:
    """Let a client upload."""
    upload = store.sign_put(KEY, content, now_ms=now_ms(), expires_at=now_ms() + seconds * 1_000)
    assert upload is not None
    return upload


def send(upload: SignedUpload, data: bytes = DATA, changed: Mapping[str, str] = MappingProxyType({})) -> int:
    """PUT as a client would, with some headers changed (or left out, when empty), and return the status."""
    sent = {name: value for name, value in {**upload.headers, **changed}.items() if value}
    return httpx.put(upload.url, content=data, headers=sent).status_code


async def test_a_signed_upload_is_an_object_like_others(bucket: Bucket, s3_store: s3.S3Store) -> None:
    """What a client puts by a signed URL has the announced type, size and hash, and is read and verified."""
    assert send(signed(s3_store)) == 200
    assert (await s3_store.verify(KEY)).content == CONTENT
    assert await s3_store.get(KEY, size_bytes_max=len(DATA)) == DATA


@pytest.mark.security
@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/html"},
        {"x-amz-meta-sha256": "0" * 64},
        {"x-amz-meta-sha256": ""},
        {"x-amz-checksum-sha256": "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA="},
        {"if-none-match": ""},
    ],
)
async def test_a_signed_upload_is_only_what_was_announced(
    bucket: Bucket, s3_store: s3.S3Store, headers: dict[str, str]
) -> None:
    """Another type or hash than the signed one, or leaving out the condition, is refused by the service."""
    upload = signed(s3_store)
    assert send(upload, changed=headers) == 403
    assert await s3_store.list("") == []
    assert send(upload) == 200


@pytest.mark.security
@pytest.mark.parametrize("data", [DATA + b"!", DATA[:-1], b""])
async def test_a_signed_upload_has_the_signed_length(bucket: Bucket, s3_store: s3.S3Store, data: bytes) -> None:
    """A body of another length is refused by the service."""
    upload = signed(s3_store)
    assert send(upload, data, {"content-length": str(len(data))}) == 403
    assert await s3_store.list("") == []
    assert send(upload) == 200


@pytest.mark.security
async def test_a_signed_upload_cannot_replace(bucket: Bucket, s3_store: s3.S3Store) -> None:
    """A signed URL that was used is of no more use, so that nothing changes after it was verified."""
    upload = signed(s3_store)
    assert send(upload) == 200
    assert send(upload, bytes(len(DATA))) == 412
    assert await s3_store.get(KEY, size_bytes_max=len(DATA)) == DATA


@pytest.mark.security
async def test_a_signed_upload_of_other_bytes_is_never_verified(bucket: Bucket, s3_store: s3.S3Store) -> None:
    """Where the service does not compare the hash, verifying does, and nobody gets the object whole."""
    other = bytes(len(DATA))
    assert send(signed(s3_store), other) in (200, 400)
    with pytest.raises((CorruptObjectError, ObjectNotFoundError)):
        await s3_store.verify(KEY)
    with pytest.raises((CorruptObjectError, ObjectNotFoundError)):
        await s3_store.get(KEY, size_bytes_max=len(DATA))


@pytest.mark.security
async def test_a_cut_signed_upload_leaves_nothing(bucket: Bucket, s3_store: s3.S3Store) -> None:
    """A client that hangs up in the middle of a signed upload leaves no object."""
    upload = signed(s3_store)
    url = urlsplit(upload.url)
    head = "".join(f"{name}: {value}\r\n" for name, value in {**upload.headers, "host": url.netloc}.items())
    with socket.create_connection((url.hostname, url.port)) as client:
        client.sendall(f"PUT {url.path}?{url.query} HTTP/1.1\r\n{head}\r\n".encode() + DATA[:1_000])
    await asyncio.sleep(0.2)
    assert await s3_store.list("") == []
    assert send(upload) == 200


@pytest.mark.security
async def test_signed_urls_end_and_cannot_be_altered(bucket: Bucket, s3_store: s3.S3Store) -> None:
    """An expired URL, one with another key, expiry or signature, and one for another method are refused."""
    upload = signed(s3_store, seconds=1)
    await s3_store.put("other", DATA, CONTENT)
    get = s3_store.sign_get(
        KEY, filename="cat.png", content_type="image/png", now_ms=now_ms(), expires_at=now_ms() + 60_000
    )
    assert get is not None
    altered = [
        upload.url.replace("cat.png", "dog.png"),
        upload.url.replace("X-Amz-Expires=1", "X-Amz-Expires=600"),
        upload.url[:-1] + ("0" if upload.url[-1] != "0" else "1"),
        urlunsplit(urlsplit(upload.url)._replace(query="")),
        get,
    ]
    assert [send(SignedUpload(url, upload.headers)) for url in altered] == [403] * len(altered)
    assert httpx.get(get.replace("cat.png?", "other?")).status_code == 403
    assert httpx.get(upload.url).status_code == 403
    await asyncio.sleep(2)
    assert send(upload) == 403
    assert await s3_store.list("") == ["other"]
    assert send(signed(s3_store)) == 200
    assert httpx.get(get).status_code == 200


@pytest.mark.security
async def test_a_signed_download_is_an_attachment(bucket: Bucket, s3_store: s3.S3Store) -> None:
    """A signed download is saved under its name whatever letters that has, with the type that was signed."""
    await s3_store.put(KEY, DATA, CONTENT)
    name = '"ä";\r\nx: 猫.png'
    url = s3_store.sign_get(
        KEY, filename=name, content_type="application/octet-stream", now_ms=now_ms(), expires_at=now_ms() + 60_000
    )
    assert url is not None
    answer = httpx.get(url)
    assert answer.content == DATA
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"______x_ _.png\"; filename*=UTF-8''%22%C3%A4%22%3B%0D%0Ax%3A%20%E7%8C%AB.png"
    )
    assert httpx.get(url, headers={"range": "bytes=1-3"}).content == DATA[1:4]


async def test_a_refused_connection_is_unavailable(bucket: Bucket) -> None:
    """Where nothing listens, every method says that the store is unavailable and when to try again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{probe.getsockname()[1]}"
    store = bucket.open_at(endpoint, **QUICK)
    attempts = [
        store.put(KEY, DATA, CONTENT),
        store.get(KEY, size_bytes_max=1),
        store.head(KEY),
        store.list(""),
        store.delete(KEY),
    ]
    for attempt in attempts:
        with pytest.raises(StoreUnavailableError) as fault:
            await attempt
        assert fault.value.retry_after_seconds > 0
    await store.close()


async def test_a_silent_service_is_given_up(bucket: Bucket) -> None:
    """A service that takes the connection and says nothing is given up after its timeouts and attempts."""
    async with proxies.serving(bucket.server.endpoint) as proxy:
        store = bucket.open_at(proxy.endpoint, **{**QUICK, "attempts_max": 2})
        await store.put(KEY, DATA, CONTENT)
        await store.close()
        store = bucket.open_at(proxy.endpoint, **{**QUICK, "attempts_max": 2})
        proxy.is_silent, proxy.requests = True, 0
        with pytest.raises(StoreUnavailableError):
            await asyncio.wait_for(store.get(KEY, size_bytes_max=len(DATA)), 60)
        assert proxy.requests == 2
        await store.close()


async def test_a_put_whose_answer_was_lost_is_stored_once(bucket: Bucket) -> None:
    """When the answer to a stored object is lost, the repeated attempt recognises its own object as success."""
    async with proxies.serving(bucket.server.endpoint) as proxy:
        store = bucket.open_at(proxy.endpoint, attempts_max=3)
        proxy.answers_lost = 1
        await store.put(KEY, DATA, CONTENT)
        assert proxy.answers_lost == 0
        assert await store.get(KEY, size_bytes_max=len(DATA)) == DATA
        proxy.answers_lost = 1
        with pytest.raises(ObjectExistsError):
            await store.put(KEY, DATA, CONTENT)
        await store.close()


async def test_a_put_without_any_answer_is_unknown(bucket: Bucket) -> None:
    """When no attempt is answered, the put says unavailable, and the head says what became of it."""
    async with proxies.serving(bucket.server.endpoint) as proxy:
        store = bucket.open_at(proxy.endpoint, attempts_max=1)
        proxy.answers_lost = 1
        with pytest.raises(StoreUnavailableError):
            await store.put(KEY, DATA, CONTENT)
        assert (await store.head(KEY)).content == CONTENT
        await store.close()


async def test_a_cut_answer_is_never_taken_for_the_object(bucket: Bucket) -> None:
    """An answer that ends in the middle of the object is unavailable, not short."""
    async with proxies.serving(bucket.server.endpoint) as proxy:
        store = bucket.open_at(proxy.endpoint, **QUICK)
        await store.put(KEY, DATA, CONTENT)
        proxy.answer_bytes_max = 100_000
        with pytest.raises(StoreUnavailableError):
            await store.get(KEY, size_bytes_max=len(DATA))
        proxy.answer_bytes_max = None
        assert await store.get(KEY, size_bytes_max=len(DATA)) == DATA
        await store.close()


async def test_a_wrong_key_or_bucket_is_unavailable(bucket: Bucket) -> None:
    """A bucket that is missing or closed to these keys is not taken for missing objects."""
    wrong = [
        dataclasses.replace(bucket, name="no-such-bucket"),
        dataclasses.replace(bucket, server=dataclasses.replace(bucket.server, secret_access_key="wrong")),
    ]
    for place in wrong:
        store = place.open()
        attempts = [
            store.put(KEY, DATA, CONTENT),
            store.get(KEY, size_bytes_max=1),
            store.head(KEY),
            store.list(""),
            store.delete(KEY),
        ]
        for attempt in attempts:
            with pytest.raises(StoreUnavailableError, match="check endpoint, bucket, region and keys"):
                await attempt
        await store.close()


async def test_a_used_up_quota_is_full(bucket: Bucket) -> None:
    """A bucket at its quota says that the store is full, and reads go on."""
    name = bucket.server.make_bucket()
    store = Bucket(bucket.server, name).open(attempts_max=1)
    await store.put("first", DATA, CONTENT)
    bucket.server.limit_bucket(name, objects_max=1)
    with pytest.raises(StoreFullError):
        await store.put("second", DATA, CONTENT)
    assert await store.get("first", size_bytes_max=len(DATA)) == DATA
    await store.close()


async def test_what_others_keep_in_the_bucket_is_left_alone(bucket: Bucket, s3_store: s3.S3Store) -> None:
    """Foreign names are not listed, wherever pages end, and a foreign object is not taken for one of ours."""
    for name in ("A", "B C", "a", "ä", "z"):
        bucket.server.client.put_object(Bucket=bucket.name, Key=name, Body=b"x")
    await s3_store.put("m", DATA, CONTENT)
    assert [await s3_store.list("", limit=limit) for limit in (1, 2, 3, 9)] == [
        ["a"],
        ["a", "m"],
        ["a", "m", "z"],
        ["a", "m", "z"],
    ]
    with pytest.raises(CorruptObjectError):
        await s3_store.head("a")


async def test_operations_under_way_are_bounded(bucket: Bucket) -> None:
    """Beyond the bound a call is refused at once, and taken again when others have ended."""
    store = bucket.open(operations_max=2, threads=1)
    await store.put(KEY, DATA, CONTENT)
    async with store.open(KEY), store.open(KEY):
        with pytest.raises(StoreUnavailableError):
            await store.head(KEY)
    assert (await store.head(KEY)).content == CONTENT
    await store.close()

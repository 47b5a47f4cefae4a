"""What the S3 store does when the way to the service, or the service, does one of twelve things wrong."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator

import pytest

from objects.errors import CorruptObjectError, ObjectError, ObjectExistsError, ObjectNotFoundError
from objects.s3 import S3Store
from objects.store import Content
from tests.objects.faults import FaultProxy, Kind, Request, faulty
from tests.objects.places import Bucket

KEY = "archive/7/segment"
PART_BYTES = 5 * 1024 * 1024
SIZES = {"small": 300_000, "parts": PART_BYTES + 1_000_000}
FOR_EVER = 1_000


def data_of(size: str) -> tuple[bytes, Content]:
    """Return bytes of which no two parts are alike, and what they are announced to be."""
    data = hashlib.shake_128(size.encode()).digest(SIZES[size])
    return data, Content("application/zstd", len(data), hashlib.sha256(data).hexdigest())


@contextlib.asynccontextmanager
async def opened(bucket: Bucket, attempts_max: int) -> AsyncIterator[tuple[FaultProxy, S3Store]]:
    """Open the store in a bucket through a proxy."""
    async with faulty(bucket.server.endpoint) as proxy:
        store = bucket.open_at(
            proxy.endpoint,
            attempts_max=attempts_max,
            read_timeout_seconds=1.0,
            connect_timeout_seconds=1.0,
            part_bytes=PART_BYTES,
        )
        yield proxy, store
        await store.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", Kind)
async def test_one_fault_is_overcome_or_told(bucket: Bucket, s3_store: S3Store, kind: Kind, size: str) -> None:
    """A put or read that meets one fault succeeds, or says that it failed and can be repeated; nothing else comes."""
    data, content = data_of(size)
    async with opened(bucket, attempts_max=2) as (proxy, store):
        proxy.spoil(kind)
        with contextlib.suppress(ObjectError):
            await store.put(KEY, data, content)
        proxy.heal()
        with contextlib.suppress(ObjectExistsError):
            await store.put(KEY, data, content)
        assert await s3_store.get(KEY, size_bytes_max=len(data)) == data
        proxy.spoil(kind)
        with contextlib.suppress(ObjectError):
            assert await store.get(KEY, size_bytes_max=len(data)) == data
        assert proxy.spoiled == 1
        assert await store.get(KEY, size_bytes_max=len(data)) == data


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", Kind)
async def test_a_lasting_fault_leaves_the_object_whole_or_away(
    bucket: Bucket, s3_store: S3Store, kind: Kind, size: str
) -> None:
    """While every request meets the fault, a put that is told as done is done, and no read gives out other bytes."""
    data, content = data_of(size)
    async with opened(bucket, attempts_max=1) as (proxy, store):
        proxy.spoil(kind, FOR_EVER)
        is_told_done = False
        with contextlib.suppress(ObjectError):
            await store.put(KEY, data, content)
            is_told_done = True
        try:
            assert await s3_store.get(KEY, size_bytes_max=len(data)) == data
        except ObjectNotFoundError:
            assert not is_told_done
        proxy.heal()
        with contextlib.suppress(ObjectExistsError):
            await store.put(KEY, data, content)
        proxy.spoil(kind, FOR_EVER)
        with contextlib.suppress(ObjectError):
            assert await store.get(KEY, size_bytes_max=len(data)) == data
        assert proxy.spoiled


async def test_the_faults_that_damage_do(bucket: Bucket, s3_store: S3Store) -> None:
    """The proxy's damage is real: what a plain client reads through it is not what was stored."""
    data, content = data_of("small")
    await s3_store.put(KEY, data, content)
    async with opened(bucket, attempts_max=1) as (proxy, store):
        for kind in (Kind.FLIP, Kind.TRUNCATE):
            proxy.spoil(kind, FOR_EVER)
            with pytest.raises(CorruptObjectError):
                await store.get(KEY, size_bytes_max=len(data))


async def test_a_lost_answer_to_the_last_part_is_recognised(bucket: Bucket) -> None:
    """When the answer that completes an object in parts is lost, the repeated attempt finds its own object."""
    data, content = data_of("parts")

    def completes(request: Request) -> bool:
        return request.method == "POST" and "uploadId" in request.path

    async with opened(bucket, attempts_max=3) as (proxy, store):
        proxy.spoil(Kind.LOST_ANSWER, chooses=completes)
        await store.put(KEY, data, content)
        assert proxy.spoiled == 1
        assert await store.get(KEY, size_bytes_max=len(data)) == data
        with pytest.raises(ObjectExistsError):
            await store.put(KEY, data, content)


async def test_a_broken_upload_leaves_no_parts(bucket: Bucket) -> None:
    """An upload in parts that fails takes its parts away again."""
    data, content = data_of("parts")
    async with opened(bucket, attempts_max=1) as (proxy, store):
        proxy.spoil(Kind.BUSY, chooses=lambda request: "partNumber=2" in request.path)
        with pytest.raises(ObjectError):
            await store.put(KEY, data, content)
        assert proxy.spoiled == 1
    assert not bucket.unfinished()


async def test_one_of_two_writers_in_parts_wins(bucket: Bucket) -> None:
    """Of two puts in parts at once under one key one succeeds, and its bytes are those that stay."""
    data, content = data_of("parts")
    other = data[::-1]
    contents = {data: content, other: Content("text/plain", len(other), hashlib.sha256(other).hexdigest())}

    async def attempt(store: S3Store, sent: bytes) -> bytes | None:
        with contextlib.suppress(ObjectExistsError):
            await store.put(KEY, sent, contents[sent])
            return sent
        return None

    async with opened(bucket, attempts_max=1) as (_, store):
        winners = [sent for sent in await asyncio.gather(*(attempt(store, sent) for sent in contents)) if sent]
        assert len(winners) == 1
        assert await store.get(KEY, size_bytes_max=len(data)) == winners[0]
    assert not bucket.unfinished()


async def test_the_service_is_asked_to_forget_unfinished_uploads(bucket: Bucket, s3_store: S3Store) -> None:
    """The bucket has one rule that ends uploads in parts, however often it is set, beside the rules of others."""
    client = bucket.server.client
    theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 9}}
    client.put_bucket_lifecycle_configuration(Bucket=bucket.name, LifecycleConfiguration={"Rules": [theirs]})
    for days in (3, 7):
        assert await s3_store.forget_unfinished(after_days=days)
    rules = client.get_bucket_lifecycle_configuration(Bucket=bucket.name)["Rules"]
    ours = {rule["ID"]: rule.get("AbortIncompleteMultipartUpload") for rule in rules}
    assert ours == {"theirs": None, "rookery-unfinished-uploads": {"DaysAfterInitiation": 7}}
    client.delete_bucket_lifecycle(Bucket=bucket.name)

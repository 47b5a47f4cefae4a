"""Rooms that sleep in a real S3 server, and what becomes of them when its answers are lost, cut, late or wrong."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from objects.errors import ObjectError
from shard.errors import BrokenShardError, UnavailableError, WakingError
from tests.monitor import sleepers
from tests.monitor.sleepers import Bed
from tests.objects import proxies
from tests.objects.places import Bucket
from tests.objects.proxies import Proxy
from tests.objects.radosgw import Radosgw, radosgw

__all__ = ["radosgw"]


@pytest.fixture
def bucket(radosgw: Radosgw) -> Bucket:
    return Bucket(radosgw, radosgw.make_bucket())


@pytest.fixture
async def proxy(bucket: Bucket) -> AsyncIterator[Proxy]:
    async with proxies.serving(bucket.server.endpoint) as found:
        yield found


@pytest.fixture
async def bed(bucket: Bucket, proxy: Proxy, tmp_path: Path) -> AsyncIterator[Bed]:
    """A room whose object storage is reached through a proxy that fails when it is told to."""
    options = {"attempts_max": 1, "connect_timeout_seconds": 2, "read_timeout_seconds": 2}
    store = bucket.open_at(proxy.endpoint, **options)
    async with sleepers.made(tmp_path, store=store) as found:
        yield found
    await store.close()


async def _fails_to_wake(bed: Bed, error: type[Exception]) -> None:
    bed.stores.pool.suspensions._failed.clear()
    with pytest.raises(error):
        await bed.texts()
    assert bed.files() == []
    assert await bed.state() == "hibernated"


async def test_a_room_sleeps_in_a_bucket(bed: Bed) -> None:
    """A room goes into a bucket and comes back from it whole, again and again."""
    said = []
    for number in range(3):
        said.append(f"message {number}")
        await bed.send(said[-1])
        await bed.hibernator.hibernate(bed.room_id)
        assert bed.files() == []
        assert await bed.texts() == said


async def test_a_store_that_fails_while_a_room_wakes(bed: Bed, proxy: Proxy) -> None:
    """Whatever the store's answers suffer, the room stays in its object, and wakes once the store is well again."""
    await bed.send("one")
    await bed.hibernator.hibernate(bed.room_id)
    kept = await bed.asleep()
    assert kept is not None
    proxy.answers_lost = 1
    await _fails_to_wake(bed, WakingError)
    proxy.is_silent = True
    await _fails_to_wake(bed, WakingError)
    proxy.is_silent = False
    for size in (100, 2_000, kept.size_bytes // 2, kept.size_bytes):
        proxy.answer_bytes_max = size
        await _fails_to_wake(bed, UnavailableError)
    proxy.answer_bytes_max = None
    bed.stores.pool.suspensions._failed.clear()
    assert await bed.texts() == ["one"]


async def test_a_store_that_fails_while_a_room_is_put_away(bed: Bed, proxy: Proxy) -> None:
    """A room whose put or whose reading back fails stays in its file, and nothing of the try is left for good."""
    await bed.send("one")
    for fault in ("lost", "silent", "cut"):
        proxy.answers_lost = 1 if fault == "lost" else 0
        proxy.is_silent = fault == "silent"
        proxy.answer_bytes_max = 2_000 if fault == "cut" else None
        with pytest.raises(ObjectError):
            await bed.hibernator.hibernate(bed.room_id)
        proxy.is_silent, proxy.answers_lost, proxy.answer_bytes_max = False, 0, None
        assert await bed.texts() == ["one"]
        assert await bed.state() == "active"
    await bed.clear()
    assert await bed.keys() == []


async def test_flipped_bits_are_never_served(bed: Bed, bucket: Bucket) -> None:
    """An object in which any bit is another is refused, and left for whoever mends it."""
    await bed.send("one")
    await bed.hibernator.hibernate(bed.room_id)
    kept = await bed.asleep()
    assert kept is not None
    good = bucket.server.client.get_object(Bucket=bucket.name, Key=kept.object_key)["Body"].read()
    for position in range(0, len(good), max(1, len(good) // 12)):
        bad = bytearray(good)
        bad[position] ^= 1 << position % 8
        bucket.overwrite(kept.object_key, bytes(bad))
        await _fails_to_wake(bed, BrokenShardError)
    bucket.overwrite(kept.object_key, good[:-1])
    await _fails_to_wake(bed, BrokenShardError)
    assert await bed.keys() == [kept.object_key]
    bucket.overwrite(kept.object_key, good)
    bed.stores.pool.suspensions._failed.clear()
    assert await bed.texts() == ["one"]


async def test_requests_during_a_failed_waking_are_all_answered(bed: Bed, proxy: Proxy) -> None:
    """While the store is away everybody who asks hears when to come back, none hangs, and none is lost later."""
    await bed.send("one")
    await bed.hibernator.hibernate(bed.room_id)
    proxy.answers_lost = 1
    answers = await asyncio.gather(*(bed.send(str(number)) for number in range(20)), return_exceptions=True)
    assert all(isinstance(answer, WakingError) and answer.retry_after_seconds for answer in answers)
    with pytest.raises(WakingError):
        await bed.texts()
    bed.stores.pool.suspensions._failed.clear()
    assert await bed.texts() == ["one"]

"""The two stores: a folder of the test, and a bucket of one S3 server that runs for the session."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from objects import disk, s3
from objects.prefixed import PrefixedStore
from objects.store import Store
from tests.objects.places import Bucket, Place, overwrite
from tests.objects.radosgw import Radosgw, radosgw

__all__ = ["radosgw"]


@pytest.fixture(scope="session")
def made_bucket(radosgw: Radosgw) -> Bucket:
    """Make the bucket of the session."""
    return Bucket(radosgw, radosgw.make_bucket())


@pytest.fixture
def bucket(made_bucket: Bucket) -> Iterator[Bucket]:
    """Lend the bucket of the session, and empty it again."""
    yield made_bucket
    made_bucket.clear()


@pytest.fixture(scope="session")
def s3_store(made_bucket: Bucket) -> Iterator[s3.S3Store]:
    """Open the store in the bucket of the session once, because a boto3 client takes long to make."""
    store = made_bucket.open()
    yield store
    asyncio.run(store.close())


@pytest.fixture(params=["disk", "s3", "prefixed"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """Open each store in turn, empty."""
    if request.param == "disk":
        folder = tmp_path / "store"
        store: Store = disk.open_store(folder)
        yield Place(store, lambda key, data: overwrite(folder, key, data))
        await store.close()
    elif request.param == "prefixed":
        folder = tmp_path / "store"
        inner = disk.open_store(folder)
        store = PrefixedStore(inner, "i-own", ["i-former", ""], lambda: True)
        yield Place(store, lambda key, data: overwrite(folder, f"i-own/{key}", data), len("i-former/"))
        await store.close()
    else:
        bucket: Bucket = request.getfixturevalue("bucket")
        yield Place(request.getfixturevalue("s3_store"), bucket.overwrite)

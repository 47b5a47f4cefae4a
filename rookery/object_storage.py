"""Object storage as the settings name it: a folder of the data folder, or a bucket with a prefix for each installation.

A folder is copied with the data folder and is nobody else's, so it has no prefixes.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from config.settings import Bucket, Settings
from directory.directory import Directory
from directory.installations import Installation
from objects import disk
from objects.prefixed import PrefixedStore
from objects.read_only import ReadOnlyStore
from objects.store import Store
from rookery import installation, optional
from rookery.installation import Ownership


def _raw(settings: Settings, bucket: Bucket) -> Store:
    if bucket.endpoint is None:
        return disk.open_store(settings.server.data_dir / bucket.bucket_name)
    assert bucket.access_key_id is not None, "settings with an endpoint have its keys"
    assert bucket.secret_access_key is not None, "settings with an endpoint have its keys"
    return optional.open_s3_store(
        endpoint=bucket.endpoint,
        bucket_name=bucket.bucket_name,
        region=bucket.region,
        access_key_id=bucket.access_key_id.get_secret_value(),
        secret_access_key=bucket.secret_access_key.get_secret_value(),
    )


def owned(settings: Settings, bucket: Bucket, ownership: Ownership) -> Store:
    """Return the store of a binding: writing and removing under the own prefix where it is a bucket.

    A drill only reads.
    """
    if ownership.is_drill:
        return ReadOnlyStore(examined(settings, bucket, ownership.installation))
    store = _raw(settings, bucket)
    if bucket.endpoint is None:
        return store
    own = ownership.installation
    return PrefixedStore(store, own.prefix, own.former, ownership.may_remove)


def examined(settings: Settings, bucket: Bucket, found: Installation | None) -> Store:
    """Return the store of a binding for a look at it: nothing is removed."""
    store = _raw(settings, bucket)
    if bucket.endpoint is None or found is None:
        return store
    return PrefixedStore(store, found.prefix, found.former, lambda: False)


@asynccontextmanager
async def open_ownership(
    settings: Settings, directory: Directory, clock: Callable[[], int], *, claims: bool = False
) -> AsyncIterator[Ownership]:
    """Find out which installation the data folder is, and hold its prefix in the buckets until the block ends.

    With `claims`, for the one server, it is claimed; a command only looks whether somebody else did.
    """
    folder = settings.server.data_dir
    async with _buckets(settings) as buckets:
        found = await installation.find(directory, folder, now_ms=clock())
        ownership = Ownership(directory, folder, buckets, found, clock)
        await (ownership.open() if claims else ownership.check())
        try:
            yield ownership
        finally:
            await ownership.close()


@asynccontextmanager
async def open_serving(
    settings: Settings, directory: Directory, clock: Callable[[], int], *, is_drill: bool
) -> AsyncIterator[Ownership]:
    """Hold the prefix for a server until the block ends; a drill finds out what it may read, and claims nothing."""
    if is_drill:
        found = await installation.look(directory)
        yield Ownership(directory, settings.server.data_dir, (), found, clock, is_drill=True)
    else:
        async with open_ownership(settings, directory, clock, claims=True) as ownership:
            yield ownership


@asynccontextmanager
async def _buckets(settings: Settings) -> AsyncIterator[Sequence[Store]]:
    """Open each bucket of the settings once, as it is."""
    async with AsyncExitStack() as stack:
        buckets: dict[tuple[str, str], Store] = {}
        for bucket in (settings.files, settings.archive):
            if bucket.endpoint is not None and (bucket.endpoint, bucket.bucket_name) not in buckets:
                store = buckets[bucket.endpoint, bucket.bucket_name] = _raw(settings, bucket)
                stack.push_async_callback(store.close)
        yield [*buckets.values()]


async def latest_claim(settings: Settings, prefix: str) -> int:
    """Return the number of the latest claim of a prefix in any bucket of the settings, 0 for none."""
    async with _buckets(settings) as buckets:
        return max([0, *[await installation.latest_claim(bucket, prefix) for bucket in buckets]])

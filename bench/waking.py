"""Time of waking a hibernated room from a real S3 server, and of each part of it.

The server is Ceph's radosgw on this machine (Debian: ceph-mon, ceph-osd, radosgw), as the tests start it.
"""

import asyncio
import hashlib
import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import zstandard

from bench.figures import Figure
from config import settings
from directory import hibernations, users
from directory.hibernations import Hibernation
from ids import ChannelId, RoomId, UserId
from migrations import engine
from monitor.hibernator import Hibernator
from objects import s3
from rookery.composition import Stores, now_ms, open_stores, shards_folder
from router.workflows import room_creation
from shard.actions import messages, pages
from shard.actions.pages import Span
from shard.engine.connections import Writer
from shard.tables.messages import Draft

SIZE_BYTES = int(os.environ.get("ROOKERY_BENCH_ROOM_BYTES", "50_000_000"))
WAKINGS = 11
BATCH = 2_000
RADOSGW = """
import json, sys, tempfile
from pathlib import Path
from tests.objects.radosgw import running
with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
    facts = {"endpoint": server.endpoint, "bucket_name": server.make_bucket(), "region": server.region,
             "access_key_id": server.access_key_id, "secret_access_key": server.secret_access_key}
    print(json.dumps(facts), flush=True)
    sys.stdin.read()
"""

_chance = random.Random(7)
WORDS = ["".join(_chance.choices("etaoinshrdlucmfwypvbgk", k=_chance.randint(2, 10))) for _ in range(20_000)]
CUMULATED = list(itertools.accumulate(1 / rank for rank in range(1, len(WORDS) + 1)))


def measure(folder: Path) -> list[Figure]:
    """Fill a room, hibernate and wake it repeatedly, and do each part of that by itself."""
    with _radosgw() as facts:
        return asyncio.run(_measure(folder, facts))


@contextmanager
def _radosgw() -> Iterator[dict[str, str]]:
    """Run the S3 server, and yield the facts that open its bucket."""
    process = subprocess.Popen([sys.executable, "-c", RADOSGW], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        facts: dict[str, str] = json.loads(process.stdout.readline())
        yield facts
    finally:
        process.communicate()


async def _measure(folder: Path, facts: dict[str, str]) -> list[Figure]:
    (folder / "rookery.toml").write_text('[server]\ndata_dir = "data"\n')
    chosen = settings.load(folder / "rookery.toml", environ={})
    steps: dict[str, float] = {}
    store = s3.open_store(**facts)  # type: ignore[arg-type]
    async with open_stores(chosen) as stores:
        hibernator = Hibernator(
            stores.directory,
            stores.pool,
            store,
            shards_folder(chosen),
            engine.load(engine.SHARD_FOLDER),
            now_ms,
            step=lambda name: steps.update({name: time.perf_counter()}),
        )
        room = await _fill(stores, shards_folder(chosen))
        figures = await _sleep_and_wake(stores, hibernator, room, steps)
        figures += await _parts(folder, store, await _put_away(stores, hibernator, room[0]))
        await hibernator.close()
    await store.close()
    return figures


Room = tuple[RoomId, ChannelId, UserId]


async def _fill(stores: Stores, folder: Path) -> Room:
    async with stores.directory.database.write() as writer:
        owner = await users.create(writer, username="owner", now_ms=now_ms())
    room, channels = await room_creation.found_community(
        stores.directory, stores.pool, name="sleepy", owner_id=owner.id, now_ms=now_ms()
    )

    def send_many(writer: Writer) -> None:
        for _ in range(BATCH):
            text = " ".join(_chance.choices(WORDS, cum_weights=CUMULATED, k=_chance.randint(3, 40)))
            messages.send_message(writer, owner.id, channels[0].id, Draft(text), now_ms=now_ms())

    path = folder / f"{room.id}.db"
    while path.stat().st_size < SIZE_BYTES:
        await stores.pool.write(room.id, send_many)
    return room.id, channels[0].id, owner.id


async def _sleep_and_wake(stores: Stores, hibernator: Hibernator, room: Room, steps: dict[str, float]) -> list[Figure]:
    room_id, channel_id, owner_id = room
    sleeping, waking, fetching, placing, noting, opening = [], [], [], [], [], []
    for _ in range(WAKINGS):
        began = time.perf_counter()
        await hibernator.hibernate(room_id)
        sleeping.append(time.perf_counter() - began)
        began = time.perf_counter()
        await stores.pool.read(room_id, pages.plan_page, owner_id, channel_id, None, Span(limit=50), now_ms=now_ms())
        waking.append(time.perf_counter() - began)
        fetching.append(steps["fetched"] - began)
        placing.append(steps["placed"] - steps["fetched"])
        noting.append(steps["awake"] - steps["placed"])
        opening.append(began + waking[-1] - steps["awake"])
    away = await hibernator.hibernate(room_id)
    of = f"a room of {away.file_bytes / 1e6:.0f} MB ({away.size_bytes / 1e6:.0f} MB packed)"
    return [
        Figure(f"waking {of}, its newest page included, median", _ms(waking), "ms", at_most=400),
        Figure("  the slowest of these", max(waking) * 1_000, "ms"),
        Figure("  of it: fetched, unpacked and written, side by side", _ms(fetching), "ms"),
        Figure("  of it: synced, looked at and renamed", _ms(placing), "ms"),
        Figure("  of it: the directory's transaction", _ms(noting), "ms"),
        Figure("  of it: opened, and the page", _ms(opening), "ms"),
        Figure(f"putting away {of}, read back and compared", _ms(sleeping), "ms"),
    ]


async def _put_away(stores: Stores, hibernator: Hibernator, room_id: RoomId) -> Hibernation:
    await hibernator.hibernate(room_id)
    async with stores.directory.database.read() as reader:
        found = await hibernations.find_asleep(reader, room_id)
    assert found is not None
    return found


async def _parts(folder: Path, store: s3.S3Store, kept: Hibernation) -> list[Figure]:
    """Do the parts of waking one after the other, each by itself."""
    times: dict[str, list[float]] = {}

    def took(what: str, began: float) -> None:
        times.setdefault(what, []).append(time.perf_counter() - began)

    for _ in range(WAKINGS):
        began = time.perf_counter()
        packed = await store.get(kept.object_key, size_bytes_max=kept.size_bytes)
        took("fetching the object into memory, compared", began)
        began = time.perf_counter()
        data = zstandard.ZstdDecompressor().decompress(packed, max_output_size=kept.file_bytes)
        took("unpacking it in memory", began)
        began = time.perf_counter()
        hashlib.sha256(data).hexdigest()
        took("hashing the file in memory", began)
        began = time.perf_counter()
        with (folder / "plain").open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        took("writing the file and syncing it", began)
    return [Figure(f"by itself: {what}", _ms(seconds), "ms") for what, seconds in times.items()]


def _ms(seconds: list[float]) -> float:
    return median(seconds) * 1_000

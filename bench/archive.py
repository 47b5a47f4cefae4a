"""Speed of archiving, its effect on sends meanwhile, and the speed of reading and searching the archive.

ROOKERY_REAL_CHAT names a file of JSON lines to repeat instead of made-up words; ROOKERY_BENCH_S3 names an endpoint, a
bucket and two keys, separated by blanks, to archive into instead of a folder.
"""

import asyncio
import gzip
import hashlib
import itertools
import json
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures import Figure, percentile
from ids import ID_MAX, ChannelId, RoomId, UserId
from migrations import engine
from monitor.archiver import Archiver
from objects import disk, s3
from objects.store import Store
from shard.actions import archive, imports, messages, rooms
from shard.actions.archive import Standing
from shard.actions.channels import ChannelDraft
from shard.actions.imports import Record
from shard.actions.pages import Span
from shard.actions.search import SearchRequest
from shard.archive import manifest
from shard.archive.retention import Policy
from shard.archive.segment_cache import SegmentCache
from shard.engine import files, maintenance
from shard.engine.pool import PoolLimits, ShardPool
from shard.history.history import History
from shard.history.search import Searches
from shard.search import query
from shard.tables.messages import Draft

MESSAGES = int(os.environ.get("ROOKERY_BENCH_MESSAGES", "1000000"))
BATCH = 5_000
BEGAN = 1_600_000_000_000
NOW = BEGAN + MESSAGES * 1_000 + 40 * 86_400_000
ROOM, OWNER = RoomId(1), UserId(10)
LONG_MESSAGES = 4_000
LONG_CHARACTERS = 7_900
SENDS_PER_SECOND = 100
QUIET_SECONDS = 8.0
RARE_EVERY = 99_991
CACHE_BYTES = 4 << 30


class _TimedPool(ShardPool):
    """A pool that keeps the longest time of a write, from its queue to its commit, and of the process meanwhile."""

    longest_ms = 0.0
    longest_cpu_ms = 0.0

    def write(self, *arguments: Any, **options: Any) -> Awaitable[Any]:
        asked, worked = time.perf_counter(), time.process_time()
        written = asyncio.ensure_future(super().write(*arguments, **options))
        written.add_done_callback(
            lambda _written: self._keep(time.perf_counter() - asked, time.process_time() - worked)
        )
        return written

    def _keep(self, seconds: float, cpu_seconds: float) -> None:
        self.longest_ms = max(self.longest_ms, seconds * 1_000)
        self.longest_cpu_ms = max(self.longest_cpu_ms, cpu_seconds * 1_000)


@dataclass(slots=True)
class _Bench:
    pool: _TimedPool
    store: Store
    cache: SegmentCache
    channel_id: ChannelId
    folder: Path

    @property
    def path(self) -> Path:
        return files.path_of(self.folder / "shards", ROOM)

    def archiver(self) -> Archiver:
        return Archiver(
            self.pool, self.store, self.cache, self.folder / "shards", self.folder / "work", Policy(30), lambda: NOW
        )


def measure(folder: Path) -> list[Figure]:
    """Fill a room, archive it during sends, and read it."""
    return asyncio.run(_measure(folder))


async def _measure(folder: Path) -> list[Figure]:
    async with _opened(folder / "usual", _records(), MESSAGES) as bench:
        figures = [Figure("messages of the archived room", MESSAGES)]
        figures += await _archive(bench)
        figures += await _read(bench)
        figures += await _search(bench)
    async with _opened(folder / "long", _long_records(), LONG_MESSAGES) as bench:
        return figures + await _longest_step(bench)


@asynccontextmanager
async def _opened(folder: Path, records: Iterator[Record], count: int) -> AsyncIterator[_Bench]:
    for name in ("shards", "work"):
        (folder / name).mkdir(parents=True)
    channel_id = _build(folder / "shards", itertools.islice(records, count))
    store = _store(folder)
    cache = SegmentCache(store, folder / "cache", bytes_max=CACHE_BYTES)
    pool = _TimedPool(
        folder / "shards", engine.load(engine.SHARD_FOLDER), limits=PoolLimits(), clock=lambda: NOW,
        publish=lambda _room_id, _events: None,
    )  # fmt: skip
    yield _Bench(pool, store, cache, channel_id, folder)
    await pool.close()
    await cache.close()
    await store.close()


def _store(folder: Path) -> Store:
    named = os.environ.get("ROOKERY_BENCH_S3", "").split()
    if not named:
        return disk.open_store(folder / "objects")
    endpoint, bucket_name, access_key_id, secret_access_key = named
    return s3.open_store(
        endpoint=endpoint, bucket_name=bucket_name, region="default", access_key_id=access_key_id,
        secret_access_key=secret_access_key,
    )  # fmt: skip


async def _archive(bench: _Bench) -> list[Figure]:
    quiet = await _sending_for(bench, asyncio.sleep(QUIET_SECONDS))
    await bench.pool.read(ROOM, maintenance.used_bytes)
    before = bench.path.stat().st_size
    started = time.perf_counter()
    visiting = asyncio.create_task(bench.archiver().visit(ROOM))
    busy = await _sending_for(bench, visiting)
    outcome = await visiting
    seconds = time.perf_counter() - started
    assert outcome.error is None, outcome
    standing: Standing = await bench.pool.read(ROOM, archive.standing)
    freed = before - standing.live_bytes
    return [
        Figure("archiving, while somebody sends", outcome.messages_moved / seconds, "messages/s", at_least=20_000),
        Figure("p99 of a send, nothing else going on", quiet, "ms"),
        Figure("p99 of a send while history moves, to that", busy / quiet, "x", at_most=1.5),
        Figure("segments", outcome.segments_made),
        Figure("the room's file before", before / 1e6, "MB"),
        Figure("the room's file after", standing.live_bytes / 1e6, "MB"),
        Figure("bytes stored for each byte that was freed", outcome.stored_bytes / freed, at_most=0.45),
    ]


async def _longest_step(bench: _Bench) -> list[Figure]:
    """Archive messages of random characters, of which each has a thousand words that no other has.

    Its processor time is the same beside other programs, which the clock's time is not.
    """
    outcome = await bench.archiver().visit(ROOM)
    assert outcome.error is None, outcome
    assert outcome.messages_moved, "nothing moved"
    what = f"longest step of archiving messages of {LONG_CHARACTERS:,} random characters"
    return [
        Figure(what, bench.pool.longest_ms, "ms", at_most=50),
        Figure(what + ", processor time", bench.pool.longest_cpu_ms, "ms", at_most=50),
    ]


async def _sending_for(bench: _Bench, going_on: Awaitable[object]) -> float:
    """Send at an even pace until some work is done, and return the 99th percentile of a send's milliseconds."""
    task = asyncio.ensure_future(going_on)
    taken: list[float] = []
    sends: set[asyncio.Task[None]] = set()

    async def send(number: int) -> None:
        asked = time.perf_counter()
        draft = Draft(f"meanwhile {number}")
        await bench.pool.write(ROOM, messages.send_message, OWNER, bench.channel_id, draft, now_ms=NOW)
        taken.append((time.perf_counter() - asked) * 1_000)

    for number in itertools.count():
        if taken and task.done():
            break
        each = asyncio.create_task(send(number))
        sends.add(each)
        each.add_done_callback(sends.discard)
        await asyncio.sleep(1 / SENDS_PER_SECOND)
    await asyncio.gather(*sends)
    return percentile(taken, 99)


async def _read(bench: _Bench) -> list[Figure]:
    history, chance = History(bench.pool, bench.cache), random.Random(5)
    rows = await bench.pool.read(
        ROOM, manifest.between, bench.channel_id, None, above=0, below=ID_MAX, newest_first=False
    )
    place = (ROOM, OWNER, bench.channel_id, None)

    async def page(span: Span) -> None:
        found = await history.read_page(*place, span, now_ms=NOW)
        assert len(found.messages) == span.limit

    inside = [Span(50, before=row.last_id) for row in chance.sample(rows, min(20, len(rows)))]
    await bench.cache.clear()
    uncached = [await _timed(partial(page, span)) for span in inside]
    cached = [await _timed(partial(page, span)) for span in inside * 5]
    newest = [await _timed(lambda: page(Span(50))) for _ in range(300)]
    return [
        Figure("a page inside a segment that is fetched for it, median", median(uncached), "ms", at_most=60),
        Figure("a page inside a cached segment, median", median(cached), "ms", at_most=5),
        Figure("the newest page, beside all these segments, median", median(newest), "ms"),
    ]


async def _search(bench: _Bench) -> list[Figure]:
    searches = Searches(bench.pool, bench.cache)

    async def search(text: str) -> int:
        request = SearchRequest(query=query.parse(text), limit=50, seconds=5.0, deadline_seconds=5.0)
        found = await searches.search_room(ROOM, OWNER, request, now_ms=NOW)
        assert not found.is_cut
        return len(found.messages)

    await bench.cache.clear()
    cold = await _timed(lambda: search("needleword"))
    warm = [await _timed(lambda: search("needleword")) for _ in range(20)]
    common = await _timed(lambda: search("the"))
    return [
        Figure("matches of the rare word", await search("needleword")),
        Figure("search for a rare word, nothing cached", cold, "ms", at_most=1_000),
        Figure("search for a rare word, cached, median", median(warm), "ms", at_most=100),
        Figure("search for a common word", common, "ms"),
    ]


async def _timed(ask: Callable[[], Awaitable[object]]) -> float:
    asked = time.perf_counter()
    await ask()
    return (time.perf_counter() - asked) * 1_000


def _build(folder: Path, records: Iterator[Record]) -> ChannelId:
    """Found a room and load its history, 5,000 messages in a transaction."""
    migrations = engine.load(engine.SHARD_FOLDER)
    (row, *_) = files.create(
        folder, ROOM, migrations,
        lambda writer: rooms.found_room(writer, "community", OWNER, [ChannelDraft("general")], now_ms=BEGAN),
        now_ms=BEGAN,
    )  # fmt: skip
    connection, writer = files.open_writer(files.path_of(folder, ROOM), ROOM, migrations, now_ms=BEGAN, check=False)
    connection.pragma("synchronous", "OFF")  # it is thrown away
    while batch := list(itertools.islice(records, BATCH)):
        writer.begin()
        connection.execute("BEGIN IMMEDIATE")
        imports.load_batch(writer, batch, skip_refused=True, now_ms=BEGAN)
        writer.settle()
        connection.execute("COMMIT")
    connection.close()
    return row.id


def _records() -> Iterator[Record]:
    """Yield messages endlessly, one for each second; one of RARE_EVERY has the word needleword."""
    people: dict[str, UserId] = {}
    for number, said in enumerate(itertools.cycle(_said())):
        user_id = people.setdefault(said["user"], UserId(1_000 + len(people)))
        content = said["content"][:7_900] + (" needleword" if number % RARE_EVERY == 7 else "")
        nonce = hashlib.sha256(b"%d" % number).hexdigest()[:32]
        yield Record("general", said["topic"] or None, user_id, BEGAN + number * 1_000, content, nonce)


def _long_records() -> Iterator[Record]:
    """Yield the longest messages that there are, of random characters and blanks, endlessly."""
    chance, signs = random.Random(5), "abcdefghijklmnopqrstuvwxyz0123456789      "
    for number in itertools.count():
        content = "".join(chance.choices(signs, k=LONG_CHARACTERS)).strip()
        yield Record("general", None, UserId(1_000 + number % 50), BEGAN + number * 1_000, content, str(number))


def _said() -> list[dict[str, str]]:
    named = os.environ.get("ROOKERY_REAL_CHAT")
    if named:
        with gzip.open(named, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]
    chance = random.Random(7)
    words = ["".join(chance.choices("etaoinshrdlucmfwypvbgk", k=chance.randint(2, 10))) for _ in range(20_000)]
    cumulated = list(itertools.accumulate(1 / rank for rank in range(1, len(words) + 1)))
    return [
        {
            "user": f"user{chance.randrange(500)}",
            "topic": f"topic {chance.randrange(600)}",
            "content": " ".join(["the", *chance.choices(words, cum_weights=cumulated, k=chance.randint(3, 40))]),
        }
        for _ in range(20_000)
    ]

"""Whatever fails while history moves or is read: each message is in one place, and what is told is what was said."""

import errno
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from objects import disk
from shard.actions.pages import Span
from shard.archive import segment_files
from shard.errors import ArchiveUnavailableError
from shard.rows import Message
from tests.objects.faults import Kind, faulty
from tests.objects.places import Bucket, overwrite
from tests.objects.radosgw import Radosgw, radosgw
from tests.shard import twins
from tests.shard.stage import OWNER
from tests.shard.twins import DAY_MS, Side, every, placed

__all__ = ["radosgw"]

LONG = "ROOKERY_CRASH_CYCLES" in os.environ
SEGMENTS = 100 if LONG else 6
PER_SEGMENT = 6
KEPT = 5


class Killed(BaseException):
    """The process is gone: nothing in it may catch this."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make segments and steps small."""
    twins.shrink(monkeypatch, kept=KEPT, most=PER_SEGMENT)


@pytest.fixture(scope="module")
def bucket(radosgw: Radosgw) -> Bucket:
    """Make a bucket for these tests."""
    return Bucket(radosgw, radosgw.make_bucket())


async def talk(side: Side, count: int) -> list[Message]:
    """Say things that are old enough to move, and return them, oldest first."""
    for number in range(count):
        side.stage.now_ms += 1_000
        await side.stage.send(side.room, f"message {number} of the rooks", nonce=str(side.stage.now_ms))
    side.stage.now_ms += 40 * DAY_MS
    return await every(side)


@asynccontextmanager
async def through_faults(folder: Path, bucket: Bucket) -> AsyncIterator[tuple[Side, Callable[..., None]]]:
    """Open a room whose archive is a bucket behind a proxy, and return what spoils one request in three."""
    chance = random.Random(7)
    async with faulty(bucket.server.endpoint) as proxy:
        store = bucket.open_at(proxy.endpoint, attempts_max=1, read_timeout_seconds=0.4, connect_timeout_seconds=0.4)

        def spoil(kind: Kind | None, share: float = 0.3) -> None:
            proxy.heal()
            if kind is not None:
                proxy.spoil(kind, 1_000_000, lambda _request: chance.random() < share)

        async with twins.side(folder, store=store) as side:
            yield side, spoil
        await store.close()


@pytest.mark.crash
@pytest.mark.parametrize("kind", Kind)
async def test_a_failing_store_loses_and_spoils_nothing(tmp_path: Path, bucket: Bucket, kind: Kind) -> None:
    """While one request in three goes wrong, history moves in the end, and every page that is told is right."""
    async with through_faults(tmp_path, bucket) as (side, spoil):
        said = await talk(side, SEGMENTS * PER_SEGMENT + KEPT)
        by_id = {message.id: message for message in said}
        spoil(kind)
        moved = errors = 0
        while moved < SEGMENTS * PER_SEGMENT:
            outcome = await side.archive()
            moved += outcome.messages_moved
            errors += outcome.error is not None
            assert errors < 100 * SEGMENTS
        await side.archiver.cache.clear()
        right = refused = 0
        for number in range(0, len(said), 7):
            try:
                page = await side.history.read_page(
                    side.room.id, OWNER, side.room.general, None, Span(9, before=said[number].id),
                    now_ms=side.stage.now_ms,
                )  # fmt: skip
            except ArchiveUnavailableError:
                refused += 1
                continue
            assert [by_id[message.id] for message in page.messages] == page.messages
            expected = said[max(0, number - len(page.messages)) : number][::-1]
            assert page.messages == expected
            right += 1
        spoil(None)
        assert await every(side) == said
        assert await placed(side) == [message.id for message in said]
    print(f"{kind}: {errors} visits failed, {right} pages right, {refused} refused")


async def test_a_kill_at_any_step_leaves_each_message_in_one_place(tmp_path: Path) -> None:
    """Killed between any two steps of moving and rewriting, and run again, all is as if nothing had been killed."""
    async with twins.side(tmp_path) as side:
        said = await talk(side, 3 * PER_SEGMENT + KEPT)
        killed = 0
        for number in range(16):
            for is_over in (_killed_at(side, number), _visited(side), _deleted(side, said), _killed_at(side, number)):
                killed += await is_over
                assert await every(side) == said
                assert await placed(side) == [message.id for message in said]
            await _visited(side)
            said = await talk(side, 2 * PER_SEGMENT)
        assert killed > 12
        assert await _visited(side) == 0
        named = [row.object_key for row in await twins.segments(side)]
        assert sorted(named) == await side.store.list("archive/")


async def _killed_at(side: Side, number: int) -> int:
    """Visit the room and be killed at a step; 0 when there were fewer steps."""
    left = number

    def count_down() -> None:
        nonlocal left
        if not left:
            raise Killed
        left -= 1

    side.archiver.between_steps = count_down
    try:
        await side.archive()
    except Killed:
        return 1
    finally:
        side.archiver.between_steps = lambda: None
    return 0


async def _visited(side: Side) -> int:
    assert (await side.archive()).error is None
    return 0


async def _deleted(side: Side, said: list[Message]) -> int:
    """Delete two archived messages, the oldest and one in the middle of a segment."""
    for at in (0, 3):
        gone = said.pop(at)
        await side.history.delete_message(
            side.room.id, OWNER, side.room.general, gone.id, reason=None, now_ms=side.stage.now_ms
        )
    return 0


async def test_a_flipped_bit_is_never_told(tmp_path: Path) -> None:
    """A bit that flips in a cached copy is noticed and the copy fetched again; one in the object is an error."""
    async with twins.side(tmp_path) as side:
        said = await talk(side, 4 * PER_SEGMENT + KEPT)
        await side.archive()
        assert await every(side) == said
        cached = sorted((tmp_path / "cache").glob("*.db"))
        assert len(cached) == 4
        for path in cached:
            size = path.stat().st_size
            for at in range(50, size, size // 40):
                _flip(path, at)
                await _forget_open(side)
                assert await every(side) == said
        for path in (tmp_path / "cache").glob("*.sums"):
            _flip(path, 5)
        await _forget_open(side)
        assert await every(side) == said
        (key, *_) = await side.store.list("archive/")
        data = await side.store.get(key, size_bytes_max=1 << 20)
        overwrite(tmp_path / "objects", key, data[:100] + bytes([data[100] ^ 1]) + data[101:])
        await side.archiver.cache.clear()
        with pytest.raises(ArchiveUnavailableError):
            await every(side)
        overwrite(tmp_path / "objects", key, data)
        assert await every(side) == said


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 16]))


async def _forget_open(side: Side) -> None:
    for sha256 in [*side.archiver.cache._open]:
        side.archiver.cache._close(sha256)


async def test_without_the_store_the_live_part_answers(tmp_path: Path, bucket: Bucket) -> None:
    """While object storage is away, a page gives what the shard has, and the next an error to come back with."""
    async with through_faults(tmp_path, bucket) as (side, spoil):
        said = await talk(side, 3 * PER_SEGMENT + KEPT)
        while (await side.archive()).messages_moved < 3 * PER_SEGMENT:
            continue
        await side.archiver.cache.clear()
        read = side.history.read_page
        place = (side.room.id, OWNER, side.room.general, None)
        spoil(Kind.STALL, 1.0)
        page = await read(*place, Span(50), now_ms=side.stage.now_ms)
        assert page.messages == said[: -KEPT - 1 : -1]
        assert page.has_older
        with pytest.raises(ArchiveUnavailableError) as refusal:
            await read(*place, Span(50, before=page.messages[-1].id), now_ms=side.stage.now_ms)
        assert refusal.value.retry_after_seconds > 0
        spoil(None)
        rest = await read(*place, Span(50, before=page.messages[-1].id), now_ms=side.stage.now_ms)
        assert rest.messages == said[-KEPT - 1 :: -1]


async def test_a_full_disk_while_building_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is no space to build a segment, nothing moves and nothing is left behind; with space, all moves."""
    async with twins.side(tmp_path) as side:
        said = await talk(side, 3 * PER_SEGMENT + KEPT)
        pack = segment_files._pack

        def full(path: Path, packed: Path) -> tuple[str, int]:
            packed.write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

        monkeypatch.setattr(segment_files, "_pack", full)
        outcome = await side.archive()
        assert outcome.messages_moved == 0
        assert "space" in str(outcome.error)
        assert await every(side) == said
        monkeypatch.setattr(segment_files, "_pack", pack)
        assert (await side.archive()).messages_moved == 3 * PER_SEGMENT
        assert await every(side) == said
        assert [path.name for path in (tmp_path / "work" / "1").iterdir()] == ["lock"]


async def test_a_mutant_that_cuts_before_it_compares_is_caught(tmp_path: Path, bucket: Bucket) -> None:
    """An archiver that does not read back what it put loses messages under a store that damages uploads silently."""
    store = disk.open_store(tmp_path / "objects")
    async with twins.side(tmp_path, store=store) as side:
        said = await talk(side, PER_SEGMENT + KEPT)
        put, verify = store.put, store.verify

        async def damaging(key: str, source: Path, content: object) -> None:
            await put(key, source, content)  # type: ignore[arg-type]
            data = await store.get(key, size_bytes_max=1 << 20)
            overwrite(tmp_path / "objects", key, data[:-9] + b"123456789")

        store.put = damaging  # type: ignore[method-assign,assignment]
        assert "damaged" in str((await side.archive()).error)
        assert await every(side) == said
        store.verify = store.head  # type: ignore[method-assign]
        assert (await side.archive()).messages_moved == PER_SEGMENT
        with pytest.raises(ArchiveUnavailableError):
            await every(side)
        store.verify = verify  # type: ignore[method-assign]
    await store.close()

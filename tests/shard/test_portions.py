"""What removes messages is bounded by their texts, not only by their number: long ones take few at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from ids import MessageId
from shard.actions import channels, moderation
from shard.archive import cuts
from shard.archive.manifest import Segment
from shard.archive.segment_files import Piece
from shard.engine.connections import Reader, Writer
from shard.tables import portions
from shard.tables.bans import Ban
from tests.shard import twins
from tests.shard.stage import ANNA, OWNER
from tests.shard.twins import DAY_MS, Side


@pytest.mark.parametrize(
    ("sizes", "count"),
    [([], 0), ([9_999_999], 1), ([portions.PORTION_BYTES, 1], 1), ([10] * 50, 50), ([8_000] * 20, 9)],
)
def test_a_portion_has_one_message_at_least(sizes: list[int], count: int) -> None:
    """A portion ends with the text that reaches its size, so that one message of any size is a portion."""
    assert portions.count(sizes) == count


@pytest.fixture
async def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Side]:
    """Open a room with 12 messages of a hundred bytes, in which a portion has 250, and so three messages."""
    twins.shrink(monkeypatch, kept=0, step=100, most=100)
    async with twins.side(tmp_path) as opened:
        for number in range(12):
            opened.stage.now_ms += 1_000
            await opened.stage.send(opened.room, f"{number:02} " + "x" * 97)
        monkeypatch.setattr(portions, "PORTION_BYTES", 250)
        yield opened


async def left(side: Side, act: Callable[[], Awaitable[object]]) -> list[int]:
    """Act until nothing is left, and return how many messages the shard had after each act."""
    counts: list[int] = []
    while not counts or counts[-1]:
        await act()
        rows = await side.stage.pool.read(
            side.room.id, Reader.all, "SELECT 1 FROM messages WHERE is_deleted = 0 AND channel_id = ?",
            (side.room.general,),
        )  # fmt: skip
        counts.append(len(rows))
    return counts


async def test_a_deleted_channel_is_swept_in_portions(side: Side) -> None:
    """Each sweep of a deleted channel removes one portion of its messages."""
    pool, room = side.stage.pool, side.room
    await pool.write(room.id, channels.delete_channel, OWNER, room.general, now_ms=side.stage.now_ms)
    assert await left(side, lambda: pool.write(room.id, channels.sweep)) == [9, 6, 3, 0]


async def test_the_words_of_the_banned_go_in_portions(side: Side) -> None:
    """Each act on what a banned member wrote erases one portion, the newest first."""
    pool, room, now_ms = side.stage.pool, side.room, side.stage.now_ms
    await pool.write(room.id, moderation.ban, OWNER, Ban(ANNA, None, OWNER, now_ms, None), now_ms=now_ms)

    async def erase() -> None:
        await pool.write(room.id, moderation.erase_recent, OWNER, ANNA, since_ms=0, now_ms=now_ms)

    oldest = (await twins.every(side))[0].id
    await erase()
    assert MessageId(oldest) in [message.id for message in await twins.every(side)]
    assert await left(side, erase) == [6, 3, 0]


async def test_history_moves_in_portions(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of a cut moves one portion into the segment, and all messages arrive there."""
    side.stage.now_ms += 40 * DAY_MS
    before = await twins.every(side)
    moved: list[int] = []
    step = cuts.step

    def noted(writer: Writer, segment: Segment, pieces: Sequence[Piece]) -> int:
        moved.append(step(writer, segment, pieces))
        return moved[-1]

    monkeypatch.setattr(cuts, "step", noted)
    assert (await side.archive()).messages_moved == 12
    assert moved == [3, 3, 3, 3]
    assert await twins.every(side) == before

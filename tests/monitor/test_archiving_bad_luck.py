"""What bad luck and busy rooms do to the archive: each of these once lost something, or kept it from moving."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shard.acts.paging import Span
from shard.rows import Message
from tests.shard import twins
from tests.shard.stage import OWNER
from tests.shard.twins import DAY_MS, Side


class Killed(BaseException):
    """The process is gone: nothing in it may catch this."""


@pytest.fixture
async def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Side]:
    """Open a room with 20 messages of 40 days ago, of which 15 may move in segments of up to six."""
    twins.shrink(monkeypatch)
    async with twins.side(tmp_path) as opened:
        await talk(opened, 20)
        opened.stage.now_ms += 40 * DAY_MS
        yield opened


async def talk(side: Side, count: int) -> None:
    """Say some things, a second after each other."""
    for number in range(count):
        side.stage.now_ms += 1_000
        await side.stage.send(side.room, f"message {number} of the rooks", nonce=str(side.stage.now_ms))


async def every(side: Side) -> list[Message]:
    """Return all messages, oldest first."""
    page = await side.history.read_page(
        side.room.id, OWNER, side.room.general, None, Span(1_000), now_ms=side.stage.now_ms
    )
    return page.messages[::-1]


async def delete(side: Side, message: Message) -> None:
    """Have its author delete a message."""
    await side.history.delete_message(
        side.room.id, message.user_id, side.room.general, message.id, reason=None, now_ms=side.stage.now_ms
    )


async def test_a_rewrite_copies_no_flipped_bit(side: Side, tmp_path: Path) -> None:
    """A segment is not written anew out of a cached copy that was damaged since: what is left is what was said."""
    await side.archive()
    said = await every(side)
    await delete(side, said.pop(2))
    for sha256 in [*side.archiver.cache._open]:
        side.archiver.cache._close(sha256)
    for path in (tmp_path / "cache").glob("*.db"):
        path.write_bytes(path.read_bytes().replace(b"of the rooks", b"of the roofs"))
    outcome = await side.archive()
    assert (outcome.error, outcome.segments_rewritten) == (None, 1)
    await side.archiver.cache.clear()
    assert await every(side) == said


async def test_deleted_words_leave_the_cache_with_their_segment(side: Side, tmp_path: Path) -> None:
    """Once a segment is written anew, the local copy that still had the deleted message is gone."""
    await side.archive()
    said = await every(side)
    await delete(side, said[2])
    await side.archive()
    await every(side)
    left = b"".join(path.read_bytes() for path in (tmp_path / "cache").glob("*.db"))
    assert said[1].content.encode() in left
    assert said[2].content.encode() not in left

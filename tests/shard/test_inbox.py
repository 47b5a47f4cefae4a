"""Messages gathered from all channels that one may read: those that call one, and every one there is."""

from collections.abc import Iterator

import pytest

from ids import ChannelId, MessageId, UserId
from shard.actions import messages
from shard.rows import Message
from tests.shard import direct, stage, unread_model
from tests.shard.unread_model import PLACES, READER, ROLE, START, WORDS, Shard, say


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shard]:
    with unread_model.opened(tmp_path_factory.mktemp("overviews")) as opened:
        yield opened


def exported(shard: Shard, by: UserId, *, after: MessageId, limit: int) -> list[Message]:
    """Return a piece of somebody's export."""
    asked = direct.history(shard.writer).export_messages(shard.room.id, by, after=after, limit=limit, now_ms=START)
    return direct.answer(asked).rows


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_an_export_has_all_that_one_may_read(shard: Shard, limit: int) -> None:
    """Page by page an export has every message of the channels that one sees, oldest first, and none of any other."""
    with direct.undone(shard.connection, shard.writer):
        writer = shard.writer
        for place in (*PLACES, *PLACES):
            say(shard, 2, place=place)
        say(shard, 4, place=("other", None))
        deleted = say(shard, 1)[0]
        messages.delete_message(writer, stage.OWNER, shard.room.general, deleted, now_ms=START)
        direct.make_private(writer, shard.room, "other")
        for by, hidden in ((READER, shard.room.channels["other"]), (stage.OWNER, ChannelId(0))):
            expected = writer.all(
                "SELECT id FROM messages WHERE is_deleted = 0 AND channel_id <> ? ORDER BY id", (hidden,)
            )
            walked: list[MessageId] = []
            while page := exported(shard, by, after=walked[-1] if walked else MessageId(0), limit=limit):
                assert len(page) <= limit
                walked += [message.id for message in page]
            assert [(one,) for one in walked] == expected


def test_the_inbox_comes_page_by_page(shard: Shard) -> None:
    """Walked with any limit, the inbox has each message that calls one once, newest first, and no hidden one."""
    with direct.undone(shard.connection, shard.writer):
        writer = shard.writer
        writer.run("INSERT INTO member_roles VALUES (?, ?, ?, 1)", (READER, ROLE, stage.OWNER))
        expected: list[MessageId] = []
        for words in ("member", "role", "nobody", "both", "member"):
            expected += say(shard, 2, WORDS[words]) if words != "nobody" else []
            say(shard, 1, WORDS[words], place=("other", None))
        direct.make_private(writer, shard.room, "other")
        for limit in (1, 2, 3, 50):
            walked: list[MessageId] = []
            while page := unread_model.called(shard, before=walked[-1] if walked else None, limit=limit):
                walked += [message.id for message in page]
            assert walked == expected[::-1]

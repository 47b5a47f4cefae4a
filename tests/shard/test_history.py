"""Readers of an archived room are told what they would be told if nothing had ever moved."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ids import MessageId, UserId
from shard.actions import archive, messages, pins, reactions
from shard.actions.pages import Span
from shard.actions.search import BEGINNING, Place, Results, SearchRequest
from shard.engine.connections import Writer
from shard.errors import ArchivedError, ForbiddenError, NotFoundError
from shard.rows import Message
from shard.search import query
from shard.tables import read_markers
from shard.tables.messages import Draft
from tests.shard import twins
from tests.shard.stage import ANNA, BEN, OWNER
from tests.shard.twins import DAY_MS, Refusal, Side, Twins

WORDS = ("rook", "nest", "twig", "moss", "feather", "crow")


@pytest.fixture
async def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Twins]:
    """Open two rooms with the same 40 messages, of which one has archived all but the newest five."""
    twins.shrink(monkeypatch)
    async with twins.twins(tmp_path) as opened:
        await fill(opened, 40)
        yield opened


async def fill(both: Twins, count: int) -> list[Message]:
    """Say things in both rooms: some in threads, some replies, some calls; then archive one of them."""
    threads = [await both.open_thread("Nests"), await both.open_thread("Twigs")]
    sent: list[Message] = []
    for number in range(count):
        word = WORDS[number % len(WORDS)]
        sent.append(
            await both.send(
                f"{word} number {number}!" + (f" <@{OWNER}>" if number % 7 == 0 else ""),
                user_id=(ANNA, BEN)[number % 2],
                thread_id=(None, *threads)[number % 3],
                reply_to_id=sent[number - 5].id if number % 4 == 3 and number > 5 else None,
                nonce=f"n{number}",
            )
        )
        if number % 5 == 0:
            await do(both, reactions.react, BEN, sent[-1].id, "🐦")
            await do(both, reactions.react, OWNER, sent[-1].id, "🪶")
        if number % 9 == 0:
            await do(both, messages.edit_message, sent[-1].user_id, sent[-1].id, f"edited {word} {number}")
    both.wait(40 * DAY_MS)
    outcome = await both.archived.archive()
    assert outcome.error is None
    assert outcome.messages_moved > count // 2
    both.wait(1_000)  # the manifest has ids, too
    return sent


async def do(both: Twins, act: Callable[..., Any], user_id: UserId, message_id: MessageId, *more: Any) -> Any:
    """Have somebody do something to a message in both rooms."""

    async def on(side: Side) -> Any:
        written = side.stage.pool.write(
            side.room.id, act, user_id, side.room.general, message_id, *more, now_ms=both.now_ms
        )
        return await side.history.changing(side.room.id, written)

    return await both.do(on)


async def ids_of(both: Twins) -> list[MessageId]:
    """Return the ids of all messages that there are, oldest first."""
    return [message.id for message in reversed(await both.page(Span(1_000)))]


async def archived_ids(both: Twins) -> list[MessageId]:
    """Return the ids of the messages that are in segments."""
    live = {row[0] for row in await both.rows("SELECT id FROM messages")}
    return [message_id for message_id in await ids_of(both) if message_id not in live]


async def test_pages_go_on_across_segments(both: Twins) -> None:
    """Pages before, after and around every message are the same, whatever their size, and so is walking both ways."""
    every = await ids_of(both)
    assert len(await archived_ids(both)) > 20
    for limit in (1, 3, 7, 50):
        for message_id in every[::3]:
            await both.page(Span(limit, before=message_id))
            await both.page(Span(limit, after=message_id))
            await both.page(Span(limit, around=message_id))
    walked: list[MessageId] = []
    page = await both.page(Span(4))
    while page:
        walked += [message.id for message in page]
        page = await both.page(Span(4, before=page[-1].id))
    assert walked[::-1] == every
    page = await both.page(Span(4, after=MessageId(0)))
    walked = []
    while page:
        walked += [message.id for message in reversed(page)]
        page = await both.page(Span(4, after=page[0].id))
    assert walked == every


async def test_thread_pages_go_on_across_segments(both: Twins) -> None:
    """A thread's pages are the same, from its newest message to its oldest."""
    for thread_id in both.threads:
        for limit in (2, 5, 50):
            page = await both.page(Span(limit), thread_id)
            while page:
                await both.page(Span(limit, after=page[-1].id), thread_id)
                await both.page(Span(limit, around=page[0].id), thread_id)
                page = await both.page(Span(limit, before=page[-1].id), thread_id)


async def test_single_messages_are_found_where_they_are(both: Twins) -> None:
    """Every message, its versions and who reacted to it are read by its id, and an id of nothing leads nowhere."""
    every = await ids_of(both)
    for message_id in [*every, MessageId(every[3] + 1), MessageId(2**63 - 1), MessageId(1)]:
        for ask in (_one, _versions, _reactors):
            if message_id in every:
                await _ask(both, ask, message_id)
                continue
            with pytest.raises(Refusal) as refusal:
                await _ask(both, ask, message_id)
            assert refusal.value.kind is NotFoundError


async def _ask(both: Twins, ask: Callable[[Twins, Side, MessageId], Awaitable[Any]], message_id: MessageId) -> Any:
    return await both.do(lambda side: ask(both, side, message_id))


def _one(both: Twins, side: Side, message_id: MessageId) -> Awaitable[Any]:
    return side.history.get_message(side.room.id, OWNER, side.room.general, message_id, now_ms=both.now_ms)


def _versions(both: Twins, side: Side, message_id: MessageId) -> Awaitable[Any]:
    return side.history.list_versions(
        side.room.id, OWNER, side.room.general, message_id, after=0, limit=10, now_ms=both.now_ms
    )


def _delete(both: Twins, side: Side, message_id: MessageId) -> Awaitable[Any]:
    return side.history.delete_message(
        side.room.id, OWNER, side.room.general, message_id, reason=None, now_ms=both.now_ms
    )


def _reactors(both: Twins, side: Side, message_id: MessageId) -> Awaitable[Any]:
    return side.history.who_reacted(
        side.room.id, OWNER, side.room.general, message_id, "🐦", after=None, limit=10, now_ms=both.now_ms
    )


async def test_exports_mentions_and_counts_are_the_same(both: Twins) -> None:
    """An export has every message once, what calls somebody is told, and channels and threads count all they have."""
    exported = await _export(both, MessageId(0))
    while found := await _export(both, exported[-1].id):
        exported += found
    assert [message.id for message in exported] == await ids_of(both)
    for before in (None, exported[20].id):
        assert len(await _mentions(both, before)) >= 2
    counts = "SELECT id, message_count, last_message_id FROM {} ORDER BY id"
    for table in ("channels", "threads"):
        await _rows(both, counts.format(table))


async def _export(both: Twins, after: MessageId) -> list[Message]:
    found = await both.do(
        lambda side: side.history.export_messages(side.room.id, OWNER, after=after, limit=9, now_ms=both.now_ms)
    )
    rows: list[Message] = found.rows
    return rows


async def _mentions(both: Twins, before: MessageId | None) -> list[Message]:
    found = await both.do(
        lambda side: side.history.list_mentions(side.room.id, OWNER, before=before, limit=4, now_ms=both.now_ms)
    )
    rows: list[Message] = found.rows
    return rows


async def _rows(both: Twins, sql: str) -> Any:
    return await both.do(lambda side: side.stage.rows(side.room, sql))


def test_what_unread_counts_look_at_never_moves() -> None:
    """As many rows of a channel stay as a count of what is unread looks at."""
    assert archive.NEWEST_KEPT >= read_markers.LOOKED_AT_MAX


@pytest.mark.parametrize("text", ["rook", "number", "moss -number", '"crow number"', "fea*", "from:12", "edited rook"])
async def test_searches_go_on_across_segments(both: Twins, text: str) -> None:
    """A search finds the same, newest first, whole or page by page."""
    every = await both.search(text)
    assert every
    assert len(await both.search(text, limit=2)) == min(2, len(every))
    place: Place = BEGINNING
    walked: list[MessageId] = []
    while True:
        found = await _newest(both, text, place)
        walked += [message.id for message in found.messages]
        if found.next_place is None:
            break
        place = found.next_place
    assert walked == [message.id for message in every]


async def _newest(both: Twins, text: str, place: Place) -> Results:
    side = both.archived
    request = SearchRequest(query=query.parse(text), place=place, limit=2, seconds=5.0, deadline_seconds=10.0)
    return await side.searches.search_room(side.room.id, OWNER, request, now_ms=both.now_ms)


async def test_archived_messages_do_not_change(both: Twins) -> None:
    """Editing, reacting to and pinning an archived message is refused by an error of its own, and a live one is not."""
    archived, live = (await archived_ids(both))[4], (await ids_of(both))[-2]
    author = (await both.do(lambda side: _one(both, side, archived))).user_id
    side = both.archived
    acts: list[tuple[Callable[..., Any], UserId, tuple[Any, ...]]] = [
        (messages.edit_message, author, ("new words",)),
        (reactions.react, OWNER, ("🐣",)),
        (reactions.clear_reactions, OWNER, (None,)),
        (pins.pin_message, OWNER, ()),
    ]
    for act, user_id, more in acts:
        written = side.stage.pool.write(
            side.room.id, act, user_id, side.room.general, archived, *more, now_ms=both.now_ms
        )
        with pytest.raises(ArchivedError):
            await side.history.changing(side.room.id, written)
    await do(both, reactions.react, OWNER, live, "🐣")


async def test_what_was_sent_once_is_not_sent_again(both: Twins) -> None:
    """The nonce of an archived message returns it and makes no second one; a reply to it is a new message."""
    archived = await archived_ids(both)
    count = len(await ids_of(both))
    message = await both.do(lambda side: _one(both, side, archived[3]))
    side = both.archived
    again = side.history.send_message(
        side.room.id, message.user_id, side.room.general, Draft("again", message.nonce), now_ms=both.now_ms
    )
    assert await again == (message, False)
    assert len(await ids_of(both)) == count
    reply = Draft("indeed", None, None, archived[3])
    sent = await both.do(
        lambda side: side.history.send_message(side.room.id, ANNA, side.room.general, reply, now_ms=both.now_ms)
    )
    assert (await both.page(Span(1)))[0] == sent.message
    with pytest.raises(Refusal):
        await both.do(
            lambda side: side.history.send_message(
                side.room.id, ANNA, side.room.general, Draft("to nothing", None, None, MessageId(archived[3] + 1)),
                now_ms=both.now_ms,
            )
        )  # fmt: skip


async def test_deleting_takes_archived_messages_out_everywhere(both: Twins) -> None:
    """A deleted archived message is gone for all readers at once, and from storage after the next visit."""
    archived = await archived_ids(both)
    message = await both.do(lambda side: _one(both, side, archived[3]))
    gone = [archived[0], archived[3], archived[-1]]

    async def delete(side: Side, message_id: MessageId, user_id: UserId) -> None:
        await side.history.delete_message(
            side.room.id, user_id, side.room.general, message_id, reason=None, now_ms=both.now_ms
        )

    with pytest.raises(Refusal) as refusal:
        await both.do(lambda side: delete(side, archived[1], BEN if message.user_id == BEN else ANNA))
    assert refusal.value.kind is ForbiddenError
    await both.do(lambda side: delete(side, gone[1], message.user_id))
    await both.do(
        lambda side: side.history.delete_messages(
            side.room.id, OWNER, side.room.general, [gone[0], gone[2]], reason="tidy", now_ms=both.now_ms
        )
    )
    with pytest.raises(Refusal):
        await both.do(lambda side: delete(side, gone[1], OWNER))
    for _ in range(2):
        left = await ids_of(both)
        assert not set(gone) & set(left)
        await both.search("number")
        await test_pages_go_on_across_segments(both)
        outcome = await both.archived.archive()
        assert outcome.error is None
    assert await both.rows("SELECT count(*) FROM segment_hidden") == [(0,)]
    named = {row[0] for row in await both.rows("SELECT object_key FROM segments")}
    assert set(await both.archived.store.list("archive/")) == named
    for key in named:
        unpacked = zstandard.decompress(await both.archived.store.get(key, size_bytes_max=1 << 24))
        assert message.content.encode() not in unpacked


async def test_archived_messages_are_told_to_nobody_else(both: Twins) -> None:
    """Who is not in the room, or has left, reads nothing of its segments by any way."""
    archived = (await archived_ids(both))[2]
    side, stranger = both.archived, UserId(99)
    room, general, now_ms = side.room.id, side.room.general, both.now_ms
    attempts = [
        side.history.read_page(room, stranger, general, None, Span(5, before=archived), now_ms=now_ms),
        side.history.get_message(room, stranger, general, archived, now_ms=now_ms),
        side.history.list_versions(room, stranger, general, archived, after=0, limit=5, now_ms=now_ms),
        side.history.who_reacted(room, stranger, general, archived, "🐦", after=None, limit=5, now_ms=now_ms),
        side.history.export_messages(room, stranger, after=MessageId(0), limit=5, now_ms=now_ms),
        side.history.list_mentions(room, stranger, before=None, limit=5, now_ms=now_ms),
        side.history.delete_message(room, stranger, general, archived, reason=None, now_ms=now_ms),
        side.history.get_message(room, OWNER, side.room.channels["other"], archived, now_ms=now_ms),
    ]
    for attempt in attempts:
        with pytest.raises(NotFoundError):
            await attempt
    assert (await side.history.get_message(room, OWNER, general, archived, now_ms=now_ms)).id == archived


@pytest.mark.security
async def test_a_private_channel_stays_private_when_it_is_archived(both: Twins) -> None:
    """Who sees no more of a channel, or has left the room, is told nothing of its segments, not even by counts."""

    def shut(writer: Writer) -> None:
        writer.run("UPDATE channels SET is_private = 1 WHERE name = 'general'")

    def leave(writer: Writer) -> None:
        writer.run("UPDATE members SET left_at = 1 WHERE user_id = ?", (BEN,))

    archived = await archived_ids(both)
    assert await both.search("rook", user_id=ANNA)
    await both.do(lambda side: side.stage.pool.write(side.room.id, shut))
    await both.do(lambda side: side.stage.pool.write(side.room.id, leave))
    side = both.archived
    room, general, now_ms = side.room.id, side.room.general, both.now_ms
    for user_id in (ANNA, BEN):
        for attempt in (
            side.history.read_page(room, user_id, general, None, Span(5, before=archived[5]), now_ms=now_ms),
            side.history.get_message(room, user_id, general, archived[2], now_ms=now_ms),
            side.history.who_reacted(room, user_id, general, archived[0], "🐦", after=None, limit=5, now_ms=now_ms),
            side.history.delete_message(room, user_id, general, archived[2], reason=None, now_ms=now_ms),
            side.history.delete_messages(room, user_id, general, archived[:3], reason=None, now_ms=now_ms),
        ):
            with pytest.raises(NotFoundError):
                await attempt
    assert await both.search("rook", user_id=ANNA) == []
    exported = await side.history.export_messages(room, ANNA, after=MessageId(0), limit=50, now_ms=now_ms)
    called = await side.history.list_mentions(room, ANNA, before=None, limit=50, now_ms=now_ms)
    assert (exported.rows, called.rows) == ([], [])
    assert await both.search("rook", user_id=OWNER)


async def test_a_thread_whose_newest_message_is_archived_stays_where_it_is(both: Twins) -> None:
    """When what a thread ended with is deleted, live or archived, it ends with the archived message before that."""
    live = {row[0] for row in await both.rows("SELECT id FROM messages")}
    listed = "SELECT id, message_count, last_message_id, last_message_at FROM threads ORDER BY id"
    channels = "SELECT id, message_count, last_message_id FROM channels ORDER BY id"

    for thread_id in both.threads:
        page = await both.page(Span(50), thread_id)
        for message in page[: 1 + sum(message.id in live for message in page)]:
            await _ask(both, _delete, message.id)
            await _rows(both, listed)
            await _rows(both, channels)


async def test_archived_messages_are_not_moved_into_threads(both: Twins) -> None:
    """Moving messages of which one is archived is refused, and none of them moves; without it they do."""
    side, (thread_id, _) = both.archived, both.threads
    archived, live = (await archived_ids(both))[0], (await ids_of(both))[-3:]

    async def move(*message_ids: MessageId) -> list[MessageId]:
        return await side.history.move_messages(
            side.room.id, OWNER, side.room.general, message_ids, thread_id, reason=None, now_ms=both.now_ms
        )

    with pytest.raises(ArchivedError):
        await move(archived, *live)
    assert [one.thread_id == thread_id for one in (await both.page(Span(3)))].count(True) == 1
    with pytest.raises(NotFoundError):
        await side.history.move_messages(
            side.room.id, UserId(99), side.room.general, [archived], thread_id, reason=None, now_ms=both.now_ms
        )
    assert len(await move(*live)) == 2

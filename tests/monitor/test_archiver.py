"""What the archiver moves, what it leaves alone, and what it cleans up behind itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from directory.directory import Directory
from ids import MessageId
from monitor.archive_schedule import ORPHAN_MS, ArchiveSchedule, Limits
from shard.actions import archive, messages, pins
from shard.actions import attachments as attachment_actions
from shard.actions.attachments import Measured
from shard.actions.search import SearchRequest
from shard.archive import cuts
from shard.archive.retention import ROOM, Policy
from shard.engine.connections import Writer
from shard.errors import NotFoundError
from shard.search import query
from shard.tables import attachments, events
from shard.tables.attachments import Announced
from shard.tables.messages import Draft
from tests.shard import twins
from tests.shard.stage import ANNA, OWNER
from tests.shard.twins import DAY_MS, Side, every

SHA256 = "0" * 64


@pytest.fixture
async def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Side]:
    """Open a room with 40 messages of 40 days ago, of which 35 may move in segments of up to six."""
    twins.shrink(monkeypatch)
    async with twins.side(tmp_path) as opened:
        for number in range(40):
            opened.stage.now_ms += 1_000
            await opened.stage.send(opened.room, f"message {number}", nonce=str(number))
        opened.stage.now_ms += 40 * DAY_MS
        yield opened


async def live(side: Side) -> int:
    """Return how many messages the shard has."""
    return int((await side.stage.rows(side.room, "SELECT count(*) FROM messages WHERE is_deleted = 0"))[0][0])


async def found(side: Side, text: str) -> list[str]:
    """Return the words of what a search finds."""
    request = SearchRequest(query=query.parse(text), limit=100, seconds=60.0, deadline_seconds=60.0)
    page = await side.searches.search_room(side.room.id, OWNER, request, now_ms=side.stage.now_ms)
    return [message.content for message in page.messages]


async def policy(side: Side, chosen: Policy, *, channel: str | None = None) -> None:
    """Give the room, or a channel, a policy of its own."""
    place = ROOM if channel is None else side.room.channels[channel]
    await side.stage.pool.write(side.room.id, archive.set_policy, place, chosen, now_ms=side.stage.now_ms)


async def test_what_is_old_moves_once(side: Side) -> None:
    """A visit moves what may move, in segments of a bounded size, each under a key of its own; the next, nothing."""
    before = await every(side)
    outcome = await side.archive()
    assert (outcome.messages_moved, outcome.segments_made, outcome.error) == (35, 6, None)
    assert await live(side) == 5
    assert await every(side) == before
    rows = await twins.segments(side)
    assert [row.message_count for row in rows] == [6, 6, 6, 6, 6, 5]
    assert sorted(row.object_key for row in rows) == await side.store.list("archive/")
    assert (await side.archive()).messages_moved == 0


ODD = ["a \u0302 b", "\u0302", "\u0300\u0301 \u0302", "\u0e31", "x\u0302\u0302 \u0302y", "\u20dd", "\u3099 \u0323"]
"""Messages with words of which the search index keeps nothing, or nothing but marks."""


async def test_words_of_which_folding_leaves_nothing_move_too(side: Side) -> None:
    """An accent that stands alone is a word without letters: it moves, is read, and counts for nothing in a search."""
    for number, words in enumerate(ODD):
        side.stage.now_ms += 1_000
        await side.stage.send(side.room, words, nonce=f"odd {number}")
    for number in range(6):
        await side.stage.send(side.room, "later", nonce=f"later {number}")
    side.stage.now_ms += 40 * DAY_MS
    before = await every(side)
    outcome = await side.archive()
    assert (outcome.messages_moved, outcome.error) == (48, None)
    assert await every(side) == before
    assert await found(side, "b a") == ["a \u0302 b"]
    assert await found(side, '"a \u0302 b"') == ["a \u0302 b"]
    assert await found(side, "a \u0302") == ["a \u0302 b"]


async def test_pinned_and_new_messages_stay(side: Side) -> None:
    """A pinned message, the newest of a channel and everything younger than a week stay in the shard."""
    pinned = (await every(side))[3]
    await side.stage.pool.write(
        side.room.id, pins.pin_message, OWNER, side.room.general, pinned.id, now_ms=side.stage.now_ms
    )
    before = await every(side)
    await side.archive(under_pressure=True)
    left = {row[0] for row in await side.stage.rows(side.room, "SELECT id FROM messages")}
    assert pinned.id in left
    assert {message.id for message in before[-5:]} <= left
    assert await every(side) == before
    for number in range(20):
        await side.stage.send(side.room, f"new {number}")
    await side.archive(under_pressure=True)
    assert await side.stage.rows(side.room, "SELECT count(*) FROM messages WHERE content LIKE 'new %'") == [(20,)]


@pytest.mark.parametrize("channel", [None, "general"])
async def test_what_is_held_stays(side: Side, channel: str | None) -> None:
    """A hold of the room or of the channel keeps everything, also under pressure and against deletion by age."""
    await policy(side, Policy(30, 31, is_held=True, hold_reason="Case 12"), channel=channel)
    assert (await side.archive(under_pressure=True)).messages_moved == 0
    assert await live(side) == 40
    await policy(side, Policy(30), channel=channel)
    assert (await side.archive()).messages_moved == 35


async def test_a_channel_goes_its_own_way(side: Side) -> None:
    """A channel's policy goes before the room's, which goes before the settings'."""
    await policy(side, Policy(0))
    assert (await side.archive()).messages_moved == 0
    await policy(side, Policy(10), channel="general")
    assert (await side.archive()).messages_moved == 35


async def test_age_deletes_live_and_archived_messages(side: Side) -> None:
    """What a policy keeps no longer is gone everywhere, counted out, and its words are not in the log."""
    edited = (await every(side))[-1]
    await side.stage.pool.write(
        side.room.id, messages.edit_message, ANNA, side.room.general, edited.id, "other", now_ms=side.stage.now_ms
    )
    await side.archive()
    side.stage.now_ms += 30 * DAY_MS
    for _ in range(3):
        await side.stage.send(side.room, "new")
    await policy(side, Policy(30, 60))
    outcome = await side.archive()
    assert outcome.objects_removed == 6
    assert [message.content for message in await every(side)] == ["new"] * 3
    assert await side.store.list("archive/") == []
    counted = "SELECT message_count FROM channels WHERE name = 'general'"
    assert await side.stage.rows(side.room, counted) == [(3,)]
    told = "SELECT count(*) FROM events WHERE payload LIKE '%\"content\"%'"
    assert await side.stage.rows(side.room, told) == [(0,)]


async def test_webhooks_are_told_before_anything_moves(side: Side) -> None:
    """While a webhook has not been told what happened, nothing moves; once it is disabled, history does."""

    def lag(writer: Writer, last_seq: int, disabled_at: int | None) -> None:
        reason = None if disabled_at is None else "gone"
        writer.run("DELETE FROM webhooks")
        writer.run(
            "INSERT INTO webhooks (id, name, direction, secret, url, events, keeper_id, last_seq, disabled_at, "
            "disabled_reason, created_by, created_at) VALUES (1, 'x', 'outgoing', zeroblob(32), 'u', '[\"*\"]', 1, "
            "?, ?, ?, 1, 1)",
            (last_seq, disabled_at, reason),
        )

    await side.stage.pool.write(side.room.id, lag, 5, None)
    assert (await side.archive()).messages_moved == 0
    await side.stage.pool.write(side.room.id, lag, 5, 1)
    assert (await side.archive()).messages_moved == 35


async def test_the_log_is_whole_from_its_first_number_on(side: Side) -> None:
    """Old events of moved messages go, those of the last week stay, and first_seq tells where the log is whole."""
    assert await side.stage.pool.read(side.room.id, events.first_seq) == 1
    await side.stage.send(side.room, "new")
    await side.archive()
    first = await side.stage.pool.read(side.room.id, events.first_seq)
    last = await side.stage.pool.read(side.room.id, events.last_seq)
    assert 1 < first <= last
    numbers = [row[0] for row in await side.stage.rows(side.room, "SELECT seq FROM events ORDER BY seq")]
    assert numbers[numbers.index(first) :] == list(range(first, last + 1)) if first in numbers else False
    created = "SELECT count(*) FROM events WHERE type = 'message.created'"
    assert (await side.stage.rows(side.room, created))[0][0] <= 7
    assert cuts.LOG_KEPT_MS == 7 * DAY_MS


async def test_files_of_archived_messages_are_served_until_these_go(side: Side) -> None:
    """A file stays where it is while its message moves, is counted, and is freed when the message is deleted."""
    place, now = (ANNA, side.room.general), side.stage.now_ms - 39 * DAY_MS
    write = side.stage.pool.write
    upload = await write(
        side.room.id, attachment_actions.announce_upload, *place, Announced("a.txt", 9, "text/plain", SHA256),
        secret="s",
        now_ms=now,
    )  # fmt: skip
    await write(side.room.id, attachment_actions.complete_upload, *place, upload.id, Measured(), now_ms=now)
    draft = Draft("with a file", attachment_ids=(upload.id,))
    sent = await side.history.send_message(side.room.id, *place, draft, now_ms=now)
    for number in range(10):
        await side.stage.send(side.room, f"later {number}")
    before = await every(side)
    await side.archive()
    assert await every(side) == before
    assert await side.stage.rows(side.room, "SELECT count(*) FROM message_attachments") == [(0,)]
    read = side.stage.pool.read
    file = await read(side.room.id, attachment_actions.open_file, *place, upload.id, now_ms=side.stage.now_ms)
    assert (file.object_key, file.message_id) == (upload.object_key, sent.message.id)
    await read(side.room.id, attachment_actions.require_key, upload.object_key)
    assert await read(side.room.id, attachments.known, [upload.id]) == {upload.id}
    assert await read(side.room.id, attachments.freed) == []
    assert await read(side.room.id, attachments.usage) == {ANNA: 9}
    await side.history.delete_message(side.room.id, *place, sent.message.id, reason=None, now_ms=side.stage.now_ms)
    assert [freed.object_key for freed in await read(side.room.id, attachments.freed)] == [upload.object_key]
    with pytest.raises(NotFoundError):
        await read(side.room.id, attachment_actions.open_file, *place, upload.id, now_ms=side.stage.now_ms)


async def test_two_archivers_do_not_meet(side: Side) -> None:
    """Of two visits to one room at once one does all, and the other says that it is not alone."""
    before = await every(side)
    outcomes = await asyncio.gather(side.archive(), side.archive())
    assert sorted(outcome.messages_moved for outcome in outcomes) == [0, 35]
    assert [outcome.error for outcome in outcomes if not outcome.messages_moved] == [
        "another process is archiving this room"
    ]
    assert await every(side) == before


async def test_a_clock_that_goes_back_changes_nothing(side: Side) -> None:
    """After the clock went back a day, what moved stays where it is, new ids grow, and the next visit goes on."""
    await side.archive()
    before = await every(side)
    side.stage.now_ms -= DAY_MS
    assert (await side.archive()).error is None
    sent = await side.stage.send(side.room, "yesterday")
    assert sent.message.id > before[-1].id
    assert [message.id for message in await every(side)] == [*(message.id for message in before), sent.message.id]
    side.stage.now_ms += 50 * DAY_MS
    for number in range(12):
        await side.stage.send(side.room, f"later {number}")
    whole = await every(side)
    assert (await side.archive()).messages_moved
    assert await every(side) == whole


async def test_segments_are_numbered_on_after_a_restart(side: Side) -> None:
    """A room that is opened anew in the same millisecond gives its next segment another number."""
    await side.archive()
    known = await twins.segments(side)
    await side.stage.evict(side.room)
    for number in range(12):
        await side.stage.send(side.room, f"later {number}", sent_at=side.stage.now_ms - 35 * DAY_MS + number)
    await side.stage.evict(side.room)
    assert (await side.archive()).segments_made
    assert len(await twins.segments(side)) > len(known)


async def test_imports_into_archived_times_get_numbers_of_their_own(side: Side) -> None:
    """What is imported with the very times of archived messages is neither refused nor taken for them."""
    old = await every(side)
    await side.archive()
    for message in old[:10]:
        await side.stage.send(side.room, "imported", sent_at=message.created_at, nonce=f"i{message.id}")
    found = await every(side)
    assert len({message.id for message in found}) == 50
    assert [message.created_at for message in found] == sorted(message.created_at for message in found)
    await side.archive()
    assert await every(side) == found


async def test_rounds_visit_rooms_and_sweep_what_nobody_names(side: Side, tmp_path: Path) -> None:
    """A round visits every room of the registry; an object that no room names goes when it is a day old."""
    directory = await Directory.open(
        tmp_path / "directory.db", now_ms=side.stage.now_ms, session_ms=DAY_MS, hash_threads=1, hash_queue_max=1,
        session_cache_max=1,
    )  # fmt: skip
    rounds = ArchiveSchedule(directory, side.archiver, Limits(1 << 40, 90))
    assert await rounds.run() == []
    await side.archive()
    named = await side.store.list("archive/")
    key = f"archive/{side.room.id}/1/1-{'0' * 32}"
    await side.store.put(key, b"x", twins.content_of(b"x"))
    side.stage.now_ms = (await side.store.head(key)).stored_at + ORPHAN_MS // 2
    assert await rounds.remove_orphans() == 0
    await rounds.run()
    assert key in await side.store.list("archive/")
    side.stage.now_ms += ORPHAN_MS
    await rounds.run()
    assert await side.store.list("archive/") == named
    await directory.close()


async def test_an_unpinned_straggler_moves_later(side: Side) -> None:
    """A message that was pinned while its neighbours moved is archived when it is not, among them in its place."""
    pinned = (await every(side))[8]
    for act in (pins.pin_message, None, pins.unpin_message):
        if act is None:
            await side.archive()
        else:
            await side.stage.pool.write(
                side.room.id, act, OWNER, side.room.general, MessageId(pinned.id), now_ms=side.stage.now_ms
            )
    for number in range(8):
        await side.stage.send(side.room, f"later {number}")
    before = await every(side)
    side.stage.now_ms += 40 * DAY_MS
    await side.archive()
    assert pinned.id not in {row[0] for row in await side.stage.rows(side.room, "SELECT id FROM messages")}
    assert await every(side) == before

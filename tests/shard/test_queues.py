"""Group commit: many tasks in one transaction, each whole or not at all, and nothing told before it is durable."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

import sqlite
from ids import ChannelId, RoomId, UserId
from shard.actions import messages
from shard.actions.messages import Sent
from shard.engine import files, queues
from shard.engine.connections import Reader, Writer
from shard.errors import DeadlineError, NotFoundError
from shard.event_types import EventType
from shard.rows import Event
from shard.tables import events
from shard.tables.messages import Draft
from tests.shard import stage
from tests.shard.gates import Gate

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"


class PoisonError(Exception):
    """What a faulty act raises."""


def write_then_raise(writer: Writer, channel_id: ChannelId) -> None:
    """Store a message with its event, and fail."""
    draft = Draft("poison", nonce="poison")
    messages.send_message(writer, stage.ANNA, channel_id, draft, now_ms=stage.NOW_MS)
    raise PoisonError


def raise_at_once(_writer: Writer) -> None:
    """Fail without having written."""
    raise PoisonError


def stop_iteration(_writer: Writer) -> None:
    """Fail with the one exception that a future refuses."""
    next(iter(()))


def break_a_constraint(writer: Writer) -> None:
    """Have SQLite refuse a row after another was stored."""
    events.append(writer, EventType.VOICE_ENDED, actor_id=None, now_ms=stage.NOW_MS)
    writer.run("INSERT INTO bans (user_id, banned_by, banned_at) VALUES (-1, 1, 1)")


def write_without_end(writer: Writer) -> None:
    """Insert until the deadline, when SQLite takes the whole transaction back."""
    events.append(writer, EventType.VOICE_ENDED, actor_id=None, now_ms=stage.NOW_MS)
    writer.run(f"{ENDLESS} INSERT INTO bans (user_id, banned_by, banned_at) SELECT i, 1, 1 FROM n")


def read_without_end(writer: Writer) -> None:
    """Write one row and compute until the deadline."""
    events.append(writer, EventType.VOICE_ENDED, actor_id=None, now_ms=stage.NOW_MS)
    writer.one(f"{ENDLESS} SELECT sum(i) FROM n")


async def test_what_waits_is_committed_together(tmp_path: Path) -> None:
    """Sends that wait together are one commit, and their events come in the order of the log without gaps."""
    async with stage.opened(tmp_path, batch_max=64) as it:
        room = await it.found()
        before = len(it.published)
        async with Gate().held(it, room):
            sends = [asyncio.ensure_future(it.send(room, str(number))) for number in range(200)]
            await asyncio.sleep(0.01)
        sent = await asyncio.gather(*sends)
        commits = [batch for _, batch in it.published[before:]]
        assert [len(batch) for batch in commits] == [64, 64, 64, 8]
        assert [event.message.content for event in it.events(room) if event.message] == [str(n) for n in range(200)]
        assert [s.message.id for s in sent] == sorted(s.message.id for s in sent)
        log = await it.rows(room, "SELECT seq, message_id FROM events WHERE message_id IS NOT NULL ORDER BY seq")
        assert log == [(e.seq, e.message.id) for e in it.events(room) if e.message]


async def test_the_log_has_no_gaps(tmp_path: Path) -> None:
    """Published sequence numbers are the log's, gap-free from the first event on, whatever failed between."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        acts = [
            it.pool.write(room.id, write_then_raise, room.general) if number % 3 == 0 else it.send(room, str(number))
            for number in range(90)
        ]
        results = await asyncio.gather(*acts, return_exceptions=True)
        assert sum(isinstance(result, PoisonError) for result in results) == 30
        assert await it.texts(room) == [str(number) for number in range(90) if number % 3]
        stored = [row[0] for row in await it.rows(room, "SELECT seq FROM events ORDER BY seq")]
        assert stored == list(range(1, len(stored) + 1))
        published = [event.seq for event in it.events(room)]
        assert published == stored[-len(published) :]


@pytest.mark.parametrize(
    ("poison", "error"),
    [
        (raise_at_once, PoisonError),
        (stop_iteration, RuntimeError),
        (break_a_constraint, apsw.ConstraintError),
        (write_without_end, DeadlineError),
        (read_without_end, DeadlineError),
    ],
)
async def test_a_poison_task_leaves_its_neighbours_intact(
    tmp_path: Path, poison: object, error: type[Exception]
) -> None:
    """A task that fails inside a batch leaves and tells nothing, and its neighbours are stored exactly once."""
    assert callable(poison)
    async with stage.opened(tmp_path, write_deadline_seconds=0.25) as it:
        room = await it.found()
        already = len(it.events(room))
        async with Gate().held(it, room):
            acts = [
                asyncio.ensure_future(it.send(room, "one", nonce="1")),
                asyncio.ensure_future(it.pool.write(room.id, poison)),
                asyncio.ensure_future(it.send(room, "two", nonce="2")),
                asyncio.ensure_future(it.pool.write(room.id, poison)),
                asyncio.ensure_future(it.send(room, "three", nonce="3")),
            ]
            await asyncio.sleep(0.01)
        gathered = asyncio.gather(*acts, return_exceptions=True)
        results = await asyncio.wait_for(gathered, 60)
        assert [type(result) for result in results] == [Sent, error, Sent, error, Sent]
        assert await it.texts(room) == ["one", "two", "three"]
        assert await it.rows(room, "SELECT count(*) FROM bans") == [(0,)]
        assert await it.rows(room, "SELECT count(*) FROM events WHERE type = 'voice.ended'") == [(0,)]
        assert [event.type for event in it.events(room)[already:]] == ["message.created"] * 3
        await it.send(room, "four")
    connection = sqlite.connect(files.path_of(tmp_path, room.id))
    connection.execute("INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)")
    connection.close()


async def test_a_task_that_is_slow_outside_sqlite_costs_its_neighbours_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that outlives its deadline in Python leaves no stale deadline to the statements that follow it."""
    monkeypatch.setattr(queues, "PROGRESS_STEPS", 1)
    pause = threading.Event()
    async with stage.opened(tmp_path, write_deadline_seconds=0.25) as it:
        room = await it.found()
        results = await asyncio.gather(
            it.pool.write(room.id, lambda _writer: pause.wait(0.5)),
            it.send(room, "one"),
            it.send(room, "two"),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [bool, Sent, Sent]
        assert await it.texts(room) == ["one", "two"]


async def test_a_read_is_stopped_at_its_deadline(tmp_path: Path) -> None:
    """A question that computes too long is stopped, and those that wait behind it are answered."""
    async with stage.opened(tmp_path, read_deadline_seconds=0.3) as it:
        room = await it.found()
        await it.send(room, "here")
        gate = Gate()
        held = asyncio.ensure_future(it.pool.read(room.id, gate.hold))
        await asyncio.sleep(0.01)
        endless = asyncio.ensure_future(it.pool.read(room.id, Reader.one, f"{ENDLESS} SELECT sum(i) FROM n"))
        texts = asyncio.ensure_future(it.texts(room))
        await asyncio.sleep(0.01)
        gate.open()
        await held
        assert await texts == ["here"]
        with pytest.raises(DeadlineError):
            await endless
        with pytest.raises(DeadlineError):
            await it.pool.search(0.02, room.id, Reader.one, f"{ENDLESS} SELECT sum(i) FROM n")


async def test_publishing_comes_after_the_commit_and_before_the_reply(tmp_path: Path) -> None:
    """When events are published another connection already sees their rows, and no caller has its answer yet."""
    seen: list[bool] = []
    sends: list[asyncio.Task[Sent]] = []

    def look(_room_id: RoomId, batch: Sequence[Event]) -> None:
        created = [event.message.id for event in batch if event.message]
        if created:
            # A connection inside this process is safe: it is of the same library.
            other = sqlite.connect(files.path_of(tmp_path, room.id), read_only=True)
            found = other.execute(
                "SELECT count(*) FROM messages WHERE id IN (SELECT value FROM json_each(?))", (str(created),)
            )
            seen.append(found.fetchall() == [(len(created),)])
            other.close()
            seen.append(not any(send.done() and send.result().message.id in created for send in sends))

    async with stage.opened(tmp_path, publish=look, batch_max=4) as it:
        room = await it.found()
        sends.extend(asyncio.ensure_future(it.send(room, str(number))) for number in range(20))
        await asyncio.gather(*sends)
    assert len(seen) >= 10
    assert all(seen)


async def test_a_subscriber_that_fails_costs_no_reply(tmp_path: Path) -> None:
    """An exception while publishing is logged and the callers still get their answers."""

    def fail(_room_id: RoomId, _batch: Sequence[Event]) -> None:
        raise PoisonError

    async with stage.opened(tmp_path, publish=fail) as it:
        room = await it.found()
        assert (await it.send(room, "one")).is_new
        assert await it.texts(room) == ["one"]


async def test_a_cancelled_send_is_stored_and_published_once(tmp_path: Path) -> None:
    """A caller that goes away takes nothing with it: the message is stored, published once, and found by its nonce."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        async with Gate().held(it, room):
            leaving = asyncio.ensure_future(it.send(room, "gone", nonce="1"))
            staying = asyncio.ensure_future(it.send(room, "there"))
            await asyncio.sleep(0.01)
            leaving.cancel()
        await staying
        assert leaving.cancelled()
        assert [message.content for message in it.messages(room)] == ["gone", "there"]
        assert not (await it.send(room, "gone", nonce="1")).is_new
        assert await it.texts(room) == ["gone", "there"]
        assert len(it.messages(room)) == 2


async def test_a_rejected_send_is_answered_alone(tmp_path: Path) -> None:
    """Of sends that are committed together only the refused one fails."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        stranger = UserId(999)
        results = await asyncio.gather(
            it.send(room, "one"),
            stage.result_of(it.send(room, "two", user_id=stranger)),
            it.send(room, "three"),
        )
        assert [type(result) for result in results] == [Sent, NotFoundError, Sent]
        assert await it.texts(room) == ["one", "three"]


async def test_rooms_have_no_message_id_in_common(tmp_path: Path) -> None:
    """Messages of many rooms at one moment all have ids of their own."""
    async with stage.opened(tmp_path) as it:
        rooms = [await it.found(number) for number in range(1, 5)]
        sent = await asyncio.gather(*(it.send(room, f"{number}") for room in rooms for number in range(50)))
        assert len({one.message.id for one in sent}) == 200

"""Slow mode: how long one waits between two messages of a channel, and who does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ids import ThreadId, UserId
from shard import permissions
from shard.actions import messages, threads
from shard.actions.messages import Sent
from shard.engine.connections import Writer
from shard.errors import SlowModeError
from shard.tables.messages import Draft
from tests.shard import direct, stage

NOW = stage.NOW_MS
PAUSE = 30
Shard = tuple[Writer, stage.Room]


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Shard]:
    """A room whose general channel takes one message in half a minute."""
    with direct.writing(tmp_path) as (_, writer, room):
        writer.run("UPDATE channels SET slow_mode_seconds = ? WHERE id = ?", (PAUSE, room.general))
        yield writer, room


def send(
    shard: Shard,
    user_id: UserId = stage.ANNA,
    channel: str = "general",
    *,
    at: int = NOW,
    nonce: str | None = None,
    thread_id: ThreadId | None = None,
    sent_at: int | None = None,
) -> Sent:
    writer, room = shard
    draft = Draft("x", nonce, thread_id)
    return messages.send_message(writer, user_id, room.channels[channel], draft, now_ms=at, sent_at=sent_at)


@pytest.mark.parametrize(("waited_ms", "left"), [(0, 30), (1, 30), (1_000, 29), (29_001, 1), (29_999, 1)])
def test_a_message_waits_for_the_pause(shard: Shard, waited_ms: int, left: int) -> None:
    """Too soon is refused and says for how many whole seconds; when the pause is over, and in another channel and for
    another person at once, it is taken."""
    send(shard)
    with pytest.raises(SlowModeError) as caught:
        send(shard, at=NOW + waited_ms)
    assert caught.value.retry_after_seconds == left
    send(shard, stage.BEN, at=NOW + waited_ms)
    send(shard, channel="other", at=NOW + waited_ms)
    send(shard, at=NOW + PAUSE * 1_000)
    with pytest.raises(SlowModeError):
        send(shard, at=NOW + PAUSE * 1_000)


def test_threads_and_deletions_do_not_shorten_it(shard: Shard) -> None:
    """A thread of the channel is the channel, and a deleted message was sent."""
    writer, room = shard
    thread = threads.open_thread(writer, stage.BEN, room.general, "t", now_ms=NOW)
    sent = send(shard)
    with pytest.raises(SlowModeError):
        send(shard, thread_id=thread.id)
    messages.delete_message(writer, stage.ANNA, room.general, sent.message.id, now_ms=NOW)
    with pytest.raises(SlowModeError):
        send(shard)


def test_what_the_server_tells_and_imports_do_not_count(shard: Shard) -> None:
    """Whoever opened a thread or has imported history may speak at once, and an import never waits."""
    writer, room = shard
    threads.open_thread(writer, stage.ANNA, room.general, "t", now_ms=NOW)
    for _ in range(2):
        send(shard, sent_at=NOW - 3_600_000)
    send(shard)
    send(shard, sent_at=NOW - 3_600_000)


def test_a_repeated_nonce_does_not_wait(shard: Shard) -> None:
    """A retry is answered with its message at once, and another message waits."""
    first = send(shard, nonce="n")
    assert send(shard, nonce="n", at=NOW + 1) == (first.message, False)
    with pytest.raises(SlowModeError):
        send(shard, nonce="m", at=NOW + 1)


@pytest.mark.parametrize(
    ("bit", "is_exempt"),
    [
        (permissions.BYPASS_SLOW_MODE, True),
        (permissions.MANAGE_MESSAGES, True),
        (permissions.MANAGE_CHANNELS, True),
        (permissions.PIN_MESSAGES, False),
        (permissions.MANAGE_THREADS, False),
    ],
)
def test_some_do_not_wait(shard: Shard, bit: int, is_exempt: bool) -> None:
    """One of three permissions in the channel exempts; others do not."""
    writer, room = shard
    writer.run("INSERT INTO channel_overwrites VALUES (?, 'member', ?, ?, 0)", (room.general, stage.ANNA, bit))
    send(shard)
    if is_exempt:
        send(shard)
    else:
        with pytest.raises(SlowModeError):
            send(shard)
    send(shard, stage.OWNER)
    send(shard, stage.OWNER)


def test_a_clock_set_back_costs_one_pause_at_most(shard: Shard) -> None:
    """When the clock goes back by a day, the wait is the pause and not a day."""
    send(shard)
    with pytest.raises(SlowModeError) as caught:
        send(shard, at=NOW - 86_400_000)
    assert caught.value.retry_after_seconds == PAUSE

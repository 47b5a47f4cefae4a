"""Threads through their life: named, locked, asleep, awake, and found."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ids import ChannelId, ThreadId, UserId
from shard import permissions
from shard.actions import messages, threads
from shard.actions.pages import Span
from shard.actions.threads import ThreadChange
from shard.engine.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.tables.messages import Draft
from shard.tables.threads import State, Thread
from tests.shard import direct, stage

NOW = stage.NOW_MS
HOUR = 3_600_000
SLEEPS_AFTER = 168 * HOUR
Shard = tuple[Writer, stage.Room]


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Shard]:
    """A room, in a transaction."""
    with direct.writing(tmp_path) as (connection, writer, room):
        connection.execute("BEGIN IMMEDIATE")
        yield writer, room
        connection.execute("ROLLBACK")


def opened(shard: Shard, title: str = "topic", *, by: UserId = stage.ANNA, channel: str = "general") -> Thread:
    """Open a thread."""
    writer, room = shard
    thread = threads.open_thread(writer, by, room.channels[channel], title, now_ms=NOW)
    writer.settle()
    return thread


def changed(shard: Shard, thread: Thread, by: UserId, *, now_ms: int = NOW, **wanted: object) -> Thread:
    """Change a thread."""
    change = ThreadChange(**wanted)  # type: ignore[arg-type]
    return threads.change_thread(shard[0], by, thread.channel_id, thread.id, change, reason="why not", now_ms=now_ms)


def say(shard: Shard, thread: Thread, by: UserId = stage.ANNA, *, now_ms: int = NOW) -> None:
    """Write in a thread."""
    draft = Draft("hello", thread_id=thread.id)
    messages.send_message(shard[0], by, thread.channel_id, draft, now_ms=now_ms)
    shard[0].settle()


def again(shard: Shard, thread: Thread, *, now_ms: int = NOW) -> Thread:
    """Look at a thread anew, as somebody else."""
    return threads.get_thread(shard[0], stage.BEN, thread.channel_id, thread.id, now_ms=now_ms)


def titles(shard: Shard, state: State, *, now_ms: int = NOW, limit: int = 10) -> list[str]:
    """Return the titles of a state in `general`, walked page by page."""
    writer, room = shard
    found: list[Thread] = []
    before: tuple[int, ThreadId] | None = None
    while True:
        page = threads.list_threads(
            writer, stage.BEN, room.general, state=state, before=before, limit=limit, now_ms=now_ms
        )
        found += page
        if not page:
            return [thread.title for thread in found]
        before = (page[-1].last_message_at, page[-1].id)


def active(shard: Shard, by: UserId = stage.BEN, *, now_ms: int = NOW) -> list[str]:
    """Return the titles of the room's active threads."""
    return [one.title for one in threads.list_active(shard[0], by, before=None, limit=10, now_ms=now_ms)]


def written(shard: Shard, table: str) -> list[tuple[object, ...]]:
    """Return what the log or the audit log says of changed threads."""
    if table == "events":
        return shard[0].all(
            "SELECT payload ->> '$.replaced', json_remove(payload, '$.replaced', '$.id') FROM events "
            "WHERE type = 'thread.edited'"
        )
    return shard[0].all("SELECT actor_id, before, after, reason FROM audit_log WHERE action = 'thread.edited'")


def test_whoever_opened_a_thread_renames_it(shard: Shard) -> None:
    """Its opener renames and archives a thread, which others may not, and nothing of this is a moderator's act."""
    thread = opened(shard)
    with pytest.raises(ForbiddenError):
        changed(shard, thread, stage.BEN, title="mine")
    renamed = changed(shard, thread, stage.ANNA, title="better", is_archived=True)
    assert (renamed.title, renamed.is_archived) == ("better", 1)
    assert again(shard, thread) == renamed
    assert written(shard, "events") == [
        ('{"title":"topic","is_archived":false}', '{"title":"better","is_archived":true}')
    ]
    assert written(shard, "audit_log") == []


def test_managers_of_threads_change_any(shard: Shard) -> None:
    """Who manages threads changes those of others, and the audit log says from what to what, and why."""
    thread = opened(shard)
    changed(shard, thread, stage.OWNER, title="better", is_locked=True)
    assert written(shard, "audit_log") == [
        (stage.OWNER, '{"is_locked":false,"title":"topic"}', '{"is_locked":true,"title":"better"}', "why not")
    ]
    changed(shard, opened(shard, by=stage.OWNER, title="own"), stage.OWNER, is_locked=True)
    assert len(written(shard, "audit_log")) == 2


def test_only_managers_lock(shard: Shard) -> None:
    """Its opener may not lock a thread, nor change or unlock a locked one, nor write in it; managers may all."""
    thread = opened(shard)
    with pytest.raises(ForbiddenError):
        changed(shard, thread, stage.ANNA, is_locked=True)
    changed(shard, thread, stage.OWNER, is_locked=True)
    for wanted in ({"title": "mine"}, {"is_locked": False}, {"is_archived": True}):
        with pytest.raises(ForbiddenError):
            changed(shard, thread, stage.ANNA, **wanted)
    with pytest.raises(ConflictError):
        say(shard, thread)
    say(shard, thread, stage.OWNER)
    changed(shard, thread, stage.OWNER, is_locked=False)
    say(shard, thread)
    changed(shard, thread, stage.ANNA, title="mine")


def test_a_timed_out_opener_changes_nothing(shard: Shard) -> None:
    """A time-out leaves reading a thread and takes changing it."""
    thread = opened(shard)
    direct.time_out(shard[0], stage.ANNA, NOW + 1)
    threads.get_thread(shard[0], stage.ANNA, thread.channel_id, thread.id, now_ms=NOW)
    with pytest.raises(ForbiddenError):
        changed(shard, thread, stage.ANNA, title="mine")
    assert changed(shard, thread, stage.ANNA, title="mine", now_ms=NOW + 1).title == "mine"


def test_what_is_so_already_is_no_change(shard: Shard) -> None:
    """Asking for what is leaves no event and no act."""
    thread = opened(shard)
    assert changed(shard, thread, stage.OWNER, title="topic", is_locked=False, is_archived=False) == thread
    assert written(shard, "events") == written(shard, "audit_log") == []


def test_a_title_is_given_once(shard: Shard) -> None:
    """A thread cannot be renamed to the title of another one of its channel, but to that of one elsewhere."""
    thread = opened(shard)
    opened(shard, "taken")
    opened(shard, "elsewhere", channel="other")
    with pytest.raises(ConflictError, match="taken"):
        changed(shard, thread, stage.ANNA, title="taken")
    changed(shard, thread, stage.ANNA, title="elsewhere")


def test_nothing_changes_in_an_archived_channel(shard: Shard) -> None:
    """In an archived channel threads stay as they are, for managers too."""
    thread = opened(shard)
    direct.archive(*shard, "general")
    with pytest.raises(ConflictError):
        changed(shard, thread, stage.OWNER, title="late")


def test_a_thread_of_elsewhere_is_not_there(shard: Shard) -> None:
    """A thread is found and changed by way of its own channel alone."""
    thread = opened(shard)
    other = shard[1].channels["other"]
    with pytest.raises(NotFoundError):
        threads.get_thread(shard[0], stage.ANNA, other, thread.id, now_ms=NOW)
    with pytest.raises(NotFoundError):
        threads.change_thread(shard[0], stage.ANNA, other, thread.id, ThreadChange("x"), now_ms=NOW)


def test_a_quiet_thread_falls_asleep(shard: Shard) -> None:
    """A thread is archived once nobody has written in it for its channel's time, and awake after the next message."""
    thread = opened(shard)
    say(shard, thread, now_ms=NOW + HOUR)
    asleep_at = NOW + HOUR + SLEEPS_AFTER
    assert not again(shard, thread, now_ms=asleep_at - 1).is_archived
    assert again(shard, thread, now_ms=asleep_at).is_archived
    say(shard, thread, now_ms=asleep_at)
    assert not again(shard, thread, now_ms=asleep_at).is_archived
    shard[0].run("UPDATE channels SET auto_archive_hours = 1")
    assert again(shard, thread, now_ms=asleep_at + HOUR).is_archived
    assert written(shard, "events") == []


def test_an_archived_thread_is_woken_by_a_message(shard: Shard) -> None:
    """Writing in a thread that somebody archived revives it and says so, and an import of old talk does not."""
    thread = opened(shard)
    changed(shard, thread, stage.ANNA, is_archived=True)
    draft = Draft("old", thread_id=thread.id)
    messages.send_message(shard[0], stage.BEN, thread.channel_id, draft, now_ms=NOW, sent_at=NOW - HOUR)
    assert again(shard, thread).is_archived
    say(shard, thread, stage.BEN)
    assert not again(shard, thread).is_archived
    assert written(shard, "events")[1:] == [('{"is_archived":true}', '{"is_archived":false}')]


def test_reviving_a_sleeping_thread_starts_its_time_anew(shard: Shard) -> None:
    """A thread that is revived without a message stays awake for its channel's time."""
    thread = opened(shard)
    late = NOW + 2 * SLEEPS_AFTER
    assert changed(shard, thread, stage.ANNA, title="still asleep", now_ms=late).is_archived
    assert not changed(shard, thread, stage.ANNA, is_archived=False, now_ms=late).is_archived
    assert not again(shard, thread, now_ms=late + SLEEPS_AFTER - 1).is_archived
    assert again(shard, thread, now_ms=late + SLEEPS_AFTER).is_archived


@pytest.mark.parametrize("limit", [1, 10])
def test_threads_are_listed_by_their_state(shard: Shard, limit: int) -> None:
    """Active and archived threads are listed apart or together, last active first, each once, page by page."""
    late = NOW + SLEEPS_AFTER
    _, closed, awake, locked = (opened(shard, title) for title in ("asleep", "closed", "awake", "locked"))
    for number, thread in enumerate((closed, awake, locked)):
        say(shard, thread, now_ms=late - HOUR + number)
    changed(shard, closed, stage.ANNA, is_archived=True)
    changed(shard, locked, stage.OWNER, is_locked=True)
    assert titles(shard, "all", now_ms=late, limit=limit) == ["locked", "awake", "closed", "asleep"]
    assert titles(shard, "active", now_ms=late, limit=limit) == ["locked", "awake"]
    assert titles(shard, "archived", now_ms=late, limit=limit) == ["closed", "asleep"]
    assert active(shard, now_ms=late) == ["locked", "awake"]


def test_titles_are_completed(shard: Shard) -> None:
    """Threads are found by the beginning of their titles, whatever its case, of a state if one is asked for."""
    for title in ("moss or feathers", "mortar", "Most of it", "feathers", "mos", "50% off", "50 ways"):
        opened(shard, title)
    opened(shard, "moss of elsewhere", channel="other")
    changed(shard, opened(shard, "Moss"), stage.ANNA, is_archived=True)

    def complete(beginning: str, state: State = "all", limit: int = 10) -> list[str]:
        writer, room = shard
        found = threads.complete_title(writer, stage.BEN, room.general, beginning, state=state, limit=limit, now_ms=NOW)
        return [thread.title for thread in found]

    assert complete("MOS") == ["mos", "Moss", "moss or feathers", "Most of it"]
    assert complete("mos", limit=2) == ["mos", "Moss"]
    assert complete("mos", "active") == ["mos", "moss or feathers", "Most of it"]
    assert complete("mos", "archived") == ["Moss"]
    assert complete("50%") == ["50% off"]
    assert complete("_") == []


def test_a_rooms_active_threads_are_those_one_may_read(shard: Shard) -> None:
    """The room's list has threads of all channels that its reader sees and may read, and no others."""
    opened(shard, "here")
    opened(shard, "there", channel="other")
    assert active(shard) == ["there", "here"]
    shard[0].run("UPDATE channels SET auto_archive_hours = 1 WHERE id = ?", (shard[1].channels["other"],))
    assert active(shard, now_ms=NOW + HOUR) == ["here"]
    direct.make_private(*shard, "other")
    assert active(shard) == ["here"]
    assert active(shard, stage.OWNER) == ["there", "here"]
    direct.deny_everyone(*shard, permissions.READ_HISTORY)
    assert active(shard) == []


def test_the_channel_is_told_of_a_new_thread(shard: Shard) -> None:
    """A message of the server names a new thread, but where every message is in one anyway."""
    writer, room = shard
    thread = opened(shard)

    def told(channel_id: ChannelId) -> list[tuple[str, str | None, UserId]]:
        page = direct.read_page(writer, stage.BEN, channel_id, None, Span(), now_ms=NOW)
        return [(one.content_type, one.metadata, one.user_id) for one in page.messages]

    metadata = f'{{"kind":"thread_created","thread_id":"{thread.id}","title":"topic"}}'
    assert ("system", metadata, stage.ANNA) in told(room.general)
    opened(shard, channel="topics")
    assert told(room.channels["topics"]) == []

"""Threads: topics with a title inside a channel.

A thread is archived when somebody archived it, or when it had no message for its channel's `auto_archive_hours`. That
is computed when a thread is read, so no periodic task has to set a flag.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import apsw
import orjson

from ids import ChannelId, MessageId, ThreadId, UserId
from shard import permissions
from shard.access import Channel, Sight
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError, NotFoundError
from shard.event_types import EventType
from shard.tables import events

State = Literal["active", "archived", "all"]
_BEFORE_ALL = ((1 << 63) - 1, (1 << 63) - 1)


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread; times in milliseconds UTC. Until the first message, `last_message_at` is the time of creation."""

    id: ThreadId
    channel_id: ChannelId
    title: str
    created_by: UserId
    message_count: int
    last_message_id: MessageId | None
    last_message_at: int
    is_locked: int
    is_archived: int
    created_at: int


def one(reader: Reader, channel: Channel, thread_id: ThreadId, *, now_ms: int) -> Thread:
    """Return a thread of this channel; raises NotFoundError for any other id."""
    row = reader.one(_ONE, (now_ms, thread_id, channel.id))
    if row is None:
        raise NotFoundError("thread")
    return Thread(*row)


def is_locked(reader: Reader, channel: Channel, thread_id: ThreadId) -> bool:
    """Return whether a thread takes no more messages; raises NotFoundError for an id of another channel."""
    row = reader.one("SELECT is_locked FROM threads WHERE id = ? AND channel_id = ?", (thread_id, channel.id))
    if row is None:
        raise NotFoundError("thread")
    return bool(row[0])


def titled(reader: Reader, channel: Channel, title: str, *, now_ms: int) -> Thread | None:
    """Return the thread with exactly this title."""
    row = reader.one(_TITLED, (now_ms, channel.id, title))
    return None if row is None else Thread(*row)


def recent(
    reader: Reader,
    channel: Channel,
    *,
    state: State = "all",
    before: tuple[int, ThreadId] | None = None,
    limit: int = 50,
    now_ms: int,
) -> list[Thread]:
    """Return the channel's threads in a state, last active first, from a (last_message_at, id) cursor on."""
    rows = reader.all(_RECENT[state], (now_ms, channel.id, *(before or _BEFORE_ALL), limit))
    return [Thread(*row) for row in rows]


def beginning(
    reader: Reader, channel: Channel, text: str, *, state: State = "all", limit: int = 50, now_ms: int
) -> list[Thread]:
    """Return the channel's threads whose titles begin with a text, by title; ASCII letters match in either case."""
    rows = reader.all(_BEGINNING, (now_ms, channel.id, text, text + "\U0010ffff", limit, state))
    return [Thread(*row) for row in rows]


def active(
    reader: Reader, sight: Sight, *, before: tuple[int, ThreadId] | None = None, limit: int = 50, now_ms: int
) -> list[Thread]:
    """Return the threads that are not archived of all channels whose history a member may read, last active first."""
    channels = orjson.dumps(sight.where(permissions.READ_HISTORY)).decode()
    rows = reader.all(_ACTIVE, (now_ms, channels, *(before or _BEFORE_ALL), limit))
    return [Thread(*row) for row in rows]


def insert(writer: Writer, channel: Channel, title: str, *, now_ms: int) -> Thread:
    """Insert a thread; raises ConflictError when the channel has one with this title."""
    thread_id = ThreadId(writer.ids.next(now_ms))
    try:
        writer.run(
            "INSERT INTO threads (id, channel_id, title, created_by, last_message_at, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (thread_id, channel.id, title, channel.user_id, now_ms, now_ms),
        )
    except apsw.ConstraintError as error:
        raise _explained(error, title) from error
    events.append(
        writer,
        EventType.THREAD_CREATED,
        actor_id=channel.user_id,
        channel_id=channel.id,
        payload={"id": str(thread_id), "title": title},
        now_ms=now_ms,
    )
    return one(writer, channel, thread_id, now_ms=now_ms)


def change(writer: Writer, channel: Channel, thread: Thread, after: Mapping[str, Any], *, now_ms: int) -> Thread:
    """Update `title`, `is_locked` or `is_archived`; a thread that is unarchived restarts its `auto_archive_hours`.

    Raises ConflictError when the channel has another thread with this title.
    """
    title, is_locked, is_archived = (after.get(name) for name in ("title", "is_locked", "is_archived"))
    try:
        writer.run(_CHANGE, (title, is_locked, is_archived, now_ms, thread.id))
    except apsw.ConstraintError as error:
        raise _explained(error, str(title)) from error
    return one(writer, channel, thread.id, now_ms=now_ms)


def wake(writer: Writer, channel: Channel, thread_id: ThreadId, *, now_ms: int) -> None:
    """Unarchive a thread, because of a new message in it."""
    writer.run("UPDATE threads SET is_archived = 0 WHERE id = ? AND is_archived = 1", (thread_id,))
    if writer.changed():
        log_edited(writer, channel, thread_id, {"is_archived": False}, replaced={"is_archived": True}, now_ms=now_ms)


def log_edited(
    writer: Writer,
    channel: Channel,
    thread_id: ThreadId,
    changes: Mapping[str, Any],
    *,
    replaced: Mapping[str, Any],
    now_ms: int,
) -> None:
    """Append the event of a change to a thread by `channel.user_id`; `replaced` has the former values."""
    events.append(
        writer,
        EventType.THREAD_EDITED,
        actor_id=channel.user_id,
        channel_id=channel.id,
        payload={"id": str(thread_id), **changes},
        replaced=replaced,
        now_ms=now_ms,
    )


def _explained(error: apsw.ConstraintError, title: str) -> Exception:
    if "threads.title" not in str(error):
        return error
    return ConflictError(f"This channel already has a thread titled {title!r}.")


_SLEPT = "t.last_message_at <= ?1 - c.auto_archive_hours * 3600000"
_SELECT = (
    "SELECT t.id, t.channel_id, t.title, t.created_by, t.message_count, t.last_message_id, t.last_message_at, "  # noqa: S608
    f"t.is_locked, t.is_archived OR {_SLEPT}, t.created_at FROM threads t CROSS JOIN channels c ON c.id = t.channel_id"
)
_ONE = f"{_SELECT} WHERE t.id = ?2 AND t.channel_id = ?3"
_TITLED = f"{_SELECT} WHERE t.channel_id = ?2 AND t.title = ?3"
_IN_CHANNEL = f"{_SELECT} WHERE t.channel_id = ?2 AND (t.last_message_at, t.id) < (?3, ?4)"
_BY_ACTIVITY = "ORDER BY t.last_message_at DESC, t.id DESC LIMIT ?5"
_RECENT: Mapping[State, str] = {
    "all": f"{_IN_CHANNEL} {_BY_ACTIVITY}",
    # The lower bound stops the index scan at the first archived thread, however many follow.
    "active": (
        f"{_IN_CHANNEL} AND t.is_archived = 0 AND t.last_message_at > "  # noqa: S608
        "?1 - (SELECT auto_archive_hours FROM channels WHERE id = ?2) * 3600000 "
        f"{_BY_ACTIVITY}"
    ),
    "archived": f"{_IN_CHANNEL} AND (t.is_archived = 1 OR {_SLEPT}) {_BY_ACTIVITY}",
}
_BEGINNING = (
    f"{_SELECT} WHERE t.channel_id = ?2 AND t.title >= ?3 COLLATE NOCASE AND t.title < ?4 COLLATE NOCASE "
    f"AND (?6 = 'all' OR (t.is_archived OR {_SLEPT}) = (?6 = 'archived')) "
    "ORDER BY t.title COLLATE NOCASE, t.id LIMIT ?5"
)
_ACTIVE = (
    f"{_SELECT} WHERE (t.last_message_at, t.id) < (?3, ?4) AND t.is_archived = 0 AND NOT {_SLEPT} "  # noqa: S608
    "AND t.last_message_at > ?1 - (SELECT max(auto_archive_hours) FROM channels) * 3600000 "
    f"AND +t.channel_id IN (SELECT value FROM json_each(?2)) {_BY_ACTIVITY}"
)
_CHANGE = (
    "UPDATE threads SET title = coalesce(?1, title), is_locked = coalesce(?2, is_locked), "
    "is_archived = coalesce(?3, is_archived), "
    "last_message_at = CASE WHEN ?3 = 0 THEN max(last_message_at, ?4) ELSE last_message_at END WHERE id = ?5"
)

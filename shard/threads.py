"""Threads: topics with a title inside a channel."""

from dataclasses import dataclass

import apsw

from ids import ChannelId, MessageId, ThreadId, UserId
from shard import events
from shard.access import Channel
from shard.connections import Reader, Writer
from shard.errors import ConflictError, NotFoundError


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread; times in milliseconds UTC."""

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


_COLUMNS = (
    "id, channel_id, title, created_by, message_count, last_message_id, last_message_at, is_locked, is_archived, "
    "created_at"
)


def one(reader: Reader, channel: Channel, thread_id: ThreadId) -> Thread:
    """Return a thread of this channel; raises NotFoundError for any other id."""
    row = reader.one(
        f"SELECT {_COLUMNS} FROM threads WHERE id = ? AND channel_id = ?",  # noqa: S608
        (thread_id, channel.id),
    )
    if row is None:
        raise NotFoundError("thread")
    return Thread(*row)


def is_locked(reader: Reader, channel: Channel, thread_id: ThreadId) -> bool:
    """Tell whether a thread takes no more messages; raises NotFoundError for an id that is none of this channel."""
    row = reader.one("SELECT is_locked FROM threads WHERE id = ? AND channel_id = ?", (thread_id, channel.id))
    if row is None:
        raise NotFoundError("thread")
    return bool(row[0])


def titled(reader: Reader, channel: Channel, title: str) -> Thread | None:
    """Return the thread with exactly this title."""
    row = reader.one(
        f"SELECT {_COLUMNS} FROM threads WHERE channel_id = ? AND title = ?",  # noqa: S608
        (channel.id, title),
    )
    return None if row is None else Thread(*row)


def recent(
    reader: Reader, channel: Channel, *, before: tuple[int, ThreadId] | None = None, limit: int = 50
) -> list[Thread]:
    """Return the channel's threads, last active first, from a (last_message_at, id) cursor on."""
    rows = reader.all(
        f"SELECT {_COLUMNS} FROM threads WHERE channel_id = ? AND (last_message_at, id) < (?, ?) "  # noqa: S608
        "ORDER BY last_message_at DESC, id DESC LIMIT ?",
        (channel.id, *(before or ((1 << 63) - 1, (1 << 63) - 1)), limit),
    )
    return [Thread(*row) for row in rows]


def insert(writer: Writer, channel: Channel, title: str, *, now_ms: int) -> Thread:
    """Open a thread; raises ConflictError when the channel has one of this title."""
    thread_id = ThreadId(writer.ids.next(now_ms))
    try:
        writer.run(
            "INSERT INTO threads (id, channel_id, title, created_by, last_message_at, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (thread_id, channel.id, title, channel.user_id, now_ms, now_ms),
        )
    except apsw.ConstraintError as error:
        if "threads.title" not in str(error):
            raise
        raise ConflictError(f"This channel already has a thread titled {title!r}.") from error
    events.append(
        writer,
        "thread.created",
        actor_id=channel.user_id,
        channel_id=channel.id,
        payload={"id": str(thread_id), "title": title},
        now_ms=now_ms,
    )
    return one(writer, channel, thread_id)

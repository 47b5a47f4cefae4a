"""Threads: opening, changing, listing and completion of titles."""

from dataclasses import dataclass
from typing import Any

from ids import ChannelId, ThreadId, UserId
from shard import access, permissions
from shard.access import Channel
from shard.actions import messages as message_actions
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError, ForbiddenError
from shard.event_types import EventType
from shard.tables import audit, messages, threads
from shard.tables.threads import State, Thread


@dataclass(frozen=True, slots=True)
class ThreadChange:
    """Changes to a thread; None leaves a field as it is."""

    title: str | None = None
    is_locked: bool | None = None
    is_archived: bool | None = None


def open_thread(
    writer: Writer, user_id: UserId, channel_id: ChannelId, title: str, *, now_ms: int, is_announced: bool = True
) -> Thread:
    """Open a thread and, unless all messages of the channel are in threads, announce it by a message of the server.

    Raises ConflictError in a channel without threads and for a taken title.
    """
    channel = access.open_channel(writer, user_id, channel_id, permissions.CREATE_THREADS, now_ms=now_ms)
    thread = insert_thread(writer, channel, title, now_ms=now_ms)
    if is_announced and channel.thread_mode != "required":
        facts = {"thread_id": str(thread.id), "title": title}
        messages.insert_system(writer, channel_id, "thread_created", facts, user_id, now_ms)
    return thread


def insert_thread(writer: Writer, channel: Channel, title: str, *, now_ms: int) -> Thread:
    """Add a thread for who opened the channel to do so; raises as `open_thread`."""
    if channel.thread_mode == "disabled":
        raise ConflictError("This channel has no threads.")
    message_actions.require_writable(channel)
    return threads.insert(writer, channel, title, now_ms=now_ms)


def get_thread(reader: Reader, user_id: UserId, channel_id: ChannelId, thread_id: ThreadId, *, now_ms: int) -> Thread:
    """Return one thread."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    return threads.one(reader, channel, thread_id, now_ms=now_ms)


def list_threads(
    reader: Reader,
    user_id: UserId,
    channel_id: ChannelId,
    *,
    state: State = "all",
    before: tuple[int, ThreadId] | None,
    limit: int,
    now_ms: int,
) -> list[Thread]:
    """Return a channel's threads, last active first."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    return threads.recent(reader, channel, state=state, before=before, limit=limit, now_ms=now_ms)


def complete_title(
    reader: Reader,
    user_id: UserId,
    channel_id: ChannelId,
    beginning: str,
    *,
    state: State = "all",
    limit: int,
    now_ms: int,
) -> list[Thread]:
    """Return the channel's threads whose titles begin with a text, by title."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    return threads.beginning(reader, channel, beginning, state=state, limit=limit, now_ms=now_ms)


def list_active(
    reader: Reader, user_id: UserId, *, before: tuple[int, ThreadId] | None, limit: int, now_ms: int
) -> list[Thread]:
    """Return the active threads of all channels that the member may read, last active first."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    return threads.active(reader, sight, before=before, limit=limit, now_ms=now_ms)


def change_thread(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    thread_id: ThreadId,
    wanted: ThreadChange,
    *,
    reason: str | None = None,
    now_ms: int,
) -> Thread:
    """Rename, lock, archive or unarchive a thread.

    Its opener may rename, archive and unarchive it while it is not locked; everything else needs MANAGE_THREADS.
    Raises ConflictError in an archived channel and for a taken title.
    """
    channel = access.open_channel(writer, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    thread = threads.one(writer, channel, thread_id, now_ms=now_ms)
    if not channel.may(permissions.MANAGE_THREADS):
        _require_own(channel, thread, wanted)
    if channel.is_archived:
        raise ConflictError("This channel is archived.")
    before, after = _difference(thread, wanted)
    if not after:
        return thread
    changed = threads.change(writer, channel, thread, after, now_ms=now_ms)
    threads.log_edited(writer, channel, thread_id, after, replaced=before, now_ms=now_ms)
    if user_id != thread.created_by or "is_locked" in after:
        audit.append(
            writer,
            EventType.THREAD_EDITED,
            actor_id=user_id,
            target=("thread", thread_id),
            before=before,
            after=after,
            reason=reason,
            now_ms=now_ms,
        )
    return changed


def _require_own(channel: Channel, thread: Thread, wanted: ThreadChange) -> None:
    """Raise ForbiddenError unless a member without MANAGE_THREADS changes an unlocked thread of their own."""
    if not channel.may(permissions.SEND_IN_THREADS):
        raise ForbiddenError("This needs the permission send_in_threads.", need="send_in_threads")
    if thread.created_by != channel.user_id:
        raise ForbiddenError("Only who opened this thread, or manages threads, may change it.", need="manage_threads")
    if thread.is_locked or wanted.is_locked is not None:
        raise ForbiddenError("Only those who manage threads change what is locked.", need="manage_threads")


def _difference(thread: Thread, wanted: ThreadChange) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the present and the wanted values of the fields that differ."""
    now = {"title": thread.title, "is_locked": bool(thread.is_locked), "is_archived": bool(thread.is_archived)}
    then = {"title": wanted.title, "is_locked": wanted.is_locked, "is_archived": wanted.is_archived}
    after = {name: value for name, value in then.items() if value is not None and value != now[name]}
    return {name: now[name] for name in after}, after

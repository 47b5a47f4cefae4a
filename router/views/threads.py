"""Threads."""

from collections.abc import Sequence
from datetime import datetime

from typing_extensions import TypedDict

from ids import RoomId
from router import cursors
from router.views.values import moment, text_or_none
from shard.threads import Thread


class ThreadView(TypedDict):
    """A thread. Until somebody writes in it, `last_message_at` is when it was opened."""

    id: str
    room_id: str
    channel_id: str
    title: str
    created_by: str
    message_count: int
    last_message_id: str | None
    last_message_at: datetime
    is_locked: bool
    is_archived: bool
    created_at: datetime


class ThreadPageView(TypedDict):
    """Threads, last active first; `next_cursor` is null on the last page."""

    threads: list[ThreadView]
    next_cursor: str | None


def thread(room_id: RoomId, row: Thread) -> ThreadView:
    """Render a thread."""
    return {
        "id": str(row.id),
        "room_id": str(room_id),
        "channel_id": str(row.channel_id),
        "title": row.title,
        "created_by": str(row.created_by),
        "message_count": row.message_count,
        "last_message_id": text_or_none(row.last_message_id),
        "last_message_at": moment(row.last_message_at),
        "is_locked": bool(row.is_locked),
        "is_archived": bool(row.is_archived),
        "created_at": moment(row.created_at),
    }


def page(room_id: RoomId, found: Sequence[Thread], limit: int) -> ThreadPageView:
    """Render the first `limit` of the threads that were found, one more of which tells that there is a next page."""
    last = found[limit - 1] if len(found) > limit else None
    return {
        "threads": [thread(room_id, row) for row in found[:limit]],
        "next_cursor": cursors.write(last.last_message_at, last.id) if last else None,
    }

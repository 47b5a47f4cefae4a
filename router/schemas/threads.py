"""Schemas of threads."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from typing_extensions import TypedDict

from ids import RoomId
from router.schemas import pages
from router.schemas.fields import CLEANED, NO_NUL, Reason, TimedPageQuery, Wire, moment, text_or_none
from shard.actions.threads import ThreadChange
from shard.tables.threads import Thread

ThreadTitle = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), NO_NUL, CLEANED]


class CreateThread(Wire):
    """Thread to create, by its title."""

    title: ThreadTitle


class ChangeThread(Wire):
    """Changes to a thread. Fields that are left out do not change."""

    # Every thread has these: they can be changed but not emptied, so null is refused. The defaults are never read.
    title: ThreadTitle = Field(default_factory=str)
    is_locked: bool = Field(default_factory=bool)
    is_archived: bool = Field(default_factory=bool)
    reason: Reason | None = None

    def change(self) -> ThreadChange:
        return ThreadChange(**self.model_dump(include=self.model_fields_set - {"reason"}))


class ThreadsQuery(TimedPageQuery):
    """Filter of a channel's threads, the most recently active first.

    With `title`, those whose titles begin with it, by title, on one page; A to Z match in either case.
    """

    state: Literal["active", "archived", "all"] = "all"
    title: Annotated[str, StringConstraints(min_length=1, max_length=200), NO_NUL] | None = None


class ThreadView(TypedDict):
    """Thread. Until it has a message, `last_message_at` is its creation time."""

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
    """Threads, the most recently active first. `next_cursor` is null on the last page."""

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
    """Render the first `limit` of the threads found; one more of them means that there is a next page."""
    last = found[limit - 1] if len(found) > limit else None
    return {
        "threads": [thread(room_id, row) for row in found[:limit]],
        "next_cursor": pages.write(last.last_message_at, last.id) if last else None,
    }

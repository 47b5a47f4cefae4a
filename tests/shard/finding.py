"""A shard to search in, without a pool: what is said goes into its index at once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import apsw

from ids import MessageId, ThreadId, UserId
from shard.actions import messages, threads
from shard.actions.search import BEGINNING, Place, Ranking, Results, SearchRequest
from shard.engine.connections import Writer
from shard.search import query as queries
from shard.tables.messages import Draft
from tests.shard import direct, stage

NOW = stage.NOW_MS
NAMES = {"owner": stage.OWNER, "anna": stage.ANNA, "ben": stage.BEN}


@dataclass(frozen=True, slots=True)
class Shard:
    """One file, and the names of its people."""

    connection: apsw.Connection
    writer: Writer
    room: stage.Room
    people: Mapping[str, UserId] = field(default_factory=lambda: NAMES)

    def say(
        self,
        *texts: str,
        channel: str = "general",
        by: UserId = stage.ANNA,
        at: int = NOW,
        thread_id: ThreadId | None = None,
        reply_to_id: MessageId | None = None,
    ) -> list[MessageId]:
        """Send messages and return their ids."""
        channel_id = self.room.channels[channel]
        sent = [
            messages.send_message(
                self.writer, by, channel_id, Draft(text, None, thread_id, reply_to_id), now_ms=at, sent_at=at
            )
            for text in texts
        ]
        self.writer.settle()
        return [one.message.id for one in sent]

    def thread(self, title: str, *, channel: str = "general") -> ThreadId:
        """Open a thread and return its id."""
        return threads.open_thread(self.writer, stage.ANNA, self.room.channels[channel], title, now_ms=NOW).id

    def search(
        self,
        text: str,
        *,
        by: UserId = stage.ANNA,
        channel: str | None = None,
        place: Place = BEGINNING,
        limit: int = 100,
        seconds: float = 60.0,
    ) -> Results:
        """Return what somebody finds, newest first or in the order of the place."""
        request = SearchRequest(
            query=replace(queries.parse(text), people=self.people),
            channel_id=None if channel is None else self.room.channels[channel],
            place=place,
            limit=limit,
            seconds=seconds,
            deadline_seconds=60.0,
        )
        asked = direct.searches(self.writer).search_room(self.room.id, by, request, now_ms=NOW)
        return direct.answer(asked)

    def find(self, text: str, **options: Any) -> list[str]:
        """Return the contents of what somebody finds, newest first."""
        return [message.content for message in self.search(text, **options).messages]

    def walk(self, text: str, *, limit: int, **options: Any) -> Iterator[Results]:
        """Yield what somebody finds page by page, newest first."""
        page = self.search(text, limit=limit, **options)
        yield page
        while page.next_place is not None:
            page = self.search(text, limit=limit, place=page.next_place, **options)
            yield page

    def rank(self, text: str, place: Place | None = None, *, limit: int = 100) -> Results:
        """Return what ANNA finds, most relevant first."""
        return self.search(text, place=place or Ranking(), limit=limit)


@contextmanager
def opened(folder: Path) -> Iterator[Shard]:
    """Make a shard with its people and channels."""
    with direct.writing(folder) as (connection, writer, room):
        yield Shard(connection, writer, room)


@contextmanager
def undone(shard: Shard) -> Iterator[Shard]:
    """Take back what is said inside."""
    with direct.undone(shard.connection, shard.writer):
        yield shard

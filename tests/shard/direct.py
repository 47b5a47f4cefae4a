"""A shard without a pool: acts called on its writer, for tests that need many shards or many acts and no threads."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import apsw

import ids
from ids import ChannelId, RoomId, ThreadId, UserId
from shard import permissions
from shard.actions import rooms
from shard.actions.pages import Page, Span
from shard.engine import files, identity
from shard.engine.connections import Writer
from shard.engine.pool import ShardPool
from shard.history.history import History
from shard.history.search import Searches
from shard.tables import members
from tests.shard import stage

T = TypeVar("T")


@contextmanager
def writing(folder: Path) -> Iterator[tuple[apsw.Connection, Writer, stage.Room]]:
    """Found room 1 in a folder with its owner, ANNA and BEN, and open its writer."""
    rows = files.create(
        folder,
        RoomId(1),
        stage.MIGRATIONS,
        lambda writer: rooms.found_room(writer, "community", stage.OWNER, stage.CHANNELS, now_ms=stage.NOW_MS),
        now_ms=stage.NOW_MS,
    )
    path = files.path_of(folder, RoomId(1))
    connection, writer = files.open_writer(path, RoomId(1), stage.MIGRATIONS, now_ms=stage.NOW_MS, check=False)
    for user_id in (stage.ANNA, stage.BEN):
        members.add(writer, user_id, now_ms=stage.NOW_MS)
    try:
        yield connection, writer, stage.Room(RoomId(1), {row.name: row.id for row in rows})
    finally:
        connection.close()


class _Pool:
    """Answers at once on one shard's writer what a pool of shards is asked."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def read(self, room_id: RoomId, act: Callable[..., T], *arguments: Any, **named: Any) -> T:
        assert room_id == self._writer.room_id
        return act(self._writer, *arguments, **named)

    async def search(
        self, deadline_seconds: float, room_id: RoomId, act: Callable[..., T], *arguments: Any, **named: Any
    ) -> T:
        assert deadline_seconds > 0
        return await self.read(room_id, act, *arguments, **named)


def history(writer: Writer) -> History:
    """Return the history of a shard in which nothing is archived, read inside the writer's transaction."""
    return History(cast(ShardPool, _Pool(writer)), stage.NOTHING_ARCHIVED)


def searches(writer: Writer) -> Searches:
    """Return the searches of a shard in which nothing is archived, made inside the writer's transaction."""
    return Searches(cast(ShardPool, _Pool(writer)), stage.NOTHING_ARCHIVED)


def answer(asked: Coroutine[Any, Any, T]) -> T:
    """Return what a question to one of these returns, which has nothing to wait for."""
    try:
        asked.send(None)
    except StopIteration as done:
        return cast(T, done.value)
    raise AssertionError("it waits for something")


def read_page(
    writer: Writer, user_id: UserId, channel_id: ChannelId, thread_id: ThreadId | None, span: Span, *, now_ms: int
) -> Page:
    """Return a page of a shard in which nothing is archived."""
    return answer(history(writer).read_page(writer.room_id, user_id, channel_id, thread_id, span, now_ms=now_ms))


@contextmanager
def undone(connection: apsw.Connection, writer: Writer) -> Iterator[None]:
    """Take everything back that is written inside, so that one file serves many examples as if opened for each."""
    writer.ids = ids.Sequence(identity.last_id(writer))
    writer.begin()
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def make_private(writer: Writer, room: stage.Room, channel: str) -> None:
    """Hide a channel from all but administrators."""
    writer.run("UPDATE channels SET is_private = 1 WHERE id = ?", (room.channels[channel],))


def archive(writer: Writer, room: stage.Room, channel: str) -> None:
    """Close a channel for new messages."""
    writer.run("UPDATE channels SET is_archived = 1 WHERE id = ?", (room.channels[channel],))


def time_out(writer: Writer, user_id: UserId, until_ms: int) -> None:
    """Silence a member until a moment."""
    writer.run("UPDATE members SET timed_out_until = ? WHERE user_id = ?", (until_ms, user_id))


def ban(writer: Writer, user_id: UserId, expires_at: int | None) -> None:
    """Keep someone from joining again."""
    writer.run(
        "INSERT INTO bans (user_id, banned_by, banned_at, expires_at) VALUES (?, ?, ?, ?)",
        (user_id, stage.OWNER, stage.NOW_MS, expires_at),
    )


def deny_everyone(writer: Writer, room: stage.Room, bits: int) -> None:
    """Take permissions from the everyone role."""
    writer.run("UPDATE roles SET permissions = ? WHERE id = ?", (permissions.EVERYONE & ~bits, room.id))

"""A shard without a pool: acts called on its writer, for tests that need many shards or many acts and no threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

import ids
from ids import RoomId, UserId
from shard import files, members, permissions, rooms
from shard.acts import shaping
from shard.connections import Writer
from tests.shard import stage


@contextmanager
def writing(folder: Path) -> Iterator[tuple[apsw.Connection, Writer, stage.Room]]:
    """Found room 1 in a folder with its owner, ANNA and BEN, and open its writer."""
    rows = files.create(
        folder,
        RoomId(1),
        stage.MIGRATIONS,
        lambda writer: shaping.found_room(writer, "community", stage.OWNER, stage.CHANNELS, now_ms=stage.NOW_MS),
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


@contextmanager
def undone(connection: apsw.Connection, writer: Writer) -> Iterator[None]:
    """Take everything back that is written inside, so that one file serves many examples as if opened for each."""
    writer.ids = ids.Sequence(rooms.last_id(writer))
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

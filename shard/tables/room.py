"""The room's own row in its shard: its kind, its owner and its first write.

The name, the description and the other settings of a room stand in the directory: directory/rooms.py.
"""

from ids import UserId
from shard import permissions
from shard.engine.connections import Writer
from shard.engine.identity import RoomRow
from shard.event_types import EventType
from shard.tables import events, members


def found(writer: Writer, kind: str, owner_id: UserId, *, now_ms: int) -> None:
    """Insert the first rows of a new shard: the room, its everyone role and its owner."""
    writer.run(
        "INSERT INTO room (one, room_id, kind, owner_id, created_at) VALUES (1, ?, ?, ?, ?)",
        (writer.room_id, kind, owner_id, now_ms),
    )
    writer.run(
        "INSERT INTO roles (id, name, permissions, created_at) VALUES (?, 'everyone', ?, ?)",
        (writer.room_id, permissions.EVERYONE, now_ms),
    )
    events.append(writer, EventType.ROOM_CREATED, actor_id=owner_id, payload={"kind": kind}, now_ms=now_ms)
    members.add(writer, owner_id, now_ms=now_ms)


def disown(writer: Writer) -> None:
    """Remove the owner of the room, as in a direct chat."""
    writer.run("UPDATE room SET owner_id = NULL")


def hand_over(writer: Writer, room: RoomRow, user_id: UserId, *, by: UserId | None, now_ms: int) -> None:
    """Make another member the owner of the room; `by` is None for the server itself."""
    writer.use_reserve()
    writer.run("UPDATE room SET owner_id = ?", (user_id,))
    payload, replaced = {"owner_id": str(user_id)}, {"owner_id": str(room.owner_id)}
    events.append(writer, EventType.ROOM_TRANSFERRED, actor_id=by, payload=payload, replaced=replaced, now_ms=now_ms)

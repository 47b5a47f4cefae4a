"""The room as the shard knows it: its own row, which every open compares with the room that was asked for."""

from dataclasses import dataclass

import ids
from ids import RoomId, UserId
from shard import events, members, permissions
from shard.connections import Reader, Writer


@dataclass(frozen=True, slots=True)
class RoomRow:
    """What a shard says of itself."""

    room_id: RoomId
    kind: str
    owner_id: UserId | None


def found(writer: Writer, kind: str, owner_id: UserId, *, now_ms: int) -> None:
    """Write the first rows of a new shard: the room, its everyone role and its owner."""
    writer.run(
        "INSERT INTO room (one, room_id, kind, owner_id, created_at) VALUES (1, ?, ?, ?, ?)",
        (writer.room_id, kind, owner_id, now_ms),
    )
    writer.run(
        "INSERT INTO roles (id, name, permissions, created_at) VALUES (?, 'everyone', ?, ?)",
        (writer.room_id, permissions.EVERYONE, now_ms),
    )
    events.append(writer, "room.created", actor_id=owner_id, payload={"kind": kind}, now_ms=now_ms)
    members.add(writer, owner_id, now_ms=now_ms)


def one(reader: Reader) -> RoomRow | None:
    """Return the shard's own row; None for a file that was never founded."""
    row = reader.one("SELECT room_id, kind, owner_id FROM room")
    return None if row is None else RoomRow(*row)


def hand_over(writer: Writer, room: RoomRow, user_id: UserId, *, now_ms: int) -> None:
    """Give the room another owner, who is in it."""
    writer.run("UPDATE room SET owner_id = ?", (user_id,))
    payload, replaced = {"owner_id": str(user_id)}, {"owner_id": str(room.owner_id)}
    events.append(writer, "room.transferred", actor_id=room.owner_id, payload=payload, replaced=replaced, now_ms=now_ms)


def last_id(reader: Reader) -> int:
    """Return the highest id that this shard may have given out, however the clock stands now."""
    row = reader.one(
        "SELECT max(coalesce((SELECT max(id) FROM messages), 0), coalesce((SELECT max(id) FROM threads), 0), "
        "coalesce((SELECT max(id) FROM channels), 0), coalesce((SELECT max(id) FROM voice_sessions), 0), "
        "coalesce((SELECT max(max(id, until_id)) FROM segments), 0), "
        "coalesce((SELECT max(id) FROM message_attachments), 0), coalesce((SELECT max(id) FROM freed_files), 0), "
        "coalesce((SELECT max(id) FROM roles), 0), coalesce((SELECT max(id) FROM categories), 0)), "
        "coalesce((SELECT created_at FROM events ORDER BY seq DESC LIMIT 1), 0)"
    )
    assert row is not None
    highest, written_at = int(row[0]), int(row[1])
    return max(highest, ids.at(written_at))

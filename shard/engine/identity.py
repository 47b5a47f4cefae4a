"""The identity of a file: the room it holds, which every open compares, and the highest id it gave out."""

from dataclasses import dataclass
from typing import Final

import ids
from ids import RoomId, UserId
from shard.engine.connections import Reader

ID_COLUMNS: Final = (
    ("messages", "id"),
    ("threads", "id"),
    ("channels", "id"),
    ("voice_sessions", "id"),
    ("segments", "id"),
    ("segments", "until_id"),
    ("message_attachments", "id"),
    ("archived_attachments", "id"),
    ("freed_files", "id"),
    ("roles", "id"),
    ("categories", "id"),
)
"""Every column with ids from the writer's sequence: the ids of a table that is missing here would be repeated after a
restart with the clock set back."""


@dataclass(frozen=True, slots=True)
class RoomRow:
    """A shard's own row: the room that it belongs to."""

    room_id: RoomId
    kind: str
    owner_id: UserId | None


def one(reader: Reader) -> RoomRow | None:
    """Return the shard's own row; None for a file that was never founded."""
    row = reader.one("SELECT room_id, kind, owner_id FROM room")
    return None if row is None else RoomRow(*row)


def last_id(reader: Reader) -> int:
    """Return the highest id that this shard may have given out, even if the clock was set back since."""
    row = reader.one(_LAST_ID)
    assert row is not None
    highest, written_at = int(row[0]), int(row[1])
    return max(highest, ids.at(written_at))


_HIGHEST = ", ".join(f"coalesce((SELECT max({column}) FROM {table}), 0)" for table, column in ID_COLUMNS)  # noqa: S608
_LAST_ID = f"SELECT max({_HIGHEST}), coalesce((SELECT created_at FROM events ORDER BY seq DESC LIMIT 1), 0)"  # noqa: S608

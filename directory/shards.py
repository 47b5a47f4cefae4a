"""Rows of `shards`: an index of the last known facts of each shard. The shard itself is authoritative."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import ids
from database.connections import Row
from directory import audit, errors
from directory.changes import RoomChanged
from directory.client_info import NO_CLIENT, ClientInfo
from directory.database import Reader, Writer
from directory.rooms import State

Level = Literal["ok", "warn", "critical", "full"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
"""Levels of a shard's size, from no concern to read-only."""
START: Final = (2**63 - 1, 2**63 - 1)
"""The cursor before the largest shard."""
LIMIT_BYTES_MIN: Final = 1_048_576
"""The smallest limit that a room can have of its own; an empty shard has a tenth of it. The schema has it too."""
PAGE_MAX: Final = 500
"""Rows of one page of shards."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of one room; times in milliseconds UTC. `name` is the room's, if it has one.

    `size_limit_bytes` is a limit of its own. `problem` closes the room, `damage` is of single rows. The cursor of the
    next page is its (size_bytes, room_id).
    """

    room_id: ids.RoomId
    name: str | None
    state: State
    database_id: str
    schema_version: int
    size_bytes: int
    wal_bytes: int
    freelist_bytes: int
    message_count: int
    last_seq: int
    level: Level
    checked_at: int | None
    hibernated_at: int | None
    size_limit_bytes: int | None
    seen_as: str | None
    full_at: int | None
    problem: str | None
    quarantined_at: int | None
    examined_at: int | None
    tidied_at: int | None
    tidied_seq: int | None
    damage: str | None

    @property
    def used_bytes(self) -> int:
        """The bytes of the file in use: freed pages are used again before the file grows."""
        return self.size_bytes - self.freelist_bytes


@dataclass(frozen=True, slots=True)
class Summary:
    """The whole fleet in numbers: shards at each level, bytes, messages, and shards in quarantine."""

    by_level: Mapping[Level, int] = field(default_factory=dict)
    size_bytes: int = 0
    message_count: int = 0
    quarantined: int = 0

    @property
    def count(self) -> int:
        return sum(self.by_level.values())


_COLUMNS: Final = (
    "r.id, r.name, r.state, s.database_id, s.schema_version, s.size_bytes, s.wal_bytes, s.freelist_bytes, "
    "s.message_count, s.last_seq, s.level, s.checked_at, s.hibernated_at, s.size_limit_bytes, s.seen_as, s.full_at, "
    "s.problem, s.quarantined_at, s.examined_at, s.tidied_at, s.tidied_seq, s.damage"
)


def _from_row(row: Row) -> Shard:
    return Shard(*row)


async def find(reader: Reader, room_id: ids.RoomId) -> Shard:
    """Return a room's shard; raises RoomNotFoundError."""
    row = await reader.fetch_one(
        f"SELECT {_COLUMNS} FROM shards s JOIN rooms r ON r.id = s.room_id WHERE s.room_id = ? AND s.ordinal = 0",  # noqa: S608
        (room_id,),
    )
    if row is None:
        raise errors.RoomNotFoundError(room_id)
    return _from_row(row)


async def of_rooms(reader: Reader, room_ids: Sequence[ids.RoomId]) -> dict[ids.RoomId, Shard]:
    """Return the shards of rooms by the rooms' ids; missing ones are left out."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM json_each(?) wanted CROSS JOIN shards s ON s.room_id = wanted.value AND s.ordinal = 0 "  # noqa: S608
        "JOIN rooms r ON r.id = s.room_id",
        (json.dumps(room_ids),),
    )
    return {row[0]: _from_row(row) for row in rows}


async def walk(reader: Reader, *, after: int = 0, limit: int = PAGE_MAX) -> list[Shard]:
    """Return the shards that should have a file, by room id, after a room id."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM rooms r JOIN shards s ON s.room_id = r.id AND s.ordinal = 0 "  # noqa: S608
        "WHERE r.id > ? AND r.state IN ('active', 'readonly') AND s.hibernated_at IS NULL ORDER BY r.id LIMIT ?",
        (after, limit),
    )
    return [_from_row(row) for row in rows]


async def largest(
    reader: Reader, level: Level | None = None, *, after: tuple[int, int] = START, limit: int = PAGE_MAX
) -> list[Shard]:
    """Return the shards of rooms that are not deleted, or those at one level, the largest first."""
    narrowed = "s.level = ?1 AND " if level is not None else "?1 IS NULL AND "
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM shards s JOIN rooms r ON r.id = s.room_id WHERE {narrowed}"  # noqa: S608
        "(s.size_bytes, s.room_id) < (?2, ?3) AND r.state <> 'deleted' AND s.ordinal = 0 "
        "ORDER BY s.size_bytes DESC, s.room_id DESC LIMIT ?4",
        (level, *after, limit),
    )
    return [_from_row(row) for row in rows]


async def least_examined(reader: Reader, *, limit: int) -> list[Shard]:
    """Return the shards whose check is longest ago, those never checked first."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM shards s JOIN rooms r ON r.id = s.room_id "  # noqa: S608
        "WHERE s.hibernated_at IS NULL AND s.quarantined_at IS NULL AND r.state IN ('active', 'readonly') "
        "ORDER BY s.examined_at LIMIT ?",
        (limit,),
    )
    return [_from_row(row) for row in rows]


async def summarize(reader: Reader) -> Summary:
    """Return the fleet in numbers; reads the whole registry, for operators."""
    rows = await reader.fetch_all(
        "SELECT level, count(*), sum(size_bytes), sum(message_count), sum(quarantined_at IS NOT NULL) "
        "FROM shards GROUP BY level"
    )
    return Summary({row[0]: row[1] for row in rows}, *(sum(row[column] for row in rows) for column in (2, 3, 4)))


@dataclass(frozen=True, slots=True)
class Bound:
    """The bound of a shard that differs from most: its own limit, None for that of the settings; and its size in bytes
    if it is full."""

    size_limit_bytes: int | None
    full_bytes: int | None


async def bounds(reader: Reader) -> dict[ids.RoomId, Bound]:
    """Return the shards that have a limit of their own, and those that are full."""
    rows = await reader.fetch_all(
        "SELECT room_id, size_limit_bytes, iif(level = 'full', size_bytes, NULL) FROM shards "
        "WHERE size_limit_bytes IS NOT NULL UNION ALL "
        "SELECT room_id, NULL, size_bytes FROM shards WHERE level = 'full' AND size_limit_bytes IS NULL"
    )
    return {row[0]: Bound(row[1], row[2]) for row in rows}


async def set_limit(
    writer: Writer,
    room_id: ids.RoomId,
    size_limit_bytes: int | None,
    *,
    by: ids.UserId | None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> None:
    """Give a shard a limit of its own, None for that of the settings, and have it measured anew; with a line in the
    audit log. Raises RoomNotFoundError."""
    row = await writer.fetch_one(
        "UPDATE shards SET size_limit_bytes = ?, seen_as = NULL WHERE room_id = ? AND ordinal = 0 RETURNING room_id",
        (size_limit_bytes, room_id),
    )
    if row is None:
        raise errors.RoomNotFoundError(room_id)
    about = {"size_limit_bytes": size_limit_bytes}
    where = ("room", room_id)
    await audit.append(
        writer, audit.Action.SHARD_LIMITED, by=by, resource=where, metadata=about, client=client, now_ms=now_ms
    )
    writer.tell(RoomChanged(room_id))


async def quarantined(reader: Reader) -> dict[ids.RoomId, str]:
    """Return the shards in quarantine, with the problem of each."""
    rows = await reader.fetch_all(
        "SELECT room_id, coalesce(problem, 'an operator closed it') FROM shards WHERE quarantined_at IS NOT NULL"
    )
    return {row[0]: row[1] for row in rows}


async def note_problem(writer: Writer, room_id: ids.RoomId, problem: str | None, *, seen_as: str | None = None) -> None:
    """Store the problem of a shard, None for none, and the state of its files then, None to have it measured again."""
    await writer.execute(
        "UPDATE shards SET problem = ?, seen_as = ? WHERE room_id = ? AND ordinal = 0",
        (problem and problem[:1000], seen_as, room_id),
    )


async def quarantine(writer: Writer, room_id: ids.RoomId, problem: str, *, seen_as: str | None, now_ms: int) -> bool:
    """Put a shard into quarantine; return whether that is new."""
    await note_problem(writer, room_id, problem, seen_as=seen_as)
    row = await writer.fetch_one(
        "UPDATE shards SET quarantined_at = ? WHERE room_id = ? AND ordinal = 0 AND quarantined_at IS NULL "
        "RETURNING room_id",
        (now_ms, room_id),
    )
    writer.tell(RoomChanged(room_id))
    return row is not None


async def release(writer: Writer, room_id: ids.RoomId) -> bool:
    """Release a shard from quarantine and clear its problem; return whether it was in quarantine."""
    row = await writer.fetch_one(
        "UPDATE shards SET quarantined_at = NULL, problem = NULL, seen_as = NULL "
        "WHERE room_id = ? AND ordinal = 0 AND quarantined_at IS NOT NULL RETURNING room_id",
        (room_id,),
    )
    if row is not None:
        writer.tell(RoomChanged(room_id))
    return row is not None


async def note_release(
    writer: Writer,
    room_id: ids.RoomId,
    *,
    by: ids.UserId | None,
    is_forced: bool,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> None:
    """Write into the audit log that somebody released a shard from quarantine."""
    await audit.append(
        writer,
        audit.Action.SHARD_RELEASED,
        by=by,
        resource=("room", room_id),
        metadata={"is_forced": is_forced},
        client=client,
        now_ms=now_ms,
    )


async def note_examined(writer: Writer, room_id: ids.RoomId, *, now_ms: int) -> None:
    """Store the time of a shard's check."""
    await writer.execute("UPDATE shards SET examined_at = ? WHERE room_id = ? AND ordinal = 0", (now_ms, room_id))


async def note_damage(writer: Writer, room_id: ids.RoomId, damage: str) -> bool:
    """Store what of a shard's rows is damaged while the room goes on, and have it checked next; return whether nothing
    was known."""
    row = await writer.fetch_one(
        "UPDATE shards SET damage = ?, examined_at = NULL WHERE room_id = ? AND ordinal = 0 AND damage IS NULL "
        "RETURNING room_id",
        (damage[:1000], room_id),
    )
    return row is not None


async def clear_damage(writer: Writer, room_id: ids.RoomId) -> bool:
    """Forget the damage of a shard's rows, which are sound; return whether there was any."""
    row = await writer.fetch_one(
        "UPDATE shards SET damage = NULL WHERE room_id = ? AND ordinal = 0 AND damage IS NOT NULL RETURNING room_id",
        (room_id,),
    )
    return row is not None


async def note_tidied(writer: Writer, room_id: ids.RoomId, *, now_ms: int) -> None:
    """Store the time of a shard's optimization."""
    await writer.execute(
        "UPDATE shards SET tidied_at = ?, tidied_seq = last_seq WHERE room_id = ? AND ordinal = 0", (now_ms, room_id)
    )


async def note_seqs(writer: Writer, last_seqs: Mapping[ids.RoomId, int]) -> None:
    """Store the last numbers of some rooms' logs; a stored number never decreases."""
    await writer.execute_many(
        "UPDATE shards SET last_seq = max(last_seq, ?2) WHERE room_id = ?1 AND ordinal = 0", list(last_seqs.items())
    )

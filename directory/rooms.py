"""Rows of `rooms`, the registry: which rooms there are, what they are called, and in which file each one is.

A room is registered as `creating`, its shard is made, then it becomes `active`; whatever is still `creating` at
start-up is finished or forgotten. The name of a deleted room is free again.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypedDict

import ids
from directory import audit, errors
from directory.changes import RoomChanged
from directory.connections import Row, with_flags
from directory.database import Reader, Writer
from directory.origins import NOWHERE, Origin

Kind = Literal["community", "group", "direct"]
State = Literal["creating", "active", "readonly", "hibernated", "deleted"]
ReadOnlyReason = Literal["full", "operator"]

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,49}")
PAGE_MAX: Final = 200
"""Rows of one page of rooms."""


@dataclass(frozen=True, slots=True)
class Room:
    """One room; times in milliseconds UTC. Communities have a name, direct chats have no owner."""

    id: ids.RoomId
    kind: Kind
    name: str | None
    display_name: str | None
    description: str | None
    icon_url: str | None
    banner_url: str | None
    owner_id: ids.UserId | None
    is_public: bool
    is_verified: bool
    max_members: int | None
    member_count: int
    message_count: int
    shard_count: int
    features: tuple[str, ...]
    state: State
    created_at: int
    updated_at: int
    music_url: str | None


@dataclass(frozen=True, slots=True)
class RoomAddress:
    """What it takes to reach a room's shard, and to know whether to."""

    room_id: ids.RoomId
    kind: Kind
    state: State
    database_id: str
    owner_id: ids.UserId | None
    is_public: bool
    readonly_reason: ReadOnlyReason | None


class RoomFields(TypedDict, total=False):
    """What may change in the registry after creation; missing means unchanged."""

    name: str
    display_name: str
    description: str | None
    icon_url: str | None
    banner_url: str | None
    owner_id: ids.UserId
    is_public: bool
    is_verified: bool
    max_members: int | None
    features: Sequence[str]
    music_url: str | None


def _from_row(row: Row) -> Room:
    room = Room(*with_flags(row, 8, 9))
    return replace(room, features=tuple(json.loads(row[14])))


async def register(
    writer: Writer,
    *,
    kind: Kind,
    name: str | None = None,
    display_name: str | None = None,
    owner_id: ids.UserId | None = None,
    description: str | None = None,
    icon_url: str | None = None,
    is_public: bool = False,
    max_members: int | None = None,
    rooms_max: int | None = None,
    now_ms: int,
) -> Room:
    """Write a room down as `creating`, with the place of its shard; the shard itself is made by someone else.

    Raises BadRoomNameError, RoomNameTakenError and, when the owner has `rooms_max` rooms, TooManyRoomsError.
    """
    if (kind == "community") != (name is not None) or (name is not None and _NAME.fullmatch(name) is None):
        raise errors.BadRoomNameError
    if name is not None:
        await _refuse_taken(writer, name)
    if rooms_max is not None and owner_id is not None and await count_owned(writer, owner_id) >= rooms_max:
        raise errors.TooManyRoomsError(rooms_max)
    room_id = ids.RoomId(await writer.next_id(now_ms))
    await writer.execute(
        "INSERT INTO rooms (id, kind, name, display_name, description, icon_url, owner_id, is_public, max_members, "
        "state, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'creating', ?10, ?10)",
        (room_id, kind, name, display_name, description, icon_url, owner_id, int(is_public), max_members, now_ms),
    )
    await writer.execute(
        "INSERT INTO shards (room_id, ordinal, database_id, used_at) VALUES (?, 0, ?, ?)",
        (room_id, str(room_id), now_ms),
    )
    return await find(writer, room_id)


async def _refuse_taken(writer: Writer, name: str) -> None:
    if await writer.fetch_one("SELECT 1 FROM rooms WHERE name = ? AND state <> 'deleted'", (name,)):
        raise errors.RoomNameTakenError(name)


async def activate(
    writer: Writer, room_id: ids.RoomId, *, schema_version: int, now_ms: int, origin: Origin = NOWHERE
) -> Room:
    """Open a room whose shard stands; raises RoomNotFoundError unless it is `creating`."""
    row = await writer.fetch_one(
        "UPDATE rooms SET state = 'active', updated_at = ? WHERE id = ? AND state = 'creating' "
        "RETURNING kind, name, owner_id",
        (now_ms, room_id),
    )
    if row is None:
        raise errors.RoomNotFoundError(room_id)
    await writer.execute(
        "UPDATE shards SET schema_version = ? WHERE room_id = ? AND ordinal = 0", (schema_version, room_id)
    )
    await audit.append(
        writer,
        "room.created",
        by=row[2],
        resource=("room", room_id),
        metadata={"kind": row[0], "name": row[1]},
        origin=origin,
        now_ms=now_ms,
    )
    writer.tell(RoomChanged(room_id))
    return await find(writer, room_id)


async def forget(writer: Writer, room_id: ids.RoomId) -> None:
    """Undo a half-made room, members and all; raises RoomNotFoundError unless it is `creating`."""
    row = await writer.fetch_one("DELETE FROM rooms WHERE id = ? AND state = 'creating' RETURNING id", (room_id,))
    if row is None:
        raise errors.RoomNotFoundError(room_id)
    writer.tell(RoomChanged(room_id))


async def unfinished(reader: Reader) -> list[Room]:
    """Return the rooms that a crash left half-made, oldest first; at most PAGE_MAX at a time."""
    rows = await reader.fetch_all(
        "SELECT id, kind, name, display_name, description, icon_url, banner_url, owner_id, is_public, is_verified, "
        "max_members, member_count, message_count, shard_count, features, state, created_at, updated_at, "
        "music_url FROM rooms WHERE state = 'creating' ORDER BY id LIMIT ?",
        (PAGE_MAX,),
    )
    return [_from_row(row) for row in rows]


async def find(reader: Reader, room_id: ids.RoomId) -> Room:
    """Return a room in any state; raises RoomNotFoundError."""
    row = await reader.fetch_one(
        "SELECT id, kind, name, display_name, description, icon_url, banner_url, owner_id, is_public, is_verified, "
        "max_members, member_count, message_count, shard_count, features, state, created_at, updated_at, "
        "music_url FROM rooms WHERE id = ?",
        (room_id,),
    )
    if row is None:
        raise errors.RoomNotFoundError(room_id)
    return _from_row(row)


async def find_by_name(reader: Reader, name: str) -> Room:
    """Return the community of a name, unless deleted; raises RoomNotFoundError."""
    row = await reader.fetch_one(
        "SELECT id, kind, name, display_name, description, icon_url, banner_url, owner_id, is_public, is_verified, "
        "max_members, member_count, message_count, shard_count, features, state, created_at, updated_at, "
        "music_url FROM rooms WHERE name = ? AND state <> 'deleted'",
        (name,),
    )
    if row is None:
        raise errors.RoomNotFoundError(name)
    return _from_row(row)


async def find_named(reader: Reader, name: str) -> Room:
    """Return a room by what an operator calls it: a community's name, or any room's id; raises RoomNotFoundError."""
    try:
        return await find_by_name(reader, name)
    except errors.RoomNotFoundError:
        if not (name.isascii() and name.isdecimal() and len(name) < 20):
            raise
        return await find(reader, ids.RoomId(int(name)))


async def find_address(reader: Reader, room_id: ids.RoomId) -> RoomAddress | None:
    """Return where a room's first shard is; None for unknown and deleted rooms."""
    row = await reader.fetch_one(
        "SELECT r.id, r.kind, r.state, s.database_id, r.owner_id, r.is_public, r.readonly_reason FROM rooms r "
        "JOIN shards s ON s.room_id = r.id AND s.ordinal = 0 WHERE r.id = ? AND r.state <> 'deleted'",
        (room_id,),
    )
    return None if row is None else RoomAddress(*with_flags(row, 5))


async def update(writer: Writer, room_id: ids.RoomId, fields: RoomFields, *, now_ms: int) -> Room:
    """Change what is named in `fields`.

    Raises RoomNotFoundError (also for deleted rooms), BadRoomNameError, RoomNameTakenError and RefusedValueError.
    """
    room = await find(writer, room_id)
    if room.state == "deleted":
        raise errors.RoomNotFoundError(room_id)
    name = fields.get("name", room.name)
    if name is not None and name != room.name:
        if room.kind != "community" or _NAME.fullmatch(name) is None:
            raise errors.BadRoomNameError
        await _refuse_taken(writer, name)
    await writer.execute(
        "UPDATE rooms SET name = ?, display_name = ?, description = ?, icon_url = ?, banner_url = ?, owner_id = ?, "
        "is_public = ?, is_verified = ?, max_members = ?, features = ?, music_url = ?, updated_at = ? WHERE id = ?",
        (
            name,
            fields.get("display_name", room.display_name),
            fields.get("description", room.description),
            fields.get("icon_url", room.icon_url),
            fields.get("banner_url", room.banner_url),
            fields.get("owner_id", room.owner_id),
            int(fields.get("is_public", room.is_public)),
            int(fields.get("is_verified", room.is_verified)),
            fields.get("max_members", room.max_members),
            json.dumps(list(fields.get("features", room.features))),
            fields.get("music_url", room.music_url),
            now_ms,
            room_id,
        ),
    )
    writer.tell(RoomChanged(room_id))
    return await find(writer, room_id)


async def change(
    writer: Writer,
    room_id: ids.RoomId,
    fields: RoomFields,
    *,
    by: ids.UserId | None,
    origin: Origin = NOWHERE,
    now_ms: int,
) -> tuple[Room, dict[str, Any], dict[str, Any]]:
    """Change what is named in `fields` for somebody, with a line in the audit log; raises as `update`.

    Returns the room as it is then, and what was changed: as it was, and as it is. These are empty for no change.
    """
    room = await find(writer, room_id)
    after = {name: value for name, value in fields.items() if getattr(room, name) != value}
    if not after:
        return room, {}, {}
    before = {name: getattr(room, name) for name in after}
    room = await update(writer, room_id, fields, now_ms=now_ms)
    await audit.append(
        writer,
        "room.updated",
        by=by,
        resource=("room", room_id),
        metadata={"before": before, "after": after},
        origin=origin,
        now_ms=now_ms,
    )
    return room, before, after


async def set_state(
    writer: Writer,
    room_id: ids.RoomId,
    state: Literal["active", "readonly", "hibernated"],
    *,
    now_ms: int,
) -> None:
    """Move a finished room to another state, for an operator; raises RoomNotFoundError for half-made and deleted
    rooms."""
    row = await writer.fetch_one(
        "UPDATE rooms SET state = ?1, readonly_reason = CASE ?1 WHEN 'readonly' THEN 'operator' END, updated_at = ?2 "
        "WHERE id = ?3 AND state NOT IN ('creating', 'deleted') RETURNING id",
        (state, now_ms, room_id),
    )
    if row is None:
        raise errors.RoomNotFoundError(room_id)
    writer.tell(RoomChanged(room_id))


async def set_full(writer: Writer, room_id: ids.RoomId, *, is_full: bool, now_ms: int) -> bool:
    """Close an active room for writing because its shard is full, or open one that was closed for that; return whether
    it changed. What an operator closed stays closed."""
    row = await writer.fetch_one(
        "UPDATE rooms SET state = 'readonly', readonly_reason = 'full', updated_at = ? "
        "WHERE id = ? AND state = 'active' RETURNING id"
        if is_full
        else "UPDATE rooms SET state = 'active', readonly_reason = NULL, updated_at = ? "
        "WHERE id = ? AND state = 'readonly' AND readonly_reason = 'full' RETURNING id",
        (now_ms, room_id),
    )
    if row is not None:
        writer.tell(RoomChanged(room_id))
    return row is not None


async def delete(
    writer: Writer, room_id: ids.RoomId, *, by: ids.UserId | None, now_ms: int, origin: Origin = NOWHERE
) -> None:
    """Close a room for good and take everybody out of it; its shard stays until it is erased.

    Raises RoomNotFoundError when there is no such room or it was deleted before.
    """
    row = await writer.fetch_one(
        "UPDATE rooms SET state = 'deleted', updated_at = ? WHERE id = ? AND state <> 'deleted' RETURNING name",
        (now_ms, room_id),
    )
    if row is None:
        raise errors.RoomNotFoundError(room_id)
    await writer.execute("DELETE FROM room_members WHERE room_id = ?", (room_id,))
    await writer.execute("DELETE FROM invites WHERE room_id = ?", (room_id,))
    resource = ("room", room_id)
    await audit.append(
        writer, "room.deleted", by=by, resource=resource, metadata={"name": row[0]}, origin=origin, now_ms=now_ms
    )
    writer.tell(RoomChanged(room_id))


async def count_owned(reader: Reader, owner_id: ids.UserId) -> int:
    """Return how many rooms someone owns, half-made ones included, deleted ones not."""
    row = await reader.fetch_one("SELECT count(*) FROM rooms WHERE owner_id = ? AND state <> 'deleted'", (owner_id,))
    return 0 if row is None else int(row[0])


async def count_by_state(reader: Reader) -> dict[str, int]:
    """Return how many rooms are in each state; reads the whole registry, for operators."""
    rows = await reader.fetch_all("SELECT state, count(*) FROM rooms GROUP BY state")
    return {row[0]: row[1] for row in rows}

"""Rows of `rooms`, the registry of rooms: their names, their states and their shards' files.

A room is registered as `creating`, its shard is made, then it becomes `active`; rooms still `creating` at start-up
are finished or undone. The name of a deleted room is free again.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypedDict

import ids
from database.connections import Row, with_flags
from directory import audit, errors
from directory.changes import RoomChanged
from directory.client_info import NO_CLIENT, ClientInfo
from directory.database import Reader, Writer

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
    """The address of a room's shard, with the facts that decide access to it."""

    room_id: ids.RoomId
    kind: Kind
    state: State
    database_id: str
    owner_id: ids.UserId | None
    is_public: bool
    readonly_reason: ReadOnlyReason | None


class RoomFields(TypedDict, total=False):
    """The fields that may change in the registry after creation; missing means unchanged."""

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


_SELECT: Final = (
    "SELECT id, kind, name, display_name, description, icon_url, banner_url, owner_id, is_public, is_verified, "
    "max_members, member_count, message_count, shard_count, features, state, created_at, updated_at, music_url "
    "FROM rooms "
)
"""The fields of Room, in their order."""


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
    """Insert a room as `creating`, with the place of its shard; the caller makes the shard itself.

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
    writer: Writer, room_id: ids.RoomId, *, schema_version: int, now_ms: int, client: ClientInfo = NO_CLIENT
) -> Room:
    """Activate a room whose shard is complete; raises RoomNotFoundError unless it is `creating`."""
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
        audit.Action.ROOM_CREATED,
        by=row[2],
        resource=("room", room_id),
        metadata={"kind": row[0], "name": row[1]},
        client=client,
        now_ms=now_ms,
    )
    writer.tell(RoomChanged(room_id))
    return await find(writer, room_id)


async def forget(writer: Writer, room_id: ids.RoomId) -> None:
    """Delete a half-made room with its members; raises RoomNotFoundError unless it is `creating`."""
    row = await writer.fetch_one("DELETE FROM rooms WHERE id = ? AND state = 'creating' RETURNING id", (room_id,))
    if row is None:
        raise errors.RoomNotFoundError(room_id)
    writer.tell(RoomChanged(room_id))


async def unfinished(reader: Reader) -> list[Room]:
    """Return the rooms that a crash left half-made, oldest first; at most PAGE_MAX at a time."""
    rows = await reader.fetch_all(_SELECT + "WHERE state = 'creating' ORDER BY id LIMIT ?", (PAGE_MAX,))
    return [_from_row(row) for row in rows]


async def find(reader: Reader, room_id: ids.RoomId) -> Room:
    """Return a room in any state; raises RoomNotFoundError."""
    row = await reader.fetch_one(_SELECT + "WHERE id = ?", (room_id,))
    if row is None:
        raise errors.RoomNotFoundError(room_id)
    return _from_row(row)


async def find_by_name(reader: Reader, name: str) -> Room:
    """Return the community with a name, unless deleted; raises RoomNotFoundError."""
    row = await reader.fetch_one(_SELECT + "WHERE name = ? AND state <> 'deleted'", (name,))
    if row is None:
        raise errors.RoomNotFoundError(name)
    return _from_row(row)


async def find_named(reader: Reader, name: str) -> Room:
    """Return a room by an operator's name for it: any room's id, or a community's name; raises RoomNotFoundError.

    A number is first an id: a community may be called like the id of another room.
    """
    if name.isascii() and name.isdecimal() and len(name) < 20 and int(name) <= ids.ID_MAX:
        with suppress(errors.RoomNotFoundError):
            return await find(reader, ids.RoomId(int(name)))
    return await find_by_name(reader, name)


async def find_address(reader: Reader, room_id: ids.RoomId) -> RoomAddress | None:
    """Return the address of a room's first shard; None for unknown and deleted rooms."""
    row = await reader.fetch_one(
        "SELECT r.id, r.kind, r.state, s.database_id, r.owner_id, r.is_public, r.readonly_reason FROM rooms r "
        "JOIN shards s ON s.room_id = r.id AND s.ordinal = 0 WHERE r.id = ? AND r.state <> 'deleted'",
        (room_id,),
    )
    return None if row is None else RoomAddress(*with_flags(row, 5))


def require_name(name: str) -> None:
    """Raise BadRoomNameError for what cannot be the name of a community."""
    if _NAME.fullmatch(name) is None:
        raise errors.BadRoomNameError


async def update(writer: Writer, room_id: ids.RoomId, fields: RoomFields, *, now_ms: int) -> Room:
    """Change what is named in `fields`.

    Raises RoomNotFoundError (also for deleted rooms), BadRoomNameError, RoomNameTakenError and ConstraintError.
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
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> tuple[Room, dict[str, Any], dict[str, Any]]:
    """Change what is named in `fields` for somebody, with a line in the audit log; raises as `update`.

    Returns the room after the change, and the changed fields before and after it; both are empty for no change.
    """
    room = await find(writer, room_id)
    after = {name: value for name, value in fields.items() if getattr(room, name) != value}
    if not after:
        return room, {}, {}
    before = {name: getattr(room, name) for name in after}
    room = await update(writer, room_id, fields, now_ms=now_ms)
    await audit.append(
        writer,
        audit.Action.ROOM_UPDATED,
        by=by,
        resource=("room", room_id),
        metadata={"before": before, "after": after},
        client=client,
        now_ms=now_ms,
    )
    return room, before, after


async def set_full(writer: Writer, room_id: ids.RoomId, *, is_full: bool, now_ms: int) -> bool:
    """Make an active room read-only because its shard is full, or active again when it was read-only for that; return
    whether it changed. A room that an operator made read-only stays so."""
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
    writer: Writer, room_id: ids.RoomId, *, by: ids.UserId | None, now_ms: int, client: ClientInfo = NO_CLIENT
) -> None:
    """Delete a room for good and remove all members; its shard stays until it is erased.

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
        writer,
        audit.Action.ROOM_DELETED,
        by=by,
        resource=resource,
        metadata={"name": row[0]},
        client=client,
        now_ms=now_ms,
    )
    writer.tell(RoomChanged(room_id, is_deleted=True))


async def count_owned(reader: Reader, owner_id: ids.UserId) -> int:
    """Return the number of rooms that a user owns, with half-made ones, without deleted ones."""
    row = await reader.fetch_one("SELECT count(*) FROM rooms WHERE owner_id = ? AND state <> 'deleted'", (owner_id,))
    return 0 if row is None else int(row[0])

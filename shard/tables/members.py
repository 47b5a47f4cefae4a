"""Members of the room. These rows decide access; the directory's `room_members` is an index of them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ids import RoleId, UserId
from shard.access import Membership, Target
from shard.engine.connections import Reader, Writer
from shard.errors import ForbiddenError, NotFoundError
from shard.event_types import EventType
from shard.tables import bans, events, voice


@dataclass(frozen=True, slots=True)
class Member:
    """A present member; times in milliseconds UTC. `role_ids` leaves out everyone's role."""

    user_id: UserId
    nickname: str | None
    joined_at: int
    timed_out_until: int | None
    role_ids: tuple[RoleId, ...] = ()


_COLUMNS = (
    "m.user_id, m.nickname, m.joined_at, m.timed_out_until, "
    "(SELECT group_concat(mr.role_id) FROM member_roles mr WHERE mr.user_id = m.user_id)"
)


def _from_row(row: tuple[Any, ...]) -> Member:
    user_id, nickname, joined_at, timed_out_until, packed = row
    return Member(user_id, nickname, joined_at, timed_out_until, _unpacked(packed))


def _unpacked(packed: str | None) -> tuple[RoleId, ...]:
    return tuple(RoleId(int(number)) for number in packed.split(",")) if packed else ()


def add(writer: Writer, user_id: UserId, *, now_ms: int) -> bool:
    """Add a member and return whether they were not one before; raises ForbiddenError for banned users.

    A time-out and overwrites of channels are kept during an absence, so that nobody escapes them by leaving; a nickname
    and roles are not.
    """
    if bans.holding(writer, user_id, now_ms=now_ms) is not None:
        raise ForbiddenError("You are banned from this room.", need="membership")
    writer.run(
        "INSERT INTO members (user_id, joined_at) VALUES (?, ?) ON CONFLICT (user_id) DO UPDATE "
        "SET joined_at = excluded.joined_at, nickname = NULL, left_at = NULL WHERE left_at IS NOT NULL",
        (user_id, now_ms),
    )
    is_new = writer.changed() > 0
    if is_new:
        events.append(writer, EventType.MEMBER_JOINED, actor_id=user_id, now_ms=now_ms)
    return is_new


def remove(
    writer: Writer, user_id: UserId, *, kicked_by: UserId | None = None, now_ms: int
) -> tuple[RoleId, ...] | None:
    """Mark a member as gone and return the roles that they lose; None for a user who is not a member."""
    if not is_present(writer, user_id):
        return None
    writer.use_reserve()
    row = writer.one("SELECT group_concat(role_id) FROM member_roles WHERE user_id = ?", (user_id,))
    assert row is not None
    role_ids = _unpacked(row[0])
    writer.run("UPDATE members SET left_at = ? WHERE user_id = ?", (now_ms, user_id))
    writer.run("DELETE FROM member_roles WHERE user_id = ?", (user_id,))
    voice.leave_all(writer, user_id, now_ms=now_ms)
    type_, actor_id = (EventType.MEMBER_LEFT, user_id) if kicked_by is None else (EventType.MEMBER_KICKED, kicked_by)
    replaced = {"role_ids": [str(role_id) for role_id in role_ids]} if role_ids else None
    events.append(writer, type_, actor_id=actor_id, payload={"user_id": str(user_id)}, replaced=replaced, now_ms=now_ms)
    return role_ids


def grant(writer: Writer, user_id: UserId, role_id: RoleId, *, by: UserId, now_ms: int) -> None:
    """Give a member a role."""
    writer.run(
        "INSERT INTO member_roles (user_id, role_id, granted_by, granted_at) VALUES (?, ?, ?, ?)",
        (user_id, role_id, by, now_ms),
    )
    payload = {"user_id": str(user_id), "role_id": str(role_id)}
    events.append(writer, EventType.ROLE_GRANTED, actor_id=by, payload=payload, now_ms=now_ms)


def rename(writer: Writer, member: Member, nickname: str | None, *, by: UserId, now_ms: int) -> None:
    """Change a member's nickname in the room; None removes it."""
    writer.run("UPDATE members SET nickname = ? WHERE user_id = ?", (nickname, member.user_id))
    payload, replaced = {"user_id": str(member.user_id), "nickname": nickname}, {"nickname": member.nickname}
    events.append(writer, EventType.MEMBER_RENAMED, actor_id=by, payload=payload, replaced=replaced, now_ms=now_ms)


def time_out(writer: Writer, target: Target, until: int | None, *, by: UserId, now_ms: int) -> None:
    """Put a member in a time-out until a moment (milliseconds UTC); None ends it."""
    writer.run("UPDATE members SET timed_out_until = ? WHERE user_id = ?", (until, target.user_id))
    payload = {"user_id": str(target.user_id), "until": until}
    events.append(writer, EventType.MEMBER_TIMED_OUT, actor_id=by, payload=payload, now_ms=now_ms)


def page(reader: Reader, member: Membership, *, after: UserId | None = None, limit: int = 50) -> list[Member]:
    """Return present members by id; `member` is the reader, who may be any member."""
    assert member.permissions >= 0
    rows = reader.all(
        f"SELECT {_COLUMNS} FROM members m "  # noqa: S608
        "WHERE m.left_at IS NULL AND m.user_id > ? ORDER BY m.user_id LIMIT ?",
        (after or 0, limit),
    )
    return [_from_row(row) for row in rows]


def find(reader: Reader, member: Membership, user_id: UserId) -> Member:
    """Return a present member; raises NotFoundError. `member` is the reader."""
    found = of(reader, member, [user_id])
    if not found:
        raise NotFoundError("member")
    return found[0]


def of(reader: Reader, member: Membership, user_ids: Iterable[UserId]) -> list[Member]:
    """Return those of some users who are members, by id; `member` is the reader."""
    assert member.permissions >= 0
    rows = reader.all(
        f"SELECT {_COLUMNS} FROM members m "  # noqa: S608
        "WHERE m.user_id IN (SELECT value FROM json_each(?)) AND m.left_at IS NULL ORDER BY m.user_id",
        (json.dumps(list(user_ids)),),
    )
    return [_from_row(row) for row in rows]


def is_present(reader: Reader, user_id: UserId) -> bool:
    """Return whether a user is a present member."""
    return reader.one("SELECT 1 FROM members WHERE user_id = ? AND left_at IS NULL", (user_id,)) is not None


def count(reader: Reader, *, limit: int) -> int:
    """Return the number of present members, counted up to `limit`."""
    row = reader.one("SELECT count(*) FROM (SELECT 1 FROM members WHERE left_at IS NULL LIMIT ?)", (limit,))
    assert row is not None
    return int(row[0])


class Standing(NamedTuple):
    """The state of a member that the directory mirrors; `joined_at` in milliseconds UTC."""

    joined_at: int
    nickname: str | None


def standing(reader: Reader, user_id: UserId) -> Standing | None:
    """Return the mirrored state of a present member, or None."""
    row = reader.one("SELECT joined_at, nickname FROM members WHERE user_id = ? AND left_at IS NULL", (user_id,))
    return None if row is None else Standing(*row)


def present_ids(reader: Reader) -> list[UserId]:
    """Return the ids of all present members, for the repair of the directory's index."""
    return [row[0] for row in reader.all("SELECT user_id FROM members WHERE left_at IS NULL")]

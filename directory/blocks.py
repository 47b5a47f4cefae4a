"""Rows of `blocks`: pairs of a user and one they block. Nothing, not even an error, reveals a block to the blocked.

A block keeps either from opening a chat with the other, writing in theirs and adding the other to a group
(`directs`), and the blocked from using invites that the other made; earlier messages stay readable to both.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import ids
from directory import errors, users
from directory.changes import BlockChanged, UserChanged
from directory.database import Reader, Writer

PER_USER_MAX: Final = 5_000
"""People that one person blocks: more than anybody meets, and a bound against filling the disk. Beyond it 409."""
PAGE_MAX: Final = 200
"""Rows of one page of blocks."""


@dataclass(frozen=True, slots=True)
class Block:
    """One person that somebody blocks, and since when; milliseconds UTC. The cursor after it is `blocked_id`."""

    blocked_id: ids.UserId
    created_at: int


async def add(writer: Writer, user_id: ids.UserId, blocked_id: ids.UserId, *, now_ms: int) -> bool:
    """Block somebody; False when they were blocked already.

    Raises UserNotFoundError, RefusedValueError for oneself and TooManyBlocksError.
    """
    if user_id == blocked_id:
        raise errors.RefusedValueError("Nobody blocks themselves.")
    await users.find(writer, blocked_id)
    row = await writer.fetch_one(
        "INSERT INTO blocks (user_id, blocked_id, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING "
        "RETURNING blocked_id",
        (user_id, blocked_id, now_ms),
    )
    if row is None:
        return False
    if await _count(writer, user_id) > PER_USER_MAX:
        raise errors.TooManyBlocksError(PER_USER_MAX)
    writer.tell(BlockChanged(user_id, blocked_id, is_blocked=True))
    writer.tell(UserChanged(user_id))
    return True


async def _count(reader: Reader, user_id: ids.UserId) -> int:
    row = await reader.fetch_one("SELECT count(*) FROM blocks WHERE user_id = ?", (user_id,))
    return 0 if row is None else int(row[0])


async def remove(writer: Writer, user_id: ids.UserId, blocked_id: ids.UserId) -> bool:
    """Lift a block; False when there was none."""
    row = await writer.fetch_one(
        "DELETE FROM blocks WHERE user_id = ? AND blocked_id = ? RETURNING blocked_id", (user_id, blocked_id)
    )
    if row is not None:
        writer.tell(BlockChanged(user_id, blocked_id, is_blocked=False))
        writer.tell(UserChanged(user_id))
    return row is not None


async def refuse_invite(reader: Reader, user_id: ids.UserId, *, by: ids.UserId) -> None:
    """Raise InviteNotUsableError, as for any invite that does not work, when its maker blocks this person."""
    if await reader.fetch_one("SELECT 1 FROM blocks WHERE user_id = ? AND blocked_id = ?", (by, user_id)):
        raise errors.InviteNotUsableError


async def page(
    reader: Reader, user_id: ids.UserId, *, after: ids.UserId | None = None, limit: int = PAGE_MAX
) -> list[Block]:
    """Return the people that somebody blocks, by id, after an id."""
    rows = await reader.fetch_all(
        "SELECT blocked_id, created_at FROM blocks WHERE user_id = ? AND blocked_id > ? ORDER BY blocked_id LIMIT ?",
        (user_id, after or 0, min(limit, PAGE_MAX)),
    )
    return [Block(*row) for row in rows]


async def around(reader: Reader, user_ids: Collection[ids.UserId]) -> dict[ids.UserId, set[ids.UserId]]:
    """Return for each user the users that they block or are blocked by, who must not see each other's presence."""
    rows = await reader.fetch_all(
        "SELECT b.user_id, b.blocked_id FROM json_each(?1) u CROSS JOIN blocks b ON b.user_id = u.value "
        "UNION ALL SELECT b.blocked_id, b.user_id FROM json_each(?1) u CROSS JOIN blocks b ON b.blocked_id = u.value",
        (json.dumps(list(user_ids)),),
    )
    found: dict[ids.UserId, set[ids.UserId]] = {user_id: set() for user_id in user_ids}
    for user_id, other in rows:
        found[user_id].add(other)
    return found

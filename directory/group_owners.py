"""Groups whose owner cannot act, because the account is suspended, banned from the server or deleted."""

import json
from collections.abc import Collection
from typing import Final, NamedTuple

import ids
from directory.database import Reader

LIMIT: Final = 100
"""Groups that one run of the server's task passes on; the next run does the rest."""
WAIT_MS: Final = 7 * 86_400_000
"""Time for which a suspended or temporarily banned owner keeps a group: most come back sooner."""


class Ownerless(NamedTuple):
    """A group and its owner, who cannot act."""

    room_id: ids.RoomId
    owner_id: ids.UserId


async def find(reader: Reader, *, now_ms: int) -> list[Ownerless]:
    """Return groups that another member, who can act, is to own: the owner is banned for good or deleted, or has been
    suspended or banned for WAIT_MS. One whose owner is both may be there twice."""
    rows = await reader.fetch_all(
        "WITH barred (user_id) AS (SELECT id FROM users WHERE status <> 'active' "
        "AND (status = 'deleted' OR updated_at <= ?2) UNION ALL SELECT user_id FROM global_bans "
        "WHERE expires_at IS NULL OR (expires_at > ?1 AND banned_at <= ?2)) "
        "SELECT r.id, r.owner_id FROM barred CROSS JOIN rooms r ON r.owner_id = barred.user_id "
        "WHERE (r.state = 'active' OR (r.state = 'readonly' AND r.readonly_reason = 'full')) "
        "AND r.kind = 'group' AND EXISTS (SELECT 1 FROM room_members m JOIN users u ON u.id = m.user_id "
        "WHERE m.room_id = r.id AND u.status = 'active' AND u.is_bot = 0 "
        "AND NOT EXISTS (SELECT 1 FROM global_bans b WHERE b.user_id = u.id "
        "AND (b.expires_at IS NULL OR b.expires_at > ?1))) LIMIT ?3",
        (now_ms, now_ms - WAIT_MS, LIMIT),
    )
    return [Ownerless(*row) for row in rows]


async def able(reader: Reader, user_ids: Collection[ids.UserId], *, now_ms: int) -> frozenset[ids.UserId]:
    """Return those of some users who can act: people who are neither suspended, banned nor deleted."""
    rows = await reader.fetch_all(
        "SELECT u.id FROM json_each(?) t CROSS JOIN users u ON u.id = t.value WHERE u.status = 'active' "
        "AND u.is_bot = 0 AND NOT EXISTS (SELECT 1 FROM global_bans b WHERE b.user_id = u.id "
        "AND (b.expires_at IS NULL OR b.expires_at > ?))",
        (json.dumps(list(user_ids)), now_ms),
    )
    return frozenset(ids.UserId(row[0]) for row in rows)

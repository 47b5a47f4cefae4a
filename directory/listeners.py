"""What somebody who connects is told of their rooms, read for many people at once: a thousand come back together."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import orjson

import ids
from directory.database import Reader
from directory.room_pages import OwnRoom

ROOMS_MAX: Final = 1_000
"""Rooms that one person is told of, those joined last; the events of others are not told."""


@dataclass(frozen=True, slots=True)
class ListenedRoom:
    """A room of somebody's. `last_seq` is a number that its log has reached for sure, and `partner_id` the other person
    of a direct chat."""

    room: OwnRoom
    last_seq: int
    partner_id: ids.UserId | None


async def rooms_of(reader: Reader, user_ids: Collection[ids.UserId]) -> dict[ids.UserId, list[ListenedRoom]]:
    """Return the rooms that each of some users is in, the one joined last first, ROOMS_MAX of them at most."""
    found: dict[ids.UserId, list[ListenedRoom]] = {user_id: [] for user_id in user_ids}
    row = await reader.fetch_one(_ROOMS, (json.dumps(list(user_ids)), ROOMS_MAX))
    assert row is not None
    for user_id, last_seq, partner_id, *room in orjson.loads(row[0]):
        found[user_id].append(ListenedRoom(OwnRoom(*room), last_seq, partner_id))
    for own in found.values():
        own.sort(key=lambda heard: (heard.room.joined_at, heard.room.id), reverse=True)
    return found


# All in one row: every row costs a turn of the connection's thread.
_ROOMS: Final = """
    SELECT json_group_array(json_array(
        u.value, s.last_seq, iif(d.low_id = u.value, d.high_id, d.low_id), r.id, r.kind, r.name, r.display_name,
        r.icon_url, r.owner_id, r.state, r.member_count, m.nickname, m.joined_at, m.last_read_at, m.notification_level))
    FROM json_each(?1) u
    CROSS JOIN room_members m ON m.user_id = u.value AND m.room_id IN (
        SELECT o.room_id FROM room_members o WHERE o.user_id = u.value
        ORDER BY o.joined_at DESC, o.room_id DESC LIMIT ?2)
    JOIN rooms r ON r.id = m.room_id AND r.state NOT IN ('creating', 'deleted')
    JOIN shards s ON s.room_id = r.id AND s.ordinal = 0
    LEFT JOIN directs d ON d.room_id = r.id
"""

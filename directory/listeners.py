"""The rooms of users who connect to the gateway, read for many users at once: thousands may reconnect together."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import orjson

import ids
from directory.database import Reader
from directory.room_pages import OwnRoom

ROOMS_MAX: Final = 1_000
"""Rooms of one user that the gateway covers, those joined last; events of further rooms are not sent."""


@dataclass(frozen=True, slots=True)
class ListenedRoom:
    """A room of a user. `last_seq` is a number that its log has certainly reached, and `partner_id` the other person of
    a direct chat."""

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


async def memberships(
    reader: Reader, keys: Collection[tuple[ids.UserId, ids.RoomId]]
) -> dict[tuple[ids.UserId, ids.RoomId], ListenedRoom]:
    """Return some rooms of some users; those that a user is not in are left out."""
    row = await reader.fetch_one(_MEMBERSHIPS, (json.dumps([list(key) for key in keys]),))
    assert row is not None
    return {
        (user_id, room[0]): ListenedRoom(OwnRoom(*room), last_seq, partner_id)
        for user_id, last_seq, partner_id, *room in orjson.loads(row[0])
    }


async def ends_of(reader: Reader, user_ids: Collection[ids.UserId]) -> dict[ids.UserId, dict[ids.RoomId, int]]:
    """Return the same rooms by their ids alone, each with a number that its log has certainly reached."""
    row = await reader.fetch_one(_ENDS, (json.dumps(list(user_ids)), ROOMS_MAX))
    assert row is not None
    found: dict[ids.UserId, dict[ids.RoomId, int]] = {}
    for user_id, room_id, last_seq in orjson.loads(row[0]):
        found.setdefault(user_id, {})[room_id] = last_seq
    return found


# All in one row: every row costs a turn of the connection's thread.
_IN_ONE: Final = """
    SELECT json_group_array(json_array(
        m.user_id, s.last_seq, iif(d.low_id = m.user_id, d.high_id, d.low_id), r.id, r.kind, r.name, r.display_name,
        r.icon_url, r.owner_id, r.state, r.member_count, m.nickname, m.joined_at, m.last_read_at, m.notification_level))
    FROM json_each(?1) u
"""
_WITH_ROOM: Final = """
    JOIN rooms r ON r.id = m.room_id AND r.state NOT IN ('creating', 'deleted')
    JOIN shards s ON s.room_id = r.id AND s.ordinal = 0
    LEFT JOIN directs d ON d.room_id = r.id
"""
_LATEST: Final = """
    CROSS JOIN room_members m ON m.user_id = u.value AND m.room_id IN (
        SELECT o.room_id FROM room_members o WHERE o.user_id = u.value
        ORDER BY o.joined_at DESC, o.room_id DESC LIMIT ?2)
"""
_ROOMS: Final = f"{_IN_ONE} {_LATEST} {_WITH_ROOM}"
_ENDS: Final = f"""
    SELECT json_group_array(json_array(m.user_id, r.id, s.last_seq)) FROM json_each(?1) u
    {_LATEST} {_WITH_ROOM}"""  # noqa: S608
_MEMBERSHIPS: Final = f"""{_IN_ONE}
    CROSS JOIN room_members m
        ON m.user_id = json_extract(u.value, '$[0]') AND m.room_id = json_extract(u.value, '$[1]')
    {_WITH_ROOM}"""

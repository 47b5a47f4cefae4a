"""Audiences of a room: the channels that many members see, read together before events are published to them.

Members who see the same share one audience. Time-outs do not count: they hide nothing that an event carries.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

import orjson

from ids import ChannelId, UserId
from shard import access, permissions
from shard.engine.connections import Reader


class Audience(NamedTuple):
    """Members with the same view: the channels they see, those of them whose history they may read, and whether they
    receive events of bans."""

    seen: frozenset[ChannelId]
    read: frozenset[ChannelId]
    is_told_of_bans: bool


def of(reader: Reader, user_ids: Collection[UserId]) -> dict[UserId, Audience]:
    """Return the audience of each of some users; users who are not members are left out."""
    row = reader.one(_AUDIENCES, (orjson.dumps(list(user_ids)).decode(),))
    if row is None:
        return {}
    members, channels, owner_id, roles = row
    places = orjson.loads(channels)
    named_ids = {user_id for _, _, overwrites in places for user_id in _named(overwrites)}
    found: dict[UserId, Audience] = {}
    alike: dict[tuple[UserId | None, bool, str], Audience] = {}
    for user_id, own_roles in orjson.loads(members):
        # Members without an overwrite of their own and with the same roles see the same.
        named = user_id if user_id in named_ids else None
        key = (named, owner_id == user_id, own_roles)
        if key not in alike:
            alike[key] = _audience(reader, user_id, places, (owner_id, roles, own_roles))
        found[user_id] = alike[key]
    return found


def _named(overwrites: str) -> list[UserId]:
    """Return the members who have an overwrite of their own in a packed text."""
    numbers = orjson.loads(f"[{overwrites}]")
    return [target for is_member, target in zip(numbers[::4], numbers[1::4], strict=True) if is_member]


def _audience(
    reader: Reader,
    user_id: UserId,
    places: list[tuple[ChannelId, int, str]],
    standing: tuple[UserId | None, str, str],
) -> Audience:
    granted = {
        channel_id: access.in_place(reader.room_id, user_id, overwrites, is_private, *standing)
        for channel_id, is_private, overwrites in places
    }
    in_room = access.in_room(reader.room_id, user_id, *standing)
    return Audience(
        seen=frozenset(channel_id for channel_id, may in granted.items() if may & permissions.VIEW_CHANNEL),
        read=frozenset(channel_id for channel_id, may in granted.items() if may & READS == READS),
        is_told_of_bans=bool(in_room & permissions.BAN_MEMBERS),
    )


READS: Final = permissions.VIEW_CHANNEL | permissions.READ_HISTORY
# One row with everything, because apsw releases the interpreter's lock at every row.
_AUDIENCES: Final = """
    SELECT (SELECT json_group_array(json_array(m.user_id, m.roles_packed)) FROM members m
            WHERE m.user_id IN (SELECT value FROM json_each(?1)) AND m.left_at IS NULL),
           (SELECT json_group_array(json_array(c.id, c.is_private, c.overwrites_packed))
            FROM channels c WHERE c.deleted_at IS NULL),
           r.owner_id, r.roles_packed
    FROM room r
"""

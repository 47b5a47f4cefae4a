"""Rows of `directs`, the one chat of each pair of people, and the check whether one accepts messages of another.

A person who blocks the sender, accepts messages from nobody, is suspended or deleted: the sender gets the same
MessagesRefusedError for all, so that the blocked cannot learn why. Only one's own block is named, to oneself.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

import ids
from directory import errors, rooms
from directory.database import Reader, Writer
from directory.rooms import Room, State

OPENED_MAX: Final = 1_000
"""Direct chats that one person may open: each is a file of 150 KB. Beyond it 409."""


class Pair(NamedTuple):
    """Two people, in the order of their ids."""

    low_id: ids.UserId
    high_id: ids.UserId


def pair(one: ids.UserId, other: ids.UserId) -> Pair:
    """Return the pair of two different people."""
    assert one != other
    return Pair(min(one, other), max(one, other))


async def find(reader: Reader, two: Pair) -> tuple[ids.RoomId, State] | None:
    """Return the room of a pair's chat and its state, `creating` included; None where there is no chat."""
    row = await reader.fetch_one(
        "SELECT d.room_id, r.state FROM directs d JOIN rooms r ON r.id = d.room_id "
        "WHERE d.low_id = ? AND d.high_id = ? AND r.state <> 'deleted'",
        two,
    )
    return None if row is None else (row[0], row[1])


async def register(writer: Writer, two: Pair, *, opened_by: ids.UserId, now_ms: int) -> Room:
    """Insert a pair's chat as `creating`; the pair must have none but a deleted one.

    Raises TooManyChatsError when this person opened OPENED_MAX.
    """
    row = await writer.fetch_one("SELECT count(*) FROM directs WHERE opened_by = ?", (opened_by,))
    if row is not None and row[0] >= OPENED_MAX:
        raise errors.TooManyChatsError(OPENED_MAX)
    room = await rooms.register(writer, kind="direct", now_ms=now_ms)
    await writer.execute(
        "INSERT INTO directs (low_id, high_id, room_id, opened_by) VALUES (?1, ?2, ?3, ?4) "
        "ON CONFLICT (low_id, high_id) DO UPDATE SET room_id = ?3, opened_by = ?4",
        (*two, room.id, opened_by),
    )
    return room


async def require_welcome(reader: Reader, user_id: ids.UserId, others: Collection[ids.UserId]) -> None:
    """Ensure that somebody may contact these others: open a chat, or add them to a group.

    Raises UserNotFoundError, BlockingError for people they block themselves, and MessagesRefusedError.
    """
    stances = await _stances(reader, user_id, others)
    for other in others:
        if other not in stances:
            raise errors.UserNotFoundError(other)
        stance = stances[other]
        _refuse(stance)
        if stance.takes_from == "shared" and not await _share_a_room(reader, user_id, other):
            raise errors.MessagesRefusedError(other)


@dataclass(frozen=True, slots=True)
class _Stance:
    """The facts about a person that decide whether another may contact them."""

    user_id: ids.UserId
    is_active: bool
    takes_from: str
    blocks: bool
    is_blocked: bool


async def _stances(reader: Reader, user_id: ids.UserId, others: Collection[ids.UserId]) -> dict[ids.UserId, _Stance]:
    rows = await reader.fetch_all(
        "SELECT u.id, u.status = 'active', coalesce(s.direct_messages_from, 'everyone'), "
        "EXISTS (SELECT 1 FROM blocks WHERE user_id = u.id AND blocked_id = ?1), "
        "EXISTS (SELECT 1 FROM blocks WHERE user_id = ?1 AND blocked_id = u.id) "
        "FROM users u LEFT JOIN user_settings s ON s.user_id = u.id WHERE u.id IN (SELECT value FROM json_each(?2))",
        (user_id, json.dumps(list(others))),
    )
    return {row[0]: _Stance(row[0], bool(row[1]), row[2], bool(row[3]), bool(row[4])) for row in rows}


def _refuse(stance: _Stance) -> None:
    if stance.is_blocked:
        raise errors.BlockingError(stance.user_id)
    if stance.blocks or not stance.is_active or stance.takes_from == "nobody":
        raise errors.MessagesRefusedError(stance.user_id)


async def _share_a_room(reader: Reader, one: ids.UserId, other: ids.UserId) -> bool:
    row = await reader.fetch_one(
        "SELECT 1 FROM room_members a JOIN room_members b ON b.room_id = a.room_id AND b.user_id = ? "
        "WHERE a.user_id = ? LIMIT 1",
        (one, other),
    )
    return row is not None


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms on which the two of a chat may write to each other. People with a chat count as sharing a room."""

    pair: Pair
    _to_high: _Stance
    _to_low: _Stance

    def require(self, user_id: ids.UserId) -> None:
        """Raise BlockingError or MessagesRefusedError unless this one of the two may write; others are not checked."""
        if user_id == self.pair.low_id:
            _refuse(self._to_high)
        elif user_id == self.pair.high_id:
            _refuse(self._to_low)

    def permit(self, user_id: ids.UserId) -> bool:
        """Tell whether `require` raises nothing."""
        try:
            self.require(user_id)
        except errors.RefusedError:
            return False
        return True


async def terms(reader: Reader, room_id: ids.RoomId) -> Terms:
    """Return the terms of a direct chat; raises RoomNotFoundError for other rooms."""
    row = await reader.fetch_one("SELECT low_id, high_id FROM directs WHERE room_id = ?", (room_id,))
    if row is None:
        raise errors.RoomNotFoundError(room_id)
    low_id, high_id = two = Pair(*row)
    to_high = await _stances(reader, low_id, [high_id])
    to_low = await _stances(reader, high_id, [low_id])
    return Terms(two, to_high[high_id], to_low[low_id])


async def partners(
    reader: Reader, user_id: ids.UserId, room_ids: Collection[ids.RoomId]
) -> dict[ids.RoomId, ids.UserId]:
    """Return the other person of each of somebody's direct chats among these rooms; other rooms are left out."""
    rows = await reader.fetch_all(
        "SELECT room_id, iif(low_id = ?1, high_id, low_id) FROM directs "
        "WHERE room_id IN (SELECT value FROM json_each(?2)) AND ?1 IN (low_id, high_id)",
        (user_id, json.dumps(list(room_ids))),
    )
    return {row[0]: row[1] for row in rows}

"""Rows of `imported_people`, and the accounts of people who are known from imported histories alone.

A placeholder is bound to its room and name by id. Its username is random, so that nobody can take it before, and
nobody can sign in to it until an operator gives it to somebody (`claim`).
"""

import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, cast

import ids
from directory import audit, credentials, errors, users
from directory.credentials import Passwords
from directory.database import Database, Reader, Writer
from directory.users import User

RANDOM_BYTES: Final = 10
"""80 bits: as hard to foresee as to guess, in the 21 characters that the prefix leaves."""
SHOWN_CHARS_MAX: Final = 100
"""Characters of an author's name in a history that become the display name."""
PAGE_MAX: Final = 1_000
"""Rows of one page of a room's imported people."""


@dataclass(frozen=True, slots=True)
class ImportedPerson:
    """The account that a name in a room's history means; `is_placeholder` until it is claimed."""

    name: str
    user_id: ids.UserId
    username: str
    is_placeholder: bool


async def create(writer: Writer, names: Collection[str], *, now_ms: int) -> dict[str, ids.UserId]:
    """Make an account for each name, which is shown by it and which nobody can sign in to."""
    numbers = await writer.next_ids(now_ms, len(names))
    made = dict(zip(names, numbers, strict=True))
    await writer.execute_many(
        "INSERT INTO users (id, username, display_name, created_at, updated_at) VALUES (?, ?, ?, ?, ?)",
        [
            (user_id, f"imported_{secrets.token_hex(RANDOM_BYTES)}", name[:SHOWN_CHARS_MAX] or None, now_ms, now_ms)
            for name, user_id in made.items()
        ],
    )
    return {name: ids.UserId(user_id) for name, user_id in made.items()}


async def bound(reader: Reader, room_id: ids.RoomId, names: Collection[str]) -> dict[str, ids.UserId]:
    """Return whom these names mean in a room; names that mean nobody yet are left out."""
    rows = await reader.fetch_all(
        "SELECT name, user_id FROM imported_people WHERE room_id = ? AND name IN (SELECT value FROM json_each(?))",
        (room_id, json.dumps(list(names))),
    )
    return dict(rows)


async def bind(
    writer: Writer, room_id: ids.RoomId, people: Mapping[str, ids.UserId], *, are_placeholders: bool
) -> None:
    """Note for good whom names mean in a room."""
    await writer.execute_many(
        "INSERT INTO imported_people (room_id, name, user_id, is_placeholder) VALUES (?, ?, ?, ?)",
        [(room_id, name, user_id, are_placeholders) for name, user_id in people.items()],
    )


async def of_room(reader: Reader, room_id: ids.RoomId, *, after: str = "") -> list[ImportedPerson]:
    """Return a page of the people of a room's history by name, after a name."""
    rows = await reader.fetch_all(
        "SELECT p.name, p.user_id, u.username, p.is_placeholder "
        "FROM imported_people p JOIN users u ON u.id = p.user_id "
        "WHERE p.room_id = ? AND p.name > ? ORDER BY p.name LIMIT ?",
        (room_id, after, PAGE_MAX),
    )
    return [_from_row(row) for row in rows]


async def find(reader: Reader, room_id: ids.RoomId, name: str) -> ImportedPerson:
    """Return whom a name means in a room; raises UserNotFoundError."""
    row = await reader.fetch_one(
        "SELECT p.name, p.user_id, u.username, p.is_placeholder "
        "FROM imported_people p JOIN users u ON u.id = p.user_id "
        "WHERE p.room_id = ? AND p.name = ?",
        (room_id, name),
    )
    if row is None:
        raise errors.UserNotFoundError(name)
    return _from_row(row)


def _from_row(row: tuple[object, ...]) -> ImportedPerson:
    name, user_id, username, is_placeholder = row
    return ImportedPerson(str(name), cast(ids.UserId, user_id), str(username), bool(is_placeholder))


async def is_ownerless(reader: Reader, user_id: ids.UserId) -> bool:
    """Tell whether nobody can sign in to an account: it has no password, and is no guest's and no bot's."""
    row = await reader.fetch_one(
        "SELECT 1 FROM users u WHERE u.id = ? AND u.is_anonymous = 0 AND u.is_bot = 0 "
        "AND NOT EXISTS (SELECT 1 FROM credentials c WHERE c.user_id = u.id) "
        "AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.user_id = u.id)",
        (user_id,),
    )
    return row is not None


async def claim(
    database: Database,
    passwords: Passwords,
    room_id: ids.RoomId,
    name: str,
    *,
    username: str,
    password: str,
    now_ms: int,
) -> User:
    """Give a placeholder to the person whom it stands for, by a username and a password of theirs: for operators.

    It keeps its id, and so its messages. Raises UserNotFoundError, AlreadyClaimedError, BadPasswordError,
    HashingBusyError, and what `users.rename` raises.
    """
    password_hash = await passwords.hash(password)
    async with database.write() as writer:
        person = await find(writer, room_id, name)
        if not person.is_placeholder or not await is_ownerless(writer, person.user_id):
            raise errors.AlreadyClaimedError(name)
        user = await users.rename(writer, person.user_id, username, now_ms=now_ms)
        await credentials.store(writer, user.id, password_hash, now_ms=now_ms)
        await writer.execute("UPDATE imported_people SET is_placeholder = 0 WHERE user_id = ?", (user.id,))
        await audit.append(
            writer,
            audit.Action.USER_CLAIMED,
            by=None,
            resource=("user", user.id),
            metadata={"room_id": str(room_id), "username": username},
            now_ms=now_ms,
        )
        return user

"""Rows of `audit_log`: acts with their actor and target. Never a password, a token, or the text of a message.

Triggers refuse changes, and each row's hash covers the one before it, so that a row changed, removed or inserted
despite the triggers is detected. Cutting off the newest rows is not: keep the `head` elsewhere to detect that too.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import ids
from database.connections import Row
from directory.client_info import NO_CLIENT, ClientInfo
from directory.database import Reader, Writer

FIRST_HASH: Final = bytes(32)
"""The hash that the first row is chained to."""

PAGE_MAX: Final = 200
"""Entries of the audit log in one page."""
ADDRESSES_FROM_MAX: Final = 200
"""Newest acts of a user whose addresses count as known: sign-ins of months."""
VERIFY_PAGE: Final = 1_000
"""Rows checked at a time, so that a long log is verified in little memory."""


class Action(StrEnum):
    """An act that the log records. The names are in rows and covered by their hashes, so they never change."""

    USER_REGISTERED = "user.registered"
    USER_ANONYMOUS = "user.anonymous"
    USER_LOGGED_IN = "user.logged_in"
    USER_PASSWORD_CHANGED = "user.password_changed"  # noqa: S105
    USER_PASSWORD_SET = "user.password_set"  # noqa: S105
    USER_CLAIMED = "user.claimed"
    USER_SUSPENDED = "user.suspended"
    USER_REINSTATED = "user.reinstated"
    USER_BANNED = "user.banned"
    USER_UNBANNED = "user.unbanned"
    CAPABILITY_GRANTED = "capability.granted"
    CAPABILITY_REVOKED = "capability.revoked"
    BOT_CREATED = "bot.created"
    BOT_UPDATED = "bot.updated"
    BOT_DELETED = "bot.deleted"
    BOT_TOKEN_ISSUED = "bot.token_issued"  # noqa: S105
    BOT_TOKEN_REVOKED = "bot.token_revoked"  # noqa: S105
    ROOM_CREATED = "room.created"
    ROOM_UPDATED = "room.updated"
    ROOM_DELETED = "room.deleted"
    ROOM_IMPORTED = "room.imported"
    ROOM_HIBERNATED = "room.hibernated"
    ROOM_WOKEN = "room.woken"
    SHARD_LIMITED = "shard.limited"
    SHARD_RELEASED = "shard.released"
    JOB_STARTED = "job.started"


@dataclass(frozen=True, slots=True)
class Entry:
    """One act; `created_at` in milliseconds UTC. `user_id` None is the operator or the server itself."""

    id: int
    user_id: ids.UserId | None
    action: str
    resource_type: str | None
    resource_id: str | None
    metadata: Mapping[str, Any]
    ip_address: str | None
    user_agent: str | None
    created_at: int
    hash: bytes


def _from_row(row: Row) -> Entry:
    return replace(Entry(*row), metadata=json.loads(row[5]))


def chained(previous: bytes, row: Row) -> bytes:
    """Return SHA-256(previous hash, the row's other columns as one JSON array without spaces, ASCII only)."""
    return hashlib.sha256(previous + json.dumps(row, separators=(",", ":")).encode("ascii")).digest()


async def append(
    writer: Writer,
    action: Action,
    *,
    by: ids.UserId | None,
    resource: tuple[str, int | str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> int:
    """Add an act to the log, in the transaction that does it, and return its number."""
    last_id, previous = await head(writer)
    kind, name = (None, None) if resource is None else (resource[0], str(resource[1]))
    kept = json.dumps(metadata or {}, separators=(",", ":"), sort_keys=True)
    row = (last_id + 1, by, action, kind, name, kept, client.ip, client.user_agent, now_ms)
    await writer.execute(
        "INSERT INTO audit_log (id, user_id, action, resource_type, resource_id, metadata, ip_address, user_agent, "
        "created_at, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*row, chained(previous, row)),
    )
    return last_id + 1


async def head(reader: Reader) -> tuple[int, bytes]:
    """Return the number and hash of the newest row; (0, FIRST_HASH) for an empty log."""
    row = await reader.fetch_one("SELECT id, hash FROM audit_log WHERE id = (SELECT max(id) FROM audit_log)")
    return (0, FIRST_HASH) if row is None else (row[0], row[1])


async def addresses_of(reader: Reader, user_id: ids.UserId | None) -> frozenset[str]:
    """Return the addresses from which a user acted lately, signing in included; none for None."""
    rows = await reader.fetch_all(
        "SELECT ip_address FROM audit_log WHERE user_id = ? ORDER BY id DESC LIMIT ?", (user_id, ADDRESSES_FROM_MAX)
    )
    return frozenset(row[0] for row in rows if row[0] is not None)


async def verify(reader: Reader) -> int | None:
    """Return the number of the first row that differs from the one appended there, or None for an intact log."""
    expected, previous = 1, FIRST_HASH
    while True:
        rows = await reader.fetch_all(
            "SELECT id, user_id, action, resource_type, resource_id, metadata, ip_address, user_agent, created_at, "
            "hash FROM audit_log WHERE id >= ? ORDER BY id LIMIT ?",
            (expected, VERIFY_PAGE),
        )
        for row in rows:
            if row[9] != chained(previous, row[:9]):
                return expected
            expected, previous = expected + 1, row[9]
        if not rows:
            return None


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of acts: those that match every given fact; a resource is its type and id."""

    user_id: ids.UserId | None = None
    action: str | None = None
    resource: tuple[str, int | str] | None = None


EVERYTHING: Final = Filter()


async def list_page(
    reader: Reader, wanted: Filter = EVERYTHING, *, before: int | None = None, limit: int = PAGE_MAX
) -> list[Entry]:
    """Return acts, newest first, before a number."""
    kind, name = (None, None) if wanted.resource is None else (wanted.resource[0], str(wanted.resource[1]))
    conditions: list[str] = ["id < ?"]
    values: list[int | str] = [ids.ID_MAX if before is None else before]
    facts = (("user_id", wanted.user_id), ("action", wanted.action), ("resource_type", kind), ("resource_id", name))
    for column, value in facts:
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    rows = await reader.fetch_all(
        "SELECT id, user_id, action, resource_type, resource_id, metadata, ip_address, user_agent, created_at, hash "  # noqa: S608
        f"FROM audit_log WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?",
        (*values, min(limit, PAGE_MAX)),
    )
    return [_from_row(row) for row in rows]

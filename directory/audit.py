"""Rows of `audit_log`: what was done, by whom, to what. Never a password, a token, or what somebody said.

Triggers refuse changes, and each row's hash covers the one before it, so that a row changed, removed or slipped in
behind the triggers' back shows. Cutting off the newest rows does not: keep the `head` somewhere else to see that too.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import ids
from directory.connections import Row
from directory.database import Reader, Writer
from directory.origins import NOWHERE, Origin

FIRST_HASH: Final = bytes(32)
"""What the first row is chained to."""

PAGE_MAX: Final = 200
VERIFY_PAGE: Final = 1_000
"""Rows checked at a time, so that a long log is verified in little memory."""


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
    action: str,
    *,
    by: ids.UserId | None,
    resource: tuple[str, int | str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    origin: Origin = NOWHERE,
    now_ms: int,
) -> int:
    """Add an act to the log, in the transaction that does it, and return its number."""
    last_id, previous = await head(writer)
    kind, name = (None, None) if resource is None else (resource[0], str(resource[1]))
    kept = json.dumps(metadata or {}, separators=(",", ":"), sort_keys=True)
    row = (last_id + 1, by, action, kind, name, kept, origin.ip, origin.user_agent, now_ms)
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


async def verify(reader: Reader) -> int | None:
    """Return the number of the first row that is not what was appended there, or None for a sound log."""
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
    """Which acts: those that every given fact is true of; a resource is its type and id."""

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

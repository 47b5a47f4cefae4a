"""Rows of `sessions`: opaque 256-bit tokens, of which only the SHA-256 is kept.

An expired session stays expired: nothing extends it, and the lookup that finds it ends it, so that it does not work
again when the clock steps back.
"""

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

import ids
from database.connections import Row, with_flags
from directory import errors
from directory.changes import SessionChanged
from directory.client_info import NO_CLIENT, ClientInfo
from directory.database import Reader, Writer

PER_USER_MAX: Final = 100
"""Sessions of one user. The oldest ends when one more starts, so that a login loop does not fill the disk."""

SLIDE_EVERY_MS: Final = 3_600_000
"""A session is extended at most once an hour: a day of use costs 24 small writes, not one for each request."""


@dataclass(frozen=True, slots=True)
class Session:
    """One login of one device; times in milliseconds UTC."""

    id: int
    token_hash: bytes
    user_id: ids.UserId
    created_at: int
    last_seen_at: int
    expires_at: int
    ip: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class Viewer:
    """The viewer of a request: the user of a live session, active and not banned, or the bot of a token.

    A bot may do what its token's `scopes` allow, and has an owner; people have neither, and no scopes limit them.
    """

    session_id: int
    token_hash: bytes
    user_id: ids.UserId
    username: str
    is_anonymous: bool
    is_bot: bool
    capabilities: frozenset[str]
    last_seen_at: int
    expires_at: int
    scopes: frozenset[str] | None = None
    owner_id: ids.UserId | None = None


def hash_token(token: str) -> bytes:
    """Return the hash of a token, which is all that is stored of it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


async def start(
    writer: Writer, user_id: ids.UserId, *, session_ms: int, now_ms: int, client: ClientInfo = NO_CLIENT
) -> tuple[str, Session]:
    """Start a session that lives `session_ms`, and return its token, only this once, with its row."""
    token = secrets.token_urlsafe(32)
    session = Session(
        id=await writer.next_id(now_ms),
        token_hash=hash_token(token),
        user_id=user_id,
        created_at=now_ms,
        last_seen_at=now_ms,
        expires_at=now_ms + session_ms,
        ip=client.ip,
        user_agent=client.user_agent,
    )
    await writer.execute(
        "INSERT INTO sessions (id, token_hash, user_id, created_at, last_seen_at, expires_at, ip, user_agent) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (session.id, session.token_hash, user_id, now_ms, now_ms, session.expires_at, client.ip, client.user_agent),
    )
    _tell_ended(
        writer,
        await writer.fetch_all(
            "DELETE FROM sessions WHERE id IN "
            "(SELECT id FROM sessions WHERE user_id = ? ORDER BY id DESC LIMIT -1 OFFSET ?) RETURNING token_hash",
            (user_id, PER_USER_MAX),
        ),
    )
    return token, session


async def find_viewer(reader: Reader, token_hash: bytes, *, now_ms: int) -> Viewer | None:
    """Return the viewer of a token, expired or not; None for suspended, deleted and banned users,
    and for bots, who have tokens with scopes (`bot_tokens`) and no sessions."""
    return (await find_viewers(reader, [token_hash], now_ms=now_ms)).get(token_hash)


async def find_viewers(reader: Reader, token_hashes: Collection[bytes], *, now_ms: int) -> dict[bytes, Viewer]:
    """Return the viewers of many tokens, by their hashes, as `find_viewer` does."""
    rows = await reader.fetch_all(
        "SELECT s.id, s.token_hash, s.user_id, u.username, u.is_anonymous, u.is_bot, "
        "(SELECT group_concat(p.capability) FROM permissions p WHERE p.user_id = s.user_id), "
        "s.last_seen_at, s.expires_at "
        "FROM json_each(?) t CROSS JOIN sessions s ON s.token_hash = unhex(t.value) JOIN users u ON u.id = s.user_id "
        "WHERE u.status = 'active' AND u.is_bot = 0 "
        "AND NOT EXISTS (SELECT 1 FROM global_bans b WHERE b.user_id = s.user_id "
        "AND (b.expires_at IS NULL OR b.expires_at > ?))",
        (json.dumps([token_hash.hex() for token_hash in token_hashes]), now_ms),
    )
    viewers = [
        replace(Viewer(*with_flags(row, 4, 5)), capabilities=frozenset(row[6].split(",") if row[6] else ()))
        for row in rows
    ]
    return {viewer.token_hash: viewer for viewer in viewers}


async def of_user(reader: Reader, user_id: ids.UserId, *, now_ms: int) -> list[Session]:
    """Return a user's live sessions, newest first."""
    rows = await reader.fetch_all(
        "SELECT id, token_hash, user_id, created_at, last_seen_at, expires_at, ip, user_agent FROM sessions "
        "WHERE user_id = ? AND expires_at > ? ORDER BY id DESC LIMIT ?",
        (user_id, now_ms, PER_USER_MAX),
    )
    return [Session(*row) for row in rows]


async def end(writer: Writer, token_hash: bytes) -> bool:
    """End one session; False when there was none."""
    rows = await writer.fetch_all("DELETE FROM sessions WHERE token_hash = ? RETURNING token_hash", (token_hash,))
    return _tell_ended(writer, rows) > 0


async def end_one(writer: Writer, user_id: ids.UserId, session_id: int) -> None:
    """End one of a user's own sessions by id; raises SessionNotFoundError, also for other people's."""
    rows = await writer.fetch_all(
        "DELETE FROM sessions WHERE id = ? AND user_id = ? RETURNING token_hash", (session_id, user_id)
    )
    if _tell_ended(writer, rows) == 0:
        raise errors.SessionNotFoundError


async def end_all(writer: Writer, user_id: ids.UserId, *, keep: bytes | None = None) -> int:
    """End every session of a user but the one with the token hash `keep`; return the number of ended ones."""
    rows = await writer.fetch_all(
        "DELETE FROM sessions WHERE user_id = ? AND token_hash IS NOT ? RETURNING token_hash", (user_id, keep)
    )
    return _tell_ended(writer, rows)


async def slide(writer: Writer, seen: Mapping[bytes, int], *, session_ms: int, now_ms: int) -> None:
    """Extend sessions to `session_ms` from when each was last seen, unless they had expired by then or have by now."""
    await writer.execute_many(
        "UPDATE sessions SET last_seen_at = max(last_seen_at, ?1), expires_at = max(expires_at, ?2) "
        "WHERE token_hash = ?3 AND expires_at > ?4",
        [(at, at + session_ms, token_hash, max(at, now_ms)) for token_hash, at in seen.items()],
    )
    for token_hash in seen:
        writer.tell(SessionChanged(token_hash))


async def purge(writer: Writer, *, now_ms: int) -> int:
    """Delete the expired sessions, and return their number."""
    rows = await writer.fetch_all("DELETE FROM sessions WHERE expires_at <= ? RETURNING token_hash", (now_ms,))
    return _tell_ended(writer, rows)


def _tell_ended(writer: Writer, rows: list[Row]) -> int:
    for (token_hash,) in rows:
        writer.tell(SessionChanged(token_hash))
    return len(rows)

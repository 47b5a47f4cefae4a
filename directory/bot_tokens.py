"""Rows of `bot_tokens`: the credentials of bots. 256 random bits, of which only the SHA-256 is kept.

A token is refused while its bot or its owner may not act, and for good once it has expired.
"""

import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import ids
from database.connections import Row
from directory import audit, bots, errors
from directory.bots import Bot
from directory.changes import SessionChanged
from directory.client_info import NO_CLIENT, ClientInfo
from directory.database import Reader, Writer
from directory.sessions import Viewer, hash_token

PER_BOT_MAX: Final = 25
"""Tokens of one bot: one for each place that it runs at, and some to spare. Beyond it 409."""

PREFIX: Final = "rkb_"
"""The prefix by which scanners for leaked secrets recognize a token."""

_LENGTH: Final = len(PREFIX) + 43


@dataclass(frozen=True, slots=True)
class BotToken:
    """One token without its secret; times in milliseconds UTC, `expires_at` None for one that does not expire."""

    id: int
    name: str
    scopes: tuple[str, ...]
    created_at: int
    last_used_at: int | None
    expires_at: int | None


def _from_row(row: Row) -> BotToken:
    return BotToken(row[0], row[1], tuple(json.loads(row[2])), row[3], row[4], row[5])


def is_one(token: str) -> bool:
    """Return whether a token is a bot's: a session's may begin with the prefix too, by chance, but is shorter."""
    return token.startswith(PREFIX) and len(token) == _LENGTH


async def issue(
    writer: Writer,
    bot: Bot,
    *,
    name: str,
    scopes: Collection[str],
    expires_at: int | None = None,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> tuple[str, BotToken]:
    """Make a token and return it, only this once, with its row; raises TooManyTokensError."""
    if len(await of_bot(writer, bot.id, now_ms=now_ms)) >= PER_BOT_MAX:
        raise errors.TooManyTokensError(PER_BOT_MAX)
    token = PREFIX + secrets.token_urlsafe(32)
    row = BotToken(await writer.next_id(now_ms), name, tuple(sorted(set(scopes))), now_ms, None, expires_at)
    await writer.execute(
        "INSERT INTO bot_tokens (id, token_hash, user_id, name, scopes, created_at, expires_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (row.id, hash_token(token), bot.id, name, json.dumps(row.scopes), now_ms, expires_at),
    )
    detail = {"token_id": str(row.id), "scopes": row.scopes, "expires_at": expires_at}
    await bots.note(
        writer, audit.Action.BOT_TOKEN_ISSUED, bot, by=bot.owner_id, detail=detail, client=client, now_ms=now_ms
    )
    return token, row


async def of_bot(reader: Reader, bot_id: ids.UserId, *, now_ms: int) -> list[BotToken]:
    """Return a bot's live tokens, newest first."""
    rows = await reader.fetch_all(
        "SELECT id, name, scopes, created_at, last_used_at, expires_at FROM bot_tokens "
        "WHERE user_id = ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY id DESC LIMIT ?",
        (bot_id, now_ms, PER_BOT_MAX),
    )
    return [_from_row(row) for row in rows]


async def revoke(writer: Writer, bot: Bot, token_id: int, *, client: ClientInfo = NO_CLIENT, now_ms: int) -> None:
    """End one of a bot's tokens; raises BotTokenNotFoundError, also for another bot's."""
    row = await writer.fetch_one(
        "DELETE FROM bot_tokens WHERE id = ? AND user_id = ? RETURNING token_hash", (token_id, bot.id)
    )
    if row is None:
        raise errors.BotTokenNotFoundError
    writer.tell(SessionChanged(row[0]))
    detail = {"token_id": str(token_id)}
    await bots.note(
        writer, audit.Action.BOT_TOKEN_REVOKED, bot, by=bot.owner_id, detail=detail, client=client, now_ms=now_ms
    )


async def find_viewer(reader: Reader, token_hash: bytes, *, now_ms: int) -> Viewer | None:
    """Return the bot of a token, expired or not; None where bot or owner may not act."""
    row = await reader.fetch_one(
        "SELECT t.id, t.user_id, u.username, t.scopes, t.last_used_at, t.expires_at, b.owner_id "
        "FROM bot_tokens t JOIN bots b ON b.user_id = t.user_id JOIN users u ON u.id = t.user_id "
        "JOIN users o ON o.id = b.owner_id "
        "WHERE t.token_hash = ? AND u.status = 'active' AND o.status = 'active' AND NOT EXISTS "
        "(SELECT 1 FROM global_bans g WHERE g.user_id IN (u.id, o.id) AND (g.expires_at IS NULL OR g.expires_at > ?))",
        (token_hash, now_ms),
    )
    if row is None:
        return None
    return Viewer(
        session_id=row[0],
        token_hash=token_hash,
        user_id=row[1],
        username=row[2],
        is_anonymous=False,
        is_bot=True,
        capabilities=frozenset(),
        last_seen_at=row[4] or 0,
        expires_at=ids.TIME_MS_MAX if row[5] is None else row[5],
        scopes=frozenset(json.loads(row[3])),
        owner_id=row[6],
    )


async def note_use(writer: Writer, seen: Mapping[bytes, int]) -> None:
    """Store when tokens were last used; hashes that are no token's are skipped."""
    await writer.execute_many(
        "UPDATE bot_tokens SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE token_hash = ?",
        [(at, token_hash) for token_hash, at in seen.items()],
    )


async def end(writer: Writer, token_hash: bytes) -> None:
    """Delete a token that was found expired; a hash that is no token's is skipped."""
    await writer.execute("DELETE FROM bot_tokens WHERE token_hash = ?", (token_hash,))
    writer.tell(SessionChanged(token_hash))


async def purge(writer: Writer, *, now_ms: int) -> None:
    """Delete the expired tokens."""
    rows = await writer.fetch_all(
        "DELETE FROM bot_tokens WHERE expires_at IS NOT NULL AND expires_at <= ? RETURNING token_hash", (now_ms,)
    )
    for (token_hash,) in rows:
        writer.tell(SessionChanged(token_hash))

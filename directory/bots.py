"""Rows of `bots`: users who act by tokens, each with an owner who is responsible for it.

A bot acts only while its owner may act. A public bot may be added to a room by everybody who manages the room, any
other by its owner alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypedDict

import ids
from database.connections import Row, with_flags
from directory import audit, errors, users
from directory.client_info import NO_CLIENT, ClientInfo
from directory.database import Reader, Writer
from directory.users import ProfileFields

PER_OWNER_MAX: Final = 25
"""Bots of one person: more than anybody maintains, and a bound against using up the names. Beyond it 409."""


@dataclass(frozen=True, slots=True)
class Bot:
    """One bot, as its owner sees it; times in milliseconds UTC."""

    id: ids.UserId
    owner_id: ids.UserId
    is_public: bool
    created_at: int
    username: str
    display_name: str | None
    avatar_url: str | None
    bio: str | None


class BotFields(ProfileFields, total=False):
    """The fields of a bot that its owner may change; missing means unchanged."""

    is_public: bool


class _Created(TypedDict):
    username: str
    is_public: bool


def _from_row(row: Row) -> Bot:
    return Bot(*with_flags(row, 2))


async def create(
    writer: Writer,
    owner_id: ids.UserId,
    *,
    username: str,
    display_name: str | None = None,
    is_public: bool = False,
    client: ClientInfo = NO_CLIENT,
    now_ms: int,
) -> Bot:
    """Make a bot without tokens.

    Raises NoBotsError for guests and bots, TooManyBotsError, and the errors of `users.create` for refused names.
    """
    owner = await users.find(writer, owner_id)
    if owner.is_anonymous or owner.is_bot:
        raise errors.NoBotsError
    if len(await of_owner(writer, owner_id)) >= PER_OWNER_MAX:
        raise errors.TooManyBotsError(PER_OWNER_MAX)
    user = await users.create(writer, username=username, display_name=display_name, is_bot=True, now_ms=now_ms)
    await writer.execute(
        "INSERT INTO bots (user_id, owner_id, is_public, created_at) VALUES (?, ?, ?, ?)",
        (user.id, owner_id, is_public, now_ms),
    )
    bot = await find(writer, user.id)
    made: _Created = {"username": username, "is_public": is_public}
    await note(writer, audit.Action.BOT_CREATED, bot, by=owner_id, detail=made, client=client, now_ms=now_ms)
    return bot


async def find(reader: Reader, bot_id: ids.UserId) -> Bot:
    """Return a bot whose owner may act; raises BotNotFoundError."""
    row = await reader.fetch_one(
        "SELECT b.user_id, b.owner_id, b.is_public, b.created_at, u.username, u.display_name, u.avatar_url, u.bio "
        "FROM bots b JOIN users u ON u.id = b.user_id JOIN users o ON o.id = b.owner_id "
        "WHERE b.user_id = ? AND o.status = 'active'",
        (bot_id,),
    )
    if row is None:
        raise errors.BotNotFoundError(bot_id)
    return _from_row(row)


async def find_for(reader: Reader, bot_id: ids.UserId, user_id: ids.UserId) -> Bot:
    """Return a bot that somebody may look at and add to rooms: a public one, or their own; raises BotNotFoundError."""
    bot = await find(reader, bot_id)
    if not bot.is_public and bot.owner_id != user_id:
        raise errors.BotNotFoundError(bot_id)
    return bot


async def find_own(reader: Reader, bot_id: ids.UserId, owner_id: ids.UserId) -> Bot:
    """Return somebody's own bot; raises BotNotFoundError, also for other people's."""
    bot = await find(reader, bot_id)
    if bot.owner_id != owner_id:
        raise errors.BotNotFoundError(bot_id)
    return bot


async def of_owner(reader: Reader, owner_id: ids.UserId) -> list[Bot]:
    """Return somebody's bots, the oldest first."""
    rows = await reader.fetch_all(
        "SELECT b.user_id, b.owner_id, b.is_public, b.created_at, u.username, u.display_name, u.avatar_url, u.bio "
        "FROM bots b JOIN users u ON u.id = b.user_id WHERE b.owner_id = ? ORDER BY b.user_id LIMIT ?",
        (owner_id, PER_OWNER_MAX),
    )
    return [_from_row(row) for row in rows]


async def update(writer: Writer, bot: Bot, fields: BotFields, *, client: ClientInfo = NO_CLIENT, now_ms: int) -> Bot:
    """Change what is named in `fields`; raises ConstraintError."""
    is_public = fields.get("is_public", bot.is_public)
    await writer.execute("UPDATE bots SET is_public = ? WHERE user_id = ?", (is_public, bot.id))
    await users.update_profile(writer, bot.id, fields, now_ms=now_ms)
    detail = {"changed": sorted(fields), "is_public": is_public}
    await note(writer, audit.Action.BOT_UPDATED, bot, by=bot.owner_id, detail=detail, client=client, now_ms=now_ms)
    return await find(writer, bot.id)


async def delete(writer: Writer, bot: Bot, *, client: ClientInfo = NO_CLIENT, now_ms: int) -> None:
    """Delete a bot with its tokens and its name, for good; its messages stay."""
    await writer.execute("DELETE FROM bots WHERE user_id = ?", (bot.id,))
    await users.set_status(writer, bot.id, "deleted", now_ms=now_ms)
    await note(writer, audit.Action.BOT_DELETED, bot, by=bot.owner_id, detail={}, client=client, now_ms=now_ms)


async def note(
    writer: Writer,
    action: audit.Action,
    bot: Bot,
    *,
    by: ids.UserId,
    detail: Mapping[str, Any],
    client: ClientInfo,
    now_ms: int,
) -> None:
    """Add an act upon a bot to the audit log."""
    resource = ("user", bot.id)
    await audit.append(writer, action, by=by, resource=resource, metadata=detail, client=client, now_ms=now_ms)

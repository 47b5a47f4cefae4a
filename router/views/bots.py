"""Bots and their tokens."""

from datetime import datetime

from typing_extensions import TypedDict

from directory.bot_tokens import BotToken
from directory.bots import Bot
from router.views.people import UserView
from router.views.values import moment, moment_or_none


class BotView(TypedDict):
    """A bot, and who answers for it."""

    user: UserView
    bio: str | None
    owner_id: str
    is_public: bool
    created_at: datetime


class BotListView(TypedDict):
    """One's own bots, the oldest first."""

    bots: list[BotView]


class BotTokenView(TypedDict):
    """A token, without what it is. Its last use is known to the hour."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


class BotTokenListView(TypedDict):
    """A bot's live tokens, newest first."""

    tokens: list[BotTokenView]


class IssuedTokenView(TypedDict):
    """A token that was just made: it is told this once."""

    token: str
    details: BotTokenView


def bot(row: Bot) -> BotView:
    """Render a bot."""
    return {
        "user": {
            "id": str(row.id),
            "username": row.username,
            "display_name": row.display_name or row.username,
            "avatar_url": row.avatar_url,
            "is_bot": True,
            "is_deleted": False,
        },
        "bio": row.bio,
        "owner_id": str(row.owner_id),
        "is_public": row.is_public,
        "created_at": moment(row.created_at),
    }


def token(row: BotToken) -> BotTokenView:
    """Render a token."""
    return {
        "id": str(row.id),
        "name": row.name,
        "scopes": list(row.scopes),
        "created_at": moment(row.created_at),
        "last_used_at": moment_or_none(row.last_used_at),
        "expires_at": moment_or_none(row.expires_at),
    }

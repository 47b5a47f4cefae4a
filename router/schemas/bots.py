"""Schemas of bots and their tokens."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints, WithJsonSchema
from typing_extensions import TypedDict

from directory.bot_tokens import BotToken
from directory.bots import Bot
from router.schemas.fields import NO_NUL, Name, Wire, moment, moment_or_none
from router.schemas.people import UserView
from router.scopes import Scope

ScopeName = Annotated[Scope, WithJsonSchema({"type": "string", "enum": [*Scope]})]


class CreateBot(Wire):
    """Bot to create. A public bot can be added to a room by anyone who manages the room."""

    username: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{3,30}$")]
    display_name: Name | None = None
    is_public: bool = False


class UpdateBot(Wire):
    """Changes to a bot. Fields that are left out do not change."""

    display_name: Name | None = None
    bio: Annotated[str, StringConstraints(max_length=1000), NO_NUL] | None = None
    avatar_url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$", max_length=2000), NO_NUL] | None = None
    # Can be changed but not emptied, so null is refused. The default is never read.
    is_public: bool = Field(default_factory=bool)


class IssueToken(Wire):
    """Token to issue, with its scopes. Without `expires_in_seconds` it works until it is revoked."""

    name: Name
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=len(Scope))]
    expires_in_seconds: Annotated[int, Field(ge=60, le=315_360_000)] | None = None


class BotView(TypedDict):
    """Bot and its owner."""

    user: UserView
    bio: str | None
    owner_id: str
    is_public: bool
    created_at: datetime


class BotListView(TypedDict):
    """The caller's bots, the oldest first."""

    bots: list[BotView]


class BotTokenView(TypedDict):
    """Token, without its secret. `last_used_at` is exact to the hour."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


class BotTokenListView(TypedDict):
    """Live tokens of a bot, newest first."""

    tokens: list[BotTokenView]


class IssuedTokenView(TypedDict):
    """New token. It is returned only once."""

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

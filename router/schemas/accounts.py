"""Schemas of the caller's own account: registration, sign-in, profile, sessions and settings."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field, StringConstraints
from typing_extensions import TypedDict

from directory.accounts import SignedIn
from directory.sessions import Session
from directory.user_settings import UserSettings
from directory.users import User
from router.schemas.fields import NO_NUL, Name, Wire, moment
from router.schemas.time_zones import TimeZone


def _answerable(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse values that Python reads from JSON and the response encoder cannot write: NaN, 1e999 and giant
    integers."""
    try:
        json.dumps(value, allow_nan=False)
        orjson.dumps(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"this cannot be kept: {error}") from None
    return value


Password = Annotated[str, StringConstraints(min_length=10, max_length=256)]


class Register(Wire):
    """Account to create."""

    username: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{3,30}$")]
    password: Password
    display_name: Name | None = None
    email: Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254), NO_NUL] | None = None


class LogIn(Wire):
    """Credentials to sign in with. With `cookie` the token is set as a cookie that scripts cannot read, and is not in
    the body."""

    username: Annotated[str, StringConstraints(max_length=254), NO_NUL]
    password: Annotated[str, Field(max_length=256)]
    cookie: bool = False


class Anonymous(Wire):
    """Guest account to create, with an optional display name."""

    display_name: Name | None = None


class ChangePassword(Wire):
    """Current and new password. Every other session ends."""

    current_password: Annotated[str, Field(max_length=256)]
    new_password: Password


class UpdateProfile(Wire):
    """Changes to the caller's profile. Fields that are left out do not change."""

    display_name: Name | None = None
    bio: Annotated[str, StringConstraints(max_length=1000), NO_NUL] | None = None
    avatar_url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$", max_length=2000), NO_NUL] | None = None
    # Everybody has these two: they can be changed but not emptied, so null is refused. The defaults are never read.
    locale: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)] = Field(
        default_factory=str
    )
    timezone: TimeZone = Field(default_factory=str)


class UpdateSettings(Wire):
    """Changes to the caller's settings. Fields that are left out do not change. `settings` belongs to the client and is
    replaced as a whole."""

    notifications_enabled: bool | None = None
    notification_sound: Annotated[str, StringConstraints(min_length=1, max_length=64), NO_NUL] | None = None
    theme: Literal["auto", "light", "dark"] | None = None
    compact_mode: bool | None = None
    developer_mode: bool | None = None
    direct_messages_from: Literal["everyone", "shared", "nobody"] | None = None
    settings: Annotated[dict[str, Any], AfterValidator(_answerable)] | None = None


class MeView(TypedDict):
    """The caller's own account."""

    id: str
    username: str
    display_name: str | None
    email: str | None
    avatar_url: str | None
    bio: str | None
    locale: str
    timezone: str
    is_anonymous: bool
    is_bot: bool
    capabilities: list[str]
    created_at: datetime


class SignedInView(TypedDict):
    """New session. The token is returned only once; it is null when it was set as a cookie."""

    token: str | None
    expires_at: datetime
    user: MeView


class SessionView(TypedDict):
    """Session, without its token."""

    id: str
    is_current: bool
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    ip: str | None
    user_agent: str | None


class SessionListView(TypedDict):
    """The caller's live sessions, newest first."""

    sessions: list[SessionView]


class SettingsView(TypedDict):
    """The caller's settings."""

    notifications_enabled: bool
    notification_sound: str
    theme: str
    compact_mode: bool
    developer_mode: bool
    direct_messages_from: str
    settings: Mapping[str, Any]


def me(user: User, capabilities: frozenset[str]) -> MeView:
    """Render the caller's own account."""
    return {
        "id": str(user.id),
        "username": user.username,
        "display_name": user.display_name,
        "email": user.email,
        "avatar_url": user.avatar_url,
        "bio": user.bio,
        "locale": user.locale,
        "timezone": user.timezone,
        "is_anonymous": user.is_anonymous,
        "is_bot": user.is_bot,
        "capabilities": sorted(capabilities),
        "created_at": moment(user.created_at),
    }


def signed_in(done: SignedIn, capabilities: frozenset[str], *, tells_token: bool) -> SignedInView:
    """Render a new session."""
    return {
        "token": done.token if tells_token else None,
        "expires_at": moment(done.session.expires_at),
        "user": me(done.user, capabilities),
    }


def session(row: Session, current: bytes) -> SessionView:
    """Render a session of the caller; `current` is the token hash of the session that makes the request."""
    return {
        "id": str(row.id),
        "is_current": row.token_hash == current,
        "created_at": moment(row.created_at),
        "last_seen_at": moment(row.last_seen_at),
        "expires_at": moment(row.expires_at),
        "ip": row.ip,
        "user_agent": row.user_agent,
    }


def settings(row: UserSettings) -> SettingsView:
    """Render settings."""
    return {
        "notifications_enabled": row.notifications_enabled,
        "notification_sound": row.notification_sound,
        "theme": row.theme,
        "compact_mode": row.compact_mode,
        "developer_mode": row.developer_mode,
        "direct_messages_from": row.direct_messages_from,
        "settings": row.settings,
    }

"""One's own account, sessions and settings."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from typing_extensions import TypedDict

from directory.accounts import SignedIn
from directory.sessions import Session
from directory.user_settings import UserSettings
from directory.users import User
from router.views.values import moment


class MeView(TypedDict):
    """One's own account."""

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
    """A session that has just begun. The token is told this once; null when it went into a cookie."""

    token: str | None
    expires_at: datetime
    user: MeView


class SessionView(TypedDict):
    """A session, without its token."""

    id: str
    is_current: bool
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    ip: str | None
    user_agent: str | None


class SessionListView(TypedDict):
    """One's own live sessions, newest first."""

    sessions: list[SessionView]


class SettingsView(TypedDict):
    """How one likes one's client."""

    notifications_enabled: bool
    notification_sound: str
    theme: str
    compact_mode: bool
    developer_mode: bool
    direct_messages_from: str
    settings: Mapping[str, Any]


def me(user: User, capabilities: frozenset[str]) -> MeView:
    """Render one's own account."""
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
    """Render one of one's sessions; `current` is the token hash of the one that asks."""
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

"""Rows of `user_settings`: preferences of users for their clients. A missing row means the defaults."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypedDict

import ids
from directory.changes import UserChanged
from directory.database import Reader, Writer

Audience = Literal["everyone", "shared", "nobody"]
"""Senders whose direct messages a user accepts: everyone, people in a shared room, or nobody."""


@dataclass(frozen=True, slots=True)
class UserSettings:
    """The settings that a client reads at start; `settings` is the client's own, at most 64 KiB as JSON."""

    notifications_enabled: bool = True
    notification_sound: str = "default"
    theme: str = "auto"
    compact_mode: bool = False
    developer_mode: bool = False
    direct_messages_from: Audience = "everyone"
    settings: Mapping[str, Any] = field(default_factory=dict)


class SettingsFields(TypedDict, total=False):
    """The changed settings; missing means unchanged. `settings` is replaced whole."""

    notifications_enabled: bool
    notification_sound: str
    theme: str
    compact_mode: bool
    developer_mode: bool
    direct_messages_from: Audience
    settings: Mapping[str, Any]


async def find(reader: Reader, user_id: ids.UserId) -> UserSettings:
    """Return a user's settings, or the defaults."""
    row = await reader.fetch_one(
        "SELECT notifications_enabled, notification_sound, theme, compact_mode, developer_mode, direct_messages_from, "
        "settings FROM user_settings WHERE user_id = ?",
        (user_id,),
    )
    if row is None:
        return UserSettings()
    return UserSettings(bool(row[0]), row[1], row[2], bool(row[3]), bool(row[4]), row[5], json.loads(row[6]))


async def update(writer: Writer, user_id: ids.UserId, fields: SettingsFields, *, now_ms: int) -> UserSettings:
    """Change what is named in `fields`; raises ConstraintError for unknown users and values out of bounds."""
    known = await find(writer, user_id)
    merged = replace(known, **fields)
    await writer.execute(
        "INSERT INTO user_settings (user_id, notifications_enabled, notification_sound, theme, compact_mode, "
        "developer_mode, settings, updated_at, direct_messages_from) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) "
        "ON CONFLICT (user_id) DO UPDATE SET notifications_enabled = ?2, notification_sound = ?3, theme = ?4, "
        "compact_mode = ?5, developer_mode = ?6, settings = ?7, updated_at = ?8, direct_messages_from = ?9",
        (
            user_id,
            int(merged.notifications_enabled),
            merged.notification_sound,
            merged.theme,
            int(merged.compact_mode),
            int(merged.developer_mode),
            json.dumps(merged.settings, ensure_ascii=False),
            now_ms,
            merged.direct_messages_from,
        ),
    )
    if merged.direct_messages_from != known.direct_messages_from:
        writer.tell(UserChanged(user_id))
    return merged

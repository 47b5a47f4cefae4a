"""Rows of `users`: accounts and their public profiles. No credentials here, and nothing that a room keeps.

A username is unique in any case, and does not look like another; id, creation time and being a bot never change.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, TypedDict

import ids
from database.connections import Row, with_flags
from directory import errors
from directory.changes import UserChanged
from directory.database import Reader, Writer
from directory.skeletons import skeleton

Status = Literal["active", "suspended", "deleted"]
AgeLayer = Literal["minor", "transitional", "adult"]

_USERNAME: Final = re.compile(r"[A-Za-z0-9_]{3,30}")
RESERVED_PREFIXES: Final = ("deleted", "guest", "hook", "imported")
"""Before an underscore: names that the system gives itself, and those that deleted accounts are shown by."""
RESERVED_NAMES: Final = ("everyone", "here")
"""Names that call all members of a channel."""
_RESERVED_PREFIX_LOOKS: Final = frozenset(map(skeleton, RESERVED_PREFIXES))
_RESERVED_NAME_LOOKS: Final = frozenset(map(skeleton, RESERVED_NAMES))
PAGE_MAX: Final = 200
"""Rows of one page of users, for operators."""


@dataclass(frozen=True, slots=True)
class User:
    """One account; times in milliseconds UTC."""

    id: ids.UserId
    username: str
    email: str | None
    email_verified_at: int | None
    display_name: str | None
    avatar_url: str | None
    bio: str | None
    is_anonymous: bool
    is_bot: bool
    locale: str
    timezone: str
    age_layer: AgeLayer | None
    status: Status
    created_at: int
    updated_at: int
    last_login_at: int | None
    deleted_at: int | None


@dataclass(frozen=True, slots=True)
class Profile:
    """The public facts of a user; a deleted user shows nothing but the id."""

    id: ids.UserId
    username: str
    display_name: str
    avatar_url: str | None
    is_bot: bool
    is_deleted: bool


class ProfileFields(TypedDict, total=False):
    """The fields that users may change of themselves; missing means unchanged."""

    display_name: str | None
    bio: str | None
    avatar_url: str | None
    locale: str
    timezone: str


def _from_row(row: Row) -> User:
    return User(*with_flags(row, 7, 8))


def _profile_from_row(row: Row) -> Profile:
    user_id, username, display_name, avatar_url, is_bot, status = row
    if status == "deleted":
        return Profile(user_id, f"deleted_{user_id}", "Deleted user", None, bool(is_bot), is_deleted=True)
    return Profile(user_id, username, display_name or username, avatar_url, bool(is_bot), is_deleted=False)


async def create(
    writer: Writer,
    *,
    username: str,
    now_ms: int,
    email: str | None = None,
    display_name: str | None = None,
    is_anonymous: bool = False,
    is_bot: bool = False,
    age_layer: AgeLayer | None = None,
    is_named_by_system: bool = False,
) -> User:
    """Make an account without credentials; a reserved name is for those that the system names itself.

    Raises BadUsernameError, ReservedUsernameError, UsernameTakenError, ConfusableUsernameError and EmailTakenError.
    """
    if is_named_by_system:
        await _refuse_taken(writer, username, email)
    else:
        await _refuse_name(writer, username, email)
    user_id = ids.UserId(await writer.next_id(now_ms))
    await writer.execute(
        "INSERT INTO users (id, username, skeleton, email, display_name, is_anonymous, is_bot, age_layer, "
        "created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)",
        (user_id, username, skeleton(username), email, display_name, is_anonymous, is_bot, age_layer, now_ms),
    )
    return await find(writer, user_id)


async def _refuse_name(writer: Writer, username: str, email: str | None) -> None:
    if _USERNAME.fullmatch(username) is None:
        raise errors.BadUsernameError
    if is_reserved(username):
        raise errors.ReservedUsernameError(username)
    await _refuse_taken(writer, username, email)


def is_reserved(username: str) -> bool:
    """Tell whether a name would be taken for an id, for a name that the system gives, or for a call to everyone.

    Names count by their look, so that `gue5t_1` is reserved with `guest_1`; `guesting` is free.
    """
    head, mark, _ = username.lstrip("_").partition("_")
    is_prefixed = mark != "" and skeleton(head) in _RESERVED_PREFIX_LOOKS
    return is_prefixed or username.isdecimal() or skeleton(username) in _RESERVED_NAME_LOOKS


async def _refuse_taken(writer: Writer, username: str, email: str | None) -> None:
    """The transaction holds the write lock of the file, so what is free here is free at the INSERT."""
    rows = await writer.fetch_all(
        "SELECT username = ?1, email = ?3 FROM users WHERE username = ?1 OR skeleton = ?2 OR email = ?3",
        (username, skeleton(username), email),
    )
    if any(same_name for same_name, _ in rows):
        raise errors.UsernameTakenError(username)
    if any(same_email for _, same_email in rows):
        raise errors.EmailTakenError
    if rows:
        raise errors.ConfusableUsernameError(username)


async def find(reader: Reader, user_id: ids.UserId) -> User:
    """Return a user in any status; raises UserNotFoundError."""
    row = await reader.fetch_one(
        "SELECT id, username, email, email_verified_at, display_name, avatar_url, bio, is_anonymous, is_bot, locale, "
        "timezone, age_layer, status, created_at, updated_at, last_login_at, deleted_at FROM users WHERE id = ?",
        (user_id,),
    )
    if row is None:
        raise errors.UserNotFoundError(user_id)
    return _from_row(row)


async def find_by_username(reader: Reader, username: str) -> User:
    """Return a user in any status by name, in any case; raises UserNotFoundError."""
    row = await reader.fetch_one(
        "SELECT id, username, email, email_verified_at, display_name, avatar_url, bio, is_anonymous, is_bot, locale, "
        "timezone, age_layer, status, created_at, updated_at, last_login_at, deleted_at FROM users WHERE username = ?",
        (username,),
    )
    if row is None:
        raise errors.UserNotFoundError(username)
    return _from_row(row)


async def find_named(reader: Reader, name: str) -> User:
    """Return a user in any status by an id or a username; raises UserNotFoundError.

    A number is the id of the user who has it, whatever others are called; with an @ before it, it is a username if
    somebody has it. Usernames that are numbers are from before they were refused.
    """
    bare = name.removeprefix("@")
    number = int(bare) if bare.isascii() and bare.isdecimal() and len(bare) < 20 else None
    if number is None:
        return await find_by_username(reader, bare)
    try:
        if bare == name and number <= ids.ID_MAX:
            return await find(reader, ids.UserId(number))
        return await find_by_username(reader, bare)
    except errors.UserNotFoundError:
        if bare == name:
            return await find_by_username(reader, bare)
        return await find(reader, ids.UserId(min(number, ids.ID_MAX)))


async def list_page(reader: Reader, *, after: int = 0, limit: int = PAGE_MAX) -> list[User]:
    """Return users by age of the account, oldest first, after an id."""
    rows = await reader.fetch_all(
        "SELECT id, username, email, email_verified_at, display_name, avatar_url, bio, is_anonymous, is_bot, locale, "
        "timezone, age_layer, status, created_at, updated_at, last_login_at, deleted_at FROM users WHERE id > ? "
        "ORDER BY id LIMIT ?",
        (after, min(limit, PAGE_MAX)),
    )
    return [_from_row(row) for row in rows]


async def profiles(reader: Reader, user_ids: Collection[ids.UserId]) -> dict[ids.UserId, Profile]:
    """Return the public profiles of these users; unknown ids are left out."""
    rows = await reader.fetch_all(
        "SELECT id, username, display_name, avatar_url, is_bot, status FROM users "
        "WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(user_ids)),),
    )
    return {row[0]: _profile_from_row(row) for row in rows}


async def update_profile(writer: Writer, user_id: ids.UserId, fields: ProfileFields, *, now_ms: int) -> User:
    """Change what is named in `fields`; raises UserNotFoundError and ConstraintError."""
    user = await find(writer, user_id)
    await writer.execute(
        "UPDATE users SET display_name = ?, bio = ?, avatar_url = ?, locale = ?, timezone = ?, updated_at = ? "
        "WHERE id = ?",
        (
            fields.get("display_name", user.display_name),
            fields.get("bio", user.bio),
            fields.get("avatar_url", user.avatar_url),
            fields.get("locale", user.locale),
            fields.get("timezone", user.timezone),
            now_ms,
            user_id,
        ),
    )
    writer.tell(UserChanged(user_id))
    return await find(writer, user_id)


async def rename(writer: Writer, user_id: ids.UserId, username: str, *, now_ms: int) -> User:
    """Give a user another username; raises UserNotFoundError, and of `create` what a name is refused for."""
    await _refuse_name(writer, username, None)
    await find(writer, user_id)
    await writer.execute(
        "UPDATE users SET username = ?, skeleton = ?, updated_at = ? WHERE id = ?",
        (username, skeleton(username), now_ms, user_id),
    )
    writer.tell(UserChanged(user_id))
    return await find(writer, user_id)


async def find_bearers(reader: Reader, usernames: Collection[str]) -> dict[str, ids.UserId]:
    """Return the active people whose usernames these are in any case, by the text that was asked for."""
    rows = await reader.fetch_all(
        "SELECT w.value, u.id FROM json_each(?) w CROSS JOIN users u ON u.username = w.value COLLATE NOCASE "
        "WHERE u.status = 'active' AND u.is_bot = 0",
        (json.dumps(list(usernames)),),
    )
    return dict(rows)


async def set_status(writer: Writer, user_id: ids.UserId, status: Status, *, now_ms: int) -> None:
    """Activate, suspend or delete an account; raises UserNotFoundError. `accounts` also ends the sessions."""
    row = await writer.fetch_one(
        "UPDATE users SET status = ?1, updated_at = ?2, deleted_at = iif(?1 = 'deleted', ?2, NULL) WHERE id = ?3 "
        "RETURNING id",
        (status, now_ms, user_id),
    )
    if row is None:
        raise errors.UserNotFoundError(user_id)
    writer.tell(UserChanged(user_id))


async def set_last_login(writer: Writer, user_id: ids.UserId, *, now_ms: int) -> None:
    """Store when a user last logged in; no cache has it, so no change is published."""
    await writer.execute("UPDATE users SET last_login_at = ? WHERE id = ?", (now_ms, user_id))

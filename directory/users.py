"""Rows of `users`: who people are to others. No credentials here, and nothing that a room keeps.

A username is unique whatever its case, and unlike every other to the eye; id, creation time and being a bot never
change.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypedDict, cast

import ids
from directory import errors
from directory.changes import UserChanged
from directory.connections import Row, with_flags
from directory.database import Reader, Writer
from directory.skeletons import skeleton

Status = Literal["active", "suspended", "deleted"]
AgeLayer = Literal["minor", "transitional", "adult"]

_USERNAME: Final = re.compile(r"[A-Za-z0-9_]{3,30}")
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
    """What everybody may see of a user; a deleted user shows nothing but the id."""

    id: ids.UserId
    username: str
    display_name: str
    avatar_url: str | None
    is_bot: bool
    is_deleted: bool


class ProfileFields(TypedDict, total=False):
    """What people change of themselves; missing means unchanged."""

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
) -> User:
    """Make an account without credentials.

    Raises BadUsernameError, UsernameTakenError, ConfusableUsernameError and EmailTakenError.
    """
    if _USERNAME.fullmatch(username) is None:
        raise errors.BadUsernameError
    await _refuse_taken(writer, username, email)
    user_id = ids.UserId(await writer.next_id(now_ms))
    await writer.execute(
        "INSERT INTO users (id, username, skeleton, email, display_name, is_anonymous, is_bot, age_layer, "
        "created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)",
        (user_id, username, skeleton(username), email, display_name, is_anonymous, is_bot, age_layer, now_ms),
    )
    return await find(writer, user_id)


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
    """Return a user in any status by name, whatever its case; raises UserNotFoundError."""
    row = await reader.fetch_one(
        "SELECT id, username, email, email_verified_at, display_name, avatar_url, bio, is_anonymous, is_bot, locale, "
        "timezone, age_layer, status, created_at, updated_at, last_login_at, deleted_at FROM users WHERE username = ?",
        (username,),
    )
    if row is None:
        raise errors.UserNotFoundError(username)
    return _from_row(row)


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
    """Return what everybody may see of these users; ids that nobody has are left out."""
    rows = await reader.fetch_all(
        "SELECT id, username, display_name, avatar_url, is_bot, status FROM users "
        "WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(user_ids)),),
    )
    return {row[0]: _profile_from_row(row) for row in rows}


async def update_profile(writer: Writer, user_id: ids.UserId, fields: ProfileFields, *, now_ms: int) -> User:
    """Change what is named in `fields`; raises UserNotFoundError and RefusedValueError."""
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
    """Remember when a user last logged in; nobody else sees it, so no cache is told."""
    await writer.execute("UPDATE users SET last_login_at = ? WHERE id = ?", (now_ms, user_id))


async def ensure_placeholders(writer: Writer, names: Iterable[str], *, now_ms: int) -> dict[str, ids.UserId]:
    """Return a user for every name of an imported history, made without credentials where there is none.

    A name that is a username is that user's, exactly; any other name (odd characters, another's name in another
    case) gets a username made from it and its digest, and is kept as the display name. Asking again gives the same.
    Imported names may look alike, because the people were there before us; later accounts may not look like them.
    """
    wanted = {name: _derived_username(name) for name in dict.fromkeys(names)}
    known = await _users_named(writer, [*wanted, *wanted.values()])
    missing = [name for name in wanted if name not in known and wanted[name] not in known]
    taken = {username.lower() for username in known}
    usernames: dict[str, str] = {}
    for name in missing:
        free = _USERNAME.fullmatch(name) is not None and name.lower() not in taken
        usernames[name] = name if free else wanted[name]
        taken.add(usernames[name].lower())
    known |= await _insert_placeholders(writer, usernames, now_ms)
    return {name: known[derived] if derived in known else known[name] for name, derived in wanted.items()}


def _derived_username(name: str) -> str:
    """Return the username of a name that cannot be one: what is left of it, and 48 bits of its SHA-256."""
    rest = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")[:17] or "user"
    return f"{rest}_{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


async def _users_named(writer: Writer, usernames: list[str]) -> dict[str, ids.UserId]:
    rows = await writer.fetch_all(
        "SELECT username, id FROM users WHERE username IN (SELECT value FROM json_each(?))", (json.dumps(usernames),)
    )
    return dict(rows)


async def _insert_placeholders(writer: Writer, usernames: dict[str, str], now_ms: int) -> dict[str, ids.UserId]:
    if not usernames:
        return {}
    looks = {username: skeleton(username) for username in usernames.values()}
    rows = await writer.fetch_all(
        "SELECT skeleton FROM users WHERE skeleton IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(set(looks.values()))),),
    )
    taken = {row[0] for row in rows}
    inserts: list[tuple[int, str, str | None, str | None, int, int]] = []
    numbers = await writer.next_ids(now_ms, len(usernames))
    for number, (name, username) in zip(numbers, usernames.items(), strict=True):
        look = looks[username] if looks[username] not in taken else None
        taken.add(looks[username])
        shown = name[:100] or None if name != username else None
        inserts.append((number, username, look, shown, now_ms, now_ms))
    await writer.execute_many(
        "INSERT INTO users (id, username, skeleton, display_name, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)",
        inserts,
    )
    return {row[1]: cast(ids.UserId, row[0]) for row in inserts}

"""Accounts: signing up and in, and what is one's own."""

import json
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field, StringConstraints

from router.wire.fields import NO_NUL, Name, Wire


def _answerable(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what Python reads from JSON and the answer's encoder does not write: NaN, 1e999 and giant integers."""
    try:
        json.dumps(value, allow_nan=False)
        orjson.dumps(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"this cannot be kept: {error}") from None
    return value


Password = Annotated[str, StringConstraints(min_length=10, max_length=256)]


class Register(Wire):
    """A new account."""

    username: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{3,30}$")]
    password: Password
    display_name: Name | None = None
    email: Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254), NO_NUL] | None = None


class LogIn(Wire):
    """A name and a password. With `cookie` the token comes as a cookie that scripts cannot read, not in the body."""

    username: Annotated[str, StringConstraints(max_length=254), NO_NUL]
    password: Annotated[str, Field(max_length=256)]
    cookie: bool = False


class Anonymous(Wire):
    """A guest, who may give a name to be shown by."""

    display_name: Name | None = None


class ChangePassword(Wire):
    """The password as it is and as it shall be; every other session ends."""

    current_password: Annotated[str, Field(max_length=256)]
    new_password: Password


class UpdateProfile(Wire):
    """What to change of oneself; fields that are left out stay."""

    display_name: Name | None = None
    bio: Annotated[str, StringConstraints(max_length=1000), NO_NUL] | None = None
    avatar_url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$", max_length=2000), NO_NUL] | None = None
    # Everybody has these two: they can be changed but not emptied, so null is refused. The defaults are never read.
    locale: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)] = Field(
        default_factory=str
    )
    timezone: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+/-]{1,64}$")] = Field(default_factory=str)


class UpdateSettings(Wire):
    """What to change of one's settings; `settings` is the client's own and is replaced whole."""

    notifications_enabled: bool | None = None
    notification_sound: Annotated[str, StringConstraints(min_length=1, max_length=64), NO_NUL] | None = None
    theme: Literal["auto", "light", "dark"] | None = None
    compact_mode: bool | None = None
    developer_mode: bool | None = None
    direct_messages_from: Literal["everyone", "shared", "nobody"] | None = None
    settings: Annotated[dict[str, Any], AfterValidator(_answerable)] | None = None

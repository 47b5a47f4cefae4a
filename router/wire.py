"""What clients send: frozen pydantic models that refuse unknown fields.

Ids are decimal strings (JavaScript's numbers lose digits above 2^53); text has no NUL, which SQLite's functions would
cut it at. Lone surrogates never get here: the JSON parser refuses them.
"""

import json
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

import ids
from shard.actions import ChannelDraft
from shard.messages import CONTENT_LENGTH_MAX, NONCE_LENGTH_MAX

PAGE_SIZE_MAX = 100
PAGE_SIZE = 50


def parse_id(value: Any) -> int:
    """Return an id from its decimal text; raises ValueError for everything else."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 19 and value[0] != "0":
        number = int(value)
        if number <= ids.ID_MAX:
            return number
    raise ValueError("an id is a string of digits, as the server gave it")


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("the character U+0000 is not allowed")
    return text


def _with_a_word(text: str) -> str:
    if not text.strip():
        raise ValueError("at least one visible character is needed")
    return text


def _answerable(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what Python reads from JSON and the answer's encoder does not write: NaN, 1e999 and giant integers."""
    try:
        json.dumps(value, allow_nan=False)
        orjson.dumps(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"this cannot be kept: {error}") from None
    return value


ID_SCHEMA = {"type": "string", "format": "id", "pattern": "^[1-9][0-9]{0,18}$", "examples": ["1553091811737600000"]}
Id = Annotated[int, BeforeValidator(parse_id), WithJsonSchema(ID_SCHEMA)]
# Constraints stand before these validators: behind them pydantic neither words nor documents them as a string's.
NO_NUL = AfterValidator(_without_nul)
VISIBLE = AfterValidator(_with_a_word)
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64), NO_NUL]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), NO_NUL]
Description = Annotated[str, StringConstraints(max_length=1024), NO_NUL]
Password = Annotated[str, StringConstraints(min_length=10, max_length=256)]


class Wire(BaseModel):
    """Base of every model on the wire."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Wire):
    """No body, or no query parameters."""


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
    settings: Annotated[dict[str, Any], AfterValidator(_answerable)] | None = None


class CreateRoom(Wire):
    """A community: `name` is its address, `display_name` its title."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,49}$")]
    display_name: Title | None = None
    description: Description | None = None
    is_public: bool = False


class CreateChannel(Wire):
    """A channel at the end of the list."""

    name: Title
    type: Literal["text", "voice", "announcement"] = "text"
    description: Description | None = None
    thread_mode: Literal["required", "optional", "disabled"] = "optional"

    def draft(self) -> ChannelDraft:
        return ChannelDraft(self.name, self.type, self.description, self.thread_mode)


class CreateThread(Wire):
    """A thread, by its title."""

    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), NO_NUL]


class SendMessage(Wire):
    """A message. Repeating a `nonce` returns the message that it made; use a new one for every message."""

    content: Annotated[str, StringConstraints(min_length=1, max_length=CONTENT_LENGTH_MAX), NO_NUL, VISIBLE]
    nonce: Annotated[str, StringConstraints(min_length=1, max_length=NONCE_LENGTH_MAX), NO_NUL] | None = None
    thread_id: Id | None = None
    reply_to_id: Id | None = None


class CreateInvite(Wire):
    """An invitation; without bounds it works until it is revoked."""

    max_uses: Annotated[int, Field(ge=1, le=100_000)] | None = None
    expires_in_seconds: Annotated[int, Field(ge=60, le=31_536_000)] | None = 604_800


class Paged(Wire):
    """How many rows a page has at most."""

    limit: Annotated[int, Field(ge=1, le=PAGE_SIZE_MAX)] = PAGE_SIZE


class PageQuery(Paged):
    """Where a list goes on: `cursor` is what the page before called `next_cursor`."""

    cursor: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,200}$")] | None = None


class HistoryQuery(Paged):
    """A stretch of history: next to at most one of `before`, `after`, `around`; without one, the newest."""

    before: Id | None = None
    after: Id | None = None
    around: Id | None = None
    thread_id: Id | None = None


class SearchQuery(Paged):
    """Words (all must occur), "phrases", beginnings* and -not; `before` goes on from a message id."""

    q: Annotated[str, StringConstraints(min_length=1, max_length=500), NO_NUL]
    channel_id: Id | None = None
    before: Id | None = None

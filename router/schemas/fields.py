"""Common parts of requests and responses: ids, texts, reasons, times, pages.

Ids are decimal strings (JavaScript's numbers lose digits above 2^53). Text has no NUL, at which SQLite's functions
would cut it. The JSON parser refuses lone surrogates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

import ids
from router.errors import FieldFault, InvalidError
from router.schemas import pages
from shard.text import visible_text

PAGE_SIZE_MAX = 100
"""Entries of a page. Beyond it 422; the settings may lower it."""

PAGE_SIZE = 50
"""Entries of a page when a request does not say."""


def parse_id(value: Any) -> int:
    """Return an id from its decimal text; raises ValueError for other values."""
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
    if not visible_text.is_visible(text):
        raise ValueError("at least one visible character is needed")
    return text


def _cleaned(text: str) -> str:
    return _with_a_word(visible_text.clean_name(text))


ID_SCHEMA = {"type": "string", "format": "id", "pattern": "^[1-9][0-9]{0,18}$", "examples": ["1553091811737600000"]}

Id = Annotated[int, BeforeValidator(parse_id), WithJsonSchema(ID_SCHEMA)]

# Constraints stand before these validators: behind them pydantic does not document them as a string's.
NO_NUL = AfterValidator(_without_nul)

VISIBLE = AfterValidator(_with_a_word)

CLEANED = AfterValidator(_cleaned)
"""For names: one line, and nothing that cannot be seen."""

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64), NO_NUL, CLEANED]

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), NO_NUL, CLEANED]

Description = Annotated[str, StringConstraints(max_length=1024), NO_NUL]

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=512), NO_NUL, VISIBLE]
"""Reason of a moderator's act, for the audit log."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Operator's limits on the size of requests and pages."""

    message_length_max: int
    page_size_max: int
    file_bytes_max: int


class Wire(BaseModel):
    """Body or query of a request; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def within(self, bounds: Bounds) -> Self:
        """Return this request within the operator's limits; raises InvalidError for a value that exceeds them.

        Dispatch calls it before it looks for the room: an error that came later would reveal to outsiders whether the
        room exists.
        """
        return self


class Nothing(Wire):
    """Empty body or query."""


class Why(Wire):
    """Optional reason for the audit log."""

    reason: Reason | None = None


class Paged(Wire):
    """Maximum number of rows of a page."""

    limit: Annotated[int, Field(ge=1, le=PAGE_SIZE_MAX)] = PAGE_SIZE

    def within(self, bounds: Bounds) -> Self:
        """Return it with the requested number of rows, or the default within the operator's page size."""
        if self.limit <= bounds.page_size_max:
            return self
        if "limit" in self.model_fields_set:
            raise InvalidError([FieldFault("query.limit", f"at most {bounds.page_size_max}")])
        return self.model_copy(update={"limit": bounds.page_size_max})


class PageQuery(Paged):
    """Position in a list: `cursor` is the `next_cursor` of the previous page."""

    CURSOR_NUMBERS: ClassVar[int] = 1

    cursor: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,200}$")] | None = None

    @cached_property
    def place(self) -> Sequence[int] | None:
        """Numbers of the cursor, None at the beginning of the list; raises InvalidError for a cursor of another
        list."""
        return pages.read(self.cursor, self.CURSOR_NUMBERS)

    def within(self, bounds: Bounds) -> Self:
        """Return it as `Paged` does; raises InvalidError for a cursor of another list too."""
        found = super().within(bounds)
        found.place  # noqa: B018 - raises for an invalid cursor
        return found


class TimedPageQuery(PageQuery):
    """Position in a list: `cursor` is the `next_cursor` of the previous page."""

    # A time or a count, and an id that makes it unique.
    CURSOR_NUMBERS = 2


def moment(time_ms: int) -> datetime:
    """Return a time as responses have it, from milliseconds UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def moment_or_none(time_ms: int | None) -> datetime | None:
    """Return a time as responses have it, if there is one."""
    return None if time_ms is None else moment(time_ms)


def text_or_none(number: int | None) -> str | None:
    """Return an id as responses have it, if there is one."""
    return None if number is None else str(number)


def with_moments(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts of an audit log as responses have them: an integer with the name of a time is taken as milliseconds
    UTC."""
    return {
        name: moment(value) if name.endswith(("_at", "_until")) and isinstance(value, int) else value
        for name, value in facts.items()
    }


def encode(value: Any) -> bytes:
    """Return a response as JSON."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)

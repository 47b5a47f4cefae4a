"""What the models of the wire are made of.

Ids are decimal strings (JavaScript's numbers lose digits above 2^53); text has no NUL, which SQLite's functions would
cut it at. Lone surrogates never get here: the JSON parser refuses them.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

import ids

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


ID_SCHEMA = {"type": "string", "format": "id", "pattern": "^[1-9][0-9]{0,18}$", "examples": ["1553091811737600000"]}

Id = Annotated[int, BeforeValidator(parse_id), WithJsonSchema(ID_SCHEMA)]

# Constraints stand before these validators: behind them pydantic neither words nor documents them as a string's.
NO_NUL = AfterValidator(_without_nul)

VISIBLE = AfterValidator(_with_a_word)

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64), NO_NUL]

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), NO_NUL]

Description = Annotated[str, StringConstraints(max_length=1024), NO_NUL]

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=512), NO_NUL]
"""Why a moderator did something, for the audit log."""


class Wire(BaseModel):
    """Base of every model on the wire."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Wire):
    """No body, or no query parameters."""


class Why(Wire):
    """Nothing but a reason, which may be left out."""

    reason: Reason | None = None


class Paged(Wire):
    """How many rows a page has at most."""

    limit: Annotated[int, Field(ge=1, le=PAGE_SIZE_MAX)] = PAGE_SIZE


class PageQuery(Paged):
    """Where a list goes on: `cursor` is what the page before called `next_cursor`."""

    cursor: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,200}$")] | None = None

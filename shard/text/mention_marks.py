"""Mentions as they are written: `<@USER_ID>`, `<@&ROLE_ID>`, `@everyone` and `@here`, not in code or in addresses."""

import re
from dataclasses import dataclass
from typing import Final

import ids
from shard.text import code_marks

MENTIONS_MAX: Final = 100
"""Members and roles that one message mentions; any further ones are plain text. Each costs a look-up."""

# An address of the web is taken from its slashes on, so that nothing in it is found; what precedes them is not matched,
# which would take time by the square of its length. A name ends with the letters of which words with spaces are made:
# in other scripts the next word follows at once.
_CALL: Final = re.compile(
    r"(?<=[A-Za-z0-9+.-])://[^\s<>]*"
    r"|<@(?P<mark>&?)(?P<number>[1-9][0-9]{0,18})>"
    r"|(?<![0-9A-Za-z_\u00c0-\u024f@/])(?P<all>@(?:everyone|here))(?![0-9A-Za-z_\u00c0-\u024f\u0300-\u036f])"
)
_FIRST: Final = re.compile("<@|@everyone|@here")


@dataclass(frozen=True, slots=True)
class Called:
    """The members and roles that a text names, each once and in its order; they need not exist."""

    user_ids: tuple[int, ...] = ()
    role_ids: tuple[int, ...] = ()
    everyone: bool = False


NOBODY: Final = Called()


def parse(content: str) -> Called:
    """Return the targets that a text names, at most MENTIONS_MAX members and roles."""
    if "@" not in content or _FIRST.search(content) is None:
        return NOBODY
    named: dict[tuple[str, int], None] = {}
    everyone = False
    for found in _CALL.finditer(code_marks.outside(content)):
        if found["all"]:
            everyone = True
        elif found["number"] and len(named) < MENTIONS_MAX and int(found["number"]) <= ids.ID_MAX:
            named[found["mark"], int(found["number"])] = None
    users = tuple(number for mark, number in named if not mark)
    return Called(users, tuple(number for mark, number in named if mark), everyone)


def is_costly(content: str) -> bool:
    """Tell whether a text takes milliseconds: a long one with both a mention and marks of code."""
    return len(content) > CHEAP_LENGTH_MAX and "@" in content and code_marks.may_be_in(content)


CHEAP_LENGTH_MAX: Final = 500
"""Characters up to which any text is parsed within about a millisecond."""

"""The language of searches: texts are read into terms and filters here; nothing a person types is ever FTS5 syntax.

Words (all must occur), "exact phrases", beginnings*, operators such as from:anna, and -what must not be. What looks
like an operator and is none (foo:bar, https://..., 12:30) is words. Bounds: TERMS_MAX and TEXT_LENGTH_MAX.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from ids import UserId
from shard import words
from shard.errors import BadSearchError
from shard.terms import Term

TERMS_MAX = 16
TEXT_LENGTH_MAX = 500

HAS: Final = ("link", "file", "image", "video", "audio", "reaction")
IS: Final = ("pinned", "edited", "reply", "thread")
_DATES: Final = ("before", "after", "during")
_PEOPLE: Final = ("from", "mentions")
OPERATORS: Final = (*_PEOPLE, "in", "thread", "has", "is", *_DATES)

_PART = re.compile(
    rf'(?P<minus>-?)(?:(?P<operator>{"|".join(OPERATORS)}):(?:"(?P<quoted>[^"]*)"?|(?P<value>[^\s"]*))'
    r'|"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))',
    re.IGNORECASE,
)
_TAIL = re.compile(r"(?<=[A-Za-z0-9])[+#]+$")
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Filter:
    """One operator with its value; `part` is what was typed, for what is said of it."""

    name: str
    value: str
    is_wanted: bool
    part: str

    def refused(self, reason: str) -> BadSearchError:
        """Return the error that says which part of a search is wrong, and why."""
        return BadSearchError(f"{self.part}: {reason}")


@dataclass(frozen=True, slots=True)
class Query:
    """A search text, read. `people` are the users whom the names in it mean; whoever can look them up puts them in."""

    wanted: tuple[Term, ...] = ()
    unwanted: tuple[Term, ...] = ()
    filters: tuple[Filter, ...] = ()
    people: Mapping[str, UserId] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """What may be the name of a user."""
        return {person(one.value) for one in self.filters if one.name in _PEOPLE}

    def named(self, name: str) -> list[Filter]:
        """Return the filters of one operator."""
        return [one for one in self.filters if one.name == name]


def person(value: str) -> str:
    """Return a name as it is looked up: names are unique whatever their case, and may be called with an @."""
    return value.removeprefix("@").lower()


def parse(text: str) -> Query:
    """Read a search text; raises BadSearchError when there is nothing to search for, a bound is passed, or the value of
    an operator cannot be right."""
    if len(text) > TEXT_LENGTH_MAX:
        raise BadSearchError(f"A search has at most {TEXT_LENGTH_MAX} characters.")
    wanted: list[Term] = []
    unwanted: list[Term] = []
    filters: list[Filter] = []
    for part in _PART.finditer(text.replace("\0", " ")):
        if part["operator"] is not None:
            value = (part["value"] if part["quoted"] is None else part["quoted"]).strip()
            filters.append(_checked(Filter(part["operator"].lower(), value, not part["minus"], part[0])))
            continue
        term = _phrase(part["phrase"]) if part["word"] is None else _word(part["word"])
        if term is not None:
            (unwanted if part["minus"] else wanted).append(term)
    if not wanted and not filters:
        raise BadSearchError(
            'Search for at least one word, a "phrase", the beginning of a word followed by *, or with an operator such '
            "as from:me."
        )
    if len(wanted) + len(unwanted) + len(filters) > TERMS_MAX:
        raise BadSearchError(f"A search has at most {TERMS_MAX} words, phrases and operators.")
    return Query(tuple(wanted), tuple(unwanted), tuple(filters))


def _word(text: str) -> Term | None:
    stem = text.rstrip("*")
    return _term(stem, is_prefix=stem != text)


def _phrase(text: str) -> Term | None:
    return _term(text, is_prefix=False)


def _term(text: str, *, is_prefix: bool) -> Term | None:
    """Return what to look for, or None where there is no letter, digit or symbol beyond ASCII's."""
    if any(character.isalnum() for character in text):
        tail = _TAIL.search(text)
        return Term(text, is_prefix or words.ends_single(text), "" if is_prefix or tail is None else tail[0])
    if any(not character.isascii() and unicodedata.category(character).startswith("S") for character in text):
        # An emoji is found with and without the mark that asks for its coloured form.
        return Term(text.strip().rstrip("\ufe0f"))
    return None


def _checked(one: Filter) -> Filter:
    if not one.value:
        raise one.refused(f"give its value right behind the colon, such as {one.name}:{_EXAMPLES[one.name]}.")
    known = {"has": HAS, "is": IS}.get(one.name)
    if known is not None and one.value.lower() not in known:
        raise one.refused(f"there are {', '.join(f'{one.name}:{value}' for value in known)}.")
    if one.name in _DATES:
        period(one)
    return one


def period(one: Filter) -> tuple[int, int]:
    """Return the first millisecond of the day, month or year (UTC) of a filter, and the first one after it."""
    found = _DATE.fullmatch(one.value)
    try:
        if found is None:
            raise ValueError(one.value)
        year, month, day = (int(part) if part else None for part in found.groups())
        assert year is not None
        begin = datetime(year, month or 1, day or 1, tzinfo=UTC)
        if day is not None:
            return _ms(begin), _ms(begin) + 86_400_000
        end = datetime(year + 1, 1, 1, tzinfo=UTC)
        if month is not None and month < 12:
            end = datetime(year, month + 1, 1, tzinfo=UTC)
        return _ms(begin), _ms(end)
    except ValueError:
        raise one.refused("a date is a day (2024-02-29), a month (2024-02) or a year (2024), in UTC.") from None


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


_EXAMPLES: Final = {
    "from": "me",
    "mentions": "me",
    "in": "#general",
    "thread": '"its title"',
    "has": "link",
    "is": "pinned",
    "before": "2024-02-29",
    "after": "2024-02",
    "during": "2024",
}

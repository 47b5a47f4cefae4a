"""The language of searches: texts are parsed into terms and filters; no text of a user is used as FTS5 syntax.

Words (all must occur), "exact phrases", beginnings*, operators such as from:anna, and -unwanted terms. A text that
only looks like an operator (foo:bar, https://..., 12:30, From: Bob, --amend) is words, as pasted text has it. Bounds:
TERMS_MAX and TEXT_LENGTH_MAX.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

import word_forms
from ids import UserId
from shard.errors import BadSearchError
from shard.search.terms import Term
from shard.text import tokens

TERMS_MAX = 16
"""Words, phrases and operators of a search. Beyond it 422 `bad-search`."""
TEXT_LENGTH_MAX = 500
"""Characters of a search. Beyond it 422."""

HAS: Final = ("link", "file", "image", "video", "audio", "reaction")
IS: Final = ("pinned", "edited", "reply", "thread")
_DATES: Final = ("before", "after", "during")
_PEOPLE: Final = ("from", "mentions")
OPERATORS: Final = (*_PEOPLE, "in", "thread", "has", "is", *_DATES)

_PART = re.compile(
    rf'(?P<minus>(?<![^\s])-(?!-)|)(?:(?P<operator>{"|".join(OPERATORS)}):(?:"(?P<quoted>[^"]*[^"\s][^"]*)"?|(?P<value>[^\s"]+))'
    r'|"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))',
    re.IGNORECASE,
)
_TAIL = re.compile(r"(?<=[a-z0-9])[+#]+$")
_UNINDEXED = re.compile(r"[$+<=>^`|~]+")
"""Symbols of ASCII: the index does not have them, since texts in ASCII are indexed as they are."""
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Filter:
    """One operator with its value; `part` is the text as typed, for error messages."""

    name: str
    value: str
    is_wanted: bool
    part: str

    def refused(self, reason: str) -> BadSearchError:
        """Return the error that names the wrong part of a search, and the reason."""
        return BadSearchError(f"{self.part}: {reason} Text in quotes is searched for as it is.")


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed search text. The caller adds what it looks up: the users whose names are in it, and the time zone of its
    dates. `ignored` are signs in it that cannot be searched for, as typed."""

    wanted: tuple[Term, ...] = ()
    unwanted: tuple[Term, ...] = ()
    filters: tuple[Filter, ...] = ()
    ignored: tuple[str, ...] = ()
    people: Mapping[str, UserId] = field(default_factory=dict)
    zone: tzinfo = UTC

    @property
    def names(self) -> set[str]:
        """The values that may be names of users."""
        return {person(one.value) for one in self.filters if one.name in _PEOPLE}

    @property
    def has_dates(self) -> bool:
        """Flag: the time zone matters."""
        return any(one.name in _DATES for one in self.filters)

    def named(self, name: str) -> list[Filter]:
        """Return the filters of one operator."""
        return [one for one in self.filters if one.name == name]


def person(value: str) -> str:
    """Return a name as it is looked up: names are unique whatever their case, and may be called with an @.

    A number keeps its @: with it a username is meant, without it an id.
    """
    bare = word_forms.name_key(value.removeprefix("@"))
    return value if bare.isdecimal() else bare


def parse(text: str) -> Query:
    """Parse a search text; raises BadSearchError when there is nothing to search for, a bound is exceeded, or the value
    of an operator is invalid."""
    if len(text) > TEXT_LENGTH_MAX:
        raise BadSearchError(f"A search has at most {TEXT_LENGTH_MAX} characters.")
    wanted: list[Term] = []
    unwanted: list[Term] = []
    filters: list[Filter] = []
    ignored: list[str] = []
    for part in _PART.finditer(text.replace("\0", " ")):
        if part["operator"] is not None:
            value = (part["value"] if part["quoted"] is None else part["quoted"]).strip()
            filters.append(_checked(Filter(part["operator"].lower(), value, not part["minus"], part[0])))
            continue
        term = _phrase(part["phrase"]) if part["word"] is None else _word(part["word"])
        if term is None:
            ignored.append(part[0])
        else:
            (unwanted if part["minus"] else wanted).append(term)
            ignored += _UNINDEXED.findall(word_forms.fold(term.text).removesuffix(term.tail))
    if not wanted and not filters:
        found = f" {' '.join(ignored)} cannot be searched for." if ignored else ""
        raise BadSearchError(
            'Search for at least one word, a "phrase", the beginning of a word followed by *, or with an '
            f"operator such as from:me.{found}"
        )
    if len(wanted) + len(unwanted) + len(filters) > TERMS_MAX:
        raise BadSearchError(f"A search has at most {TERMS_MAX} words, phrases and operators.")
    return Query(tuple(wanted), tuple(unwanted), tuple(filters), tuple(dict.fromkeys(ignored)))


def _word(text: str) -> Term | None:
    stem = text.rstrip("*")
    return _term(stem, is_prefix=stem != text)


def _phrase(text: str) -> Term | None:
    return _term(text, is_prefix=False)


def _term(text: str, *, is_prefix: bool) -> Term | None:
    """Return the term of a text, None for a text without a letter, a digit or a sign beyond ASCII."""
    if not tokens.has_any(text):
        return None
    tail = _TAIL.search(word_forms.fold(text).lower())
    return Term(text, is_prefix or tokens.ends_single(text), "" if is_prefix or tail is None else tail[0])


def _checked(one: Filter) -> Filter:
    known = {"has": HAS, "is": IS}.get(one.name)
    if known is not None and one.value.lower() not in known:
        raise one.refused(f"there are {', '.join(f'{one.name}:{value}' for value in known)}.")
    if one.name in _DATES:
        period(one, UTC)
    return one


def period(one: Filter, zone: tzinfo) -> tuple[int, int]:
    """Return the first millisecond (UTC) of the day, month or year of a filter in a time zone, and the first one after
    it."""
    found = _DATE.fullmatch(one.value)
    try:
        if found is None:
            raise ValueError(one.value)
        year, month, day = (int(part) if part else None for part in found.groups())
        assert year is not None
        begin = date(year, month or 1, day or 1)
        if day is not None:
            end = begin + timedelta(days=1)
        elif month is not None and month < 12:
            end = date(year, month + 1, 1)
        else:
            end = date(year + 1, 1, 1)
        return _midnight(begin, zone), _midnight(end, zone)
    except (ValueError, OverflowError):
        raise one.refused("a date is a day (2024-02-29), a month (2024-02) or a year (2024).") from None


def _midnight(day: date, zone: tzinfo) -> int:
    return int(datetime.combine(day, time.min, zone).timestamp()) * 1000

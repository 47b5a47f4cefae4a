"""Terms of a search, and their places in a text.

The index only proposes messages; the terms are compared with each of them. Both split and fold words the same way, so a
place found here is a place in the message as it was written.
"""

import itertools
import re
from dataclasses import dataclass

import word_forms
from shard.text import layouts, tokens
from shard.text.layouts import Layout, Place
from word_forms import POINT, SIGN

PLACES_MAX = 100
"""Places of one term in one message: more neither show in a snippet nor make it more relevant."""


@dataclass(frozen=True, slots=True)
class Term:
    """Consecutive words, as typed. With `is_prefix` the last is a beginning; `tail` are signs that follow (C++)."""

    text: str
    is_prefix: bool = False
    tail: str = ""


class Text:
    """A message's content with its words."""

    def __init__(self, content: str) -> None:
        self.content = content
        self._layouts: dict[str, Layout] = {}

    def laid_out(self, marks: str) -> Layout:
        """Return the words, and with `marks` the signs, with their places in the content (`layouts.laid_out`)."""
        if marks not in self._layouts:
            self._layouts[marks] = layouts.laid_out(self.content, marks)
        return self._layouts[marks]


class Pattern:
    """A term in the words of the index.

    Its symbols count beside its words (`thanks 🤗`), its punctuation only where it has nothing else (`«`).
    """

    def __init__(self, term: Term) -> None:
        self.term = term
        self._words = tokens.to_find(term.text)
        self._marks = SIGN if tokens.signs(term.text, SIGN) else "" if self._words else SIGN + POINT
        self._signs = tokens.signs(term.text, self._marks)
        wanted = tokens.words(term.text, self._marks) or [""]
        self._first = wanted[0]
        self._regex = re.compile(_regex(wanted)) if len(wanted) > 1 else None
        self._is_open_at_begin = not _continues(wanted[0][:1])
        self._is_open_at_end = not _continues(wanted[-1][-1:])

    @property
    def phrase(self) -> str:
        """A quoted FTS5 expression without syntax of a user, which matches all texts with the term; "" if none does."""
        phrases = [f'"{sign}"' for sign in self._signs]
        if self._words:
            phrases.insert(0, f'"{" ".join(self._words)}"{"*" if self.term.is_prefix else ""}')
        return " AND ".join(phrases)

    @property
    def is_exact(self) -> bool:
        """True if each text that the phrase matches has the term."""
        return not self._signs and not self.term.tail

    @property
    def keys(self) -> list[str]:
        """The words and signs of the index that each text with the term has."""
        return [*(self._words[:-1] if self.term.is_prefix else self._words), *self._signs]

    def is_in(self, text: Text) -> bool:
        """Tell whether a text has the term."""
        return bool(self.places(text, at_most=1))

    def places(self, text: Text, *, at_most: int = PLACES_MAX) -> list[Place]:
        """Return the places of this pattern in a text, at most so many."""
        first = self._first
        layout = text.laid_out(self._marks)
        folded = layout.folded
        found: list[Place] = []
        at = folded.find(first) if first else -1
        while at >= 0 and len(found) < at_most:
            end = self._end(folded, at)
            place = None if end is None else self._with_tail(text.content, layout.place(at, end))
            if place is not None:
                found.append(place)
            at = folded.find(first, at + 1 if place is None or end is None else end)
        return found

    def _end(self, folded: str, at: int) -> int | None:
        """Return where the term that may begin at a place ends; None if it is not there, or only as part of a word."""
        if not self._is_open_at_begin and at and tokens.continues(folded[at - 1]):
            return None
        end = at + len(self._first)
        if self._regex is not None:
            found = self._regex.match(folded, at)
            if found is None:
                return None
            end = found.end()
        if self._is_open_at_end:
            return end
        if self.term.is_prefix:
            return tokens.rest_of_word(folded, end)
        return None if end < len(folded) and tokens.continues(folded[end]) else end

    def _with_tail(self, content: str, place: Place) -> Place | None:
        begin, end = place
        tail = self.term.tail
        if word_forms.fold(content[end : end + len(tail)]) != tail:
            return None
        return begin, end + len(tail)


def _continues(character: str) -> bool:
    """Tell whether a term that begins or ends with this character does so where a word does."""
    return character != "" and tokens.continues(character) and not tokens.signs(character, SIGN + POINT)


def _regex(wanted: list[str]) -> str:
    """Return the regular expression of words with separators between them, which scripts without spaces may lack."""
    parts = [re.escape(wanted[0])]
    for before, after in itertools.pairwise(wanted):
        is_apart = tokens.is_unspaced(before[-1]) != tokens.is_unspaced(after[0])
        parts += f"[^a-z0-9\x80-\U0010ffff]{'*' if is_apart else '+'}", re.escape(after)
    return "".join(parts)


def merged(places: list[Place]) -> list[Place]:
    """Return places in order, those that overlap as one."""
    joined: list[Place] = []
    for begin, end in sorted(places):
        if joined and begin < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined

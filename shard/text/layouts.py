"""Layouts: folded texts that know where each of their characters stands in the text as it was written.

Nearly all texts are folded character by character, so a place in one is the same place in the other. Of the others only
the runs beyond ASCII at the ends of a place are looked at.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from typing import Final

import apsw.unicode

import word_forms
from word_forms import POINT, SIGN

Place = tuple[int, int]
"""Begin and end in a text, in characters."""

_BEYOND_ASCII: Final = re.compile("[^\x00-\x7f]+")
_SIGN: Final = re.compile(f"[{SIGN}{POINT}].")
_PARTS: Final = re.compile(f"[{SIGN}{POINT}]?.", re.DOTALL)
_UNEVEN: Final = "\ufdd2"
_JOINER: Final = "\u200d"
_TAGS: Final = re.compile("[\U000e0020-\U000e007f]")


class Layout:
    """A folded text of which each character stands at the same place in the text. Signs are spaces."""

    def __init__(self, folded: str) -> None:
        self.folded = folded

    def place(self, begin: int, end: int) -> Place:
        """Return the place in the text of a part of the folded one."""
        return begin, end


def laid_out(text: str, marks: str = "") -> Layout:
    """Return the layout of a text.

    With SIGN among `marks` the text's symbols are not spaces but words, with POINT its punctuation beyond ASCII too. An
    emoji of several characters, without its variation selectors, is one word.
    """
    if text.isascii():
        return Layout(text.lower())
    if marks:
        return _SignLayout(text, marks)
    folded = _BEYOND_ASCII.sub(_even_match, text)
    return _UnevenLayout(text) if _UNEVEN in folded else Layout(folded.lower())


def _even_match(run: re.Match[str]) -> str:
    found = run[0]
    return _even_cached(found) if len(found) <= word_forms.CACHED_LENGTH else found.translate(_EVEN)


def _even(run: str) -> str:
    return run.translate(_EVEN)


_even_cached = lru_cache(maxsize=8_192)(_even)


class _Even(dict[int, str]):
    """What stands for each character, a space for signs; _UNEVEN for one that is not folded to one by itself."""

    def __missing__(self, code: int) -> str:
        if len(self) >= word_forms.CHARACTERS_MAX:
            self.clear()
        character = chr(code)
        folded = _SIGN.sub("", word_forms.fold(character)).strip() or " "
        is_even = len(folded) == 1 and len(word_forms.pieces(f"a{character}")) == 2
        found = self[code] = folded if is_even else _UNEVEN
        return found


_EVEN: Final = _Even()


class _UnevenLayout(Layout):
    """The layout of a text of which some characters are folded to none or to several."""

    def __init__(self, text: str) -> None:
        super().__init__(_SIGN.sub("  ", word_forms.fold(text)).lower())
        self._text = text
        self._runs: list[tuple[int, int, str]] = []

    def place(self, begin: int, end: int) -> Place:
        if not self._runs:
            self._runs = list(_runs(self._text))
        last = self._place(end - 1)
        # What was dropped behind the last letter belongs to it if it is an accent, but not if it is a control.
        after = last + 1
        while after < len(self._text) and word_forms.joins(self._text[after]):
            after += 1
        while after > last + 1 and apsw.unicode.category(self._text[after - 1]) == "Cf":
            after -= 1
        return self._place(begin), after

    def _place(self, at: int) -> int:
        """Return the place in the text of a folded character: of the beginning of the piece that it comes from."""
        number = bisect_right(self._runs, at, key=lambda run: run[0]) - 1
        if number < 0:
            return at
        folded_at, text_at, run = self._runs[number]
        within = at - folded_at
        pieces = word_forms.pieces(run)
        ends = list(accumulate(len(word_forms.fold(run[begin:end])) for begin, end in pieces))
        if within >= ends[-1]:
            return text_at + len(run) + within - ends[-1]
        return text_at + pieces[bisect_right(ends, within)][0]


def _runs(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the runs that are folded, with their places in the folded text and in the text."""
    moved = 0
    for run in word_forms.RUN.finditer(text):
        yield run.start() + moved, run.start(), run[0]
        moved += len(word_forms.fold(run[0])) - len(run[0])


class _SignLayout(Layout):
    """The layout of a text with its signs as words, built piece by piece."""

    def __init__(self, text: str, marks: str) -> None:
        self._text = text
        self._marks = marks
        self._characters: list[str] = []
        self._places: list[Place] = []
        done = 0
        for begin, end in word_forms.pieces(text):
            if begin >= done:
                done = self._put_piece(begin, end)
        super().__init__("".join(self._characters))

    def place(self, begin: int, end: int) -> Place:
        return self._places[begin][0], self._places[end - 1][1]

    def _put_piece(self, begin: int, end: int) -> int:
        """Add what the piece of the text between two places is folded to, and return the end of what was added."""
        seen = done = end
        while seen > begin + 1 and apsw.unicode.category(self._text[seen - 1]) == "Cf":
            seen -= 1
        for part in _PARTS.findall(word_forms.fold(self._text[begin:end]).lower()):
            if part[0] not in (SIGN, POINT):
                self._put(part, begin, seen)
            elif part[0] in self._marks:
                done = max(done, self._put_sign(part[1], begin, end))
            else:
                self._put(" ", begin, seen)
        return done

    def _put_sign(self, sign: str, begin: int, end: int) -> int:
        """Add a sign with all that belongs to its grapheme cluster, and return the end of that."""
        done = end
        if _symbols(self._text[begin]) == sign:
            done = max(begin + 1, apsw.unicode.grapheme_next_break(self._text, begin))
            sign += "".join(map(_sign_part, self._text[begin + 1 : done])).rstrip(_JOINER)
        self._put(f" {sign} ", begin, done)
        return done

    def _put(self, characters: str, begin: int, end: int) -> None:
        self._characters.append(characters)
        self._places += [(begin, end)] * len(characters)


def _symbols(character: str) -> str:
    return "".join(part[1] for part in _PARTS.findall(word_forms.fold(character)) if part[0] == SIGN)


def _sign_part(character: str) -> str:
    """Return what a character beyond the first adds to an emoji."""
    return character if character == _JOINER or _TAGS.match(character) else _symbols(character)

"""Folding of text: which characters make words, and which of their spellings are one word.

One table decides for indexing and for searching, so neither depends on the Unicode of SQLite. Each character beyond
ASCII becomes what stands for it in the index:

- Letters and digits in lower case, in compatibility form (NFKC: full width is half width), without accents. Digits of
  all scripts are 0 to 9. Letters that people type without their stroke or tie lose it: đ ł ø ß æ and the like.
- Marks that only refine a letter are dropped in every script: accents, Arabic and Hebrew points, nuktas. Marks that are
  vowels, tones, viramas or the voicing of Kana are kept: without them Hindi, Thai and Japanese words would be others.
  The canonical combining class tells them apart (UAX #44, 5.7.4).
- Characters that are not drawn are dropped: joiners, isolates, soft hyphens, variation selectors, tatweel.
- Symbols (S*: emoji, currency, mathematics) are words of their own, marked by SIGN. Punctuation separates words; the
  mark POINT keeps it for a search for nothing else.

A character keeps its meaning for ever in Unicode, so VERSION changes the index only for what was unassigned before.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

import apsw.unicode

_RULES: Final = 1
"""Increase it with every change of what this module returns: all indexes are built again then."""
VERSION: Final = f"{_RULES}-{apsw.unicode.unicode_version}-{unicodedata.unidata_version}"
"""The version of the folding: of its rules, and of the tables of characters and of normalization."""

SIGN: Final = "\ufdd0"
"""Stands before each symbol of a folded text. It is no character (Unicode, 23.7), so no text has it itself."""
POINT: Final = "\ufdd1"
"""Stands before each punctuation mark beyond ASCII of a folded text."""

UNSPACED_SCRIPTS: Final = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u1100-\u11ff\ua960-\ua97f\uac00-\ud7ff"  # Hangul
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # Kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\U00020000-\U0003ffff"
)
"""Folded characters of scripts that are written without spaces, for a class of a regular expression."""
UNSPACED: Final = re.compile(f"[{UNSPACED_SCRIPTS}]+")

_WORD: Final = re.compile("[a-z0-9\x80-\U0010ffff]+")
_MARKS: Final = re.compile(f"[{SIGN}{POINT}]")
_POINTS: Final = re.compile(f"{POINT}.")
RUN: Final = re.compile("(?:[<=>](?=\u0338))?[^\x00-\x7f]+")
"""A run to be folded; ≠ may be written as = with a mark that strikes it through."""
CACHED_LENGTH: Final = 16
"""Runs up to this length, such as one accented letter or a word, come again often."""

CHARACTERS_MAX: Final = 50_000
"""Characters whose folding is remembered: more than any room uses, and a few megabytes; then it begins anew."""

_KEPT_CLASSES: Final = frozenset({0, 8, 9, 84, 91, 103, 107, 118, 122, 129, 130, 132})
"""Combining classes of vowel signs, Kana voicing, viramas, and the vowels and tones of Telugu, Thai, Lao, Tibetan."""
_DOT_OF_MYANMAR: Final = 0x1037
"""A tone, though it has the class of nuktas."""
_ACCENTS: Final = re.compile("[\u0300-\u08ff\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f\U00010e00-\U00010fff]")
"""Blocks whose marks are accents and points, for marks that are newer than Python's classes."""
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Default-ignorable characters that are no format characters (Cf)."""
_PICTURES: Final = re.compile("[\u20a0-\u20cf\u2190-\u2bff\U0001f000-\U0001faff]")
"""Blocks that Unicode reserves for symbols: an unassigned character in them is a symbol to come."""
_NO_CHARACTER: Final = re.compile("[\ufdd0-\ufdef]|[^\x00-\ufffd]")
_KEYCAP: Final = "\u20e3"
_APOSTROPHES: Final = re.compile("[\u02b9-\u02bf]")
"""Letters that look like apostrophes, and are typed as such."""
_INVISIBLE_OPERATORS: Final = re.compile("[\u2061-\u2064]")
"""Signs of mathematics that are not drawn: what is beside them are two operands."""
_NUMBER_SETS: Final = frozenset("\u2102\u210d\u2115\u2119\u211a\u211d\u2124")
"""The sets of numbers of mathematics: they mean something else than the letters whose compatibility forms they are."""
_FORMS: Final = re.compile("[\uff00-\uffef]")
_STROKES: Final = re.compile("LATIN SMALL LETTER ([A-Z]) WITH .*")
_LETTERS: Final = {
    "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "\u0131": "i", "ŋ": "n", "ĸ": "k", "\u2139": f" {SIGN}\u2139 ",
    "\u0671": "\u0627",  # alef with wasla
    "\u0649": "\u064a", "\u06cc": "\u064a",  # alef maksura and Persian yeh: yeh
    "\u0629": "\u0647", "\u06c1": "\u0647", "\u06d5": "\u0647",  # teh marbuta and other hehs: heh
    "\u06a9": "\u0643",  # keheh: kaf
    "\u0640": "",  # tatweel
    "\u07fa": "",  # lajanyalan of N'Ko, its tatweel
}  # fmt: skip
"""Letters that are typed as others, or stretch the one before."""


def fold(text: str) -> str:
    """Return a text as it is indexed, but for the case of ASCII: letters, digits, ASCII signs, and marked signs."""
    return text if text.isascii() else RUN.sub(_fold_match, text)


def words(text: str) -> list[str]:
    """Return the folded words of a text in order, with its symbols."""
    if text.isascii():
        return _WORD.findall(text.lower())
    return _WORD.findall(_POINTS.sub(" ", fold(text).lower()).replace(SIGN, ""))


def spelled(text: str) -> str:
    """Return the folded text with all its signs."""
    if text.isascii():
        return text.lower()
    return _MARKS.sub("", fold(text)).lower()


def is_begun(word: str, said: str) -> bool:
    """Tell whether a folded word begins one of these, which have a space before each; in a script that is written
    without spaces any part is one."""
    return f" {word}" in said or (UNSPACED.match(word) is not None and word in said)


def name_key(name: str) -> str:
    """Return the form in which two names are the same: neither case nor composition nor width matter, nor characters
    that are not drawn; accents do.

    The form is that of NFKC_Casefold (UAX #44), which never changes for characters that exist.
    """
    if name.isascii():
        return name.lower()
    drawn = "".join(one for one in unicodedata.normalize("NFKC", name) if not _is_undrawn(one))
    return unicodedata.normalize("NFKC", drawn.casefold())


def pieces(text: str) -> list[tuple[int, int]]:
    """Return begin and end of the smallest pieces of a text that are folded alike alone and together."""
    begins = [at for at, character in enumerate(text) if not at or not _JOINS[ord(character)]]
    return list(zip(begins, [*begins[1:], len(text)], strict=False))


def joins(character: str) -> bool:
    """Tell whether a character may change what the one before is folded to."""
    return _JOINS[ord(character)]


def _is_undrawn(character: str) -> bool:
    return _UNSEEN.match(character) is not None or _category(character) == "Cf"


def _fold_match(run: re.Match[str]) -> str:
    found = run[0]
    return _fold_cached(found) if len(found) <= CACHED_LENGTH else _fold(found)


def _fold(run: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", run).translate(_FOLDED))


_fold_cached = lru_cache(maxsize=8_192)(_fold)


class _Folded(dict[int, str]):
    """What stands for each character, filled as characters occur."""

    def __missing__(self, code: int) -> str:
        if len(self) >= CHARACTERS_MAX:
            self.clear()
        found = self[code] = _folded(chr(code))
        return found


class _Joins(dict[int, bool]):
    """Tells of each character whether it may change what the one before is folded to."""

    def __missing__(self, code: int) -> bool:
        if len(self) >= CHARACTERS_MAX:
            self.clear()
        found = self[code] = code > 0x7F and _joins(chr(code))
        return found


_FOLDED: Final = _Folded()
_JOINS: Final = _Joins()


def _folded(character: str) -> str:
    category = _category(character)
    if character.isascii():
        return character.lower()
    if character in _LETTERS:
        return _LETTERS[character]
    if _INVISIBLE_OPERATORS.match(character):
        return " "
    if _UNSEEN.match(character) or category == "Cf":
        return ""
    if character == "\u2800" or _APOSTROPHES.match(character) or category in ("Cc", "Cs", "Zs", "Zl", "Zp", "-"):
        return " "
    if category[0] in "SP" or character == _KEYCAP:
        narrow = unicodedata.normalize("NFKC", character) if _FORMS.match(character) else character
        narrow = narrow if len(narrow) == 1 else character
        if narrow.isascii() or narrow.isspace():
            return narrow
        return f" {POINT if category[0] == 'P' else SIGN}{narrow.lower()} "
    if category[0] == "M":
        return character if _is_kept(character, category) else ""
    decomposed = character if character in _NUMBER_SETS else unicodedata.normalize("NFKD", character)
    return "".join(map(_letter, decomposed))


def _letter(character: str) -> str:
    """Return what stands for one part of a decomposed letter or number."""
    category = _category(character)
    if category[0] == "M":
        return character if _is_kept(character, category) else ""
    if category[0] not in "LNC" or _APOSTROPHES.match(character):
        return " "
    if category == "Nd":
        return str(unicodedata.decimal(character, character))
    small = character.casefold().lower()
    if small in _LETTERS:
        return _LETTERS[small]
    stroke = _STROKES.fullmatch(unicodedata.name(small, "")) if len(small) == 1 else None
    return small if stroke is None else stroke[1].lower()


def _category(character: str) -> str:
    """Return the general category by the current table, `-` for what never is a character."""
    if _NO_CHARACTER.match(character) and (ord(character) & 0xFFFE == 0xFFFE or character <= "\ufdef"):
        return "-"
    category = apsw.unicode.category(character)
    if category == "Cn":
        return "So" if _PICTURES.match(character) else "Lo"
    return category


def _is_kept(character: str, category: str) -> bool:
    """Tell whether a mark makes another word of a word."""
    if category == "Me" or _UNSEEN.match(character):
        return False
    if unicodedata.category(character) == "Cn":
        return category == "Mc" or not _ACCENTS.match(character)
    return unicodedata.combining(character) in _KEPT_CLASSES or ord(character) == _DOT_OF_MYANMAR


def _joins(character: str) -> bool:
    first = unicodedata.normalize("NFKD", character)[0]
    # Vowels and final consonants of Hangul make one syllable with what is before them.
    return not _FOLDED[ord(character)] or "\u1160" <= first <= "\u11ff" or _category(first)[0] == "M"

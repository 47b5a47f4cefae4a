"""Visible text: which messages have content that a person sees, and names without what only deceives.

Decided by the character properties of Unicode (default-ignorable, format, separators; UAX #44) and by the few letters
and symbols that are drawn as nothing. Emoji sequences, right-to-left scripts and joiners inside words stay as they are.
"""

import re
import unicodedata
from typing import Final

_BLANKS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0\U00013441\U00013442\U00016fe4\U0001d159")
"""Letters, marks and symbols that are drawn as nothing: fillers of Hangul, the empty pattern of Braille, and others."""
_INVISIBLE_MARKS: Final = re.compile(
    "[\u034f\u17b4\u17b5\u180b-\u180d\u180f\u2065\ufe00-\ufe0f\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Default-ignorable characters that are no format characters (Cf): joiners, variation selectors, unassigned ones."""
_PREPENDED: Final = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Format characters that are drawn: signs of Arabic and others before a number (Prepended_Concatenation_Mark)."""
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})
_JOINERS: Final = frozenset("\u200c\u200d\u034f")
"""Within a word they choose its letters' forms, and in emoji they join pictures."""
_SELECTORS: Final = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_TAGS: Final = re.compile("[\U000e0020-\U000e007f]")
_JAMO: Final = re.compile("[\u1100-\u115e\u1161-\u11ff]")
"""Parts of Hangul syllables: beside one a filler stands for the part that is not there."""
_FLAG: Final = "\N{WAVING BLACK FLAG}"
_SPACES: Final = re.compile(r"\s{2,}")


def is_visible(text: str) -> bool:
    """Tell whether at least one character of a text can be seen."""
    # Nearly every text begins with a letter, and this is asked for every message that is sent.
    first = text[:1]
    return (first.isascii() and first.isalpha()) or any(map(_is_seen, text))


def clean_name(text: str) -> str:
    """Return a name on one line without characters that only deceive; empty where nothing can be seen.

    Line ends and blank letters become spaces; direction overrides, zero-width spaces and other controls are dropped.
    Joiners stay between visible characters, variation selectors behind one, tags behind a flag.
    """
    kept: list[str] = []
    for place, character in enumerate(text):
        before = kept[-1] if kept else " "
        after = text[place + 1 : place + 2] or " "
        if character in "\u115f\u1160" and (_JAMO.match(before) or _JAMO.match(after)):
            kept.append(character)
        elif character in _BLANKS or unicodedata.category(character) in ("Zl", "Zp"):
            kept.append(" ")
        elif _is_seen(character) or unicodedata.category(character) == "Zs":
            kept.append(character)
        elif character.isspace():
            kept.append(" ")
        elif character in _JOINERS:
            if not before.isspace() and _is_seen(after):
                kept.append(character)
        elif _SELECTORS.match(character):
            if _is_seen(before):
                kept.append(character)
        elif _TAGS.match(character) and (before == _FLAG or _TAGS.match(before)):
            kept.append(character)
    name = _SPACES.sub(" ", "".join(kept)).strip()
    return name if is_visible(name) else ""


def _is_seen(character: str) -> bool:
    if character in _BLANKS or _INVISIBLE_MARKS.match(character):
        return False
    return unicodedata.category(character) not in _UNSEEN or character in _PREPENDED

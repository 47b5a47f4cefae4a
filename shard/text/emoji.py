"""The emoji of reactions: one emoji of Unicode, or the name of one between colons.

An emoji is recognized by its grammar (https://www.unicode.org/reports/tr51/#EBNF_and_Regex), not by a list that
becomes outdated: a symbol, or several joined, with a skin tone, a variation or tags; two letters of a flag; a keycap.
"""

import re
import unicodedata
from typing import Final

LENGTH_MAX: Final = 64
"""Characters of one emoji: a family of four with skin tones has eleven; the schema holds the same bound.

Beyond it 422.
"""

_NAME: Final = re.compile(r":[a-z0-9_+-]{1,32}:")
_SHAPE: Final = re.compile(r"(?:RR|Kv?k|[SM]v?M?(?:t+e)?)(?:z[SM]v?M?)*")
_NOT_PICTURES: Final = frozenset("\N{OBJECT REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}")
_OTHER_SYMBOLS: Final = frozenset("‼⁉\N{INFORMATION SOURCE}↔⤴⤵◻◼◽◾〰〽")
"""Emoji that Unicode counts among punctuation, letters or mathematics."""


_SELECTOR: Final = "\N{VARIATION SELECTOR-16}"
_KEYCAP: Final = "\N{COMBINING ENCLOSING KEYCAP}"
_TEXT_BY_DEFAULT: Final = frozenset(
    "©®‼⁉™\N{INFORMATION SOURCE}↔↕↖↗↘↙↩↪⌨⏏⏭⏮⏯⏱⏲⏸⏹⏺Ⓜ▪▫▶◀◻◼☀☁☂☃☄☎☑☘☝☠☢☣☦☪☮☯☸☹☺♀♂♟♠♣♥♦♨♻♾⚒⚔⚕⚖⚗⚙⚛⚜⚠⚧⚰⚱⛈⛏⛑⛓⛩⛰⛱⛴⛷⛸⛹✂"
    "✈✉✌✍✏✒✔✖✝✡✳✴❄❇❣❤➡⤴⤵⬅⬆⬇〰〽㊗㊙🅰🅱🅾🅿🈂🈷🌡🌤🌥🌦🌧🌨🌩🌪🌫🌬🌶🍽🎖🎗🎙🎚🎛🎞🎟🏋🏌🏍🏎🏔🏕🏖🏗🏘🏙🏚🏛"
    "🏜🏝🏞🏟🏳🏵🏷🐿👁📽🕉🕊🕯🕰🕳🕴🕵🕶🕷🕸🕹🖇🖊🖋🖌🖍🖐🖥🖨🖱🖲🖼🗂🗃🗄🗑🗒🗓🗜🗝🗞🗡🗣🗨🗯🗳🗺🛋🛍🛎🛏🛠"
    "🛡🛢🛣🛤🛥🛩🛰🛳"
)
"""Emoji that are text unless a selector follows: Emoji without Emoji_Presentation in Unicode 17's emoji-data.txt. Later
emoji are all pictures by themselves (UTS 51, section 1.4.3)."""


def full_form(text: str) -> str:
    """Return the one spelling of an emoji, fully qualified as in Unicode's emoji-test.txt.

    The selector of the coloured form stands behind each part that is text by default and has no skin tone, and nowhere
    else: ❤ and ❤️ are one emoji, as are 👍 and 👍️.
    """
    bare = text.replace(_SELECTOR, "")
    parts: list[str] = []
    for character, following in zip(bare, [*bare[1:], ""], strict=True):
        parts.append(character)
        is_toned = "\U0001f3fb" <= following <= "\U0001f3ff"
        if following == _KEYCAP or (character in _TEXT_BY_DEFAULT and not is_toned):
            parts.append(_SELECTOR)
    return "".join(parts)


def is_one(text: str) -> bool:
    """Return whether a text is one emoji, or the name of one: `:party_parrot:`."""
    if len(text) > LENGTH_MAX:
        return False
    return bool(_NAME.fullmatch(text) or _SHAPE.fullmatch("".join(map(_part, text))))


def _part(character: str) -> str:
    """Return the part of an emoji that a character can be, as a letter for _SHAPE."""
    match character:
        case "\N{ZERO WIDTH JOINER}":
            return "z"
        case "\N{VARIATION SELECTOR-16}":
            return "v"
        case "\N{COMBINING ENCLOSING KEYCAP}":
            return "k"
        case "\N{CANCEL TAG}":
            return "e"
    if character in "0123456789#*":
        return "K"
    if "\U0001f1e6" <= character <= "\U0001f1ff":
        return "R"
    if "\U0001f3fb" <= character <= "\U0001f3ff":
        return "M"
    if "\U000e0020" <= character <= "\U000e007e":
        return "t"
    return "S" if _is_symbol(character) else "?"


def _is_symbol(character: str) -> bool:
    # Unicode reserves these blocks for pictures, future ones included.
    if "\U0001f000" <= character <= "\U0001faff" or character in _OTHER_SYMBOLS:
        return True
    return unicodedata.category(character) == "So" and character not in _NOT_PICTURES

"""Keys that every store accepts: words of lower-case letters, digits, "_", "." and "-", with "/" between them.

The rule is stricter than any store's own, so that a key means the same object everywhere and never leaves its folder.
"""

import re
from typing import Final

from objects.errors import BadKeyError

LENGTH_MAX: Final = 512
"""Characters of a key: half of the limit of S3."""

WORD_LENGTH_MAX: Final = 200
"""Characters of a word, which becomes the name of a file: file systems allow 255 bytes."""

WORDS_MAX: Final = 16
"""Words of a key: each is a folder within a folder."""

_WORD: Final = re.compile(rf"[a-z0-9_-][a-z0-9_.-]{{0,{WORD_LENGTH_MAX - 1}}}")
_PREFIX: Final = re.compile(r"[a-z0-9/_.-]*")
_RULE: Final = (
    f"it has at most {LENGTH_MAX} characters: up to {WORDS_MAX} words of a-z, 0-9, _, . and - joined by /, "
    f"each of at most {WORD_LENGTH_MAX} and not beginning with a dot"
)


def is_key(text: str) -> bool:
    """Tell whether a store accepts the text as a key."""
    words = text.split("/")
    return len(text) <= LENGTH_MAX and len(words) <= WORDS_MAX and all(_WORD.fullmatch(word) for word in words)


def check(key: str) -> None:
    """Raise BadKeyError unless a store accepts the key."""
    if not is_key(key):
        raise BadKeyError(key, _RULE)


def check_prefix(prefix: str) -> None:
    """Raise BadKeyError unless keys can begin with the prefix (or come after it); "" is the prefix of all."""
    if len(prefix) > LENGTH_MAX or not _PREFIX.fullmatch(prefix):
        raise BadKeyError(prefix, f"a prefix has at most {LENGTH_MAX} of a-z, 0-9, /, _, . and -")

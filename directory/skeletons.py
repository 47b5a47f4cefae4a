"""Skeletons of usernames: two names with the same skeleton look alike to a reader.

The idea is the skeleton of Unicode TR39 (unicode.org/reports/tr39, section 4), cut down to the characters that a
username may have.
"""

import re
from typing import Final

_LOOKALIKES: Final = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "_": None})
_LOOKALIKE_PAIRS: Final = (("rn", "m"), ("vv", "w"))
_LONG_RUN: Final = re.compile(r"(.)\1{2,}")


def skeleton(username: str) -> str:
    """Return a username without case and underscores, with look-alikes as one letter and long runs cut to two."""
    looks = username.casefold().translate(_LOOKALIKES)
    for pair, letter in _LOOKALIKE_PAIRS:
        looks = looks.replace(pair, letter)
    # A name of underscores alone looks like itself.
    return _LONG_RUN.sub(r"\1\1", looks) or "_"

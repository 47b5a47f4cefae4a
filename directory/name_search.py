"""Search of names and descriptions in the directory: SQL functions that compare words in their folded form."""

from collections.abc import Callable, Mapping
from typing import Final

import word_forms


def words_of(text: str) -> str:
    """Return the folded words of a search with a space between two, "" where it has none."""
    return " ".join(word_forms.words(text))


def have_beginnings(wanted: object, *texts: object) -> int:
    """Return 1 if each of the wanted words begins a word of these texts, or stands anywhere in a script without spaces.

    Without any wanted word nothing is found.
    """
    said = " ".join(str(text) for text in texts if text is not None)
    looked_for = str(wanted).split()
    folded = word_forms.spelled(said)
    # Few have what is searched for: only their words are told apart.
    if not looked_for or not all(word in folded for word in looked_for):
        return 0
    begun = f" {words_of(said)}"
    return int(all(word_forms.is_begun(word, begun) for word in looked_for))


def have_all(wanted: object, *texts: object) -> int:
    """Return 1 if each of the wanted parts, as `word_forms.spelled` folds them, is somewhere in these texts."""
    folded = word_forms.spelled(" ".join(str(text) for text in texts if text is not None))
    return int(all(part in folded for part in str(wanted).split()))


FUNCTIONS: Final[Mapping[str, Callable[..., int]]] = {"have_beginnings": have_beginnings, "have_all": have_all}
"""The functions of this module by their names in SQL."""

"""The piece of a message that shows why it was found."""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from shard.terms import Place

LENGTH_MAX = 200
"""Characters of a snippet without the marks of omission: two or three lines in a list of results."""
LEAD = 60
"""Characters before the first match, so that it is read in its sentence."""
SLACK = 20
"""How far an end may move to a space, so that no word is cut."""

_JOINER = "\u200d"
_SKIN_TONES = "\U0001f3fb\U0001f3ff"


class Snippet(NamedTuple):
    """A piece of a content, with … where it goes on; `matches` are begin and length in characters of `text`."""

    text: str
    matches: list[tuple[int, int]]


def cut(content: str, places: Sequence[Place]) -> Snippet:
    """Return the piece around the first of some places in a content, which are in order and do not overlap."""
    first = places[0][0] if places else 0
    begin = max(0, min(first - LEAD, len(content) - LENGTH_MAX))
    begin = _whole_from(content, begin, first)
    end = _whole_until(content, begin, min(len(content), begin + LENGTH_MAX))
    lead = "…" if begin else ""
    text = lead + content[begin:end] + ("…" if end < len(content) else "")
    shown = [(max(start, begin), min(stop, end)) for start, stop in places if start < end and stop > begin]
    return Snippet(text, [(start - begin + len(lead), stop - start) for start, stop in shown])


def _whole_from(content: str, begin: int, first: int) -> int:
    """Move a beginning forward to a word's, or at least to a whole character's."""
    if begin == 0:
        return 0
    for at in range(begin, min(begin + SLACK, first) + 1):
        if content[at - 1].isspace():
            return at
    while begin < first and _is_continued(content, begin):
        begin += 1
    return begin


def _whole_until(content: str, begin: int, end: int) -> int:
    if end == len(content):
        return end
    for at in range(end, max(end - SLACK, begin), -1):
        if content[at].isspace():
            return at
    at = end
    while at > max(end - SLACK, begin + 1) and _is_continued(content, at):
        at -= 1
    return at


def _is_continued(content: str, at: int) -> bool:
    """Tell whether the character at a place belongs to the one before it: an accent, or a part of an emoji."""
    character = content[at]
    return (
        unicodedata.category(character).startswith("M")
        or _JOINER in (character, content[at - 1])
        or _SKIN_TONES[0] <= character <= _SKIN_TONES[1]
    )

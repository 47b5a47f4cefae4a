"""Snippets: the part of a message that shows its match."""

from collections.abc import Sequence
from typing import NamedTuple

import apsw.unicode

from shard.text.layouts import Place

LENGTH_MAX = 200
"""Characters of a snippet without the marks of omission: two or three lines in a list of results."""
LEAD = 60
"""Characters before the first match, so that it is read in its sentence."""
SLACK = 20
"""Characters that an end may move to the next space, so that no word is cut."""

CLUSTER_MAX = 64
"""Characters of a grapheme cluster that is not cut: an emoji or a syllable with all its parts. A longer one is a letter
under a heap of marks."""
LOOKED_BACK_MAX = 400
"""Characters before an end from which the clusters are counted: a row of flags longer than this may be cut."""


class Snippet(NamedTuple):
    """A part of a content, with … where it was cut; `matches` are begin and length in characters of `text`."""

    text: str
    matches: list[tuple[int, int]]


def cut(content: str, places: Sequence[Place]) -> Snippet:
    """Return the part of a content around the first of some places, which are in order and do not overlap."""
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
    start, end = _cluster(content, begin)
    if start == begin:
        return begin
    if end <= first and end - begin <= CLUSTER_MAX:
        return end
    return start if begin - start <= CLUSTER_MAX else begin


def _whole_until(content: str, begin: int, end: int) -> int:
    if end == len(content):
        return end
    for at in range(end, max(end - SLACK, begin), -1):
        if content[at].isspace():
            return at
    start, _ = _cluster(content, end)
    return start if begin < start and end - start <= CLUSTER_MAX else end


def _cluster(content: str, at: int) -> tuple[int, int]:
    """Return begin and end of the grapheme cluster (UAX #29) that a place is in or begins."""
    start = at
    # A cluster begins at each visible character of ASCII and after each white space.
    while (
        start > max(0, at - LOOKED_BACK_MAX) and not content[start - 1].isspace() and not "!" <= content[start] <= "~"
    ):
        start -= 1
    end = apsw.unicode.grapheme_next_break(content, start)
    while end <= at:
        start, end = end, apsw.unicode.grapheme_next_break(content, end)
    return start, end

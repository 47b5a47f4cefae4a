"""Characters as they are seen: grapheme clusters (UAX #29), by the tables that apsw brings."""

import apsw.unicode


def end_within(text: str, length_max: int) -> int:
    """Return the end of the last character of a text that ends within `length_max`; that itself if the first is longer.

    It counts from the beginning: in the middle of a row of flags nobody knows where one begins.
    """
    end = 0
    while end < len(text) and (following := apsw.unicode.grapheme_next_break(text, end)) <= length_max:
        end = following
    return end or length_max

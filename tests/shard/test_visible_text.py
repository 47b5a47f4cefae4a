"""What can be seen of a text, and what is left of a name: blank characters say nothing, scripts and emoji are kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shard.text.visible_text import clean_name, is_visible

INVISIBLE = (
    "\u3164", "\u2800", "\u115f", "\u1160", "\uffa0", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u202e",
    "\u2060", "\u2061", "\u2064", "\u2066", "\ufeff", "\xad", "\u034f", "\u061c", "\u180e", "\u17b4", "\ufe0f",
    "\U000e0001", "\U000e0041", "\U000e0100", "\u206a", "\U0001d159", "\U0001d173", "\ufff9", "\u2065", "\u2028",
    "\xa0", "\u3000", "\x1b", "\x85", " \u200b\n\u3164\u2800\ufe0f",
)  # fmt: skip
"""The kinds of text of which nothing is drawn."""

KEPT = (
    "Ada", "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0915\u094d\u200d\u0937",
    "\u05e2\u05b4\u05d1\u05b0\u05e8\u05b4\u05d9\u05ea", "\u182e\u1823\u1829\u182d\u1823\u182f\u180b",
    "\ud55c\uad6d\uc5b4", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f", "1\ufe0f\u20e3",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "\U0001f1e9\U0001f1ea",
    "\u845b\U000e0100", "e\u0301", "\u0301", "\u06dd12", "\u2813\u280a", "a\u3000b", "\U0001fadf", "\ue000",
    "\u1112\u1160\u11ab", "\u115f\u1161",
)  # fmt: skip
"""Scripts, joiners inside words, emoji of every sort, and what is newer than this Python's table."""


@pytest.mark.parametrize("text", INVISIBLE, ids=ascii)
def test_a_blank_text_says_nothing(text: str) -> None:
    """Texts of blank characters alone are not visible, repeated neither, and no name; with a letter they are."""
    assert not is_visible(text * 3)
    assert clean_name(text * 3) == ""
    assert is_visible(text + "x")
    assert clean_name(text + "x") == clean_name("x" + text).rstrip("\u200d\ufe0f\U000e0100") == "x"


@pytest.mark.parametrize("text", KEPT, ids=ascii)
def test_a_name_in_any_script_is_kept(text: str) -> None:
    """What is written in some script or drawn as an emoji is visible and stays as it was, as a name too."""
    assert is_visible(text)
    assert clean_name(text) == text


@pytest.mark.parametrize(
    ("given_", "left"),
    [
        ("gpj\u202eexe", "gpjexe"),
        ("a\r\nb\tc\u2028d", "a b c d"),
        ("\u2068Ada\u2069", "Ada"),
        ("A\u200bd\u2060a\ufeff", "Ada"),
        ("A\u3164\u3164B", "A B"),
        ("x\u200d \u200dy\u200d", "x y"),
        ("a\U000e0041b", "ab"),
        ("a\x00\x1bb", "ab"),
    ],
)
def test_what_deceives_is_taken_out_of_names(given_: str, left: str) -> None:
    """Overrides, line ends, zero-width spaces, stray joiners and hidden tags are gone from a name."""
    assert clean_name(given_) == left


@given(st.text(st.characters(blacklist_categories=()) | st.sampled_from("".join(INVISIBLE)), max_size=20))
def test_cleaning_again_changes_nothing(text: str) -> None:
    """A cleaned name is clean, no longer than before, and empty exactly when nothing of it is visible."""
    name = clean_name(text)
    assert clean_name(name) == name
    assert len(name) <= len(text)
    assert (name != "") == is_visible(name)

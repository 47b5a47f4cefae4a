"""Snippets: where the matches are, in characters of what is shown, in every script."""

from collections.abc import Iterator

import apsw.unicode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shard.search import snippets
from shard.search.snippets import LENGTH_MAX, SLACK, Snippet
from shard.search.terms import merged
from tests.shard import finding
from tests.shard.finding import Shard


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shard]:
    with finding.opened(tmp_path_factory.mktemp("snippets")) as shard:
        yield shard


@pytest.fixture
def shard(file: Shard) -> Iterator[Shard]:
    with finding.undone(file):
        yield file


def marked(snippet: Snippet) -> str:
    """Return a snippet with its matches in brackets."""
    text = snippet.text
    for start, length in reversed(snippet.matches):
        text = f"{text[:start]}[{text[start : start + length]}]{text[start + length :]}"
    return text


@pytest.mark.parametrize(
    ("content", "query", "shown"),
    [
        ("the quick brown fox", "quick fox", "the [quick] brown [fox]"),
        ("the quick brown fox", '"quick brown"', "the [quick brown] fox"),
        ("the quick brown fox", "qu* -dog", "the [quick] brown fox"),
        ("fox Fox FOX", "fox", "[fox] [Fox] [FOX]"),
        ("the quick brown fox", "from:me", "the quick brown fox"),
        ("日本語の本を読む", "本", "日[本]語の[本]を読む"),
        ("日本語の本を読む", "日本語", "[日本語]の本を読む"),
        ("日本語の本を読む", "本 本語", "日[本語]の[本]を読む"),
        ("Lean4の証明は楽しい", "Lean4の", "[Lean4の]証明は楽しい"),
        ("Lean4の証明は楽しい", "lean4 証明", "[Lean4]の[証明]は楽しい"),
        ("안녕하세요 여러분", "하세요", "안녕[하세요] 여러분"),
        ("สวัสดีครับ", "ครับ", "สวัสดี[ครับ]"),
        ("हिन्दी में प्रमाण", "प्रमाण", "हिन्दी में [प्रमाण]"),
        ("Ein Café in Zürich", "cafe zurich", "Ein [Café] in [Zürich]"),
        ("one Cafe\u0301 two", "café", "one [Cafe\u0301] two"),
        ("𠮷野家 👍🏽 naïve x", "naive", "𠮷野家 👍🏽 [naïve] x"),
        ("𠮷野家 👍🏽 naïve x", "𠮷", "[𠮷]野家 👍🏽 naïve x"),
        ("ship 🚀🚀 it", "🚀", "ship [🚀][🚀] it"),
        ("call foo_bar::baz(x)", "foo_bar::baz", "call [foo_bar::baz](x)"),
        ("call foo_bar::baz(x)", "bar", "call foo_[bar]::baz(x)"),
        ("self.a.b.c = 1", "a.b.c", "self.[a.b.c] = 1"),
        ("c and C++ and C#", "c++", "c and [C++] and C#"),
        ("İstanbul istanbul", "istanbul", "[İstanbul] [istanbul]"),
        ("a\x01b\nc", "b", "a\x01[b]\nc"),
    ],
)
def test_matches_are_where_the_words_are(shard: Shard, content: str, query: str, shown: str) -> None:
    """Matches are told in characters of the content as it was written, whatever is indexed in its place."""
    shard.say(content)
    (snippet,) = shard.search(query).snippets
    assert marked(snippet) == shown


def test_a_snippet_shows_the_first_match_in_its_sentence(shard: Shard) -> None:
    """Of a long message the piece around the first match is shown, cut at spaces, with … where it goes on."""
    filler = " ".join(["filler"] * 100)
    shard.say(f"{filler} the needle here {filler} needle")
    (snippet,) = shard.search("needle").snippets
    assert marked(snippet).startswith("…filler filler ")
    assert "filler the [needle] here filler" in marked(snippet)
    assert snippet.text.endswith(" filler…")
    assert len(snippet.matches) == 1
    shard.say(f"needle {filler}", f"{filler} haystack needle")
    last, first, _ = shard.search("needle").snippets
    assert (first.text[:6], first.text[-1], last.text[0], last.text[-6:]) == ("needle", "…", "…", "needle")


ANYTHING = st.text(
    st.sampled_from("ab  日本กั語가e\u0301👍🏽\u200d👩\ufe0fx_-\n") | st.characters(exclude_categories=["Cs"]),
    max_size=500,
)


@settings(max_examples=200)
@given(content=ANYTHING, data=st.data())
def test_a_snippet_is_a_piece_of_its_message(content: str, data: st.DataObject) -> None:
    """Whatever a message has and wherever its matches are, the snippet is a bounded piece of it, begins and ends with
    whole characters, and its matches show what they are of."""
    ends = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6, unique=True)))
    places = [(begin, end) for begin, end in zip(ends[::2], ends[1::2], strict=False)]
    text, matches = snippets.cut(content, places)
    begins, goes_on = not content.startswith(text[:9]) or text.startswith("…"), text.endswith("…")
    piece = text.removeprefix("…" if begins else "").removesuffix("…" if goes_on and not content.endswith(text) else "")
    assert piece in content
    assert len(text) <= LENGTH_MAX + 2
    for start, length in matches:
        assert length > 0
        assert start + length <= len(text)
    if places:
        start, length = matches[0]
        begin, end = places[0]
        assert content[begin:end].startswith(text[start : start + length])
        assert length == end - begin or start + length >= len(text) - 1 - SLACK


def test_no_character_is_cut() -> None:
    """An end never falls between a letter and its accent, or inside an emoji or a syllable of several parts."""
    england = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    family = "👨🏽\u200d👩🏽\u200d👧\u200d👦"
    parts = [
        "e\u0301", "👍🏽", "👩\u200d💻", "❤\ufe0f", "กั", "🇩🇪🇸🇪", "🇩🇪", "각", england, family, "क्ष", "1\ufe0f\u20e3"
    ]  # fmt: skip
    for whole in parts:
        for shift in range(8):
            content = "x" * shift + whole * 300
            text = snippets.cut(content, [(400, 402)]).text.strip("…").lstrip("x")
            assert set(apsw.unicode.grapheme_iter(text)) == set(apsw.unicode.grapheme_iter(whole))


def test_a_heap_of_marks_is_cut() -> None:
    """A letter under a thousand marks does not make a snippet longer, or empty."""
    content = f"word {'z' + chr(0x301) * 1_000} needle"
    for place in [(0, 4), (5, 6), (len(content) - 6, len(content))]:
        text, matches = snippets.cut(content, [place])
        assert len(text) <= LENGTH_MAX + 2
        assert matches


def test_overlapping_places_are_one() -> None:
    """Places that overlap are joined, those that only touch are not."""
    assert merged([(5, 7), (0, 3), (2, 4), (4, 5), (6, 6)]) == [(0, 4), (4, 5), (5, 7)]

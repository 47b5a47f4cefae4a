"""Search: nothing a person types is syntax, and what is found is what a plain look at the words would find."""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ids import ChannelId
from shard.errors import BadSearchError, NotFoundError, RejectedError
from shard.search import match, query
from shard.search.query import HAS, IS, OPERATORS, TERMS_MAX, TEXT_LENGTH_MAX
from tests.shard import direct, finding, stage
from tests.shard.finding import Shard

SYNTAX = [
    '"', "NEAR", "NEAR(", "AND", "OR", "NOT", "(", ")", "*", "^", ":", "-", "+", "{", "}", ",", "words:", "'", ";", "#",
    "@", "me", "2024", *(f"{operator}:" for operator in OPERATORS), *(f"has:{value}" for value in HAS),
    *(f"is:{value}" for value in IS),
]  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shard]:
    with finding.opened(tmp_path_factory.mktemp("search")) as shard:
        yield shard


@pytest.fixture
def shard(file: Shard) -> Iterator[Shard]:
    with finding.undone(file):
        yield file


anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
syntax_like = st.lists(st.sampled_from(SYNTAX) | st.text('ab é日の*"-', max_size=4), max_size=12).map(" ".join)
glued = st.lists(st.sampled_from(SYNTAX) | st.text("ab 日\u0301\u200d👍", max_size=3), max_size=12).map("".join)


@settings(max_examples=300)
@given(text=anything | syntax_like | glued)
@example("a\0b")
@example('"')
@example('""')
@example('-"a" b')
@example("a* NEAR(b c, 3)")
@example("*")
@example("\u0301")
@example("日 の\u0301")
def test_no_text_is_a_syntax_error(file: Shard, text: str) -> None:
    """Whatever is typed either is refused or runs."""
    with finding.undone(file):
        file.say("a b ab 日の", text.replace("\0", " ") or "x")
        with suppress(RejectedError):
            file.find(text)


WORDS = ["lemma", "simp", "Simp", "proof", "pro", "prove", "naïve", "naive", "x1"]
CORPUS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join), max_size=12)
TERMS = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from(WORDS)
        | st.sampled_from(["pro*", "si*", "x*"])
        | st.lists(st.sampled_from(WORDS), min_size=2, max_size=3).map(lambda words: f'"{" ".join(words)}"'),
    ),
    min_size=1,
    max_size=4,
)


def folded(text: str) -> str:
    """Lower case without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c))


def has(content: str, term: str) -> bool:
    """Tell whether a text has a word, a "phrase" or a beginning*."""
    words, wanted = folded(content).split(), folded(term)
    if wanted.endswith("*"):
        return any(word.startswith(wanted[:-1]) for word in words)
    phrase = wanted.strip('"').split()
    return any(words[at : at + len(phrase)] == phrase for at in range(len(words)))


@settings(max_examples=150)
@given(corpus=CORPUS, terms=TERMS, common=st.sampled_from([match.COMMON, 0]))
def test_words_phrases_beginnings_and_exclusions(
    file: Shard, corpus: list[str], terms: list[tuple[bool, str]], common: int
) -> None:
    """All wanted terms must occur and none of the unwanted, newest first, as a plain look at the words finds them."""
    text = " ".join(("-" if unwanted else "") + term for unwanted, term in terms)
    # With 0 no beginning is common, so the index is asked for all of them; in small rooms all are common.
    with finding.undone(file), pytest.MonkeyPatch.context() as patch:
        patch.setattr(match, "COMMON", common)
        file.say(*corpus)
        if all(unwanted for unwanted, _ in terms):
            with pytest.raises(BadSearchError):
                file.find(text)
            return
        wanted = [one for one in corpus if all(has(one, term) is not unwanted for unwanted, term in terms)]
        assert file.find(text) == wanted[::-1]


PIECES = st.text(st.sampled_from("ab 日本語กั가e\u0301é_-+#👍") | st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=200)
@given(contents=st.lists(PIECES.filter(str.strip), min_size=1, max_size=8), data=st.data())
def test_the_index_proposes_whatever_a_look_finds(file: Shard, contents: list[str], data: st.DataObject) -> None:
    """Looking at every message finds what the index with its candidates finds, whatever is said and searched for."""
    contents = [content.replace("\0", " ") + "x" for content in contents]
    source = data.draw(st.sampled_from(contents))
    at = data.draw(st.integers(0, len(source) - 1))
    text = source[at : at + data.draw(st.integers(1, 6))] + data.draw(st.sampled_from(["", "", "*", " -b", ' -"é"']))
    with finding.undone(file), pytest.MonkeyPatch.context() as patch:
        patch.setattr(match, "COMMON", 0)
        file.say(*contents)
        try:
            found = file.find(text)
        except RejectedError:
            return
        patch.setattr(match, "_by_words", lambda *_: None)
        assert found == file.find(text)


UNSPACED = st.text("日本語証明のカナ가나다กขค", min_size=1, max_size=8)
MIXED = st.lists(UNSPACED | st.sampled_from(["Lean4", "abc", "x"]), min_size=1, max_size=3).map("".join)


@settings(max_examples=150)
@given(contents=st.lists(MIXED, min_size=1, max_size=6), data=st.data())
def test_unspaced_scripts_are_found_like_substrings(file: Shard, contents: list[str], data: st.DataObject) -> None:
    """Any piece of an unspaced text, also where it meets Latin words, is found in every text that contains it."""
    source = data.draw(st.sampled_from(contents), label="source")
    # A Latin word is found whole, so a piece neither begins nor ends inside one.
    cuts = [0, *(m.end() for m in re.finditer(r"[A-Za-z0-9]+|.", source))]
    start = data.draw(st.sampled_from(cuts[:-1]), label="start")
    end = data.draw(st.sampled_from([cut for cut in cuts if cut > start]), label="end")
    piece = source[start:end]
    with finding.undone(file):
        file.say(*contents)
        found = file.find(piece)
        assert source in found
        assert found == [one for one in reversed(contents) if contains(one, piece)]


def contains(content: str, piece: str) -> bool:
    """Tell whether a text contains a piece that does not cut a Latin word of it."""
    latin = "A-Za-z0-9"
    pattern = re.escape(piece)
    if re.match(f"[{latin}]", piece):
        pattern = f"(?<![{latin}]){pattern}"
    if re.search(f"[{latin}]$", piece):
        pattern = f"{pattern}(?![{latin}])"
    return re.search(pattern, content, re.IGNORECASE) is not None


@pytest.mark.parametrize(
    ("content", "hits", "misses"),
    [
        ("日本語の本を読む", ["日本", "本語", "本", "読む", "日本語の本", "む", "日*"], ["日語", "本日", "今日"]),
        ("Lean4の証明は楽しい", ["Lean4の証明", "Lean4の", "の証明", "証明", "lean4", "証"], ["明証", "Lean"]),
        ("証明Lean4", ["証明Lean4", "証明", "明Lean4", "Lean4"], ["証Lean4"]),
        ("안녕하세요 여러분", ["안녕", "하세요", "여러분", "녕하", "안녕하세요 여러분"], ["분여"]),
        ("สวัสดีครับ", ["สวัสดี", "ครับ", "สวัสดีครับ"], ["ครับสวัสดี"]),
        ("हिन्दी में प्रमाण", ["हिन्दी", "प्रमाण", "हि*"], ["हिन", "प्रम"]),
        ("Ein Café in Zürich", ["cafe", "CAFÉ", "zurich", "Zürich", "Cafe\u0301", "ca*"], ["caf", "urich"]),
        ("decomposed Cafe\u0301", ["café", "cafe", "Cafe\u0301"], ["caf"]),
        (
            "call foo_bar::baz(x) now",
            ["foo_bar::baz", "foo", "bar", "baz", '"foo bar"', "foo_bar", "ba*"],
            ["fo", "baz::foo"],
        ),
        ("self.a.b.c = snake_case_name", ["a.b.c", "b.c", "snake_case", "case_name", "self.a"], ["a.c", "snake_name"]),
        ("C++ or c#, not F#", ["C++", "c++", "C#", "f#", '"or c#"', "not"], ["C+++", "f++", "or#"]),
        ("plain c here", ["c", "C", "c -c++", "c -C#"], ["C++", "C#", "c*x"]),
        ("xs : List λ → ∀ n", ["→", "∀", "Λ", "List → ∀"], ["∃", "β"]),
        ("❤ at first", ["❤", "❤️", "❤️ first"], ["💔"]),
        ("ship it 🚀👍🏽 ❤️", ["🚀", "👍", "❤", "❤️", "ship 🚀", "it -🎉"], ["🎉", "ship -🚀"]),
        ("ジョン・スミス「はい」", ["スミス", "ジョン・スミス", "はい", "ジョン"], ["ミジョ"]),
        ("said \u201chello\u201d, didn't", ["hello", "didn't", "didn\u2019t", "said,"], ["sai"]),
        ("👍 done", ["done"], ["ok"]),
        ("𠮷野家", ["𠮷野", "𠮷", "野家"], ["家野"]),
    ],
)
def test_scripts_of_the_world(shard: Shard, content: str, hits: list[str], misses: list[str]) -> None:
    """Words are found in scripts with and without spaces, with accents folded and code cut at its signs."""
    shard.say(content, "something else entirely", "別の話")
    assert {text: shard.find(text) for text in hits} == {text: [content] for text in hits}
    assert {text: shard.find(text) for text in misses} == {text: [] for text in misses}


def test_bounds_of_a_search_text() -> None:
    """A text at its bounds is searched for, one beyond them or without any word is refused."""
    query.parse(" ".join(f"w{number}" for number in range(TERMS_MAX)))
    query.parse("x" * TEXT_LENGTH_MAX)
    too_much = [" ".join(f"w{number}" for number in range(TERMS_MAX + 1)), "x" * (TEXT_LENGTH_MAX + 1)]
    too_much.append("from:me " + " ".join(f"-w{number}" for number in range(TERMS_MAX)))
    for text in [*too_much, "", "   ", "-only -not", "!?", '""', "-👍", "-", "%", "->"]:
        with pytest.raises(BadSearchError):
            query.parse(text)


def test_private_channels_do_not_leak(shard: Shard) -> None:
    """Words of a private channel are found by the owner and neither found nor hinted at to members."""
    shard.say("secret here", channel="other")
    shard.say("secret there")
    thread_id = shard.thread("plans", channel="other")
    assert shard.find("secret") == ["secret there", "secret here"]
    assert shard.find("secret", channel="other") == ["secret here"]
    direct.make_private(shard.writer, shard.room, "other")
    assert shard.find("secret") == ["secret there"]
    assert shard.find("secret", by=stage.OWNER) == ["secret there", "secret here"]
    with pytest.raises(NotFoundError) as hidden:
        shard.find("secret", channel="other")
    shard.room.channels["missing"] = ChannelId(5)
    with pytest.raises(NotFoundError) as missing:
        shard.find("secret", channel="missing")
    assert str(hidden.value) == str(missing.value)
    other = shard.room.channels["other"]
    for text, nothing in (
        ("in:other", "in:nowhere"), ("in:#other secret", "in:#nowhere secret"), ("-in:#other x", "-in:#nowhere x"),
        (f"in:{other}", "in:5"), ("thread:plans", "thread:nothing"), (f"thread:{thread_id}", "thread:5"),
    ):  # fmt: skip
        with pytest.raises(NotFoundError) as hidden:
            shard.find(text)
        with pytest.raises(NotFoundError) as missing:
            shard.find(nothing)
        assert str(hidden.value) == str(missing.value)
        assert shard.find(text.replace("secret", ""), by=stage.OWNER) is not None
    del shard.room.channels["missing"]


def test_deleted_and_edited_words_are_not_found(shard: Shard) -> None:
    """The index follows a message: edited words replace the old ones and deleted ones are gone."""
    edited, deleted = shard.say("old words", "old sayings")
    shard.writer.run("UPDATE messages SET content = 'new words' WHERE id = ?", (edited,))
    shard.writer.run("UPDATE messages SET is_deleted = 1 WHERE id = ?", (deleted,))
    assert shard.find("old") == []
    assert shard.find("new") == ["new words"]
    shard.connection.execute("INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)")

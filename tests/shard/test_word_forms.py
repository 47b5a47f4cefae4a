# ruff: noqa: RUF001
"""Folding: what people write is found in whatever spelling, and highlighted where it stands."""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal, cast

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import word_forms
from shard.errors import BadSearchError
from shard.search import match, query
from shard.search.terms import Pattern, Term, Text
from shard.text import layouts, tokens
from tests.shard import finding
from tests.shard.finding import Shard
from word_forms import POINT, SIGN

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
FORMS: tuple[Form, ...] = ("NFC", "NFD", "NFKC", "NFKD")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shard]:
    with finding.opened(tmp_path_factory.mktemp("folding")) as shard:
        yield shard


@pytest.fixture
def shard(file: Shard) -> Iterator[Shard]:
    with finding.undone(file):
        yield file


def marked(shard: Shard, text: str) -> str | None:
    """Return the one message that is found with its matches in brackets, None when none is."""
    found = shard.search(text)
    if not found.messages:
        return None
    content = found.messages[0].content
    (snippet,) = found.snippets
    assert snippet.text == content
    for start, length in reversed(snippet.matches):
        content = f"{content[:start]}[{content[start : start + length]}]{content[start + length :]}"
    return content


@pytest.mark.parametrize(
    ("content", "text", "shown"),
    [
        # Symbols newer than SQLite's table, selectors and isolates glue nothing.
        ("thanks🤗", "thanks", "[thanks]🤗"),
        ("thanks🤗", "🤗", "thanks[🤗]"),
        ("thanks🤗", '"thanks 🤗"', "[thanks🤗]"),
        ("❤️you", "you", "❤️[you]"),
        ("❤️you", "❤", "[❤️]you"),
        ("❤ you", "❤️", "[❤] you"),
        ("⚠️deploy", "deploy", "⚠️[deploy]"),
        ("⚠️deploy", "⚠", "[⚠️]deploy"),
        ("100₽", "100", "[100]₽"),
        ("100₽", "₽", "100[₽]"),
        ("100₽", "100₽", "[100₽]"),
        ("\u2068Ada\u2069 joined", "ada", "\u2068[Ada]\u2069 joined"),
        ("new \U0001fae9face", "face", "new \U0001fae9[face]"),
        ("new \U0001fae9face", "\U0001fae9", "new [\U0001fae9]face"),
        # Signs alone, and beside words.
        ("the ⟨bra⟩ and the ket", "⟨", "the [⟨]bra⟩ and the ket"),
        ("col·lecció", "·", "col[·]lecció"),
        ("«moss»", "«", "[«]moss»"),
        ("«moss»", '"«moss»"', "«[moss]»"),
        ("🎉 thanks", '"🎉 thanks"', "[🎉 thanks]"),
        ("🎉thanks", '"🎉 thanks"', "[🎉thanks]"),
        ("thanks all", '"🎉 thanks"', None),
        ("thanks 🎉", '"🎉 thanks"', None),
        ("one 🎉 two", '"one two"', "[one 🎉 two]"),
        ("a ≠ b", "≠", "a [≠] b"),
        ("a =\u0338 b", "≠", "a [=\u0338] b"),
        ("🇩🇪🇸🇪", "🇩🇪", "[🇩🇪]🇸🇪"),
        ("🇩🇪🇸🇪", "🇸🇪", "🇩🇪[🇸🇪]"),
        ("🇩🇪🇸🇪", "🇪🇸", None),
        ("👍🏽 fine", "👍", "[👍🏽] fine"),
        ("👍 fine", "👍🏽", None),
        ("a 👩\u200d💻 here", "👩\u200d💻", "a [👩\u200d💻] here"),
        ("a 👩 💻 here", "👩\u200d💻", None),
        ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "\U0001f3f4\U000e0067\U000e0062"
         "\U000e0073\U000e0063\U000e0074\U000e007f", None),
        ("press 1️⃣ now", "1", "press [1️⃣] now"),
        # One word in all its forms.
        ("가격", "가격", "[가격]"),
        ("プログラム", "プログラム", "[プログラム]"),
        ("ﾌﾟﾛｸﾞﾗﾑ", "プログラム", "[ﾌﾟﾛｸﾞﾗﾑ]"),
        ("プログラム", "フログラム", None),
        ("Ｆｕｌｌ　ｗｉｄｔｈ１２", "full width12", "[Ｆｕｌｌ]　[ｗｉｄｔｈ１２]"),
        ("full C++", "Ｃ＋＋", "full [C++]"),
        ("Йод", "йод", "[Йод]"),
        ("Чебышёв", "чебышев", "[Чебышёв]"),
        ("Чебышев", "чебышёв", "[Чебышев]"),
        ("новогодняя ёлка", "елка", "новогодняя [ёлка]"),
        ("κόσμος", "κοσμος", "[κόσμος]"),
        ("ΚΌΣΜΟΣ", "κόσμος", "[ΚΌΣΜΟΣ]"),
        ("τι είναι", "ειναι", "τι [είναι]"),
        ("τι ειναι", "είναι", "τι [ειναι]"),
        ("مُحَمَّد", "محمد", "[مُحَمَّد]"),
        ("أحمد إسلام آمن ٱلله", "احمد اسلام امن الله", "[أحمد] [إسلام] [آمن] [ٱلله]"),
        ("كتـــاب", "كتاب", "[كتـــاب]"),
        ("مدرسة على", "مدرسه علي", "[مدرسة] [على]"),
        ("کتاب فارسی", "كتاب فارسي", "[کتاب] [فارسی]"),
        ("٣٤ ۵", "34 5", "[٣٤] [۵]"),
        ("שָׁלוֹם", "שלום", "[שָׁלוֹם]"),
        ("soft\u00adhyphen", "softhyphen", "[soft\u00adhyphen]"),
        ("می\u200cخواهم", "میخواهم", "[می\u200cخواهم]"),
        ("zero\u200bwidth", "zerowidth", "[zero\u200bwidth]"),
        ("Đặng Łódź smørrebrød Straße þing Œuvre", "dang lodz smorrebrod strasse thing oeuvre",
         "[Đặng] [Łódź] [smørrebrød] [Straße] [þing] [Œuvre]"),
        ("GROSSARTIG", "großartig", "[GROSSARTIG]"),
        ("don’t", "don't", "[don’t]"),
        ("п\u02bcять", "п'ять", "[п\u02bcять]"),
        # Marks that are vowels, tones or viramas count.
        ("हिन्दी में", "हिन्दी", "[हिन्दी] में"),
        ("हिन्दी में", "हन्दी", None),
        ("ज़रूर", "जरूर", "[ज़रूर]"),
        ("ใหม่", "ใหม", "[ใหม่]"),
        ("ใหม", "ใหม่", None),
        ("សួស្តី", "ស្តី", "សួ[ស្តី]"),
        # Compatibility forms, unless they mean something else.
        ("x₁ ∈ ℕ and n", "x1", "[x₁] ∈ ℕ and n"),
        ("x₁ ∈ ℕ and n", "n", "x₁ ∈ ℕ and [n]"),
        ("x₁ ∈ ℕ and n", "ℕ", "x₁ ∈ [ℕ] and n"),
        ("𝓱𝓮𝓵𝓵𝓸 ﬁne", "hello fine", "[𝓱𝓮𝓵𝓵𝓸] [ﬁne]"),
        # Nothing that is seen.
        ("a \u0302 b", "b", "a \u0302 [b]"),
    ],
)  # fmt: skip
def test_what_is_found_and_where(shard: Shard, content: str, text: str, shown: str | None) -> None:
    """Each text finds its message, in all forms of normalization, and the match is exactly where it stands."""
    shard.say(content, "something else entirely")
    assert marked(shard, text) == shown
    for form in FORMS:
        assert (marked(shard, unicodedata.normalize(form, text)) is None) == (shown is None)


@pytest.mark.parametrize(
    "word",
    [
        "가격",
        "プログラム",
        "Й",
        "κόσμος",
        "Nguyễn",
        "Café",
        "हिन्दी",
        "কোন",
        "ஸ்ரீ",
        "မြန်မာ",
        "ẛ̣",
        "ﷺ",
        "ǰ",
        "À̖",
        "שּׁ",
        "ﾡￂ",
    ],
)
def test_all_forms_are_folded_alike(word: str) -> None:
    """A word is one word in every form of normalization."""
    assert len({word_forms.fold(unicodedata.normalize(form, word)).lower() for form in FORMS}) == 1


def test_every_character_is_folded_for_good() -> None:
    """What a character is folded to is in lower case, is not folded further, and has no sign of which none was made."""
    marks = re.compile(f"[{SIGN}{POINT}]")
    large = ((0x3400, 0xA000), (0xAC00, 0xD7A4), (0xD800, 0xF900), (0x13000, 0x1B000), (0x1B300, 0x1CC00))
    for code in range(0x80, 0x20000):
        if any(begin < code < end for begin, end in large):
            continue
        folded = word_forms.fold(chr(code))
        assert folded.lower() == folded, hex(code)
        plain = marks.sub("", folded)
        assert marks.sub("", word_forms.fold(plain)).split() == plain.split(), hex(code)


TEXTS = st.lists(
    st.text("abÀé ßłĐ", min_size=1, max_size=5)
    | st.text("가격각각ㅋㅏﾡￂ", min_size=1, max_size=4)
    | st.text("プブ゚ログﾌﾟ日本語", min_size=1, max_size=4)
    | st.text("йЁеκόςΐ\u0301\u0308\u0345", min_size=1, max_size=5)
    | st.text("أحُّمـﷺ٣שָׁ", min_size=1, max_size=5)
    | st.text("हि्ऩကျ့ใหมุ่่", min_size=1, max_size=5)
    | st.text("🤗❤👍🏽🇩🇪🇸\u200d👩\ufe0f\u20e3₽≠=\u0338«·’、™①½", min_size=1, max_size=5)
    | st.text("\u2068\u2069\u00ad\u200b\u200c 1+#$_-\n", min_size=1, max_size=3)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    max_size=8,
).map("".join)


@settings(max_examples=300)
@given(text=TEXTS)
@example("か\u3099き")
@example("ัั้")
def test_a_text_is_folded_as_its_pieces_are(text: str) -> None:
    """The pieces of a text, folded one by one, are the folded text; so places in one are places in the other."""
    assert "".join(word_forms.fold(text[begin:end]) for begin, end in word_forms.pieces(text)) == word_forms.fold(text)
    layout = layouts.laid_out(text)
    assert layout.folded.split() == re.sub(f"[{SIGN}{POINT}].", " ", word_forms.fold(text)).lower().split()
    for at, character in enumerate(layout.folded):
        begin, end = layout.place(at, at + 1)
        assert 0 <= begin < end <= len(text)
        if character > " ":
            assert character in layouts.laid_out(text[begin:end]).folded


@settings(max_examples=300)
@given(text=TEXTS)
def test_the_index_has_the_words_that_a_search_has(file: Shard, text: str) -> None:
    """The tokenizer of the index makes of the indexed text the very words that are searched for, and nothing else."""
    ((sql,),) = file.writer.all("SELECT sql FROM sqlite_schema WHERE name = 'messages_fts'")
    assert f"tokenize = '{tokens.TOKENIZER}'" in sql
    cut = file.connection.fts5_tokenizer(tokens.TOKENIZER, [])
    other = tokens.to_index(text)
    indexed = cut((text if other is None else other).encode(), apsw.FTS5_TOKENIZE_DOCUMENT, None)
    words = [word for _, _, word in cast(list[tuple[int, int, str]], indexed)]
    signs = set(tokens.signs(text, SIGN + POINT))
    assert words[len(words) - len(signs) :] == sorted(signs)
    assert tokens.to_find(f"{text} x") == [*words[: len(words) - len(signs)], "x"]


@settings(max_examples=200)
@given(text=TEXTS, form=st.sampled_from(FORMS), asked=st.sampled_from(FORMS), data=st.data())
def test_every_word_of_a_text_is_found_and_highlighted(
    file: Shard, text: str, form: Form, asked: Form, data: st.DataObject
) -> None:
    """Whatever word or sign of a message is searched for, in whatever form, the message is found, by the index as by a
    plain look, and the highlighted part has that word."""
    content = unicodedata.normalize(form, text).replace("\0", " ")
    layout, said = layouts.laid_out(content, SIGN), tokens.words(content, SIGN)
    if not said:
        return
    number, at = data.draw(st.integers(0, len(said) - 1)), 0
    for word in said[:number]:
        at = layout.folded.index(word, at) + len(word)
    at = layout.folded.index(said[number], at)
    begin, end = layout.place(at, at + len(said[number]))
    wanted = unicodedata.normalize(asked, content[begin:end])
    if tokens.words(wanted, SIGN) != [said[number]]:
        return  # a mark of another script stands on the last letter of a word
    with finding.undone(file), pytest.MonkeyPatch.context() as patch, suppress(BadSearchError):
        patch.setattr(match, "COMMON", 0)
        file.say(content if content.strip() else f"{content}.")
        found = file.search(f'"{wanted}"')
        assert len(found.messages) == 1
        (snippet,) = found.snippets
        pattern = Pattern(Term(wanted))
        for start, length in snippet.matches:
            assert pattern.is_in(Text(snippet.text[start : start + length]))
        patch.setattr(match, "_by_words", lambda *_: None)
        assert file.search(f'"{wanted}"') == found


def test_what_cannot_be_searched_for_is_said() -> None:
    """Signs of ASCII are not in the index: beside words they are listed, and alone they are refused by name."""
    assert query.parse("moss & warm $5 C++ a->b 100€ 🎉").ignored == ("&", "$", ">")
    assert query.parse('"x <y>" -> "" \u0301').ignored == ("<", ">", "->", '""', "\u0301")
    assert query.parse("moss «warm» C# ⟨ foo_bar it's").ignored == ()
    for text in ("&", "$", "-> =", "＄"):
        with pytest.raises(BadSearchError, match="cannot be searched for"):
            query.parse(text)


def test_many_different_characters_need_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of characters is bounded, and is right after it was forgotten."""
    folded = word_forms._Folded()
    monkeypatch.setattr(word_forms, "CHARACTERS_MAX", 10)
    monkeypatch.setattr(word_forms, "_FOLDED", folded)
    text = "".join(map(chr, range(0xC0, 0x180)))
    before = layouts.laid_out(text).folded, tokens.to_index(text)
    assert (layouts.laid_out(text).folded, tokens.to_index(text)) == before
    assert 0 < len(folded) <= 10

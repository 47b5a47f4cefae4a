"""Search page by page: each match once, newest or most relevant first, also when time ends in between."""

from collections.abc import Iterator
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ids import MessageId, UserId
from shard.actions import search
from shard.actions.search import Newest, Place, Ranking
from shard.search import match
from tests.shard import direct, finding, stage
from tests.shard.finding import Shard

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shard]:
    with finding.opened(tmp_path_factory.mktemp("pages")) as shard:
        yield shard


@pytest.fixture
def shard(file: Shard) -> Iterator[Shard]:
    with finding.undone(file):
        yield file


def test_pages_of_results(shard: Shard) -> None:
    """Results come newest first, and each page leads to the next until all were shown once."""
    shard.say(*(f"word {number}" for number in range(25)))
    pages = list(shard.walk("word", limit=7))
    assert [message.content for page in pages for message in page.messages] == [f"word {n}" for n in range(24, -1, -1)]
    assert [len(page.messages) for page in pages] == [7, 7, 7, 4]
    assert not any(page.is_cut for page in pages)
    assert [len(page.messages) for page in shard.walk("word", limit=25)] == [25]
    assert shard.find("word", place=Newest(0)) == []


TEXTS = st.lists(
    st.tuples(
        st.sampled_from(["red", "red green", "green", "red blue grey", "日本語", "🚀"]),
        st.sampled_from(["general", "other"]),
        st.sampled_from([stage.ANNA, stage.BEN]),
    ),
    max_size=40,
)
SEARCHES = [
    "red",
    "gre*",
    "red -blue",
    "from:ben",
    "from:ben red",
    "-from:ben green",
    "in:general red",
    "日",
    "🚀",
    "is:pinned",
]


@settings(max_examples=60)
@given(said=TEXTS, text=st.sampled_from(SEARCHES), limit=st.integers(1, 9), few=st.sampled_from([match.FEW, 3, 0]))
def test_a_search_without_time_still_comes_to_its_end(
    file: Shard, said: list[tuple[str, str, UserId]], text: str, limit: int, few: int
) -> None:
    """With no time at all every request still gets on, and together they find what one with time enough finds, however
    much is hidden and whichever way the candidates come."""
    with finding.undone(file), pytest.MonkeyPatch.context() as patch:
        patch.setattr(match, "FEW", few)
        patch.setattr(match, "CHUNK_MAX", 4)
        for content, channel, user_id in said:
            file.say(content, channel=channel, by=user_id)
        direct.make_private(file.writer, file.room, "other")
        everything = file.find(text)
        pages = list(file.walk(text, limit=limit, seconds=-1.0))
        assert [message.content for page in pages for message in page.messages] == everything
        assert all(page.next_place is not None for page in pages if page.is_cut)
        assert len(pages) <= len(said) + 1


def test_hidden_matches_are_passed_over_in_bounded_steps(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many matches are hidden, a search without time ends, and the place to go on tells of none of them."""
    monkeypatch.setattr(match, "CHUNK_MAX", 50)
    (visible,) = shard.say("word seen", at=finding.NOW - 10 * DAY_MS)
    shard.say(*["word hidden"] * 300, channel="other")
    direct.make_private(shard.writer, shard.room, "other")
    first = shard.search("word", limit=10, seconds=-1.0)
    assert (first.messages, first.is_cut, first.next_place) == ([], True, (visible + 1,))
    second = shard.search("word", limit=10, seconds=-1.0, place=Newest(visible + 1))
    assert ([message.id for message in second.messages], second.is_cut) == ([visible], False)
    ended = shard.search("word after:2025-06-10", limit=10, seconds=-1.0)
    assert (ended.messages, ended.is_cut, ended.next_place) == ([], False, None)
    direct.make_private(shard.writer, shard.room, "general")
    nothing = shard.search("word", limit=10, seconds=-1.0)
    assert (nothing.messages, nothing.is_cut, nothing.next_place) == ([], False, None)


def test_a_deadline_leaves_what_was_found(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that the deadline stops returns its hits and the place to continue; without hits it has no answer."""
    sent = shard.say("c++ first", *["c alone"] * 20, "c++ last")
    chunk, chunks_left = match._chunk, 0

    def stopped(*arguments: Any) -> Any:
        nonlocal chunks_left
        chunks_left -= 1
        if chunks_left < 0:
            raise apsw.InterruptError
        return chunk(*arguments)

    monkeypatch.setattr(match, "_chunk", stopped)
    chunks_left = 1
    cut = shard.search("c++", limit=5)
    assert ([message.id for message in cut.messages], cut.next_place, cut.is_cut) == ([sent[-1]], (sent[-1],), True)
    chunks_left = 9
    assert [message.id for message in shard.search("c++", limit=5).messages] == [sent[-1], sent[0]]
    chunks_left = 0
    with pytest.raises(apsw.InterruptError):
        shard.search("c++", limit=5)


def test_relevance_before_time(shard: Shard) -> None:
    """By relevance, messages come first in which the words are frequent and not drowned; of equals the newest."""
    padding = " ".join(["filler"] * 60)
    once, drowned, often, again = shard.say("nest here now", f"nest {padding}", "nest nest nest", "nest there now")
    assert [message.id for message in shard.rank("nest").messages] == [often, again, once, drowned]
    assert [message.id for message in shard.rank("nest here").messages] == [once]
    assert [message.id for message in shard.rank("from:me").messages] == [again, often, drowned, once]
    assert shard.rank("absent").messages == []


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_pages_of_a_ranking(shard: Shard, limit: int) -> None:
    """A ranking goes on where it was left: what is said meanwhile changes nothing in it."""
    shard.say(*("word " * (number % 5) + f"word {number}" for number in range(20)))
    everything = [message.id for message in shard.rank("word").messages]
    assert len(everything) == 20
    walked: list[MessageId] = []
    place: Place | None = Ranking()
    while place is not None:
        page = shard.rank("word", place, limit=limit)
        walked += [message.id for message in page.messages]
        place = page.next_place
        shard.say("word word word word word word")
    assert walked == everything
    oldest = sorted(everything)[5]
    bounded = shard.rank("word", Ranking(oldest, max(everything)))
    assert {message.id for message in bounded.messages} == set(sorted(everything)[5:-1])


def test_only_the_newest_are_ranked(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    """More matches than can be ranked are cut, and every page of the ranking says so."""
    monkeypatch.setattr(search, "RANKED_MAX", 6)
    sent = shard.say("word word word", *(f"word {number}" for number in range(6)))
    first = shard.rank("word", limit=4)
    assert first.is_cut
    assert first.next_place is not None
    second = shard.rank("word", first.next_place, limit=4)
    assert (second.is_cut, second.next_place) == (True, None)
    assert {message.id for page in (first, second) for message in page.messages} == set(sent[1:])
    assert not shard.rank("5").is_cut

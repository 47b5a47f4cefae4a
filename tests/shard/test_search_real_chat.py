"""Search over real talk, against a plain look at every message of it."""

import gzip
import os
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from shard.search import match
from tests.shard import finding, stage
from tests.shard.finding import Shard

pytestmark = pytest.mark.slow

_WORD = re.compile(r"(?:[^\W_]|[\ue000-\uf8ff])+")
_UNDRAWN = "\u00ad\u200b\u200c\u200d\u200e\u2060\ufe0f\ufeff"


@pytest.fixture(scope="module")
def lines() -> list[dict[str, str | int]]:
    path = os.environ.get("ROOKERY_REAL_CHAT")
    if not path:
        pytest.skip("ROOKERY_REAL_CHAT does not name a file of JSON lines to search")
    with gzip.open(path) as file:
        return [orjson.loads(line) for line in file if line.strip()]


@pytest.fixture(scope="module")
def shard(lines: list[dict[str, str | int]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shard]:
    """A channel with everything said, in its order."""
    with finding.opened(Path(tmp_path_factory.mktemp("real"))) as shard:
        shard.connection.execute("BEGIN IMMEDIATE")
        for start in range(0, len(lines), 5_000):
            shard.say(*(str(line["content"])[:8_000] or "-" for line in lines[start : start + 5_000]))
        shard.connection.execute("COMMIT")
        yield shard


def plain(text: str) -> list[str]:
    """Return the words of a text in lower case, without accents and in compatibility form, but for sets of numbers."""
    folded = "".join(
        one if one in "\u2102\u210d\u2115\u2119\u211a\u211d\u2124" else unicodedata.normalize("NFKD", one).casefold()
        for one in text
    )
    return _WORD.findall("".join(one for one in folded if not unicodedata.combining(one) and one not in _UNDRAWN))


def has(spaced: str, term: str) -> bool:
    """Tell by a plain look whether words with spaces around each have a word, a "phrase" or a beginning*."""
    if term.startswith("-"):
        return not has(spaced, term[1:])
    if term.endswith("*"):
        return f" {term[:-1]}" in spaced
    return f" {' '.join(plain(term))} " in spaced


def queries_of(said: list[list[str]]) -> Iterator[list[str]]:
    """Yield searches for common and rare words, phrases and beginnings that were said."""
    chance = random.Random(7)
    often = [word for word, _ in Counter(word for words in said for word in words).most_common(300) if word.isascii()]
    for _ in range(10):
        words = [word for word in chance.choice(said) if word.isascii()] or ["lean"]
        at = chance.randrange(len(words))
        yield [chance.choice(words)]
        yield [chance.choice(often), chance.choice(words)]
        yield [chance.choice(words), f"-{chance.choice(often)}"]
        yield [f"{chance.choice(words)[: chance.randint(1, 4)]}*", chance.choice(often)]
        yield [f'"{" ".join(words[at : at + chance.randint(2, 4)])}"']


@pytest.mark.parametrize("common", [match.COMMON, 0])
def test_what_was_said_is_found(
    shard: Shard, lines: list[dict[str, str | int]], monkeypatch: pytest.MonkeyPatch, common: int
) -> None:
    """Every search finds exactly the messages that a plain look at all of them finds, newest first, in pages too."""
    monkeypatch.setattr(match, "COMMON", common)
    rows = shard.writer.all("SELECT content FROM messages WHERE user_id = ? ORDER BY id DESC", (stage.ANNA,))
    contents = [row[0] for row in rows]
    assert len(contents) == len(lines)
    said = [plain(content) for content in contents]
    spaced = [f" {' '.join(words)} " for words in said]
    for terms in queries_of([words for words in said if words]):
        if common == 0 and not any("*" in term for term in terms):
            continue  # as before
        wanted = [content for content, one in zip(contents, spaced, strict=True) if all(has(one, t) for t in terms)]
        text = " ".join(terms)
        assert shard.find(text, limit=len(lines)) == wanted, text
        if len(wanted) < 300:
            pages = shard.walk(text, limit=37)
            assert [message.content for page in pages for message in page.messages] == wanted, text

"""The search itself: messages by their words and by filters, newest first, within a time limit.

An index proposes candidates, a chunk at a time; a sieve selects those that the member may find, and the terms are
compared with each of them. So every chunk costs little, however much is hidden or filtered out, and a search that runs
out of time returns the place to continue. A search is the only act that reads a clock, which limits only how many hits
it returns.
"""

import time
from dataclasses import dataclass
from typing import Final, NamedTuple

import apsw
import orjson

from ids import MessageId
from shard.engine.connections import Reader
from shard.search.filters import EVERYTHING, Sieve, Source
from shard.search.query import Query
from shard.search.terms import Pattern, Term, Text, merged
from shard.text import tokens
from shard.text.layouts import Place

CHUNK_MAX: Final = 1_000
"""Candidates of a chunk: 3 to 10 ms, and at most 8 million characters in memory."""
FEW: Final = 5_000
"""A filter that leaves no more messages than these is searched by reading all of them, within 50 ms.

The word index is not used then.
"""
SAMPLE: Final = 200
"""Messages from which is estimated how common the beginning of a word is: in more than one of `COMMON` of them."""
COMMON: Final = 20
"""A beginning that more than one in 20 messages has is common: FTS5 would collect all its places before the first."""
_GROWTH: Final = 4


class Hit(NamedTuple):
    """A found message: places of the terms in its content, the count of each, and about how many words it has."""

    id: MessageId
    content: str
    places: list[Place]
    counts: list[int]
    length: int


@dataclass(frozen=True, slots=True)
class Findings:
    """Hits, newest first. The search continues below the id `next_before`, None at its end; `is_cut` when time ran out
    before it had as many as the limit."""

    hits: list[Hit]
    next_before: int | None
    is_cut: bool


class Matcher:
    """Comparison of messages with the terms of a search."""

    def __init__(self, query: Query) -> None:
        self.wanted = [Pattern(term) for term in query.wanted]
        self.unwanted = [Pattern(term) for term in query.unwanted]

    def match(self, message_id: MessageId, content: str) -> Hit | None:
        """Return a message as a hit if it has all wanted terms and no unwanted one."""
        if not self.wanted and not self.unwanted:
            return Hit(message_id, content, [], [], 0)
        text = Text(content)
        if any(pattern.is_in(text) for pattern in self.unwanted):
            return None
        found: list[list[Place]] = []
        for pattern in self.wanted:
            there = pattern.places(text)
            if not there:
                return None
            found.append(there)
        places = merged([place for places in found for place in places])
        return Hit(message_id, content, places, [len(places) for places in found], tokens.count(content))


def find(reader: Reader, sieve: Sieve, query: Query, *, before: int, limit: int, seconds: float) -> Findings:
    """Return the newest hits below an id: at most `limit`, found in about so many seconds.

    Raises apsw.InterruptError when the deadline of the queue passes before anything is found.
    """
    ends_at = time.monotonic() + seconds
    matcher = Matcher(query)
    hits: list[Hit] = []
    at = begin = min(before, sieve.until)
    size = limit + 1
    source = _by_words(reader, matcher, query) or _narrowest(reader, sieve, at) or EVERYTHING
    try:
        while True:
            since = _since(sieve, source)
            chunk = _chunk(reader, sieve, source, at, since, size)
            for message_id, content in chunk.passed:
                if time.monotonic() > ends_at and message_id + 1 < begin:
                    return Findings(hits, message_id + 1, is_cut=True)
                hit = matcher.match(message_id, content)
                if hit is None:
                    continue
                if len(hits) == limit:
                    return Findings(hits, hits[-1].id, is_cut=False)
                hits.append(hit)
            if chunk.length < size and since > sieve.since:
                source, at, size = _narrowest(reader, sieve, since) or EVERYTHING, since, limit + 1
                continue
            if chunk.length < size:
                return Findings(hits, None, is_cut=False)
            if size == limit + 1 and source.is_index:
                source = _narrowest(reader, sieve, chunk.oldest_id, within=FEW) or source
            at, size = chunk.oldest_id, min(size * _GROWTH, CHUNK_MAX)
            if time.monotonic() > ends_at:
                place = _next_visible(reader, sieve, at)
                return Findings(hits, place, is_cut=place is not None)
    except apsw.InterruptError:
        if not hits:
            raise
        return Findings(hits, hits[-1].id, is_cut=True)


class _Chunk(NamedTuple):
    length: int
    oldest_id: int
    passed: list[tuple[MessageId, str]]


def _since(sieve: Sieve, source: Source) -> int:
    """Return the id from which on a source has all messages of a sieve."""
    return max(sieve.since, sieve.unindexed_until + 1) if source.is_index else sieve.since


def _chunk(reader: Reader, sieve: Sieve, source: Source, at: int, since: int, size: int) -> _Chunk:
    """Take the next candidates of a source and return those that pass the sieve, newest first."""
    row = reader.one(
        "SELECT count(*), min(messages.id), "  # noqa: S608
        f"json_group_array(json_array(messages.id, content)) FILTER (WHERE {sieve.condition}) "
        f"FROM ({source.sql}) c CROSS JOIN messages ON messages.id = c.id",
        (*sieve.parameters, *source.parameters, at, since, size),
    )
    assert row is not None
    return _Chunk(row[0], row[1] or 0, sorted(orjson.loads(row[2]), reverse=True))


def _narrowest(reader: Reader, sieve: Sieve, at: int, *, within: int | None = None) -> Source | None:
    """Return the source with the fewest messages, counted up to FEW; with `within`, only if it has at most so many."""
    counted: list[tuple[int, int]] = []
    for number, source in enumerate(sieve.sources):
        row = reader.one(
            f"SELECT count(*) FROM ({source.sql})",  # noqa: S608
            (*source.parameters, at, sieve.since, FEW + 1),
        )
        assert row is not None
        counted.append((row[0], number))
    if not counted or (within is not None and min(counted)[0] > within):
        return None
    return sieve.sources[min(counted)[1]]


def _next_visible(reader: Reader, sieve: Sieve, at: int) -> int | None:
    """Return the place just above the next message below `at` that could be found, None when there is none.

    No place in between is returned: it would reveal messages in hidden channels.
    """
    row = reader.one(
        "SELECT max((SELECT max(m.id) FROM messages m WHERE m.channel_id = c.value AND m.id < ?)) FROM json_each(?) c",
        (at, sieve.channels),
    )
    assert row is not None
    return None if row[0] is None or row[0] < sieve.since else row[0] + 1


def _by_words(reader: Reader, matcher: Matcher, query: Query) -> Source | None:
    """Return the word index as a source, or None when no wanted word narrows it down."""
    common = _common(reader, [*matcher.wanted, *matcher.unwanted])
    wanted = [one.phrase for one in matcher.wanted if one.term not in common]
    if any(one.is_wanted and one.value.lower() == "link" for one in query.named("has")):
        wanted.append('("http" OR "https")')
    if not wanted:
        return None
    match = " AND ".join(wanted)
    # A term that is more than the words of its phrase must not exclude every message with them.
    unwanted = [one.phrase for one in matcher.unwanted if one.is_exact and one.term not in common]
    if unwanted:
        match = f"({match}) NOT ({' OR '.join(unwanted)})"
    return Source(_INDEX, (match,), is_index=True)


def _common(reader: Reader, patterns: list[Pattern]) -> set[Term]:
    """Return the beginnings of words that are common in the room's newest messages."""
    prefixes = [pattern for pattern in patterns if pattern.term.is_prefix]
    if not prefixes:
        return set()
    row = reader.one(
        "SELECT json_group_array(content) FROM (SELECT content FROM messages ORDER BY id DESC LIMIT ?)", (SAMPLE,)
    )
    assert row is not None
    texts = [Text(content) for content in orjson.loads(row[0])]
    return {pattern.term for pattern in prefixes if COMMON * sum(pattern.is_in(text) for text in texts) > len(texts)}


def ranked(hits: list[Hit]) -> list[Hit]:
    """Return hits by relevance: those first in which the words are frequent among few others, weighted as in BM25
    (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009), then the newest.

    Every hit has every word, so the rarity of a word in the room would change little, and would reveal hidden messages.
    """
    saturation, slope = 1.2, 0.75
    mean = sum(hit.length for hit in hits) / len(hits) if hits else 0

    def score(hit: Hit) -> float:
        norm = saturation * (1 - slope + slope * hit.length / (mean or 1))
        return sum(count * (saturation + 1) / (count + norm) for count in hit.counts)

    return sorted(hits, key=lambda hit: (score(hit), hit.id), reverse=True)


_INDEX = (
    "SELECT rowid AS id FROM messages_fts WHERE messages_fts MATCH ? AND rowid < ? AND rowid >= ? "
    "ORDER BY rowid DESC LIMIT ?"
)
